"""Large results come in huge pages: the system is asked for them there, within their bounds, and nowhere else."""

import mmap
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor
from vmamba_kernels import causal_conv1d, huge_pages, selective_scan

SMAPS, SETTING = Path("/proc/self/smaps"), Path("/sys/kernel/mm/transparent_hugepage/enabled")
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has to be asked")


class Asked:
    """In the place of the C library: remembers which memory it was asked about."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []

    def madvise(self, begin, size, advice) -> None:
        assert advice == mmap.MADV_HUGEPAGE
        self.ranges.append((begin.value, begin.value + size.value))


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    library = Asked()
    monkeypatch.setattr(huge_pages, "_libc", library)
    return library


def flags_of_memory_at(address: int) -> list[str]:
    """The system's flags for the piece of memory that this address lies in."""
    inside = False
    for line in SMAPS.read_text().splitlines():
        if piece := re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line):
            begin, end = (int(bound, 16) for bound in piece.groups())
            inside = begin <= address < end
        elif inside and line.startswith("VmFlags:"):
            return line.split()[1:]
    raise AssertionError("no memory there")


def scan(tokens: int) -> tuple[Tensor, list[Tensor]]:
    """y (1, 16, tokens) of one state, and the gradients of u and delta."""
    u, delta = (torch.rand(1, 16, tokens, requires_grad=True) for _ in range(2))
    y = selective_scan(u, delta, -torch.rand(16, 1), torch.rand(16, 1), torch.rand(16, 1), backend="numba")
    return y, list(torch.autograd.grad(y.sum(), [u, delta]))


@pytest.mark.skipif(not (SMAPS.exists() and SETTING.exists()), reason="the system has no huge pages, or does not say")
def test_the_system_knows_what_a_large_result_wants() -> None:
    y, gradients = scan(tokens=2**19)
    for result in (y, *gradients):
        assert result.nbytes == huge_pages.LARGE
        assert "hg" in flags_of_memory_at(result.data_ptr() + result.nbytes // 2)


@linux
def test_what_is_asked_for_begins_with_a_page_and_ends_with_the_tensor(asked: Asked) -> None:
    y, gradients = scan(tokens=2**19)
    x = torch.rand(1, 16, 2**19)
    convolved = causal_conv1d(x, torch.rand(16, 4), backend="numba")
    ends = {end: begin for begin, end in asked.ranges}
    for result in (y, *gradients, convolved):
        begin = ends[result.data_ptr() + result.nbytes]
        assert begin % mmap.PAGESIZE == 0
        assert 0 <= begin - result.data_ptr() < mmap.PAGESIZE


@linux
def test_for_small_results_nothing_is_asked(asked: Asked) -> None:
    scan(tokens=2**19 - 1)
    assert not asked.ranges


def test_without_such_a_system_there_is_a_result_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = torch.empty(huge_pages.LARGE, dtype=torch.uint8)
    monkeypatch.setattr(huge_pages, "_libc", None)
    assert huge_pages.in_huge_pages(tensor) is tensor
