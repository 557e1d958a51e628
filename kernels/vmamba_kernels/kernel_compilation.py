"""How the CPU kernels are compiled, and how Numba knows compiled code that is out of date.

Two kinds of function: a *kernel* is started from Python and kept on disk; a *part* is a piece of a kernel, compiled
with it. Neither creates an array: all memory comes from the caller, who holds it until the kernel returns. So both do
without Numba's reference counts, which would go up and down with every view of an array, in memory that the threads
share: a sixth of the time of a kernel on one thread, and more on several. (Numba refuses to compile a function without
counts that creates an array, or returns one. Its own sources say `_nrt=False` for the same reason.)

Numba files compiled code under the name of the kernel, and compiles anew when the file changes in which the kernel
stands. It does not look at the other files from which the kernel is built. So a kernel's name ends in a digest of all
these files and of the processor that they are compiled for: after an edit in any of them the old code is no longer
found. Nor is the index of the old code, which could no longer be read if a class that it mentions had moved.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from numba import njit

from vmamba_kernels.machine import TARGET
from vmamba_kernels.openmp_runtime import HAS_RUNTIME

SOURCES = (
    "kernel_arguments.py",
    "kernel_compilation.py",
    "machine.py",
    "numba_conv.py",
    "numba_conv_backward.py",
    "numba_scan.py",
    "numba_scan_backward.py",
    "numba_sums.py",
    "numba_tiles.py",
    "openmp_runtime.py",
    "thread_team.py",
    "vector_intrinsics.py",
    "vector_math.py",
    "vector_memory.py",
)


def revision() -> str:
    """A digest of the sources of the kernels and of the processor that they are compiled for."""
    folder = Path(__file__).parent
    sources = b"".join((folder / name).read_bytes() for name in SOURCES)
    return hashlib.sha256(sources + repr((TARGET, HAS_RUNTIME)).encode()).hexdigest()[:16]


REVISION = revision()

part = njit(_nrt=False)
inlined_part = njit(_nrt=False, forceinline=True)


def kernel(function: Callable[..., None]) -> Any:
    """Compile a function when it is first called, without Python's lock, and keep the code on disk."""
    function.__qualname__ += f"_{REVISION}"
    return njit(_nrt=False, nogil=True, cache=True)(function)
