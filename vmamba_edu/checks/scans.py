"""Lesson 05: pairs, and two trees. The scan in pieces stands in `chunked_scans`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vmamba_edu.checks.exercise import Exercise, Mistake
from vmamba_edu.checks.prediction import Prediction
from vmamba_edu.ssm import combine as joined

Pair = tuple[Tensor, Tensor]
Join = Callable[[Pair, Pair], Pair]

with_a_bend = Prediction(
    right="b",
    replies={
        "a": "try to write tanh(a₂ tanh(a₁ h + b₁) + b₂) as one tanh(a h + b). It cannot be done.",
        "b": "two of these steps in a row are no step of the same kind, so nothing short says what a whole piece does. "
        "That is why an LSTM must be read token by token.",
        "c": "how fast something fades is not the point. What counts is whether two steps make one of the same kind.",
    },
)

who_wins = Prediction(
    right="c",
    replies={
        "a": "its few levels would win if each were one moment. One processor has to make all the combinations of a "
        "level itself, and carries every pair to memory and back.",
        "b": "Python takes some microseconds for every token before anything is computed.",
        "c": "one pass, the state in registers, nothing written but y. A tree pays off where thousands of processors "
        "would otherwise wait.",
    },
)


def _randn(*shape: int, generator: torch.Generator) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _draw_combine(generator: torch.Generator) -> dict[str, Any]:
    return {name: _randn(5, generator=generator) for name in ("a1", "b1", "a2", "b2")}


def _by_matrices(a1: Tensor, b1: Tensor, a2: Tensor, b2: Tensor) -> Pair:
    one, zero = torch.ones_like(a1), torch.zeros_like(a1)
    first, second = (
        torch.stack([torch.stack([a, b], -1), torch.stack([zero, one], -1)], -2) for a, b in ((a1, b1), (a2, b2))
    )
    both = second @ first
    return both[:, 0, 0], both[:, 0, 1]


combine = Exercise(
    name="combine",
    solution=lambda a1, b1, a2, b2: joined((a1, b1), (a2, b2)),
    draw=_draw_combine,
    output="a and b",
    mistakes=(
        Mistake(
            "the order is exchanged: the first step comes first, so it is b₁ that fades, by a₂.",
            lambda a1, b1, a2, b2: joined((a2, b2), (a1, b1)),
        ),
        Mistake(
            "your b's are only added. What the first step let in fades during the second: a₂ b₁ + b₂.",
            lambda a1, b1, a2, b2: (a1 * a2, b1 + b2),
        ),
        Mistake(
            "your a's are added. Fading by a half and then by a half is fading by a quarter: multiply.",
            lambda a1, b1, a2, b2: (a1 + a2, a2 * b1 + b2),
        ),
        Mistake(
            "b₂ has not faded yet: only b₁ is multiplied by a₂.",
            lambda a1, b1, a2, b2: (a1 * a2, a2 * (b1 + b2)),
        ),
        Mistake(
            "your a is the second one's alone. What stood there before both steps has faded twice.",
            lambda a1, b1, a2, b2: (a2, a2 * b1 + b2),
        ),
        Mistake(
            "you let b₁ fade by its own a. It came in after that: it meets a₂ alone.",
            lambda a1, b1, a2, b2: (a1 * a2, a1 * b1 + b2),
        ),
    ),
    variants=(
        _by_matrices,
        lambda a1, b1, a2, b2: (a2 * (a1 * 1 + b1) + b2 - (a2 * b1 + b2), a2 * (a1 * 0 + b1) + b2),
    ),
)


def draw_pairs(generator: torch.Generator, length: int) -> dict[str, Any]:
    return {
        "a": 0.5 + torch.rand(length, generator=generator, dtype=torch.float64),
        "b": _randn(length, generator=generator),
    }


def recurrence(a: Tensor, b: Tensor) -> Tensor:
    h, path = torch.zeros_like(b[0]), []
    for one_a, one_b in zip(a, b, strict=True):
        h = one_a * h + one_b
        path.append(h)
    return torch.stack(path)


def _doubling(
    a: Tensor, b: Tensor, *, join: Join = joined, distances: tuple[int, ...] = (1, 2, 4, 8), keep_a: bool = False
) -> Tensor:
    """Hillis and Steele's scan, and what one makes of it by changing one thing."""
    for distance in distances:
        new_a, new_b = join((a[:-distance], b[:-distance]), (a[distance:], b[distance:]))
        a = a if keep_a else torch.cat([a[:distance], new_a])
        b = torch.cat([b[:distance], new_b])
    return b


def _in_place(a: Tensor, b: Tensor) -> Tensor:
    a, b, distance = a.clone(), b.clone(), 1
    while distance < len(a):
        for t in range(distance, len(a)):
            a[t], b[t] = joined((a[t - distance], b[t - distance]), (a[t].clone(), b[t].clone()))
        distance *= 2
    return b


def _round_the_corner(a: Tensor, b: Tensor) -> Tensor:
    distance = 1
    while distance < len(a):
        a, b = joined((a.roll(distance), b.roll(distance)), (a, b))
        distance *= 2
    return b


def _exchanged(first: Pair, second: Pair) -> Pair:
    return joined(second, first)


def _filled_up(a: Tensor, b: Tensor) -> Tensor:
    distance = 1
    while distance < len(a):
        earlier_a = torch.nn.functional.pad(a, (distance, 0), value=1)[: len(a)]
        earlier_b = torch.nn.functional.pad(b, (distance, 0))[: len(b)]
        a, b = joined((earlier_a, earlier_b), (a, b))
        distance *= 2
    return b


