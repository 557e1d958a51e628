"""From continuous time to steps: the rules that turn h' = A h + B x into h_t = Ā h_{t-1} + B̄ x_t.

A is diagonal, so every state is a scalar equation of its own and a rule is a formula in two numbers, Δ A and Δ B.

| rule | Ā | B̄ | exact for | stable for Re A < 0 |
|---|---|---|---|---|
| `zero_order_hold` | exp(ΔA) | (exp(ΔA) - 1) / A · B | an input held constant over each step | always |
| `bilinear` | (1 + ΔA/2) / (1 - ΔA/2) | ΔB / (1 - ΔA/2) | - | always |
| `euler` | 1 + ΔA | ΔB | - | Δ < -2 Re A / |A|² |
| `mamba` | exp(ΔA) | ΔB | an input that comes in pulses, one at the end of each step | always |

Shapes: A and B are (dim, state), Δ is (..., dim) with any axes in front, such as time where Δ is selected by the input;
B may then have those axes too. Ā and B̄ come out as (..., dim, state). A may be complex, and 0.

Sources: VideoMamba (arXiv 2403.06977) eq. 3; Mamba (arXiv 2312.00752) eq. 4; for `mamba` the released
selective_scan_interface.py of state-spaces/mamba, which simplifies the B̄ of its paper's equation.
"""

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from jaxtyping import Float, Inexact
from torch import Tensor

Discrete = tuple[Tensor, Tensor]
"""Ā and B̄, (..., dim, state) each."""


def zero_order_hold(
    A: Inexact[Tensor, "dim state"], B: Inexact[Tensor, "*time dim state"], delta: Float[Tensor, "*steps dim"]
) -> Discrete:
    """Solve the equation exactly for an input that is held constant over each step (VideoMamba eq. 3)."""
    step = delta[..., None] * A
    return step.exp(), expm1_ratio(step) * delta[..., None] * B


def euler(
    A: Inexact[Tensor, "dim state"], B: Inexact[Tensor, "*time dim state"], delta: Float[Tensor, "*steps dim"]
) -> Discrete:
    """Follow the slope at the beginning of each step: h_t = h_{t-1} + Δ (A h_{t-1} + B x_t)."""
    return 1 + delta[..., None] * A, delta[..., None] * B


def bilinear(
    A: Inexact[Tensor, "dim state"], B: Inexact[Tensor, "*time dim state"], delta: Float[Tensor, "*steps dim"]
) -> Discrete:
    """Follow the mean of the slopes at both ends of each step (Tustin's rule, the trapezium; S4 uses it)."""
    half = delta[..., None] * A / 2
    return (1 + half) / (1 - half), delta[..., None] * B / (1 - half)


def mamba(
    A: Inexact[Tensor, "dim state"], B: Inexact[Tensor, "*time dim state"], delta: Float[Tensor, "*steps dim"]
) -> Discrete:
    """What the released Mamba computes: the exact decay, and Euler's B̄ = ΔB.

    Against zero-order hold the input of each state is too large by ΔA / (exp(ΔA) - 1), about 1 - ΔA/2: nothing for a
    slow state, a factor that B (which is learned, or selected) can take up for a fast one.
    """
    step = delta[..., None] * A
    return step.exp(), delta[..., None] * B


RULES: Mapping[str, Callable[..., Discrete]] = MappingProxyType(
    {"zero_order_hold": zero_order_hold, "euler": euler, "bilinear": bilinear, "mamba": mamba}
)


def stability_limit(rule: str, A: Inexact[Tensor, "*states"]) -> Float[Tensor, "*states"]:
    """The step Δ from which on |Ā| ≥ 1, so that what a state holds no longer fades.

    Returns:
        The limit for each A, in the unit of time of 1 / A: infinite where a rule is stable at every step, 0 where the
        system itself does not decay.

    Raises:
        ValueError: there is no such rule.
    """
    if rule not in RULES:
        raise ValueError(f"rule: expected one of {', '.join(map(repr, RULES))}, got {rule!r}")
    decay = -A.real
    limit = 2 * decay / A.abs().square() if rule == "euler" else torch.full_like(decay, math.inf)
    return torch.where(decay > 0, limit, torch.zeros_like(decay))


def expm1_ratio(x: Inexact[Tensor, "*shape"]) -> Inexact[Tensor, "*shape"]:
    """(exp(x) - 1) / x, and its limit 1 at x = 0, with its derivatives; x may be complex.

    Near 0 both numerator and denominator vanish. There the first terms of the series are exact to the last digit of
    float64, and gradients pass through 0.
    """
    is_small = x.abs() < 1e-3
    safe = torch.where(is_small, torch.ones_like(x), x)
    series = 1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6))))
    return torch.where(is_small, series, torch.expm1(safe) / safe)
