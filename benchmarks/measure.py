"""Measuring time so that a busy machine spoils it as little as possible.

Everything that is to be compared is measured in one run and in turn: a round calls every case, and the rounds repeat.
Whatever slows the machine down for a while then falls on all of them. A case's turn begins with a call that does not
count: it brings the caches and the threads back. What is reported is the median, with the quartiles for the spread.

Wall time with all threads is what a user waits for. CPU time of a single thread is what the code costs, and does not
change when other programs take the processor away; where a library does not let its threads be set, the CPU time of all
of them stands for it.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch

Call = Callable[[], Any]
MOST_CALLS = 10  # in one turn, and thirty rounds at most
MOST_ROUNDS = 30
TURN_SECONDS = 0.02  # a turn takes about so long, so that the call that does not count costs little


@dataclass(frozen=True)
class Spread:
    """Milliseconds: the median, the quartiles and the least of so many calls."""

    median: float
    lower_quartile: float
    upper_quartile: float
    least: float
    calls: int

    @classmethod
    def of(cls, seconds: list[float]) -> "Spread":
        ms = sorted(1e3 * s for s in seconds)
        lower, median, upper = statistics.quantiles(ms, n=4, method="inclusive") if len(ms) > 1 else ms * 3
        return cls(median, lower, upper, ms[0], len(ms))

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def wall_seconds(call: Call, device: str = "cpu") -> float:
    """One call. On a GPU: between two events on its stream, when all work before has ended."""
    if torch.device(device).type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        result = call()
        end.record()
        end.synchronize()
        seconds = begin.elapsed_time(end) / 1e3
    else:
        begin = time.perf_counter()
        result = call()
        seconds = time.perf_counter() - begin
    del result  # frees its memory before the next call, outside the time taken
    return seconds


def thread_seconds(call: Call, device: str = "cpu") -> float:
    """One call, in CPU time of the calling thread: all of its cost, if it uses no other."""
    begin = time.thread_time()
    result = call()
    seconds = time.thread_time() - begin
    del result
    return seconds


def process_seconds(call: Call, device: str = "cpu") -> float:
    """One call, in CPU time of all threads of this process together."""
    begin = time.process_time()
    result = call()
    seconds = time.process_time() - begin
    del result
    return seconds


def interleave(
    calls: Mapping[str, Call],
    seconds_each: float,
    clock: Callable[[Call, str], float] = wall_seconds,
    device: str = "cpu",
    least_rounds: int = 3,
) -> dict[str, Spread]:
    """Measure each call in turn, round after round, until each has had about `seconds_each`."""
    taken: dict[str, list[float]] = {name: [] for name in calls}
    with no_garbage_collection():
        for _ in range(MOST_ROUNDS):
            waiting = [n for n in calls if len(taken[n]) < least_rounds or sum(taken[n]) < seconds_each]
            for name in waiting:
                taken[name] += _turn(calls[name], clock, device)
            if not waiting:
                break
    return {name: Spread.of(seconds) for name, seconds in taken.items()}


def _turn(call: Call, clock: Callable[[Call, str], float], device: str) -> list[float]:
    first = clock(call, device)
    if first > 10 * TURN_SECONDS:  # so long a call brings back its own caches
        return [first]
    calls = min(MOST_CALLS, max(1, round(TURN_SECONDS / max(first, 1e-6))))
    return [clock(call, device) for _ in range(calls)]


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Python's collector waits until the end."""
    was_on = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
