"""torch's own grouped convolution, as the published mixer falls back to it: padded on both sides, cut, then SiLU."""

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.peers import CONV_GRADIENTS, Peer, from_torch


def make(device: str) -> list[Peer]:
    return [
        Peer(
            "torch conv1d",
            torch.__version__,
            "causal_conv1d",
            *from_torch(conv, CONV_GRADIENTS),
            layouts=("model", "contiguous"),
        )
    ]


def conv(x: Tensor, weight: Tensor, bias: Tensor, activation: str) -> Tensor:
    dim, width = weight.shape
    y = F.conv1d(x, weight[:, None], bias, padding=width - 1, groups=dim)
    return F.silu(y[..., : x.shape[-1]])
