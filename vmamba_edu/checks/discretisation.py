"""Lesson 02: from continuous time to steps."""

from typing import Any

import torch
from torch import Tensor

from vmamba_edu.checks.exercise import Exercise, Mistake
from vmamba_edu.checks.prediction import Prediction
from vmamba_edu.ssm import RULES, stability_limit

steps_too_long = Prediction(
    right="b",
    replies={
        "a": "Euler's rule multiplies by 1 + ΔA = 1 - 3.2 = -2.2 at every step. That is not small.",
        "b": "at every step the state is multiplied by 1 + ΔA = -2.2: it changes sign and more than doubles, although "
        "the true state fades.",
        "c": "it would if 1 + ΔA were 0. Here it is -2.2.",
    },
)

near_zero = Prediction(
    right="c",
    replies={
        "a": "so it should be, and so it is if one computes it well. But exp(1e-8) is 1 in single precision: "
        "the difference is lost before the division.",
        "b": "dividing by something small is harmless as long as it is not 0. What hurts is the subtraction above it.",
        "c": "exp(1e-8) is 1.00000001, and single precision keeps seven digits: it is 1, and 1 - 1 = 0. "
        "torch.expm1 computes the difference itself and loses nothing.",
    },
)

which_rule = Prediction(
    right="b",
    replies={
        "a": "then no choice of B could make up for the other rule. For a Δ that never changes, one does.",
        "b": "for a fixed Δ the two differ by a constant factor for each state, and whoever learns B learns that too. "
        "But weights that were trained with one rule do not fit the other.",
        "c": "try it: a fast state takes in several times as much under the released rule.",
    },
)


def _draw(generator: torch.Generator) -> dict[str, Any]:
    A, B = (
        torch.randn(4, 4, generator=generator, dtype=torch.float64) for _ in range(2)
    )  # square: axes can be mixed up
    delta = torch.rand(4, generator=generator, dtype=torch.float64) + 0.2
    return {"A": -A.abs() - 0.3, "B": B, "delta": delta}


_SIGN = Mistake(
    "your Ā is exp(-ΔA), above 1: the state would grow without end. A is negative already.",
    lambda A, B, delta: (torch.exp(-delta[:, None] * A), torch.expm1(-delta[:, None] * A) / -A * B),
)
_AXIS = Mistake(
    "Δ went along the states. There is one for each channel, (dim,): write delta[:, None], so that it meets A's rows.",
    lambda A, B, delta: (torch.exp(delta * A), torch.expm1(delta * A) / A * B),
)

zero_order_hold = Exercise(
    name="zero_order_hold",
    solution=RULES["zero_order_hold"],
    draw=_draw,
    output="A_bar and B_bar, (dim, state) each",
    mistakes=(
        Mistake(
            "your B̄ is ΔB: that is Euler's rule, and what the released Mamba computes. Zero-order hold is "
            "(exp(ΔA) - 1) / A · B.",
            RULES["mamba"],
        ),
        Mistake(
            "that is Euler's rule for both: Ā = 1 + ΔA is only the beginning of exp(ΔA).",
            RULES["euler"],
        ),
        Mistake(
            "your B̄ lacks its Δ: (exp(ΔA) - 1) is divided by A, not by ΔA. Or, as the paper has it, by ΔA and then "
            "multiplied by ΔB.",
            lambda A, B, delta: (
                torch.exp(delta[:, None] * A),
                torch.expm1(delta[:, None] * A) / (delta[:, None] * A) * B,
            ),
        ),
        Mistake(
            "your B̄ has one Δ too many: dividing by A already leaves a time.",
            lambda A, B, delta: (
                torch.exp(delta[:, None] * A),
                torch.expm1(delta[:, None] * A) / A * delta[:, None] * B,
            ),
        ),
        _SIGN,
        _AXIS,
        Mistake(
            "your B̄ does not contain B.",
            lambda A, B, delta: (torch.exp(delta[:, None] * A), torch.expm1(delta[:, None] * A) / A),
        ),
    ),
    variants=(
        lambda A, B, delta: (torch.exp(delta[:, None] * A), (torch.exp(delta[:, None] * A) - 1) / A * B),
        lambda A, B, delta: (
            torch.exp(torch.einsum("d,dn->dn", delta, A)),
            torch.linalg.solve(torch.diag_embed(A), (torch.expm1(delta[:, None] * A) * B)[..., None])[..., 0],
        ),
    ),
)


