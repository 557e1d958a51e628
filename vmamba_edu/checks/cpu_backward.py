"""Lesson 06, its second half: states that are saved, and a gradient that computes the others again."""

from typing import Any

import numpy as np
import torch

from vmamba_edu.checks.array_exercise import array_exercise
from vmamba_edu.checks.exercise import Mistake

Array = np.ndarray

CHUNK = 4


def _draw_chunks(generator: torch.Generator) -> dict[str, Any]:
    a, b = (torch.rand(11, generator=generator, dtype=torch.float64) for _ in range(2))
    return {"a": 0.4 + 0.5 * a, "b": 2 * b - 1, "chunk": CHUNK}  # the last chunk is shorter


def _states(a: Array, b: Array, h: float = 0.0) -> list[float]:
    """h after each token."""
    found = []
    for t in range(len(a)):
        h = a[t] * h + b[t]
        found.append(h)
    return found


def _saved_states(a: Array, b: Array, chunk: int) -> Array:
    return np.array([0.0, *_states(a, b)])[: len(a) : chunk]


def _chunk_by_chunk(a: Array, b: Array, chunk: int) -> Array:
    saved = [0.0]
    for start in range(0, len(a) - chunk, chunk):
        saved.append(_states(a[start : start + chunk], b[start : start + chunk], saved[-1])[-1])
    return np.array(saved)


saved_states = array_exercise(
    name="saved_states",
    solution=_saved_states,
    draw=_draw_chunks,
    output="(chunks,) the state before the first token of each chunk",
    mistakes=(
        Mistake(
            "those are the states *after* each chunk. A chunk can be computed again from the one before it.",
            lambda a, b, chunk: np.array([*_states(a, b)[chunk - 1 : -1 : chunk], _states(a, b)[-1]]),
        ),
        Mistake(
            "you saved one token late: the state that has already taken in the chunk's first token.",
            lambda a, b, chunk: np.array(_states(a, b))[::chunk],
        ),
        Mistake(
            "every chunk began from 0: the state must be handed on from chunk to chunk.",
            lambda a, b, chunk: np.array(
                [0.0] + [_states(a[s : s + chunk], b[s : s + chunk])[-1] for s in range(0, len(a) - chunk, chunk)]
            ),
        ),
        Mistake(
            "you saved the state before every token. One for each chunk is enough, that is the point.",
            lambda a, b, chunk: np.array([0.0, *_states(a, b)])[:-1],
        ),
        Mistake(
            "the last chunk is missing. It is shorter than the others, and needs its state too.",
            lambda a, b, chunk: _saved_states(a, b, chunk)[: len(a) // chunk],
        ),
        Mistake(
            "the first chunk's state is missing: it is 0, and the list begins with it.",
            lambda a, b, chunk: _saved_states(a, b, chunk)[1:],
        ),
    ),
    variants=(
        _chunk_by_chunk,
        lambda a, b, chunk: np.array(
            [sum(np.prod(a[s + 1 : end]) * b[s] for s in range(end)) for end in range(0, len(a), chunk)]
        ),
    ),
)


def _draw_gradient(generator: torch.Generator) -> dict[str, Any]:
    drawn = _draw_chunks(generator)
    g = torch.randn(11, generator=generator, dtype=torch.float64)
    saved = torch.from_numpy(_saved_states(drawn["a"].numpy(), drawn["b"].numpy(), CHUNK))
    return {"a": drawn["a"], "b": drawn["b"], "g": g, "saved": saved, "chunk": CHUNK}


def _walk_back(
    a: Array,
    b: Array,
    g: Array,
    saved: Array,
    chunk: int,
    *,
    fade: str = "own",
    restart: bool = False,
    after: bool = False,
    from_zero: bool = False,
) -> tuple[Array, Array]:
    """Gradients of a and b, chunk by chunk from the end; the keywords are what people get wrong."""
    da, db, G = np.zeros_like(a), np.zeros_like(b), 0.0
    for c in range(len(saved) - 1, -1, -1):
        start, end = c * chunk, min(len(a), (c + 1) * chunk)
        first = 0.0 if from_zero else saved[c]
        path = [first, *_states(a[start:end], b[start:end], first)]
        G = 0.0 if restart else G
        for t in range(end - 1, start - 1, -1):
            G = g[t] + (a[t] * G if fade == "early" else G)
            da[t], db[t] = G * path[t - start + after], G
            G = a[t] * G if fade == "own" else G
    return da, db


def _long_way(a: Array, b: Array, g: Array, saved: Array, chunk: int) -> tuple[Array, Array]:
    """All states kept, all gradients at once."""
    h = np.array([0.0, *_states(a, b)])
    G = np.array([sum(g[s] * np.prod(a[t + 1 : s + 1]) for s in range(t, len(a))) for t in range(len(a))])
    return G * h[:-1], G


def _by_autograd(a: Array, b: Array, g: Array, saved: Array, chunk: int) -> tuple[Array, Array]:
    leaves = [torch.tensor(x, requires_grad=True) for x in (a, b)]
    h, total = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for t in range(len(a)):
        h = leaves[0][t] * h + leaves[1][t]
        total = total + float(g[t]) * h
    da, db = torch.autograd.grad(total, leaves)
    return da.numpy(), db.numpy()


scan_gradient = array_exercise(
    name="scan_gradient",
    solution=lambda a, b, g, saved, chunk: _walk_back(a, b, g, saved, chunk),
    draw=_draw_gradient,
    output="the gradients of a and of b, (length,) each",
    mistakes=(
        Mistake(
            "G begins at 0 in every chunk. It travels backwards over the edges of chunks, as h does forwards.",
            lambda a, b, g, saved, chunk: _walk_back(a, b, g, saved, chunk, restart=True),
        ),
        Mistake(
            "your gradient of a multiplies G by h_t. In h_t = a_t h_{t-1} + b_t, a_t stands beside h_{t-1}.",
            lambda a, b, g, saved, chunk: _walk_back(a, b, g, saved, chunk, after=True),
        ),
        Mistake(
            "you let G fade by a_t before it arrives at t. From t + 1 to t it fades by a_{t+1}: first use G, then "
            "multiply it.",
            lambda a, b, g, saved, chunk: _walk_back(a, b, g, saved, chunk, fade="early"),
        ),
        Mistake(
            "G never fades: on its way back it is multiplied by the same a as the state on its way forth.",
            lambda a, b, g, saved, chunk: _walk_back(a, b, g, saved, chunk, fade="never"),
        ),
        Mistake(
            "your chunks are computed again from 0 in place of from the state that was saved before each.",
            lambda a, b, g, saved, chunk: _walk_back(a, b, g, saved, chunk, from_zero=True),
        ),
        Mistake(
            "that is what token t adds by itself, g_t. It also reaches every later token through the state.",
            lambda a, b, g, saved, chunk: (g * np.array([0.0, *_states(a, b)])[:-1], g.copy()),
        ),
        Mistake(
            "the two gradients are exchanged: first that of a, then that of b.",
            lambda a, b, g, saved, chunk: _walk_back(a, b, g, saved, chunk)[::-1],
        ),
    ),
    variants=(_long_way, _by_autograd),
)
