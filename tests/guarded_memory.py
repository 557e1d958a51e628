"""Tensors that end exactly where memory ends: the page after them, or before them, must not be touched.

Whoever reads or writes one byte beyond such a tensor is killed by the operating system. A process that imports this
module should therefore be one that a test has started for it.
"""

import ctypes
import math
import mmap
from collections.abc import Sequence

import torch
from torch import Tensor

PAGE = mmap.PAGESIZE
CANARY = 0x5A

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]


class Guarded:
    """Makes tensors between two forbidden pages, flush with one of them; the room that is left holds canaries.

    Args:
        at_end: flush with the page after the tensor, else with the page before it.
    """

    def __init__(self, at_end: bool) -> None:
        self.at_end = at_end
        self.areas: list[tuple[int, int, ctypes.Array]] = []

    def empty(self, shape: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
        size = math.prod(shape) * dtype.itemsize
        room = max(PAGE, -(-size // PAGE) * PAGE)
        private_anonymous = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
        start = libc.mmap(None, room + 2 * PAGE, mmap.PROT_READ | mmap.PROT_WRITE, private_anonymous, -1, 0)
        for page in (start, start + PAGE + room):
            assert libc.mprotect(page, PAGE, 0) == 0
        ctypes.memset(start + PAGE, CANARY, room)
        spare = room - size
        canaries = (ctypes.c_ubyte * spare).from_address(start + PAGE + (0 if self.at_end else size))
        self.areas.append((start, room + 2 * PAGE, canaries))
        if size == 0:
            return torch.zeros(tuple(shape), dtype=dtype)
        memory = (ctypes.c_ubyte * size).from_address(start + PAGE + (spare if self.at_end else 0))
        return torch.frombuffer(memory, dtype=dtype).view(tuple(shape))

    def copy(self, x: Tensor) -> Tensor:
        """The tensor with the same strides, its first and last numbers at the ends of its memory."""
        span = 1 + sum((n - 1) * s for n, s in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0
        copy = self.empty((span,), x.dtype).as_strided(x.shape, x.stride())
        if x.numel():  # expanded tensors overlap themselves: write each number once
            index = tuple(slice(0, 1) if s == 0 else slice(None) for s in x.stride())
            copy[index] = x[index]
        return copy

    def check_and_free(self) -> None:
        """Raises AssertionError if something has written beside a tensor."""
        for start, size, canaries in self.areas:
            assert bytes(canaries) == bytes([CANARY]) * len(canaries), "wrote beside a tensor"
            libc.munmap(start, size)
        self.areas.clear()
