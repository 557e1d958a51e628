"""Large tensors in pages of 2 MB instead of 4 kB.

The C library gives a tensor of more than 32 MB back to the system when it is no longer used, so the next one is new:
the system finds and clears it page by page, at the first touch of each, which is a good part of the time of a long
scan. Larger pages are fewer. numpy asks for them; torch does not, unless THP_MEM_ALLOC_ENABLE=1 is in its environment.
Only Linux has to be asked.
"""

import ctypes
import mmap
import sys

from torch import Tensor

LARGE = 1 << 25
"""Bytes. Smaller tensors are made of memory that was used before."""

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def in_huge_pages(new: Tensor) -> Tensor:
    """A tensor that nobody has written to yet; if it is large, its memory will come in huge pages, if there are any."""
    if new.nbytes >= LARGE and _libc is not None:
        page = mmap.PAGESIZE
        begin, end = -(-new.data_ptr() // page) * page, new.data_ptr() + new.nbytes
        # A wish: systems without huge pages refuse it, and nothing is lost.
        _libc.madvise(ctypes.c_void_p(begin), ctypes.c_size_t(end - begin), mmap.MADV_HUGEPAGE)
    return new
