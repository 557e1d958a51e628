"""A processor's limits as kernels that do nothing else: multiply-adds that stay in registers, and exponentials.

They are written in the words of the real kernels, and so what they reach is what the real ones could reach at best.
"""

from collections.abc import Callable
from functools import cache
from inspect import unwrap
from typing import Any

from numba import njit

from vmamba_kernels.machine import TARGET
from vmamba_kernels.vector_intrinsics import fma
from vmamba_kernels.vector_math import grown, growth_from, nearest_mark, rate_in_octaves
from vmamba_kernels.vector_memory import load_block, store

ROWS = 16
"""Blocks that are read, and as many that are written: together they stay in the first cache."""

CHAINS = 4
"""Blocks that multiply and add independently of each other, so that none waits."""


def numbers_in_a_block() -> int:
    """Numbers of float32 in a block of vectors, as the kernels use them."""
    return TARGET.states * TARGET.vector_bytes // 4


@cache
def probes() -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Two functions of (memory, rounds), `memory` of (2 ROWS, numbers_in_a_block()) float32.

    The first does CHAINS · numbers · rounds multiply-adds, the second ROWS · numbers · rounds exponentials.
    """

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
                mark = nearest_mark(x, rate)
                power = grown(x, mark, growth_from(mark, x, rate, tail))
                store(memory, (ROWS + i,), power)

    # Unwrapped: a type checker put around every function of a library, as tests do, cannot be compiled.
    return njit(nogil=True)(unwrap(multiply_adds)), njit(nogil=True)(unwrap(exponentials))
