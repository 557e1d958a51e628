"""From torch tensors to running kernels: views, workspace, compilation, threads.

A kernel is compiled at its first call for a combination of types, and kept on disk by Numba for later processes. To
keep the combinations few, every array is given to the compiler as one that may have any strides, whatever strides it
has.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np
import torch
from numba import types
from numba.np.numpy_support import from_dtype
from torch import Tensor

from vmamba_kernels.arguments import as_dtype
from vmamba_kernels.huge_pages import in_huge_pages
from vmamba_kernels.machine import TARGET
from vmamba_kernels.openmp_runtime import Team
from vmamba_kernels.thread_pool import run_together

NUMPY: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}

WORTH_A_THREAD = 1 << 18
"""Updates of a state, or multiply-adds of a filter; fewer are done sooner than another thread wakes up."""


def lanes(dtype: torch.dtype) -> int:
    """Numbers of this type in a vector."""
    return TARGET.vector_bytes // dtype.itemsize


def view(tensor: Tensor, dtype: torch.dtype, reverse: bool = False) -> np.ndarray:
    """A tensor as an array of this type, without a copy if it has it already; its last axis reversed if asked for."""
    array = as_dtype(tensor, dtype).numpy(force=True)
    return array[..., ::-1] if reverse else array


@lru_cache(maxsize=64)
def zeros(dtype: torch.dtype, *shape: int) -> np.ndarray:
    """An array of zeros, to be read only. Of more than two axes, the first ones take no room."""
    return np.broadcast_to(np.zeros(shape[-2:], NUMPY[dtype]), shape)


def view_or_zeros(tensor: Tensor | None, dtype: torch.dtype, *shape: int, reverse: bool = False) -> np.ndarray:
    return zeros(dtype, *shape) if tensor is None else view(tensor, dtype, reverse)


def new(dtype: torch.dtype, *shape: int) -> Tensor:
    """A contiguous tensor that nobody has written to yet."""
    return in_huge_pages(torch.empty(shape, dtype=dtype))


def new_like(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor of the same shape, laid out in memory as this one is, that nobody has written to yet."""
    return in_huge_pages(torch.empty_like(tensor, dtype=dtype))


def empty(dtype: torch.dtype, *shape: int) -> np.ndarray:
    """A contiguous array whose memory starts at a multiple of 64 bytes, as torch gives it."""
    return new(dtype, *shape).numpy()


def small(dtype: torch.dtype, *shape: int) -> np.ndarray:
    """A contiguous array that may start anywhere, sooner made than by `empty`: for what is written once."""
    return np.empty(shape, NUMPY[dtype])


def sum_over_first(parts: np.ndarray) -> Tensor:
    """The sum over the first axis, from the first element to the last."""
    return torch.from_numpy(parts[0] if len(parts) == 1 else np.add.reduce(parts, axis=0))


def workspace(dtype: torch.dtype, threads: int, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
    """Arrays (threads, *shape) in one piece of memory; each is a whole number of vectors, so each is aligned."""
    sizes = [threads * prod(shape) for shape in shapes]
    memory, begin, arrays = empty(dtype, sum(sizes)), 0, []
    for shape, size in zip(shapes, sizes, strict=True):
        arrays.append(memory[begin : begin + size].reshape(threads, *shape))
        begin += size
    return arrays


def launch(
    kernel: Callable,
    arguments: tuple,
    dtype: torch.dtype,
    items: int,
    work: int,
    shapes: Sequence[tuple[int, ...]] = (),
) -> None:
    """Run kernel(threads, thread, *arguments, items, counter, *workspace) on one thread or on all that torch uses.

    Args:
        items: what the threads take from the counter, one after the other.
        work: see WORTH_A_THREAD.
        shapes: of the arrays of the workspace, of which every thread has its own.
    """
    # All or one: OpenMP lets the threads go that a smaller team does not need, and torch's next operator waits for new.
    threads = torch.get_num_threads() if min(items, work // WORTH_A_THREAD) > 1 else 1
    own = workspace(dtype, threads, shapes) if shapes else []
    arguments = (*arguments, items, np.zeros(1, np.int64), *own)
    run = _compiled(kernel, dtype, arguments)
    if threads == 1 or Team.available:
        run(threads, 0, *arguments)
    else:
        run_together(lambda thread: run(1, thread, *arguments), threads)


_ready: dict[tuple, Callable] = {}


def _compiled(kernel: Any, dtype: torch.dtype, arguments: tuple) -> Callable:
    """The kernel for these arguments: from disk if it is there, else compiled now.

    A kernel is written so that the type of its numbers and the lengths of its tuples say the types of all it takes.
    """
    key = (kernel, dtype, *(len(argument) for argument in arguments if type(argument) is tuple))
    if key not in _ready:
        _ready[key] = kernel.compile((types.int64, types.int64, *map(_numba_type, arguments)))
    return _ready[key]


def _numba_type(value: Any) -> types.Type:
    if isinstance(value, np.ndarray):
        return types.Array(from_dtype(value.dtype), value.ndim, "A")
    if isinstance(value, tuple):
        members = tuple(map(_numba_type, value))
        return types.Tuple(members) if type(value) is tuple else types.NamedTuple(members, type(value))
    return {bool: types.boolean, int: types.int64}[type(value)]