hillis_steele = Exercise(
    name="hillis_steele",
    solution=recurrence,
    draw=lambda generator: draw_pairs(generator, 11),  # no power of two: the last level must not be forgotten
    output="h, (length,)",
    mistakes=(
        Mistake(
            "your distance grows by 1 at each level. It doubles: after k levels a place holds 2ᵏ pairs, so the next it "
            "needs stand 2ᵏ before it.",
            lambda a, b: _doubling(a, b, distances=tuple(range(1, len(a)))),
        ),
        Mistake(
            "a level is missing at the end: log₂ of the length has to be rounded up. Go on while distance < length.",
            lambda a, b: _doubling(a, b, distances=(1, 2, 4)),
        ),
        Mistake(
            "the order is exchanged: the pair that stands earlier is the first argument of combine.",
            lambda a, b: _doubling(a, b, join=_exchanged),
        ),
        Mistake(
            "you changed the places one by one and read some that were new already. All of a level happens at once: "
            "compute it from what stood there before.",
            _in_place,
        ),
        Mistake(
            "you brought b up to date, but not a. The next level needs how much a whole piece fades.",
            lambda a, b: _doubling(a, b, keep_a=True),
        ),
        Mistake(
            "the beginning reaches round to the end: torch.roll does that. The first places have nothing before them "
            "and stay as they are.",
            _round_the_corner,
        ),
        Mistake(
            "your result stands one place too late: h_t holds b_t already.",
            lambda a, b: torch.cat([torch.zeros_like(b[:1]), recurrence(a, b)[:-1]]),
        ),
        Mistake(
            "only neighbours were joined, one level and no more.",
            lambda a, b: _doubling(a, b, distances=(1,)),
        ),
    ),
    variants=(_doubling, _filled_up),
)


def _sweeps(
    a: Tensor,
    b: Tensor,
    *,
    up: Join = joined,
    down: Join = joined,
    root: tuple[float, float] | None = (1.0, 0.0),
    hand_left: bool = True,
    only_up: bool = False,
) -> Pair:
    """Blelloch's two sweeps, and what one makes of them by changing one thing."""
    a, b, size, distance = a.clone(), b.clone(), len(a), 1
    while distance < size:
        right = torch.arange(2 * distance - 1, size, 2 * distance)
        a[right], b[right] = up((a[right - distance], b[right - distance]), (a[right], b[right]))
        distance *= 2
    if only_up:
        return a, b
    if root is not None:
        a[-1], b[-1] = root
    while distance > 1:
        distance //= 2
        right = torch.arange(2 * distance - 1, size, 2 * distance)
        prefix, left = (a[right], b[right]), (a[right - distance], b[right - distance])
        a[right], b[right] = down(prefix, left)
        if hand_left:
            a[right - distance], b[right - distance] = prefix
    return a, b


def _before_each(a: Tensor, b: Tensor) -> Pair:
    """What stands before each place, one after the other."""
    now, found = (torch.ones_like(a[0]), torch.zeros_like(b[0])), []
    for t in range(len(a)):
        found.append(now)
        now = joined(now, (a[t], b[t]))
    return torch.stack([one for one, _ in found]), torch.stack([one for _, one in found])


def _by_halves(a: Tensor, b: Tensor) -> Pair:
    """What stands before each place, by recursion: the left half as it is, the right one after all of the left."""
    if len(a) == 1:
        return torch.ones_like(a), torch.zeros_like(b)
    half = len(a) // 2
    left, right = _by_halves(a[:half], b[:half]), _by_halves(a[half:], b[half:])
    all_left = joined((left[0][-1:], left[1][-1:]), (a[half - 1 : half], b[half - 1 : half]))
    right = joined(all_left, right)
    return torch.cat([left[0], right[0]]), torch.cat([left[1], right[1]])


def _own_too(a: Tensor, b: Tensor) -> Pair:
    return joined(_before_each(a, b), (a, b))


before_each = Exercise(
    name="before_each",
    solution=_before_each,
    draw=lambda generator: draw_pairs(generator, 32),  # fewer levels would not tell 2 · k from 2 ** k
    output="a and b, (length,) each: all that stands before a place, as one pair",
    mistakes=(
        Mistake(
            "your places hold their own pair too. One wants that in the end; here it is what stands *before* each.",
            _own_too,
        ),
        Mistake(
            "the root was not emptied: before the walk down it must hold (1, 0), a step that changes nothing.",
            lambda a, b: _sweeps(a, b, root=None),
        ),
        Mistake(
            "you emptied the root with (0, 0), a step that wipes all out. The one that changes nothing is (1, 0).",
            lambda a, b: _sweeps(a, b, root=(0.0, 0.0)),
        ),
        Mistake(
            "on the way down the order is exchanged: what stands before the parent comes first, the left child second.",
            lambda a, b: _sweeps(a, b, down=_exchanged),
        ),
        Mistake(
            "on the way up the order is exchanged: the left child comes first.",
            lambda a, b: _sweeps(a, b, up=_exchanged),
        ),
        Mistake(
            "that is the way up only: the places hold sums of pieces. Now empty the root and walk down.",
            lambda a, b: _sweeps(a, b, only_up=True),
        ),
        Mistake(
            "the left children kept their own sums. Each takes over what its parent held.",
            lambda a, b: _sweeps(a, b, hand_left=False),
        ),
    ),
    variants=(_sweeps, _by_halves),
)
