"""From torch tensors to running kernels: addresses, workspace, compilation, threads.

A kernel is compiled at its first call for a combination of types, and kept on disk by Numba for later processes.
"""

from array import array
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import types
from torch import Tensor

from vmamba_kernels.huge_pages import in_huge_pages
from vmamba_kernels.kernel_arguments import COUNTER, TENSORS, WORKSPACE, Layout, layout_of, stand_in, type_of
from vmamba_kernels.machine import TARGET
from vmamba_kernels.openmp_runtime import Team
from vmamba_kernels.thread_pool import run_together

NUMPY: dict[torch.dtype, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}

WORTH_A_THREAD = 1 << 18
"""Updates of a state, or multiply-adds of a filter; fewer are done sooner than another thread wakes up."""


def lanes(dtype: torch.dtype | np.dtype[Any]) -> int:
    """Numbers of this type in a vector."""
    return TARGET.vector_bytes // dtype.itemsize


def plain(tensor: Tensor | None, dtype: torch.dtype) -> Any:
    """The tensor as numbers of this type that stand in memory: itself, if it is so already. None stays None."""
    if tensor is None or (tensor.dtype == dtype and not tensor.is_neg() and not tensor._is_zerotensor()):
        return tensor
    return tensor.detach().to(dtype, copy=True)


def new(dtype: torch.dtype, *shape: int) -> Tensor:
    """A contiguous tensor that nobody has written to yet; its memory starts at a multiple of 64 bytes."""
    return in_huge_pages(torch.empty(shape, dtype=dtype))


def new_like(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor of the same shape, laid out in memory as this one is, that nobody has written to yet."""
    return in_huge_pages(torch.empty_like(tensor, dtype=dtype))


@lru_cache(maxsize=64)
def zeros(dtype: np.dtype[Any], *shape: int) -> np.ndarray:
    """An array of zeros, to be read only. Of more than two axes, the first ones take no room."""
    return np.broadcast_to(np.zeros(shape[-2:], dtype), shape)


def or_zeros(given: np.ndarray | None, dtype: np.dtype[Any], *shape: int) -> np.ndarray:
    return zeros(dtype, *shape) if given is None else given


def sum_over_first(parts: Tensor) -> Tensor:
    """The sum over the first axis, from the first element to the last."""
    terms = parts.numpy()
    return torch.from_numpy(terms[0] if len(terms) == 1 else np.add.reduce(terms, axis=0))


class Work(NamedTuple):
    """What a kernel is to do.

    Attributes:
        arguments: for the kernel.
        items: what the threads take from a counter, one after the other.
        updates: how much it is, see WORTH_A_THREAD.
        workspace: the shapes of arrays of which every thread has its own.
    """

    arguments: tuple
    items: int
    updates: int
    workspace: Sequence[tuple[int, ...]] = ()


def launch(
    kernel: Any,
    arranged: Callable[..., Work],
    dtype: torch.dtype,
    tensors: Sequence[Tensor | None],
    *options: Any,
) -> None:
    """Run a kernel on tensors of this type, on one thread or on all that torch uses.

    Args:
        kernel: called with (threads, thread, places, layout); `arguments_at(places, layout)` are there the arguments of
            the work, items, the counter, and the arrays of the workspace.
        arranged: arranged(arrays, *options) says what is to be done. It is called once for all tensors of the same
            shapes and strides, and sees nothing else of them: the arrays are stand-ins, and None where there is none.
    """
    layouts = tuple([None if x is None else (x.shape, x.stride()) for x in tensors])
    plan = _plan(kernel, arranged, dtype, layouts, options, torch.get_num_threads(), WORTH_A_THREAD)
    workspace = new(dtype, plan.workspace)
    places = array("q", [0, 0, workspace.data_ptr(), *[0 if x is None else x.data_ptr() for x in tensors], 0])
    run, here, there = plan.run, places.buffer_info()[0], plan.layout.buffer_info()[0]
    places[COUNTER] = here + 8 * (len(places) - 1)
    if plan.threads == 1 or Team.available:
        run(plan.threads, 0, here, there)
    else:
        run_together(lambda thread: run(1, thread, here, there), plan.threads)


class Plan(NamedTuple):
    """What calls alike have in common."""

    run: Callable[..., None]
    threads: int
    workspace: int  # numbers of all threads
    layout: array
    arguments: tuple  # of which some may be arrays that nobody else holds


@lru_cache(maxsize=1024)
def _plan(
    kernel: Any,
    arranged: Callable[..., Work],
    dtype: torch.dtype,
    layouts: tuple,
    options: tuple,
    most_threads: int,
    worth_a_thread: int,
) -> Plan:
    number = NUMPY[dtype]

    def standing_in(place: int, shape: Sequence[int], strides: Sequence[int]) -> np.ndarray:
        return stand_in(place, number, shape, [number.itemsize * stride for stride in strides])

    arrays = [None if x is None else standing_in(TENSORS + i, *x) for i, x in enumerate(layouts)]
    work = arranged(arrays, *options)
    # All or one: OpenMP lets the threads go that a smaller team does not need, and torch's next operator waits for new.
    threads = most_threads if min(work.items, work.updates // worth_a_thread) > 1 else 1
    sizes = [threads * prod(shape) for shape in work.workspace]  # whole numbers of vectors, so each array is aligned
    memory, begin, own = standing_in(WORKSPACE, [sum(sizes)], [1]), 0, []
    for shape, size in zip(work.workspace, sizes, strict=True):
        own.append(memory[begin : begin + size].reshape(threads, *shape))
        begin += size
    counter = stand_in(COUNTER, np.dtype(np.int64), [1], [8])
    arguments = (*work.arguments, work.items, counter, *own)
    run = _compiled(kernel, Layout(type_of(arguments)))
    return Plan(run, threads, sum(sizes), array("q", layout_of(arguments)), arguments)


@cache
def _compiled(kernel: Any, layout: Layout) -> Callable[..., None]:
    """The kernel for arguments of these types: from disk if it is there, else compiled now."""
    return kernel.compile((types.int64, types.int64, types.int64, layout))
