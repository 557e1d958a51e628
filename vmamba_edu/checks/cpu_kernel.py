"""Lesson 06, its first half: a fused loop, and an exponential in two parts. The backward stands in `cpu_backward`."""

import math
from typing import Any

import numpy as np
import torch

from vmamba_edu.checks.array_exercise import array_exercise
from vmamba_edu.checks.exercise import Mistake
from vmamba_edu.checks.prediction import Prediction

Array = np.ndarray

innermost = Prediction(
    right="c",
    replies={
        "a": "each token needs the state that the token before it left. A processor that takes sixteen at once "
        "would need fifteen answers that it does not have yet.",
        "b": "that works too: the states of a channel do not know each other. But y adds them up, so every vector "
        "would have to be summed across its lanes, at each token; and Mamba has only sixteen states.",
        "c": "channels know nothing of each other and there are hundreds. Neighbours in memory fill a vector, and "
        "their y needs no sum across lanes.",
    },
)

small_bias = Prediction(
    right="c",
    replies={
        "a": "the error is made at each step, and all of them point the same way.",
        "b": "the state does not hold all 1500 tokens alike: it forgets, and with them it forgets their errors. What "
        "it still holds is about 1 / (Δ|a|) = 1000 tokens.",
        "c": "a state that lasts about a thousand tokens adds up about a thousand equal errors: the steady state is "
        "b / (1 - Ā), and 1 - Ā is only 0.001.",
    },
)

limited_by = Prediction(
    right="b",
    replies={
        "a": "so it was for the naive version. A fused kernel moves five small tensors, each once: count its bytes.",
        "b": "one exponential for each update of a state, and an exponential is about ten instructions. It is most of "
        "the floor.",
        "c": "three for each update of a state, and a processor starts two vectors of them in each cycle: they are the "
        "cheap part.",
    },
)


def _draw_scan(generator: torch.Generator) -> dict[str, Any]:
    dim, state, length = 3, 4, 7
    normal: Any = {"generator": generator, "dtype": torch.float64}
    return {
        "u": torch.randn(dim, length, **normal),
        "delta": torch.rand(dim, length, **normal) + 0.1,
        "A": -torch.rand(dim, state, **normal) - 0.3,
        "B": torch.randn(state, length, **normal),
        "C": torch.randn(state, length, **normal),
    }


def _scan(
    u: Array,
    delta: Array,
    A: Array,
    B: Array,
    C: Array,
    *,
    decay: Any = np.exp,
    new: Any = lambda step, a: step,
    keeps: bool = True,
    resets: bool = True,
    late: bool = False,
    adds: bool = True,
) -> Array:
    """The fused loop, and on request with one thing wrong."""
    y, h = np.zeros_like(u), np.zeros_like(A[0])
    for d in range(u.shape[0]):
        h = np.zeros_like(A[0]) if resets else h
        for t in range(u.shape[1]):
            before, step = h, delta[d, t]
            h = (decay(step * A[d]) * h if keeps else 0) + new(step, A[d]) * u[d, t] * B[:, t]
            read = C[:, t] * (before if late else h)
            y[d, t] = read.sum() if adds else read[-1]
    return y


def _all_at_once(u: Array, delta: Array, A: Array, B: Array, C: Array) -> Array:
    h, y = np.zeros_like(A), []
    for t in range(u.shape[1]):
        h = np.exp(delta[:, t, None] * A) * h + (delta[:, t] * u[:, t])[:, None] * B[:, t]
        y.append(h @ C[:, t])
    return np.stack(y, axis=1)


def _scalars(u: Array, delta: Array, A: Array, B: Array, C: Array) -> Array:
    y = np.zeros_like(u)
    for d in range(u.shape[0]):
        for n in range(A.shape[1]):
            h = 0.0
            for t in range(u.shape[1]):
                h = math.exp(delta[d, t] * A[d, n]) * h + delta[d, t] * B[n, t] * u[d, t]
                y[d, t] += C[n, t] * h
    return y


