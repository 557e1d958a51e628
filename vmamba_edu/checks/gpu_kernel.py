"""Lesson 07, its first half: a tile with its masks, and a scan in one program. The rest stands in `gpu_carry`."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vmamba_edu.checks.exercise import Mistake
from vmamba_edu.checks.prediction import Prediction
from vmamba_edu.checks.triton_exercise import UNTOUCHED, TritonExercise, launched

BLOCK_L, BLOCK_D = 4, 4  # of the launches below

beyond_the_end = Prediction(
    right="b",
    replies={
        "a": "then the state would fade once more by exp(A), for a token that does not exist.",
        "b": "exp(0 A) = 1 keeps the state, and Δ B u = 0 adds nothing. So a chunk need not know where its sequence "
        "ends: other=0.0 in the load of Δ is enough.",
        "c": "the output would be right, but the state that the chunk hands on would have gone through tokens that do "
        "not exist.",
    },
)

interpreted_time = Prediction(
    right="c",
    replies={
        "a": "the interpreter runs one operation of one program after the other. A GPU runs them all at once.",
        "b": "it does not know what a register is. What is slow there may be free on a GPU, or the other way round.",
        "c": "it is there to tell right from wrong, not fast from slow: a kernel can be debugged with print and a "
        "breakpoint, without a GPU.",
    },
)

idle_processors = Prediction(
    right="b",
    replies={
        "a": "a program runs on one multiprocessor from beginning to end. Twelve programs keep twelve of them busy.",
        "b": "twelve programs, twelve multiprocessors: 120 of 132 have nothing to do. A batch of one and 384 channels "
        "is not enough parallel work for a GPU, unless one cuts the sequence too.",
        "c": "the hardware does not cut programs: whoever wrote the kernel has to.",
    },
)


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _draw_tile(generator: torch.Generator) -> dict[str, Any]:
    dim, length = 9, 9  # three tiles, of which the last hang over by three
    return {
        "delta": _normal(generator, dim, length),
        "bias": _normal(generator, dim),
        "u": _normal(generator, dim, length),
    }


def _launch_tile(kernel: Any, delta: Tensor, bias: Tensor, u: Tensor) -> Tensor:
    dim, length = delta.shape
    grid = (math.ceil(dim / BLOCK_D), math.ceil(length / BLOCK_L))
    return launched(kernel, grid, [delta, bias, u], (dim, length), length, dim, BLOCK_L, BLOCK_D)


def _first_tile(delta: Tensor, bias: Tensor, u: Tensor) -> Tensor:
    out = torch.full_like(u, UNTOUCHED)
    out[:BLOCK_D, :BLOCK_L] = (torch.exp(delta + bias[:, None]) * u)[:BLOCK_D, :BLOCK_L]
    return out


def _memory_order(delta: Tensor, bias: Tensor, u: Tensor) -> Tensor:
    """d + t · dim in place of d · length + t: the memory is taken for (length, dim), and so is the output's."""
    dim, length = u.shape
    step, x = (one.reshape(length, dim).T for one in (delta, u))
    return (torch.exp(step + bias[:, None]) * x).T.reshape(dim, length)


