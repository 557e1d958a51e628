"""Lesson 01: how long a state holds what it heard, and how a system answers."""

import math
from typing import Any

import torch
from torch import Tensor

from vmamba_edu.checks.exercise import Exercise, Mistake
from vmamba_edu.checks.prediction import Prediction

two_buckets = Prediction(
    right="c",
    replies={
        "a": "twice the rate is half the time constant, but what is left is not halved with it: it is squared. "
        "exp(-2) is 0.14, exp(-1) is 0.37.",
        "b": "the rates say how fast each one leaks at this moment, and that depends on what it still holds. "
        "A bucket that leaks in proportion to its level never runs dry.",
        "c": "exp(-2 t) is exp(-t) squared. At every moment the share left in the second is the square of the share "
        "left in the first.",
    },
)

turning = Prediction(
    right="b",
    replies={
        "a": "the real part alone decides what fades: |exp((-0.5 + 6i) t)| = exp(-0.5 t).",
        "b": "the imaginary part turns the state round, the real part fades it. The output swings about 6/2π times in "
        "a unit of time while its envelope is that of the real system.",
        "c": "it would, if the real part were 0. Here it fades as it turns.",
    },
)


def _draw_eigenvalues(generator: torch.Generator) -> dict[str, Any]:
    real, imaginary = (torch.rand(6, generator=generator, dtype=torch.float64) for _ in range(2))
    return {"A": torch.complex(-0.2 - 3 * real, 4 * imaginary - 2)}


def _half_life(A: Tensor) -> Tensor:
    return math.log(2) / -A.real


half_life = Exercise(
    name="half_life",
    solution=_half_life,
    draw=_draw_eigenvalues,
    output="(state,) positive times",
    mistakes=(
        Mistake(
            "that is the time constant 1 / -Re A, after which 37 % is left. Half is left after ln 2 of it.",
            lambda A: 1 / -A.real,
        ),
        Mistake(
            "your half-lives are negative. A state fades because Re A is negative: divide by -Re A.",
            lambda A: math.log(2) / A.real,
        ),
        Mistake(
            "you divided by |A|. Its imaginary part only turns the state; what fades it is the real part.",
            lambda A: math.log(2) / A.abs(),
        ),
        Mistake(
            "you multiplied by -Re A. A state that fades faster has a *shorter* half-life: divide.",
            lambda A: math.log(2) * -A.real,
        ),
        Mistake(
            "that is a logarithm to base 2 somewhere: exp(Re A · t) = 1/2 is solved with the natural one.",
            lambda A: 1 / (-A.real * math.log(2)),
        ),
    ),
    variants=(
        lambda A: math.log(0.5) / A.real,
        lambda A: torch.log2(torch.tensor(math.e)) ** -1 / -A.real,
    ),
)


def _draw_system(generator: torch.Generator) -> dict[str, Any]:
    A, B, C = (torch.randn(5, generator=generator, dtype=torch.float64) for _ in range(3))
    times = torch.rand(7, generator=generator, dtype=torch.float64).sort().values * 3 + 0.1
    return {"A": -A.abs() - 0.3, "B": B, "C": C, "t": times}


def _impulse_response(A: Tensor, B: Tensor, C: Tensor, t: Tensor) -> Tensor:
    return torch.exp(t[:, None] * A) @ (B * C)


def _step_response(A: Tensor, B: Tensor, C: Tensor, t: Tensor) -> Tensor:
    return (torch.expm1(t[:, None] * A) / A) @ (B * C)


_SIGN = Mistake(
    "your states grow with time: exp(-A t). A is negative already, so the decay is exp(A t).",
    lambda A, B, C, t: torch.exp(-t[:, None] * A) @ (B * C),
)

impulse_response = Exercise(
    name="impulse_response",
    solution=_impulse_response,
    draw=_draw_system,
    output="(time,) the output y at each t",
    mistakes=(
        _SIGN,
        Mistake(
            "C is missing: that is how the states add up, each counted once. y = C h weighs them.",
            lambda A, B, C, t: torch.exp(t[:, None] * A) @ B,
        ),
        Mistake(
            "B is missing: a pulse of area 1 moves state n by B[n], not by 1.",
            lambda A, B, C, t: torch.exp(t[:, None] * A) @ C,
        ),
        Mistake(
            "that is the answer to an input that is switched on and stays. After a pulse nothing more comes in.",
            _step_response,
        ),
        Mistake(
            "you returned every state by itself, (time, state). The output adds them up: y = Σ_n C[n] h[n].",
            lambda A, B, C, t: torch.exp(t[:, None] * A) * B * C,
        ),
        Mistake(
            "you averaged over the states. y = C h is their sum; whoever wants a mean puts it into C.",
            lambda A, B, C, t: (torch.exp(t[:, None] * A) * B * C).mean(dim=1),
        ),
    ),
    variants=(
        lambda A, B, C, t: torch.einsum("n,nt,n->t", C, torch.exp(A[:, None] * t), B),
        lambda A, B, C, t: torch.stack([(C * torch.exp(A * time) * B).sum() for time in t]),
    ),
)

step_response = Exercise(
    name="step_response",
    solution=_step_response,
    draw=_draw_system,
    output="(time,) the output y at each t",
    mistakes=(
        Mistake(
            "that is the answer to a pulse. Here the input stays at 1: add up (integrate) the pulses since time 0.",
            _impulse_response,
        ),
        Mistake(
            "the division by A is missing: the integral of exp(A s) over s from 0 to t is (exp(A t) - 1) / A.",
            lambda A, B, C, t: torch.expm1(t[:, None] * A) @ (B * C),
        ),
        Mistake(
            "the -1 is missing: the integral has two ends, and at s = 0 the exponential is 1.",
            lambda A, B, C, t: (torch.exp(t[:, None] * A) / A) @ (B * C),
        ),
        Mistake(
            "the sign is turned around: (1 - exp(A t)) / A is negative where the output should rise.",
            lambda A, B, C, t: (-torch.expm1(t[:, None] * A) / A) @ (B * C),
        ),
        Mistake(
            "that is where the output ends up, -Σ C B / A, at every time. It has to get there first.",
            lambda A, B, C, t: (-(B * C) / A).sum().expand(len(t)),
        ),
    ),
    variants=(
        lambda A, B, C, t: ((1 - torch.exp(t[:, None] * A)) * (B * C / -A)).sum(dim=1),
        lambda A, B, C, t: torch.stack([(C * B * (torch.exp(A * time) - 1) / A).sum() for time in t]),
    ),
)
