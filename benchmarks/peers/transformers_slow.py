"""The scan of transformers' Mamba where no CUDA kernel is installed: a Python loop over tokens.

Forward only: in its backward autograd indexes (batch, dim, length, state) tensors once a token, which costs hundreds of
times more than the arithmetic. A ratio against that would say nothing about scans.
"""

from importlib.metadata import version
from inspect import unwrap
from typing import Any

from torch import Tensor

from benchmarks.peers import GRADIENTS, Missing, Peer, from_torch


def make(device: str) -> list[Peer]:
    try:
        from transformers.models.mamba.modeling_mamba import mamba_selective_scan
    except ImportError:
        raise Missing("transformers 5.23 or newer is not installed: pip install 'vmamba-edu[bench]'") from None
    loop = unwrap(mamba_selective_scan)  # not a CUDA kernel that stands in for it

    def scan(u: Tensor, delta: Tensor, **others: Any) -> Tensor:
        return loop(u, delta, **others)

    forward, _ = from_torch(scan, GRADIENTS)
    note = "its Python loop; its backward is not measured"
    found = version("transformers")
    return [Peer("transformers", found, "selective_scan", forward, note=note, states_kept=(4, 0))]