def _whole_tiles(delta: Tensor, bias: Tensor, u: Tensor) -> Tensor:
    out = torch.full_like(u, UNTOUCHED)
    dim, length = (n // block * block for n, block in zip(u.shape, (BLOCK_D, BLOCK_L), strict=True))
    out[:dim, :length] = (torch.exp(delta + bias[:, None]) * u)[:dim, :length]
    return out


def _one_row_of_tiles(delta: Tensor, bias: Tensor, u: Tensor) -> Tensor:
    """Every program begins at token 0: program_id(1) is not looked at."""
    out = torch.full_like(u, UNTOUCHED)
    out[:, :BLOCK_L] = (torch.exp(delta + bias[:, None]) * u)[:, :BLOCK_L]
    return out


tile_kernel = TritonExercise(
    name="tile_kernel",
    solution=lambda delta, bias, u: torch.exp(delta + bias[:, None]) * u,
    draw=_draw_tile,
    launch=_launch_tile,
    output="(dim, length), exp(delta + bias) u",
    mistakes=(
        Mistake(
            "every program wrote the same tile. Which one is its own? d begins at tl.program_id(0) * BLOCK_D, t at "
            "tl.program_id(1) * BLOCK_L.",
            _first_tile,
        ),
        Mistake(
            "only the first BLOCK_L tokens were written: t does not begin at tl.program_id(1) * BLOCK_L.",
            _one_row_of_tiles,
        ),
        Mistake(
            "your offsets are those of a (length, dim) tensor. Here the tokens of a channel lie side by side: "
            "d * length + t.",
            _memory_order,
        ),
        Mistake(
            "the tiles at the edges are missing: the masks must let the part through that exists.",
            _whole_tiles,
        ),
        Mistake(
            "the bias is missing: it is one number for each channel, bias + d.",
            lambda delta, bias, u: torch.exp(delta) * u,
        ),
        Mistake(
            "u is missing: the output is exp(delta + bias) u.",
            lambda delta, bias, u: torch.exp(delta + bias[:, None]),
        ),
        Mistake(
            "the bias came in after the exponential: exp(delta + bias), not exp(delta) + bias.",
            lambda delta, bias, u: (torch.exp(delta) + bias[:, None]) * u,
        ),
    ),
    variants=(
        lambda delta, bias, u: u * delta.exp() * bias.exp()[:, None],
        lambda delta, bias, u: torch.stack([torch.exp(one + b) * x for one, b, x in zip(delta, bias, u, strict=True)]),
    ),
)


def _draw_scan(generator: torch.Generator) -> dict[str, Any]:
    dim, state, length = 9, 4, 9
    return {
        "u": _normal(generator, dim, length),
        "delta": torch.rand(dim, length, generator=generator, dtype=torch.float64) + 0.1,
        "A": -torch.rand(dim, state, generator=generator, dtype=torch.float64) - 0.3,
        "B": _normal(generator, state, length),
        "C": _normal(generator, state, length),
    }


def _launch_scan(kernel: Any, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    dim, length = u.shape
    inputs = [u, delta, A, B, C]
    return launched(kernel, (math.ceil(dim / BLOCK_D),), inputs, (dim, length), length, dim, A.shape[1], BLOCK_D)


def _scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    *,
    sign: int = 1,
    stepped: bool = True,
    late: bool = False,
    keeps: bool = True,
    euler: bool = False,
    backwards: bool = False,
) -> Tensor:
    """The scan, and on request with one thing wrong."""
    h, y = torch.zeros_like(A), torch.zeros_like(u)
    for t in reversed(range(u.shape[1])) if backwards else range(u.shape[1]):
        power = sign * delta[:, t, None] * A
        new = (delta[:, t] * u[:, t] if stepped else u[:, t])[:, None] * B[:, t]
        before, h = h, ((1 + power if euler else torch.exp(power)) * h if keeps else 0) + new
        y[:, t] = (before if late else h) @ C[:, t]
    return y


def _every_program_the_first(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    y = _scan(u, delta, A, B, C)
    y[BLOCK_D:] = UNTOUCHED
    return y


scan_kernel = TritonExercise(
    name="scan_kernel",
    solution=_scan,
    draw=_draw_scan,
    launch=_launch_scan,
    output="(dim, length) the output y",
    mistakes=(
        Mistake(
            "you read the state before it took in the present token: first h, then y.",
            partial(_scan, late=True),
        ),
        Mistake(
            "the state forgets everything at each token: exp(Δ A) h is missing, or h begins anew inside the loop.",
            partial(_scan, keeps=False),
        ),
        Mistake("what comes in lacks its Δ: it is Δ u B.", partial(_scan, stepped=False)),
        Mistake("your decay is exp(-ΔA), above 1: A is negative already.", partial(_scan, sign=-1)),
        Mistake("your decay is 1 + ΔA: that is Euler's rule.", partial(_scan, euler=True)),
        Mistake(
            "every program computed the first channels. d begins at tl.program_id(0) * BLOCK_D.",
            _every_program_the_first,
        ),
        Mistake("you walk from the last token to the first.", partial(_scan, backwards=True)),
    ),
    variants=(
        lambda u, delta, A, B, C: torch.stack(
            [
                sum(
                    ((C[:, t] * torch.exp(A * delta[:, s + 1 : t + 1].sum(1, keepdim=True))) @ B[:, s])
                    * delta[:, s]
                    * u[:, s]
                    for s in range(t + 1)
                )
                for t in range(u.shape[1])
            ],
            dim=1,
        ),
        lambda u, delta, A, B, C: sum(
            _scan(u, delta, A[:, n, None], B[n, None], C[n, None]) for n in range(A.shape[1])
        ),
    ),
)