fused_scan = array_exercise(
    name="fused_scan",
    solution=lambda u, delta, A, B, C: _scan(u, delta, A, B, C),
    draw=_draw_scan,
    output="(dim, length) the output y",
    mistakes=(
        Mistake(
            "a channel begins with the state that the channel before it left. Set h to 0 for each channel.",
            lambda u, delta, A, B, C: _scan(u, delta, A, B, C, resets=False),
        ),
        Mistake(
            "you read the state before it took in the present token: first h, then y.",
            lambda u, delta, A, B, C: _scan(u, delta, A, B, C, late=True),
        ),
        Mistake(
            "y holds the last state alone: each n *adds* C[n, t] h to y[d, t].",
            lambda u, delta, A, B, C: _scan(u, delta, A, B, C, adds=False),
        ),
        Mistake(
            "the state forgets everything at each token: h is set to Δ u B in place of being carried on.",
            lambda u, delta, A, B, C: _scan(u, delta, A, B, C, keeps=False),
        ),
        Mistake(
            "what comes in lacks its Δ: the kernel computes ΔB u, as the released Mamba does.",
            lambda u, delta, A, B, C: _scan(u, delta, A, B, C, new=lambda step, a: 1.0),
        ),
        Mistake(
            "your B̄ is that of zero-order hold. Published weights want ΔB (lesson 02), and so does the kernel.",
            lambda u, delta, A, B, C: _scan(u, delta, A, B, C, new=lambda step, a: np.expm1(step * a) / a),
        ),
        Mistake(
            "your decay is exp(-ΔA), above 1: A is negative already.",
            lambda u, delta, A, B, C: _scan(u, delta, A, B, C, decay=lambda p: np.exp(-p)),
        ),
        Mistake(
            "your decay is 1 + ΔA: that is Euler's rule, only the beginning of exp(ΔA).",
            lambda u, delta, A, B, C: _scan(u, delta, A, B, C, decay=lambda p: 1 + p),
        ),
    ),
    variants=(_all_at_once, _scalars),
)


def _draw_powers(generator: torch.Generator) -> dict[str, Any]:
    """Four coefficients: they give 2**r - 1 to some millionths, and the smallest of them still counts."""
    powers = -12 * torch.rand(40, generator=generator, dtype=torch.float64)
    nodes = np.cos(np.pi * (np.arange(16) + 0.5) / 16) / 2  # where polynomials are best fitted
    c = np.polynomial.polynomial.polyfit(nodes, np.expm1(nodes * math.log(2)) / nodes, 3)
    return {"p": powers, "c": torch.from_numpy(c)}


def _horner(r: Array, c: Array) -> Array:
    result = np.full_like(r, c[-1])
    for one in c[-2::-1]:
        result = one + r * result
    return result


def _exp2_parts(p: Array, c: Array) -> tuple[Array, Array]:
    k = np.rint(p)
    return k, (p - k) * _horner(p - k, c)


def _split_by(rounding: Any) -> Any:
    def answer(p: Array, c: Array) -> tuple[Array, Array]:
        k = rounding(p)
        return k, (p - k) * _horner(p - k, c)

    return answer


exp2_parts = array_exercise(
    name="exp2_parts",
    solution=_exp2_parts,
    draw=_draw_powers,
    output="k, the nearest whole numbers, and w = 2**(p - k) - 1, like p both",
    mistakes=(
        Mistake(
            "you rounded down: r is then between 0 and 1, where a polynomial made for |r| ≤ ½ is far off. Take the "
            "*nearest* whole number.",
            _split_by(np.floor),
        ),
        Mistake(
            "you cut off towards zero, as int() does (and rounding up, for p < 0): r is then between -1 and 0, "
            "where the polynomial is far off. Take the nearest whole number.",
            _split_by(np.trunc),
        ),
        Mistake(
            "you returned 2**r with its 1. The point is to leave the 1 out: w = 2**r - 1.",
            lambda p, c: (np.rint(p), 1 + _exp2_parts(p, c)[1]),
        ),
        Mistake(
            "the factor r is missing: the polynomial is w / r.",
            lambda p, c: (np.rint(p), _horner(p - np.rint(p), c)),
        ),
        Mistake(
            "the coefficients went in from the wrong end: c[0] stands alone, the last one meets r most often.",
            lambda p, c: (np.rint(p), (p - np.rint(p)) * _horner(p - np.rint(p), c[::-1])),
        ),
        Mistake(
            "the sign of r is turned round: r = p - k, what is left of p.",
            lambda p, c: (np.rint(p), (np.rint(p) - p) * _horner(np.rint(p) - p, c)),
        ),
        Mistake(
            "you put p itself into the polynomial. It is only good for |r| ≤ ½: that is why k is taken off.",
            lambda p, c: (np.rint(p), p * _horner(p, c)),
        ),
    ),
    variants=(
        lambda p, c: (np.round(p), np.exp2(p - np.round(p)) - 1),
        lambda p, c: (
            (p + 1.5 * 2.0**52) - 1.5 * 2.0**52,
            sum(one * (p - np.floor(p + 0.5)) ** (i + 1) for i, one in enumerate(c)),
        ),
    ),
)
