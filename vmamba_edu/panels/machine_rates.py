"""A machine's limits, each measured with code that does nothing else: copies, multiply-adds, exponentials.

Arithmetic is taken in CPU time of one thread, which other programs hardly change; a limit is the best of many tries.
"""

import time
from collections.abc import Callable
from functools import cache
from inspect import unwrap
from typing import Any

import numpy as np
import torch

ROWS = 16  # of a probe's memory; as many are read as are written, and all stay in the first cache


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
    return _rate(_probes()[0], rounds, 4)


def exponential_rate(rounds: int = 1000) -> float:
    """Exponentials of float32 a second, of one thread: those of the CPU kernels."""
    return _rate(_probes()[1], rounds, ROWS)


def _rate(work: Callable[[np.ndarray, int], None], rounds: int, vectors: int) -> float:
    from vmamba_kernels.machine import TARGET

    numbers = TARGET.states * TARGET.vector_bytes // 4
    memory = np.full((2 * ROWS, numbers), 0.5, np.float32)
    work(memory, 1)  # compiles

    def seconds() -> float:
        start = time.thread_time()
        work(memory, rounds)
        return time.thread_time() - start

    return vectors * numbers * rounds / min(seconds() for _ in range(20))


@cache
def _probes() -> tuple[Any, Any]:
    """Kernels that do nothing but multiply-adds, in four blocks of registers, and nothing but exponentials."""
    from numba import njit
    from vmamba_kernels.vector_intrinsics import fma
    from vmamba_kernels.vector_math import fraction_grown, grown, rate_in_octaves, whole_exponent
    from vmamba_kernels.vector_memory import load_block, store

    def multiply_adds(memory, rounds):
        a, b = load_block(memory, (0,)), load_block(memory, (1,))
        c, d = load_block(memory, (2,)), load_block(memory, (3,))
        factor, summand = load_block(memory, (4,)), load_block(memory, (5,))
        for _ in range(rounds):
            a, b = fma(a, factor, summand), fma(b, factor, summand)
            c, d = fma(c, factor, summand), fma(d, factor, summand)
        store(memory, (0,), a + b + c + d)

    def exponentials(memory, rounds):
        rate, tail = rate_in_octaves(load_block(memory, (0,)))
        for _ in range(rounds):
            for i in range(ROWS):
                x = load_block(memory, (i,))
                k = whole_exponent(x, rate)
                store(memory, (ROWS + i,), grown(x, k, fraction_grown(x, rate, tail, k)))

    # Unwrapped: a type checker put around every function of the library, as the tests do, cannot be compiled.
    return njit(unwrap(multiply_adds)), njit(unwrap(exponentials))
