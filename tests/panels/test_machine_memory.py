"""The memory that programs can have: what psutil says of the machine, on every system."""

from types import SimpleNamespace

import psutil
import pytest

from vmamba_edu.panels.computed import machine_memory
from vmamba_edu.panels.computed.machine_memory import free_memory, gigabytes


def test_free_memory_is_what_programs_can_have_and_not_what_lies_idle(monkeypatch) -> None:
    """The system lends idle memory to files, and takes it back when asked: `free` is too little, `total` too much."""
    said = SimpleNamespace(total=8 * 2**30, available=3 * 2**30, free=2**20)
    monkeypatch.setattr(machine_memory.psutil, "virtual_memory", lambda: said)
    assert free_memory() == 3 * 2**30


def test_free_memory_of_this_machine_is_a_part_of_what_it_has() -> None:
    assert 0 < free_memory() <= psutil.virtual_memory().total


@pytest.mark.parametrize(("number", "words"), [(2**30, "1 GiB"), (1.5 * 2**30, "1.5 GiB"), (2**29, "512 MiB")])
def test_bytes_are_said_in_the_unit_that_suits(number: float, words: str) -> None:
    assert gigabytes(number) == words