def _halves_forgotten(A: Tensor, B: Tensor, delta: Tensor) -> tuple[Tensor, Tensor]:
    step = delta[:, None] * A
    return (1 + step) / (1 - step), delta[:, None] * B / (1 - step)


bilinear = Exercise(
    name="bilinear",
    solution=RULES["bilinear"],
    draw=_draw,
    output="A_bar and B_bar, (dim, state) each",
    mistakes=(
        Mistake(
            "the halves are missing. The trapezium takes half of the slope at each end: 1 + ΔA/2 over 1 - ΔA/2.",
            _halves_forgotten,
        ),
        Mistake(
            "numerator and denominator are exchanged: your |Ā| is above 1. The known end, 1 + ΔA/2, stands on top.",
            lambda A, B, delta: (
                (1 - delta[:, None] * A / 2) / (1 + delta[:, None] * A / 2),
                delta[:, None] * B / (1 + delta[:, None] * A / 2),
            ),
        ),
        Mistake(
            "your B̄ is not divided: the unknown h_t stands on both sides, and solving for it divides *everything* by "
            "1 - ΔA/2.",
            lambda A, B, delta: (RULES["bilinear"](A, B, delta)[0], delta[:, None] * B),
        ),
        Mistake("that is Euler's rule: it looks at the slope at the beginning only.", RULES["euler"]),
        Mistake(
            "that is the slope at the end only (backward Euler).",
            lambda A, B, delta: (1 / (1 - delta[:, None] * A), delta[:, None] * B / (1 - delta[:, None] * A)),
        ),
        Mistake("that is zero-order hold.", RULES["zero_order_hold"]),
    ),
    variants=(
        lambda A, B, delta: (
            (2 + delta[:, None] * A) / (2 - delta[:, None] * A),
            2 * delta[:, None] * B / (2 - delta[:, None] * A),
        ),
        lambda A, B, delta: (
            2 / (1 - delta[:, None] * A / 2) - 1,
            torch.reciprocal(1 - delta[:, None] * A / 2) * delta[:, None] * B,
        ),
    ),
)


def _draw_eigenvalues(generator: torch.Generator) -> dict[str, Any]:
    real, imaginary = (torch.rand(6, generator=generator, dtype=torch.float64) for _ in range(2))
    return {"A": torch.complex(-0.2 - 3 * real, 4 * imaginary - 2)}


largest_stable_step = Exercise(
    name="largest_stable_step",
    solution=lambda A: stability_limit("euler", A),
    draw=_draw_eigenvalues,
    output="(state,) steps",
    mistakes=(
        Mistake(
            "that is right for real A only: 2 / |A|. A state that turns leaves the unit circle earlier; solve "
            "|1 + ΔA|² = 1 with real and imaginary part.",
            lambda A: 2 / A.abs(),
        ),
        Mistake(
            "you left the imaginary part out: -2 / Re A. Turning carries a state outwards too.",
            lambda A: -2 / A.real,
        ),
        Mistake(
            "that is where 1 + ΔA reaches 0, not -1: the state is stable beyond it, it only changes sign at each step.",
            lambda A: -A.real / A.abs().square(),
        ),
        Mistake(
            "the sign is lost: Re A is negative, a step is not.",
            lambda A: 2 * A.real / A.abs().square(),
        ),
    ),
    variants=(
        lambda A: -2 * A.real / (A.real**2 + A.imag**2),
        lambda A: -2 * (1 / A).real,
    ),
)
