"""A scan as a tree and the recurrence beside it, both at the same step: which pairs have met, what stands where."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from vmamba_edu.panels.computed.arguments import came, one_of, within
from vmamba_edu.ssm import ScanTrace, blelloch, hillis_steele, sequential

SCANS = {"hillis_steele": hillis_steele, "blelloch": blelloch}
LEAST, MOST = 2, 32
"""Pairs that a tree can be drawn of."""


def usual_pairs() -> tuple[tuple[float, ...], tuple[float, ...]]:
    """32 pairs as selection makes them: most keep what was there (a near 1, b near 0), some write over it."""
    generator = torch.Generator().manual_seed(2)
    share, kind = (torch.rand(MOST, generator=generator, dtype=torch.float64) for _ in range(2))
    value = 2 * torch.randn(MOST, generator=generator, dtype=torch.float64)
    gate = torch.where(kind < 0.4, 0.5 + 0.4 * share, 0.02 + 0.1 * share)
    return in_hundredths(1 - gate), in_hundredths(gate * value)


def in_hundredths(x: torch.Tensor) -> tuple[float, ...]:
    return tuple(((100 * x).round() / 100 + 0.0).tolist())  # + 0: no -0


@dataclass(frozen=True)
class State:
    """The scan, its pairs, and how many steps have been made.

    Attributes:
        scan: one of `SCANS`.
        a, b: the pairs, as many of one as of the other.
        step: 0 is before the first level.
    """

    scan: str = "blelloch"
    a: tuple[float, ...] = field(default_factory=lambda: usual_pairs()[0][:8])
    b: tuple[float, ...] = field(default_factory=lambda: usual_pairs()[1][:8])
    step: int = 0

    @property
    def length(self) -> int:
        return len(self.a)

    @property
    def own_a(self) -> str:
        """a as one would type it."""
        return as_typed(self.a)

    @property
    def own_b(self) -> str:
        return as_typed(self.b)


@dataclass(frozen=True, eq=False)
class Progress:
    """One scan after some steps.

    Attributes:
        trace: all of it.
        done: levels that have been computed.
        a, b: (places,) what stands in each place now; a scan that fills up has more places than pairs.
    """

    trace: ScanTrace
    done: int
    a: np.ndarray
    b: np.ndarray

    @property
    def combinations(self) -> int:
        """Made until now."""
        return sum(len(level.joins) for level in self.trace.levels[: self.done])

    @property
    def at_once(self) -> int:
        """Made in the step that has just been done."""
        return len(self.trace.levels[self.done - 1].joins) if self.done else 0

    @property
    def phase(self) -> str:
        return self.trace.levels[self.done - 1].phase if self.done else "start"

    @property
    def is_finished(self) -> bool:
        return self.done == self.trace.depth


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows."""

    tree: Progress
    loop: Progress
    last_step: int
    h: np.ndarray  # (length,) what both end with


def compute(state: State) -> View:
    """Both scans, brought to the step.

    Raises:
        ValueError: there is no such scan or step, or the numbers are not pairs that can be drawn and computed with.
    """
    one_of("scan", state.scan, SCANS)
    if len(state.a) != len(state.b):
        raise ValueError(f"a, b: expected as many of one as of the other, got {len(state.a)} and {len(state.b)}")
    if not LEAST <= state.length <= MOST:
        raise ValueError(f"a, b: expected {LEAST} to {MOST} pairs, got {state.length}")
    a, b = (torch.tensor(numbers, dtype=torch.float64) for numbers in (state.a, state.b))
    if not (a.isfinite().all() and b.isfinite().all()):
        raise ValueError("a, b: expected finite numbers, got an infinite one or one that is not a number")
    tree, loop = SCANS[state.scan](a, b), sequential(a, b)
    last = max(tree.depth, loop.depth)
    within("step", state.step, 0, last)
    return View(progress(tree, state), progress(loop, state), last, loop.h.numpy())


def progress(trace: ScanTrace, state: State) -> Progress:
    """A scan after as many steps as it has made by then."""
    done = min(state.step, trace.depth)
    if done:
        level = trace.levels[done - 1]
        return Progress(trace, done, level.a.numpy(), level.b.numpy())
    missing = len(trace.levels[0].a) - state.length
    return Progress(trace, 0, np.array([*state.a, *[1.0] * missing]), np.array([*state.b, *[0.0] * missing]))


def numbers(typed: str) -> tuple[float, ...]:
    """What somebody typed, "0.5, 1, -2", as numbers.

    Raises:
        ValueError: one of them is none.
    """
    words = typed.replace(";", " ").replace(",", " ").split()
    try:
        return tuple(float(word) for word in words)
    except ValueError:
        raise ValueError(f"a, b: expected numbers between commas, such as 0.9, 1, -0.5, got {typed!r}") from None


def numbers_in(name: str, given: Sequence[float] | np.ndarray | torch.Tensor) -> tuple[float, ...]:
    """A row of numbers as a tuple.

    Raises:
        ValueError: it is no row, or these are no numbers.
    """
    values = given.detach().cpu().numpy() if isinstance(given, torch.Tensor) else np.asarray(given)
    if values.ndim != 1 or values.dtype.kind not in "iuf":
        raise ValueError(f"{name}: expected one row of numbers, got {came(values)}")
    return tuple(values.astype(float).tolist())


def as_typed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" if float(f"{value:g}") == value else repr(value) for value in values)


def fitted(values: tuple[float, ...], length: int, usual: tuple[float, ...]) -> tuple[float, ...]:
    """As many as `length`: cut, or continued with the usual ones."""
    return (*values[:length], *usual[len(values) : length])
