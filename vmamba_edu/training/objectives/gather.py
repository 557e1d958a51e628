"""One batch out of those of all processes, where training runs in several."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal, get_args

import torch
import torch.distributed as dist
from torch import Tensor

GatheredGradient = Literal["published", "whole"]
GATHERED_GRADIENTS: tuple[str, ...] = get_args(GatheredGradient)

_apart: ContextVar[bool] = ContextVar("whether each process looks at its own rows alone", default=False)


@contextmanager
def each_alone() -> Iterator[None]:
    """Within it nothing is gathered: each process has batches of its own, as in validation."""
    before = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(before)


def gather(x: Tensor, gradient: GatheredGradient = "published") -> Tensor:
    """The rows of all processes, those of rank 0 first; x itself where there is one process only.

    Every process must have equally many rows, and makes the same loss of all of them.

    Args:
        x: the process's own rows.
        gradient: of the own rows, what the own loss says of them ("published"), or what the losses of all processes
            say ("whole"). Averaging over processes follows, so that n processes learn from a published one n times more
            slowly than one process with the whole batch; from a whole one they learn the same.

    Source: `AllGather` (videomamba/video_mm/models/criterions.py and utils/distributed.py).
    """
    if _apart.get() or not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return x
    return _Gather.apply(x, gradient == "whole")


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, whole: bool) -> Tensor:
        ctx.rows, ctx.whole = len(x), whole
        parts = [torch.empty_like(x) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, x.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0]
        if ctx.whole:
            gradient = gradient.contiguous().clone()
            dist.all_reduce(gradient)
        first = dist.get_rank() * ctx.rows
        return gradient[first : first + ctx.rows], None
