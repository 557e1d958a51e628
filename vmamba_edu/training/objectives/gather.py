"""One batch out of those of all processes, where training runs in several."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def gather(x: Tensor) -> Tensor:
    """The rows of all processes, those of rank 0 first; x itself where there is one process only.

    Every process must have equally many rows. The gradient of a process's rows is what its own loss says of them: what
    the others' losses say is not added, as in the published code (`AllGather`, videomamba/video_mm/models/criterions.py
    and utils/distributed.py), where averaging over processes follows.
    """
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    return _Gather.apply(x)


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.rows = len(x)
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        first = dist.get_rank() * ctx.rows
        return gradients[0][first : first + ctx.rows]
