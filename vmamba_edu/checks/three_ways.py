"""Lesson 03: the recurrence, the kernel, and the convolution."""

from typing import Any

import torch
from torch import Tensor

from vmamba_edu.checks.exercise import Exercise, Mistake
from vmamba_edu.checks.prediction import Prediction
from vmamba_edu.ssm import convolution_kernel, convolve

LENGTH = 9

one_more_token = Prediction(
    right="a",
    replies={
        "a": "the state holds all it needs of the past: one multiplication and one addition for each of its numbers, "
        "however long the past was. That is why state-space models are cheap to run token by token.",
        "b": "a convolution would have to look at the whole past again, all 10 000 tokens of it.",
        "c": "a tree combines pieces that are there already. One token more is one step: the recurrence.",
    },
)

start_of_videomamba = Prediction(
    right="c",
    replies={
        "a": "693 tokens it would be with the smallest Δ that Mamba draws, 0.001. VideoMamba's is 0.69.",
        "b": "7 tokens it would be with the largest Δ that Mamba draws, 0.1. VideoMamba's is 0.69.",
        "c": "Δ = softplus(0) = ln 2 in every channel, so exp(-Δ) is exactly one half: one token.",
    },
)


def _system(generator: torch.Generator) -> dict[str, Any]:
    A_bar = torch.rand(3, 4, generator=generator, dtype=torch.float64)
    B_bar, C = (torch.randn(3, 4, generator=generator, dtype=torch.float64) for _ in range(2))
    return {"A_bar": 0.5 + 0.45 * A_bar, "B_bar": B_bar, "C": C}


def _draw_recurrence(generator: torch.Generator) -> dict[str, Any]:
    return {**_system(generator), "u": torch.randn(3, LENGTH, generator=generator, dtype=torch.float64)}


def _loop(A_bar: Tensor, B_bar: Tensor, C: Tensor, u: Tensor, *, read_first: bool = False) -> Tensor:
    h, y = torch.zeros_like(A_bar), []
    for t in range(u.shape[1]):
        before, h = h, A_bar * h + B_bar * u[:, t, None]
        y.append((C * (before if read_first else h)).sum(dim=1))
    return torch.stack(y, dim=1)


def _recurrence(A_bar: Tensor, B_bar: Tensor, C: Tensor, u: Tensor) -> Tensor:
    return _loop(A_bar, B_bar, C, u)


recurrence = Exercise(
    name="recurrence",
    solution=_recurrence,
    draw=_draw_recurrence,
    output="(dim, length) the output at every step",
    mistakes=(
        Mistake(
            "you read the state before it took in the present input: y_t = C h_t, not C h_{t-1}.",
            lambda A_bar, B_bar, C, u: _loop(A_bar, B_bar, C, u, read_first=True),
        ),
        Mistake(
            "the state forgets everything at each step: h_t = Ā h_{t-1} + B̄ u_t, and the first term is missing.",
            lambda A_bar, B_bar, C, u: ((B_bar * C).sum(dim=1))[:, None] * u,
        ),
        Mistake(
            "the state never fades: Ā is missing in front of h_{t-1}.",
            lambda A_bar, B_bar, C, u: _loop(torch.ones_like(A_bar), B_bar, C, u),
        ),
        Mistake(
            "you read from the last step to the first. h_t may know u_0 … u_t only.",
            lambda A_bar, B_bar, C, u: _loop(A_bar, B_bar, C, u.flip(1)).flip(1),
        ),
        Mistake(
            "your outputs stand in reverse order: you read from the end and did not turn the result back.",
            lambda A_bar, B_bar, C, u: _loop(A_bar, B_bar, C, u.flip(1)),
        ),
        Mistake(
            "C is missing: that is the sum of the states.",
            lambda A_bar, B_bar, C, u: _loop(A_bar, B_bar, torch.ones_like(C), u),
        ),
        Mistake(
            "Ā acts on the input too: h_t = Ā (h_{t-1} + B̄ u_t). What comes in now has not faded yet.",
            lambda A_bar, B_bar, C, u: _loop(A_bar, A_bar * B_bar, C, u),
        ),
        Mistake(
            "the axes are exchanged, (length, dim): stack the outputs along the last axis.",
            lambda A_bar, B_bar, C, u: _loop(A_bar, B_bar, C, u).T,
        ),
    ),
    variants=(
        lambda A_bar, B_bar, C, u: convolve(u[None], convolution_kernel(A_bar, B_bar, C, u.shape[1]))[0],
        lambda A_bar, B_bar, C, u: torch.stack(
            [
                sum((C * A_bar ** (t - s) * B_bar * u[:, s, None]).sum(1) for s in range(t + 1))
                for t in range(u.shape[1])
            ],
            dim=1,
        ),
    ),
)


