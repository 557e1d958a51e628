"""A scan is a tree: h_t = a_t h_{t-1} + b_t computed by combining neighbours, all of a level at once.

One step of the recurrence is a map h → a h + b, written as the pair (a, b). Two maps in a row are a map of the same
kind (`combine`), and in which order neighbours are joined does not matter (the law is called associativity). So all
prefixes can be had in about log₂(length) levels instead of `length` steps.

The three ways here do it on two vectors a and b, (length,) each, and keep every level, to be looked at. The engine
that computes with such a tree is `vmamba_kernels.associative`.

Sources: Hillis & Steele, Data parallel algorithms (1986); Blelloch, Prefix sums and their applications (1990) §1.4.1
for the pairs; Mamba (arXiv 2312.00752) §3.3.2.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

Pair = tuple[Tensor, Tensor]


def combine(earlier: Pair, later: Pair) -> Pair:
    """First h → a₁ h + b₁, then h → a₂ h + b₂: together h → a₂ a₁ h + (a₂ b₁ + b₂)."""
    (a1, b1), (a2, b2) = earlier, later
    return a2 * a1, a2 * b1 + b2


@dataclass(frozen=True, eq=False)
class Level:
    """What happens at once, and what stands in each place after it.

    Attributes:
        phase: "reduce" walks from the leaves to the root, "distribute" back, "finish" adds each place its own pair;
            "forward" is what the other two scans do.
        joins: (from, into): the pairs that are combined, each standing in place `into` afterwards.
        a, b: (length,) the pairs after this level.
    """

    phase: Literal["forward", "reduce", "distribute", "finish"]
    joins: tuple[tuple[int, int], ...]
    a: Float[Tensor, " length"]
    b: Float[Tensor, " length"]


@dataclass(frozen=True, eq=False)
class ScanTrace:
    """A scan, level by level; `h` is its result."""

    levels: tuple[Level, ...]
    h: Float[Tensor, " length"]

    @property
    def depth(self) -> int:
        """Levels that must wait for one another: the time, with as many processors as one likes."""
        return len(self.levels)

    @property
    def work(self) -> int:
        """Combinations in all: the time, with one processor."""
        return sum(len(level.joins) for level in self.levels)


def sequential(a: Tensor, b: Tensor) -> ScanTrace:
    """The recurrence itself: length - 1 combinations, one after the other."""
    pairs = _Pairs(a, b)
    for t in range(1, len(a)):
        pairs.join("forward", [(t - 1, t)])
    return pairs.trace(len(a))


def hillis_steele(a: Tensor, b: Tensor) -> ScanTrace:
    """Every place joins the one 1, 2, 4, … before it: ⌈log₂ length⌉ levels, about length · log₂ length work.

    The work is length · depth less what the first places are spared.
    """
    pairs, distance = _Pairs(a, b), 1
    while distance < len(a):
        pairs.join("forward", [(t - distance, t) for t in range(distance, len(a))])
        distance *= 2
    return pairs.trace(len(a))


def blelloch(a: Tensor, b: Tensor) -> ScanTrace:
    """Reduce to the root of a tree, hand the prefixes back down: about 2 log₂ length levels, and 3 · length work.

    A length that is no power of two is filled up with pairs (1, 0), which change nothing. The classic scan is an
    exclusive one (each place gets what stands before it); the last level joins each place's own pair to it.
    """
    length = len(a)
    size = 1 << (length - 1).bit_length()
    pairs = _Pairs(torch.cat([a, a.new_ones(size - length)]), torch.cat([b, b.new_zeros(size - length)]))
    own = pairs.now
    distance = 1
    while distance < size:
        pairs.join("reduce", [(i - distance, i) for i in range(2 * distance - 1, size, 2 * distance)])
        distance *= 2
    pairs.clear(size - 1)
    while distance > 1:
        distance //= 2
        pairs.hand_down([(i - distance, i) for i in range(2 * distance - 1, size, 2 * distance)])
    pairs.finish(own)
    return pairs.trace(length)


class _Pairs:
    """The pairs at this moment and the levels so far."""

    def __init__(self, a: Tensor, b: Tensor) -> None:
        if a.dim() != 1 or a.shape != b.shape or not len(a):
            raise ValueError(f"a, b: expected two vectors of one length, got {tuple(a.shape)} and {tuple(b.shape)}")
        self.now: Pair = (a, b)
        self.levels: list[Level] = []

    def join(self, phase: Literal["forward", "reduce"], joins: list[tuple[int, int]]) -> None:
        """Combine each pair `from` with the later one `into`, all from what stood there before."""
        sources, targets = (list(places) for places in zip(*joins, strict=True))
        self._write(targets, combine(self._at(sources), self._at(targets)))
        self._note(phase, joins)

    def clear(self, place: int) -> None:
        """The root forgets the whole: nothing stands before the first token."""
        self._write([place], (torch.ones(1, dtype=self.now[0].dtype), torch.zeros(1, dtype=self.now[1].dtype)))

    def hand_down(self, joins: list[tuple[int, int]]) -> None:
        """Each left child takes its parent's prefix, each right child that prefix and then the left child's own sum."""
        left, right = (list(places) for places in zip(*joins, strict=True))
        prefix, sums = self._at(right), self._at(left)
        self._write(right, combine(prefix, sums))
        self._write(left, prefix)
        self._note("distribute", joins)

    def finish(self, own: Pair) -> None:
        """From what stands before each place to what it holds."""
        self.now = combine(self.now, own)
        self._note("finish", [(t, t) for t in range(len(own[0]))])

    def trace(self, length: int) -> ScanTrace:
        """h starts from 0, so the prefix's b is h itself."""
        return ScanTrace(tuple(self.levels), self.now[1][:length])

    def _at(self, places: list[int]) -> Pair:
        return self.now[0][places], self.now[1][places]

    def _write(self, places: list[int], pairs: Pair) -> None:
        a, b = (x.clone() for x in self.now)
        a[places], b[places] = pairs
        self.now = (a, b)

    def _note(self, phase: Literal["forward", "reduce", "distribute", "finish"], joins: list[tuple[int, int]]) -> None:
        self.levels.append(Level(phase, tuple(joins), *self.now))
