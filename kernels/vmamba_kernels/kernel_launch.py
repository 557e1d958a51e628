"""From torch tensors to running kernels: views, workspace, compilation, threads.

A kernel is compiled at its first call for a combination of types, and kept on disk by Numba for later processes. To
keep the combinations few, every array is given to the compiler as one that may have any strides, whatever strides it
has.
"""

from collections.abc import Callable, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np
import torch
from numba import types
from numba.np.numpy_support import from_dtype
from torch import Tensor

from vmamba_kernels.machine import TARGET
from vmamba_kernels.thread_pool import run_together

NUMPY: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}

WORTH_A_THREAD = 1 << 18
"""Updates of a state, or multiply-adds of a filter; fewer are done sooner than another thread wakes up."""


def lanes(dtype: torch.dtype) -> int:
    """Numbers of this type in a vector."""
    return TARGET.vector_bytes // dtype.itemsize


def view(tensor: Tensor, dtype: torch.dtype, reverse: bool = False) -> np.ndarray:
    """A tensor as an array of this type, without a copy if it has it already; its last axis reversed if asked for."""
    array = tensor.detach().to(dtype).resolve_neg().numpy()
    return array[..., ::-1] if reverse else array


def zeros(dtype: torch.dtype, *shape: int) -> np.ndarray:
    """An array of zeros that takes the room of one."""
    return torch.zeros((), dtype=dtype).expand(shape).numpy()


def view_or_zeros(tensor: Tensor | None, dtype: torch.dtype, *shape: int, reverse: bool = False) -> np.ndarray:
    return zeros(dtype, *shape) if tensor is None else view(tensor, dtype, reverse)


def empty(dtype: torch.dtype, *shape: int) -> np.ndarray:
    """A contiguous array whose memory starts at a multiple of 64 bytes, as torch gives it."""
    return torch.empty(shape, dtype=dtype).numpy()


def workspace(dtype: torch.dtype, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Arrays of these shapes in one piece of memory; each is a whole number of vectors, so each is aligned."""
    memory = empty(dtype, sum(prod(shape) for shape in shapes))
    arrays = []
    for shape in shapes:
        arrays.append(memory[: prod(shape)].reshape(shape))
        memory = memory[prod(shape) :]
    return arrays


def launch(
    kernel: Callable,
    arguments: tuple,
    dtype: torch.dtype,
    items: int,
    work: int,
    shapes: Sequence[tuple[int, ...]] = (),
) -> None:
    """Run kernel(*arguments, items, counter, *workspace) on as many threads as its work is worth, each with its own
    workspace.

    Args:
        items: what the threads take from the counter, one after the other.
        work: see WORTH_A_THREAD; `torch.get_num_threads()` is the limit.
        shapes: of the arrays of the workspace.
    """
    threads = max(1, min(torch.get_num_threads(), items, work // WORTH_A_THREAD))
    counter = np.zeros(1, np.int64)
    memory = [workspace(dtype, shapes) if shapes else [] for _ in range(threads)]
    run = _compiled(kernel, _shorthand((*arguments, items, counter, *memory[0])))
    run_together(lambda thread: run(*arguments, items, counter, *memory[thread]), threads)


def _shorthand(value: Any) -> Any:
    """What is needed to tell the Numba type of an argument, and quick to compare."""
    if isinstance(value, np.ndarray):
        return value.dtype.char, value.ndim
    if isinstance(value, tuple):
        return type(value), *map(_shorthand, value)
    return type(value)


@cache
def _compiled(kernel: Any, shorthand: tuple) -> Callable:
    """The kernel for these types: from disk if it is there, else compiled now."""
    return kernel.compile(tuple(map(_numba_type, shorthand[1:])))


def _numba_type(short: Any) -> types.Type:
    if isinstance(short, type):
        return {bool: types.boolean, int: types.int64}[short]
    if isinstance(short[0], str):
        return types.Array(from_dtype(np.dtype(short[0])), short[1], "A")
    return types.NamedTuple(tuple(map(_numba_type, short[1:])), short[0])