def _draw_kernel(generator: torch.Generator) -> dict[str, Any]:
    return {**_system(generator), "length": LENGTH}


kernel = Exercise(
    name="kernel",
    solution=convolution_kernel,
    draw=_draw_kernel,
    output="(dim, length)",
    mistakes=(
        Mistake(
            "you are one step late: K[0] = C B̄ is what the *present* input adds, before it has faded at all.",
            lambda A_bar, B_bar, C, length: convolution_kernel(A_bar, A_bar * B_bar, C, length),
        ),
        Mistake(
            "your kernel runs backwards in time: K[k] belongs to the input k steps *ago*, so it begins with C B̄.",
            lambda A_bar, B_bar, C, length: convolution_kernel(A_bar, B_bar, C, length).flip(1),
        ),
        Mistake(
            "C is missing.",
            lambda A_bar, B_bar, C, length: convolution_kernel(A_bar, B_bar, torch.ones_like(C), length),
        ),
        Mistake(
            "B̄ is missing.",
            lambda A_bar, B_bar, C, length: convolution_kernel(A_bar, torch.ones_like(B_bar), C, length),
        ),
        Mistake(
            "you multiplied by k instead of raising to the power k: after k steps a state has faded k times over.",
            lambda A_bar, B_bar, C, length: ((C * B_bar * A_bar)[..., None] * torch.arange(length)).sum(dim=1),
        ),
        Mistake(
            "you added up the kernel as you went: that is the answer to an input that stays at 1.",
            lambda A_bar, B_bar, C, length: convolution_kernel(A_bar, B_bar, C, length).cumsum(dim=1),
        ),
    ),
    variants=(
        lambda A_bar, B_bar, C, length: torch.stack([(C * A_bar**k * B_bar).sum(1) for k in range(length)], dim=1),
        lambda A_bar, B_bar, C, length: _recurrence(
            A_bar, B_bar, C, torch.eye(1, length, dtype=A_bar.dtype).expand(len(A_bar), length)
        ),
    ),
)


def _draw_convolution(generator: torch.Generator) -> dict[str, Any]:
    u, K = (torch.randn(3, LENGTH, generator=generator, dtype=torch.float64) for _ in range(2))
    return {"u": u, "K": K}


def _causal_convolution(u: Tensor, K: Tensor) -> Tensor:
    return convolve(u[None], K)[0]


def _circular(u: Tensor, K: Tensor) -> Tensor:
    return torch.fft.irfft(torch.fft.rfft(u) * torch.fft.rfft(K), n=u.shape[1])


causal_convolution = Exercise(
    name="causal_convolution",
    solution=_causal_convolution,
    draw=_draw_convolution,
    output="(dim, length)",
    mistakes=(
        Mistake(
            "the end reaches round to the beginning: a Fourier transform is circular. Give both at least twice the "
            "length in zeros (n=2 * length) and cut the result.",
            _circular,
        ),
        Mistake(
            "that is a correlation: the kernel must run against the input, K[k] on u[t - k]. torch's conv1d does not "
            "turn it round.",
            lambda u, K: _causal_convolution(u, K.flip(1)),
        ),
        Mistake(
            "you look into the future: u[t + k] in place of u[t - k].",
            lambda u, K: _causal_convolution(u.flip(1), K).flip(1),
        ),
        Mistake(
            "you returned all 2 · length values; the ones after the input's end are its echo. Cut at length.",
            lambda u, K: torch.fft.irfft(
                torch.fft.rfft(u, n=2 * u.shape[1]) * torch.fft.rfft(K, n=2 * u.shape[1]), n=2 * u.shape[1]
            ),
        ),
        Mistake(
            "that is u times K, step by step. A convolution lets every earlier input reach the present.",
            lambda u, K: u * K,
        ),
        Mistake(
            "you cut the wrong end: the first `length` values of the padded result are the ones that are wanted.",
            lambda u, K: torch.fft.irfft(
                torch.fft.rfft(u, n=2 * u.shape[1]) * torch.fft.rfft(K, n=2 * u.shape[1]), n=2 * u.shape[1]
            )[:, u.shape[1] :],
        ),
    ),
    variants=(
        lambda u, K: torch.stack([(K[:, : t + 1].flip(1) * u[:, : t + 1]).sum(1) for t in range(u.shape[1])], dim=1),
        lambda u, K: torch.nn.functional.conv1d(u[None], K.flip(1)[:, None], padding=u.shape[1] - 1, groups=len(u))[
            0, :, : u.shape[1]
        ],
    ),
)
