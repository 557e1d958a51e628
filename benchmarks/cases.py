"""What a run consists of: which peer computes which shape in which direction, and what is left out, with the reason."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import psutil
import torch

from benchmarks.measure import Call, Spread, interleave, process_seconds, thread_seconds, wall_seconds
from benchmarks.peers import Peer
from benchmarks.shapes import Layout, Shape, draw_conv, draw_scan

DIRECTIONS = ("forward", "forward+backward")
TENSORS = 14  # of the size of u, at most: inputs in two layouts, output, gradients
OPERATORS = ("selective_scan", "causal_conv1d", "bidirectional")


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes:
        seconds: about so long each case in wall time, and a third of it in CPU time.
        limit: a peer whose call would take longer than this many seconds is left out.
        memory_share: likewise one that would need more than this part of the free memory.
        least_rounds: at least so many calls, however long they take.
    """

    seconds: float = 0.5
    limit: float = 2.0
    memory_share: float = 0.5
    least_rounds: int = 3


@lru_cache(maxsize=2)
def inputs(of_convolution: bool, shape: Shape, layout: Layout, device: str) -> dict[str, Any]:
    """Drawn once for all peers: nobody writes to them."""
    return (draw_conv if of_convolution else draw_scan)(shape, layout, device)


@dataclass(frozen=True)
class Case:
    peer: Peer
    shape: Shape
    layout: Layout
    direction: str

    @property
    def name(self) -> str:
        return f"{self.peer.name}, {self.layout}"

    def prepare(self, device: str) -> Call:
        drawn = inputs(self.peer.operator == "causal_conv1d", self.shape, self.layout, device)
        arguments = {name: x for name, x in drawn.items() if name not in self.peer.leaves_out}
        function = self.peer.forward if self.direction == "forward" else self.peer.forward_backward
        return function(arguments)

    def record(self, **values: Any) -> dict[str, Any]:
        where = {"operator": self.peer.operator, "shape": self.shape.key, "direction": self.direction}
        return where | {"peer": self.peer.name, "layout": self.layout} | values


def cases(peers: list[Peer], shape: Shape, operator: str, direction: str) -> list[Case]:
    chosen = [p for p in peers if p.operator == operator and (direction == "forward" or p.forward_backward)]
    return [Case(peer, shape, layout, direction) for peer in chosen for layout in peer.layouts]


@dataclass
class Expectations:
    """How long a peer took for a state update at the largest shape so far: what a larger one will take at the least."""

    seconds: dict[tuple[str, ...], float] = field(default_factory=dict)

    def of(self, case: Case) -> float:
        return self.seconds.get(self._key(case), 0.0) * case.shape.updates

    def learn(self, case: Case, seconds: float) -> None:
        self.seconds[self._key(case)] = seconds / case.shape.updates

    @staticmethod
    def _key(case: Case) -> tuple[str, ...]:
        return case.peer.operator, case.peer.name, case.layout, case.direction


def reason_to_skip(case: Case, expected: Expectations, effort: Effort, device: str) -> str | None:
    """Why a case is left out, in a sentence; None if it is not."""
    seconds = expected.of(case)
    if seconds > effort.limit:
        return f"a call would take about {seconds:.1f} s, judged by the shape before; the limit is {effort.limit:g} s"
    kept = case.peer.states_kept[DIRECTIONS.index(case.direction)]
    needed = 4 * (case.shape.updates * kept + TENSORS * case.shape.tokens)
    free = torch.cuda.mem_get_info()[0] if device == "cuda" else psutil.virtual_memory().available
    if needed > effort.memory_share * free:
        allowed = effort.memory_share * free / 2**30
        return f"needs about {needed / 2**30:.0f} GB of memory; {allowed:.0f} GB may be used"
    return None


def measure_cases(
    chosen: list[Case], expected: Expectations, effort: Effort, device: str
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """(measurements, skipped) of cases that are to be compared with each other."""
    skipped, calls = [], {}
    for case in chosen:
        if reason := reason_to_skip(case, expected, effort, device):
            skipped.append(case.record(reason=reason))
            continue
        try:
            calls[case] = case.prepare(device)
            calls[case]()  # compiles, tunes, allocates
            if wall_seconds(calls[case], device) > 2 * effort.limit:
                skipped.append(case.record(reason=f"a call took more than twice the limit of {effort.limit:g} s"))
                del calls[case]
        except (torch.OutOfMemoryError, MemoryError):
            skipped.append(case.record(reason="ran out of memory"))
            calls.pop(case, None)
    wall = interleave(calls, effort.seconds, wall_seconds, device, effort.least_rounds)
    for case, spread in wall.items():
        expected.learn(case, spread.median / 1e3)
    cpu = _cpu_times(calls, wall, effort) if device == "cpu" else {}
    return [c.record(wall=wall[c].as_dict(), cpu=cpu[c].as_dict() if c in cpu else None) for c in calls], skipped


def _cpu_times(calls: dict[Case, Call], wall: dict[Case, Spread], effort: Effort) -> dict[Case, Spread]:
    """What every call costs on a single thread, or on all if they cannot be set; where it is not too long."""
    threads = torch.get_num_threads()
    quick = [c for c in calls if wall[c].median * threads < 1e3 * effort.limit]
    clocks = {c: _alone(calls[c], c.peer.set_threads, threads) for c in quick}
    return interleave(clocks, effort.seconds / 3, lambda call, device: call(), least_rounds=2)


def _alone(call: Call, set_threads: Callable[[int], None] | None, threads: int) -> Callable[[], float]:
    """A call that gives its own CPU time, taken with one thread if that can be had."""
    if set_threads is None:
        return lambda: process_seconds(call)

    def measured() -> float:
        set_threads(1)
        try:
            return thread_seconds(call)
        finally:
            set_threads(threads)

    return measured


def plan(
    peers: list[Peer], chosen: list[Shape], operators: tuple[str, ...]
) -> Iterator[tuple[Shape, list[list[Case]]]]:
    """For each shape the groups of cases that are measured in turn."""
    for shape in chosen:
        groups = [cases(peers, shape, operator, direction) for operator in operators for direction in DIRECTIONS]
        yield shape, [group for group in groups if group]
