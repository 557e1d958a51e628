"""A machine's limits, each measured with code that does nothing else: copies, multiply-adds, exponentials.

Arithmetic is taken in CPU time of one thread, which other programs hardly change; a limit is the best of many tries.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from vmamba_kernels.probes import CHAINS, ROWS, numbers_in_a_block, probes


def copy_rate(moved: int = 2**27) -> float:
    """Bytes a second of a copy: half of `moved` is read, half is written. What fits into a cache is faster than memory.

    The better of two: torch with all its threads, on the clock; and one thread in its own CPU time. On a busy machine
    threads that wait for each other say nothing.
    """
    source = torch.ones(max(1, moved // 8))
    target = torch.empty_like(source)
    a, b = source.numpy(), target.numpy()

    def seconds(clock: Callable[[], float], copy: Callable[[], Any]) -> float:
        start = clock()
        copy()
        return clock() - start

    tries = 5 + min(100, 2**31 // moved)
    together = min(seconds(time.perf_counter, lambda: target.copy_(source)) for _ in range(tries))
    alone = min(seconds(time.thread_time, lambda: np.copyto(b, a)) for _ in range(tries))
    return 2 * source.nbytes / min(together, alone)


def multiply_add_rate(rounds: int = 20_000) -> float:
    """Multiply-adds of float32 a second, of one thread: vectors that stay in registers."""
    return _rate(probes()[0], rounds, CHAINS)


def exponential_rate(rounds: int = 1000) -> float:
    """Exponentials of float32 a second, of one thread: those of the CPU kernels."""
    return _rate(probes()[1], rounds, ROWS)


def _rate(work: Callable[[np.ndarray, int], None], rounds: int, vectors: int) -> float:
    numbers = numbers_in_a_block()
    memory = np.full((2 * ROWS, numbers), 0.5, np.float32)
    work(memory, 1)  # compiles

    def seconds() -> float:
        start = time.thread_time()
        work(memory, rounds)
        return time.thread_time() - start

    return vectors * numbers * rounds / min(seconds() for _ in range(20))
