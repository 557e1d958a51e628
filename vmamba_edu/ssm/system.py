"""A system with a memory: h'(t) = A h(t) + B x(t), y(t) = C h(t) + D x(t).

One input x and one output y, N numbers h between them. A is diagonal here: nearly every matrix is, in the right
coordinates, and then each state is a memory of its own that fades at its own rate.

Source: VideoMamba (arXiv 2403.06977) eq. 1; S4D (arXiv 2206.11893) §2 for the diagonal form.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

from vmamba_edu.ssm.discretisation import expm1_ratio


@dataclass(frozen=True, eq=False)
class DiagonalSystem:
    """A diagonal system of N states, real or complex; of complex states the output is the real part.

    Args:
        A: (state,) the eigenvalues, in 1 / time: -Re A is how fast a state fades, Im A how fast it turns.
        B: (state,) how the input enters each state.
        C: (state,) how each state is read.
        D: what of the input reaches the output at once.

    Raises:
        ValueError: A, B and C differ in length.
    """

    A: Tensor
    B: Tensor
    C: Tensor
    D: float = 0.0

    def __post_init__(self) -> None:
        if not self.A.shape == self.B.shape == self.C.shape or self.A.dim() != 1:
            shapes = ", ".join(str(tuple(x.shape)) for x in (self.A, self.B, self.C))
            raise ValueError(f"A, B, C: expected three vectors of one length, (state,), got {shapes}")

    def impulse_response(self, time: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
        """C exp(A t) B: the output at `time` after a pulse of area 1 at time 0. The pulse itself, D, is left out."""
        return ((self.A * time[..., None]).exp() @ (self.B * self.C)).real

    def step_response(self, time: Float[Tensor, "*points"]) -> Float[Tensor, "*points"]:
        """The output at `time` after the input went from 0 to 1 at time 0, and stayed: C (exp(A t) - 1) / A B + D."""
        grown = time[..., None] * expm1_ratio(self.A * time[..., None])
        return (grown.to(self.A.dtype) @ (self.B * self.C)).real + self.D


def half_life(A: Inexact[Tensor, "*states"]) -> Float[Tensor, "*states"]:
    """ln 2 / -Re A: after how long half is left of what a state holds, in the unit of time of 1 / A.

    Infinite where nothing fades (Re A ≥ 0). Divided by Δ it counts steps.
    """
    decay = -A.real
    return torch.where(decay > 0, math.log(2) / decay.clamp(min=torch.finfo(decay.dtype).tiny), math.inf)
