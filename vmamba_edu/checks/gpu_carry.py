"""Lesson 07, its second half: what joins two stretches of a scan, and a carry over segments."""

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor

from vmamba_edu.checks.exercise import Mistake
from vmamba_edu.checks.triton_exercise import UNTOUCHED, TritonExercise, launched

BLOCK_D = 4  # of the launch below


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _draw_pairs(generator: torch.Generator) -> dict[str, Any]:
    a = torch.rand(16, generator=generator, dtype=torch.float64)
    return {"a": 0.4 + 0.5 * a, "b": _normal(generator, 16)}


def _launch_combination(function: Any, a: Tensor, b: Tensor) -> Tensor:
    from vmamba_edu.checks.triton_launches import prefix_kernel

    return launched(partial_kernel(prefix_kernel, function), (1,), [a, b], (2, len(a)), len(a))


class partial_kernel:
    """A kernel whose last argument is given already."""

    def __init__(self, kernel: Any, last: Any) -> None:
        self.kernel, self.last = kernel, last

    def __getitem__(self, grid: tuple[int, ...]) -> Any:
        return lambda *arguments: self.kernel[grid](*arguments, self.last)


def _prefixes(a: Tensor, b: Tensor, combine: Any) -> Tensor:
    """(2, length): all prefixes, joined as Triton's associative_scan joins them, in pairs that double their reach."""
    reach = 1
    while reach < len(a):
        joined = combine(a[:-reach], b[:-reach], a[reach:], b[reach:])
        a, b = (torch.cat([old[:reach], new]) for old, new in zip((a, b), joined, strict=True))
        reach *= 2
    return torch.stack([a, b])


def _one_by_one(a: Tensor, b: Tensor, combine: Any = lambda a1, b1, a2, b2: (a1 * a2, a2 * b1 + b2)) -> Tensor:
    found = [(a[0], b[0])]
    for t in range(1, len(a)):
        found.append(combine(*found[-1], a[t], b[t]))
    return torch.stack([torch.stack(list(one)) for one in zip(*found, strict=True)])


join = TritonExercise(
    name="join",
    solution=_one_by_one,
    draw=_draw_pairs,
    launch=_launch_combination,
    output="(2, length): the products of all a so far, and the states h",
    mistakes=(
        Mistake(
            "you let the earlier part fade the later one: a1 b2 + b1. What came first fades by what comes after: "
            "a2 b1 + b2.",
            partial(_one_by_one, combine=lambda a1, b1, a2, b2: (a1 * a2, a1 * b2 + b1)),
        ),
        Mistake(
            "the earlier part does not fade: a2 is missing in front of b1.",
            partial(_one_by_one, combine=lambda a1, b1, a2, b2: (a1 * a2, b1 + b2)),
        ),
        Mistake(
            "decays multiply: a1 a2, not a1 + a2.",
            partial(_one_by_one, combine=lambda a1, b1, a2, b2: (a1 + a2, a2 * b1 + b2)),
        ),
        Mistake(
            "the later part alone is left: b2 is what it makes of zero, a2 b1 carries on what came before.",
            partial(_one_by_one, combine=lambda a1, b1, a2, b2: (a1 * a2, b2)),
        ),
        Mistake(
            "the product of the decays is missing: a2 alone forgets how far the earlier part had faded already.",
            partial(_one_by_one, combine=lambda a1, b1, a2, b2: (a2, a2 * b1 + b2)),
        ),
        Mistake(
            "the two results are exchanged: first the decay, then the state.",
            partial(_one_by_one, combine=lambda a1, b1, a2, b2: (a2 * b1 + b2, a1 * a2)),
        ),
    ),
    variants=(
        lambda a, b: _prefixes(a, b, lambda a1, b1, a2, b2: (a1 * a2, a2 * b1 + b2)),
        lambda a, b: torch.stack([a.cumprod(0), (b / a.cumprod(0)).cumsum(0) * a.cumprod(0)]),
    ),
)


def _draw_segments(generator: torch.Generator) -> dict[str, Any]:
    segments, dim = 6, 9
    decay = torch.rand(segments, dim, generator=generator, dtype=torch.float64)
    return {"decay": 0.2 + 0.6 * decay, "end": _normal(generator, segments, dim), "initial": _normal(generator, dim)}


def _launch_carry(kernel: Any, decay: Tensor, end: Tensor, initial: Tensor) -> Tensor:
    segments, dim = end.shape
    inputs = [decay, end, initial]
    return launched(kernel, (math.ceil(dim / BLOCK_D),), inputs, (segments, dim), segments, dim, BLOCK_D)


def _carry(
    decay: Tensor, end: Tensor, initial: Tensor, *, after: bool = False, shift: int = 0, fades: bool = True
) -> Tensor:
    h, found = initial, []
    for k in range(len(end)):
        before = h
        h = (decay[min(k + shift, len(end) - 1)] if fades else 1) * h + end[k]
        found.append(h if after else before)
    return torch.stack(found)


def _without_end(decay: Tensor, end: Tensor, initial: Tensor) -> Tensor:
    return torch.cat([initial[None], end[:-1]])


carry_kernel = TritonExercise(
    name="carry_kernel",
    solution=_carry,
    draw=_draw_segments,
    launch=_launch_carry,
    output="(segments, dim) the state with which each segment starts",
    mistakes=(
        Mistake(
            "those are the states *after* each segment. First store h, then carry it through the segment.",
            partial(_carry, after=True),
        ),
        Mistake(
            "the first segment starts from 0: it starts from `initial`.",
            lambda decay, end, initial: _carry(decay, end, torch.zeros_like(initial)),
        ),
        Mistake(
            "what came into a segment does not fade in it: h becomes decay h + end.",
            partial(_carry, fades=False),
        ),
        Mistake(
            "each segment starts from the end of the one before it as if *that* had started from 0. Its own start, "
            "faded, must be added.",
            _without_end,
        ),
        Mistake(
            "you faded by the decay of the next segment: segment k takes its own, row k.",
            partial(_carry, shift=1),
        ),
        Mistake(
            "only the first BLOCK_D channels were written: d begins at tl.program_id(0) * BLOCK_D.",
            lambda decay, end, initial: _only_first_channels(_carry(decay, end, initial)),
        ),
    ),
    variants=(
        lambda decay, end, initial: torch.stack(
            [
                initial * decay[:k].prod(0) + sum(end[j] * decay[j + 1 : k].prod(0) for j in range(k))
                for k in range(len(end))
            ]
        ),
        lambda decay, end, initial: torch.cat([initial[None], _carry(decay, end, initial, after=True)[:-1]]),
    ),
)


def _only_first_channels(starts: Tensor) -> Tensor:
    starts[:, BLOCK_D:] = UNTOUCHED
    return starts
