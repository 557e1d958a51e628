"""Lesson 04: what each token chooses, and the recurrence that follows it."""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from vmamba_kernels import selective_scan as kernel

from vmamba_edu.checks.exercise import Exercise, Mistake
from vmamba_edu.checks.prediction import Prediction

LENGTH = 7

no_time_passes = Prediction(
    right="b",
    replies={
        "a": "that is what a very long step does: exp(ΔA) goes to 0. Here Δ is 0.",
        "b": "exp(0 · A) = 1 and 0 · B = 0: no time passes, and what the token says is not heard.",
        "c": "for that the old state would have to go, and exp(0 · A) is 1.",
    },
)

what_breaks = Prediction(
    right="c",
    replies={
        "a": "a shift it does survive: the same tokens choose the same steps, wherever they stand.",
        "b": "one of the two is gone. Twice the input is another choice of Δ, B and C, not twice the output.",
        "c": "the rule is the same at every time, so a shift stays a shift. But the input now decides what it is "
        "multiplied by, and that is not linear: no kernel can do it.",
    },
)

fixed_on_copying = Prediction(
    right="b",
    replies={
        "a": "saying any one letter is right one time in six, and it does find out which letters there were.",
        "b": "from how much of each letter it heard it can tell that it was there, and about when. But which of them "
        "comes next it can only guess.",
        "c": "it hears a dot as loudly as a letter and knows only how long ago something was, and the letters stand "
        "somewhere else each time.",
    },
)


