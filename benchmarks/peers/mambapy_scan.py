"""mamba.py's parallel scan: the best known one in plain PyTorch, with a backward of its own."""

from importlib.metadata import version
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers import GRADIENTS, Missing, Peer, from_torch


def make(device: str) -> list[Peer]:
    try:
        from mambapy.mamba import MambaBlock
    except ImportError:
        raise Missing("mamba.py is not installed: pip install 'vmamba-edu[bench]'") from None

    def scan(
        u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, z: Tensor, delta_bias: Tensor, **_: Any
    ) -> Tensor:
        """What its block does around its scan; it keeps (batch, length, dim), and so does the memory of our inputs."""
        u, delta, B, C, z = (x.transpose(1, 2) for x in (u, delta, B, C, z))
        y = MambaBlock.selective_scan(None, u, F.softplus(delta + delta_bias), A, B, C, D)
        return (y * F.silu(z)).transpose(1, 2)

    return [Peer("mamba.py", version("mambapy"), "selective_scan", *from_torch(scan, GRADIENTS), states_kept=(7, 12))]
