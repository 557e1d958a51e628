"""Selection: Δ, B and C are no longer numbers that training finds, but what each token says.

    x ── x_weight ──┬── dt, R numbers a token ── dt_weight ── + bias ── softplus ── Δ, one for each channel
                    ├── B, N numbers a token
                    └── C, N numbers a token

A alone stays as it is, and through Ā = exp(ΔA) it is selected as well. Δ passes through R numbers only (R = D / 16 in
Mamba): what makes a token worth a long step is much the same for all channels.

`SelectiveLayer` is such a scan, `FixedLayer` its twin whose Δ, B and C are the same for every token (S4D-real): there
is no other difference between the two. Neither has the convolution and the gate of Mamba's block.

Sources: Mamba (arXiv 2312.00752) §3.2 and algorithms 1 and 2; VideoMamba (arXiv 2403.06977) §3.1; `Mamba.forward`
(mamba_ssm/modules/mamba_simple.py) for the order of dt, B and C.
"""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from vmamba_kernels import selective_scan

from vmamba_edu.ssm.initialisation import mamba_delta_bias, s4d_real


class Selected(NamedTuple):
    """What each token chose."""

    delta: Float[Tensor, "*batch length dim"]
    B: Float[Tensor, "*batch length state"]
    C: Float[Tensor, "*batch length state"]


def select(
    x: Float[Tensor, "*batch length dim"],
    x_weight: Float[Tensor, "rank_and_two_states dim"],
    dt_weight: Float[Tensor, "dim rank"],
    dt_bias: Float[Tensor, " dim"],
) -> Selected:
    """Δ, B and C from the tokens (Mamba algorithm 2, lines 2 to 4).

    Args:
        x: the tokens.
        x_weight: one map for all three: its first R rows make dt, the next N rows B, the last N rows C.
        dt_weight, dt_bias: from dt to a step for each channel, before the softplus.

    Raises:
        ValueError: the rows of x_weight that dt leaves over are not two equal parts.
    """
    rank = dt_weight.shape[1]
    rows = x_weight.shape[0] - rank
    if rows < 2 or rows % 2:
        raise ValueError(
            f"x_weight: expected {rank} rows for dt and then as many for B as for C, got {x_weight.shape[0]} rows"
        )
    dt, B, C = F.linear(x, x_weight).split([rank, rows // 2, rows // 2], dim=-1)
    return Selected(F.softplus(F.linear(dt, dt_weight, dt_bias)), B, C)


class SelectiveLayer(nn.Module):
    """A selective scan, (batch, length, dim) → (batch, length, dim), without convolution, skip and gate.

    Args:
        dim: channels.
        state: numbers that each channel keeps.
        generator: for the first weights; torch's own if not given.
    """

    def __init__(self, dim: int, state: int = 16, *, generator: torch.Generator | None = None):
        super().__init__()
        generator = generator or torch.default_generator
        rank = math.ceil(dim / 16)
        self.A_log = nn.Parameter((-s4d_real(state)).log().float().repeat(dim, 1))
        self.x_weight = nn.Parameter(_uniform(rank + 2 * state, dim, generator))
        self.dt_weight = nn.Parameter(_uniform(dim, rank, generator))
        self.dt_bias = nn.Parameter(mamba_delta_bias(dim, generator))

    def forward(self, x: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
        delta, B, C = (one.mT for one in self.select(x))
        return selective_scan(x.mT, delta, -torch.exp(self.A_log), B, C).mT

    def select(self, x: Float[Tensor, "batch length dim"]) -> Selected:
        """What each token of x chooses."""
        return select(x, self.x_weight, self.dt_weight, self.dt_bias)


class FixedLayer(nn.Module):
    """The twin of `SelectiveLayer`: Δ, B and C of each channel are learned and the same for every token.

    Arguments as there. B starts at 1 and C from a normal distribution, as in S4D (arXiv 2206.11893 §4).
    """

    def __init__(self, dim: int, state: int = 16, *, generator: torch.Generator | None = None):
        super().__init__()
        generator = generator or torch.default_generator
        self.A_log = nn.Parameter((-s4d_real(state)).log().float().repeat(dim, 1))
        self.B = nn.Parameter(torch.ones(dim, state))
        self.C = nn.Parameter(torch.randn(dim, state, generator=generator))
        self.dt_bias = nn.Parameter(mamba_delta_bias(dim, generator))

    def forward(self, x: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
        delta = F.softplus(self.dt_bias)[:, None].expand(len(x), -1, x.shape[1])
        return selective_scan(x.mT, delta, -torch.exp(self.A_log), self.B, self.C).mT


def _uniform(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """±1/√columns, as torch draws a linear map; for dt_weight that is Mamba's own rule, ±R^(-1/2)."""
    return (2 * torch.rand(rows, columns, generator=generator) - 1) / math.sqrt(columns)