def _randn(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _draw_step_size(generator: torch.Generator) -> dict[str, Any]:
    # The weight is square: axes can be mixed up.
    return {
        "dt": _randn(5, 4, generator=generator),
        "weight": _randn(4, 4, generator=generator),
        "bias": _randn(4, generator=generator),
    }


step_size = Exercise(
    name="step_size",
    solution=lambda dt, weight, bias: F.softplus(F.linear(dt, weight, bias)),
    draw=_draw_step_size,
    output="delta, (length, dim)",
    mistakes=(
        Mistake(
            "the softplus is missing: a step must be positive, or time runs backwards and the state grows.",
            lambda dt, weight, bias: dt @ weight.T + bias,
        ),
        Mistake(
            "the bias is missing: it is what a channel's step is when the token says nothing.",
            lambda dt, weight, bias: F.softplus(dt @ weight.T),
        ),
        Mistake(
            "the bias is added after the softplus; it belongs inside, or the step may be negative again.",
            lambda dt, weight, bias: F.softplus(dt @ weight.T) + bias,
        ),
        Mistake(
            "weight is (dim, rank), so it has to be transposed: dt @ weight.T. Here rank and dim are equal, and no "
            "error told you.",
            lambda dt, weight, bias: F.softplus(dt @ weight + bias),
        ),
        Mistake(
            "that is exp, not softplus: log(1 + exp(x)). For large x it must grow like x.",
            lambda dt, weight, bias: torch.exp(dt @ weight.T + bias),
        ),
        Mistake(
            "that is relu: it would make many steps exactly 0, and those would never learn again.",
            lambda dt, weight, bias: torch.relu(dt @ weight.T + bias),
        ),
        Mistake(
            "the softplus comes last: after the map and the bias, not before.",
            lambda dt, weight, bias: F.softplus(dt) @ weight.T + bias,
        ),
        Mistake(
            "the axes are exchanged, (dim, length).",
            lambda dt, weight, bias: F.softplus(dt @ weight.T + bias).T,
        ),
    ),
    variants=(
        lambda dt, weight, bias: torch.log1p(torch.exp(dt @ weight.T + bias)),
        lambda dt, weight, bias: torch.logaddexp(torch.einsum("lr,dr->ld", dt, weight) + bias, torch.zeros_like(bias)),
    ),
)


def _draw_split(generator: torch.Generator) -> dict[str, Any]:
    return {"x": _randn(5, 4, generator=generator), "weight": _randn(8, 4, generator=generator), "rank": 2}


def _split(x: Tensor, weight: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    dt, B, C = F.linear(x, weight).split([rank, *[(len(weight) - rank) // 2] * 2], dim=-1)
    return dt, B, C


split_projection = Exercise(
    name="split_projection",
    solution=_split,
    draw=_draw_split,
    output="dt (length, rank), B and C (length, state) each",
    mistakes=(
        Mistake(
            "C came before B. The rows of the weight stand in the order dt, B, C.",
            lambda x, weight, rank: tuple(_split(x, weight, rank)[i] for i in (0, 2, 1)),
        ),
        Mistake(
            "you took B and C from the front and dt from the end. The rows stand in the order dt, B, C.",
            lambda x, weight, rank: tuple(
                (x @ weight.T).split([(len(weight) - rank) // 2, (len(weight) - rank) // 2, rank], -1)[i]
                for i in (2, 0, 1)
            ),
        ),
        Mistake(
            "you cut three equal parts. dt has `rank` numbers, and B and C share the rest.",
            lambda x, weight, rank: (x @ weight.T).chunk(3, dim=-1),
        ),
        Mistake(
            "B and C are not interleaved: all rows of B come first, then all of C.",
            lambda x, weight, rank: (
                (x @ weight.T)[:, :rank],
                (x @ weight.T)[:, rank::2],
                (x @ weight.T)[:, rank + 1 :: 2],
            ),
        ),
        Mistake(
            "the axes are exchanged: (length, …) each, a row for every token.",
            lambda x, weight, rank: tuple(one.T for one in _split(x, weight, rank)),
        ),
        Mistake(
            "no softplus yet, and none for B and C: those may be negative. It belongs to Δ alone.",
            lambda x, weight, rank: tuple(F.softplus(one) for one in _split(x, weight, rank)),
        ),
    ),
    variants=(
        lambda x, weight, rank: (x @ weight[:rank].T, *(x @ rows.T for rows in weight[rank:].chunk(2))),
        lambda x, weight, rank: list(
            torch.einsum("ld,rd->lr", x, weight).tensor_split([rank, (len(weight) + rank) // 2], dim=1)
        ),
    ),
)


def _draw_recurrence(generator: torch.Generator) -> dict[str, Any]:
    return {
        "u": _randn(3, LENGTH, generator=generator),
        "delta": torch.rand(3, LENGTH, generator=generator, dtype=torch.float64) + 0.1,
        "A": -torch.rand(3, 4, generator=generator, dtype=torch.float64) - 0.2,
        "B": _randn(4, LENGTH, generator=generator),
        "C": _randn(4, LENGTH, generator=generator),
    }


def _scan(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    return kernel(u[None], delta[None], A, B[None], C[None], backend="reference")[0]


def _loop(A_bar: Tensor, entering: Tensor, C: Tensor, *, read_first: bool = False) -> Tensor:
    """A_bar and entering: (dim, state, length)."""
    h, y = torch.zeros_like(A_bar[..., 0]), []
    for t in range(C.shape[1]):
        before, h = h, A_bar[..., t] * h + entering[..., t]
        y.append(((before if read_first else h) * C[:, t]).sum(dim=1))
    return torch.stack(y, dim=1)


def _parts(u: Tensor, delta: Tensor, A: Tensor, B: Tensor) -> tuple[Tensor, Tensor]:
    return torch.exp(delta[:, None] * A[..., None]), (delta * u)[:, None] * B


def _as_matrix(u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
    """y = M u, with M[t, s] = Σ_n C_t exp(A (Δ_{s+1} + … + Δ_t)) Δ_s B_s."""
    time = delta.cumsum(dim=1)
    passed = (time[:, :, None] - time[:, None]).tril()
    weights = torch.einsum("nt,dnts,ns->dts", C, torch.exp(A[..., None, None] * passed[:, None]), B).tril()
    return torch.einsum("dts,ds->dt", weights, delta * u)


selective_recurrence = Exercise(
    name="selective_recurrence",
    solution=_scan,
    draw=_draw_recurrence,
    output="(dim, length)",
    mistakes=(
        Mistake(
            "your B̄ lacks its Δ: with B̄ = ΔB a token with a short step is hardly heard, and that is half of selection.",
            lambda u, delta, A, B, C: _loop(_parts(u, delta, A, B)[0], u[:, None] * B, C),
        ),
        Mistake(
            "your B̄ is zero-order hold's. So the paper has it, but the released code computes ΔB (lesson 02), and we "
            "do too.",
            lambda u, delta, A, B, C: _loop(
                _parts(u, delta, A, B)[0],
                torch.expm1(delta[:, None] * A[..., None]) / A[..., None] * u[:, None] * B,
                C,
            ),
        ),
        Mistake(
            "your Ā is exp(-ΔA), above 1. A is negative already.",
            lambda u, delta, A, B, C: _loop(1 / _parts(u, delta, A, B)[0], _parts(u, delta, A, B)[1], C),
        ),
        Mistake(
            "your Ā is 1 + ΔA: that is Euler's rule.",
            lambda u, delta, A, B, C: _loop(1 + delta[:, None] * A[..., None], _parts(u, delta, A, B)[1], C),
        ),
        Mistake(
            "you used the first token's Δ, B and C for all: that is the system of lesson 03, without selection.",
            lambda u, delta, A, B, C: _scan(
                u, delta[:, :1].expand_as(delta), A, B[:, :1].expand_as(B), C[:, :1].expand_as(C)
            ),
        ),
        Mistake(
            "the Δ in your Ā is the one of the token before. Token t itself says how long its step is.",
            lambda u, delta, A, B, C: _loop(_parts(u, delta.roll(1, dims=1), A, B)[0], _parts(u, delta, A, B)[1], C),
        ),
        Mistake(
            "B and C are exchanged: B lets the token in, C reads the state.",
            lambda u, delta, A, B, C: _scan(u, delta, A, C, B),
        ),
        Mistake(
            "you read the state before it took in the present token: y_t = C_t h_t, not C_t h_{t-1}.",
            lambda u, delta, A, B, C: _loop(*_parts(u, delta, A, B), C, read_first=True),
        ),
        Mistake(
            "Ā acts on the input too. What comes in now has not faded yet.",
            lambda u, delta, A, B, C: _loop(_parts(u, delta, A, B)[0], torch.mul(*_parts(u, delta, A, B)), C),
        ),
        Mistake(
            "you read from the last token to the first.",
            lambda u, delta, A, B, C: _scan(u.flip(1), delta.flip(1), A, B.flip(1), C.flip(1)).flip(1),
        ),
        Mistake(
            "C is missing: that is the sum of the states.",
            lambda u, delta, A, B, C: _scan(u, delta, A, B, torch.ones_like(C)),
        ),
    ),
    variants=(
        lambda u, delta, A, B, C: _loop(*_parts(u, delta, A, B), C),
        _as_matrix,
    ),
)


def _draw_bias(generator: torch.Generator) -> dict[str, Any]:
    least, most = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
    share = torch.rand(6, generator=generator, dtype=torch.float64)
    return {"share": share, "smallest": 0.001 + 0.009 * least, "largest": 0.2 + 0.8 * most}


def _log_uniform(share: Tensor, smallest: float, largest: float) -> Tensor:
    return smallest * (largest / smallest) ** share


def _inverse_softplus(delta: Tensor) -> Tensor:
    return torch.log(torch.expm1(delta))


def _bias_of_logarithms(share: Tensor, smallest: float, largest: float) -> Tensor:
    delta = torch.exp(math.log(smallest) + share * (math.log(largest) - math.log(smallest)))
    return delta + torch.log(-torch.expm1(-delta))


initial_bias = Exercise(
    name="initial_bias",
    solution=lambda share, smallest, largest: _inverse_softplus(_log_uniform(share, smallest, largest)),
    draw=_draw_bias,
    output="(dim,) the bias whose softplus is the first Δ",
    mistakes=(
        Mistake(
            "that is Δ itself. The bias goes through a softplus before it is a step, so you have to undo that.",
            _log_uniform,
        ),
        Mistake(
            "log undoes exp, not softplus: from Δ = log(1 + exp(bias)) follows bias = log(exp(Δ) - 1).",
            lambda share, smallest, largest: _log_uniform(share, smallest, largest).log(),
        ),
        Mistake(
            "your steps are spread evenly between the two, so nearly all of them are long. Spread their *logarithm*.",
            lambda share, smallest, largest: _inverse_softplus(smallest + share * (largest - smallest)),
        ),
        Mistake(
            "you applied the softplus once more instead of undoing it.",
            lambda share, smallest, largest: F.softplus(_log_uniform(share, smallest, largest)),
        ),
        Mistake(
            "that undoes a sigmoid: log(Δ / (1 - Δ)). Softplus is undone by log(exp(Δ) - 1).",
            lambda share, smallest, largest: torch.logit(_log_uniform(share, smallest, largest)),
        ),
        Mistake(
            "the logarithms are undone by exp, and you used powers of ten (or the other way round).",
            lambda share, smallest, largest: _inverse_softplus(
                10 ** (math.log(smallest) + share * math.log(largest / smallest))
            ),
        ),
        Mistake(
            "the ends are exchanged: a share of 0 belongs to the smallest step.",
            lambda share, smallest, largest: _inverse_softplus(_log_uniform(1 - share, smallest, largest)),
        ),
    ),
    variants=(
        _bias_of_logarithms,
        lambda share, smallest, largest: torch.log(torch.exp(_log_uniform(share, smallest, largest)) - 1),
    ),
)
