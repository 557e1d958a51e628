"""The parts of the scan are those that the kernel calls, and the table adds up."""

import json

import pytest

from benchmarks import tables, where_the_time_goes
from benchmarks.shapes import Shape

SMALL = Shape("small", dim=32, frames=1, batch=1, length=128)


@pytest.mark.slow
def test_every_part_takes_time() -> None:
    """No times are compared here, but a part that does nothing would be compiled away and take none."""
    found = where_the_time_goes.measure(SMALL, tries=3)
    assert set(found["parts"]) == {*where_the_time_goes.parts(), "the call through Python"}
    assert all(ms > 0 for ms in [*found["parts"].values(), found["whole"], found["floor"]])


def test_what_the_parts_do_not_explain_is_the_rest() -> None:
    machine = {"date": "today", "cpu": "a processor", "threads": 1, "memory_gb": 1, "system": "Linux", "python": "3"}
    about = machine | {"torch": "2", "commit": "abc"}
    results = {"machine": about, "parts": {"one": 1.0, "two": 2.0}, "whole": 4.0, "floor": 2.0}
    rows = [line.split(" | ") for line in tables.parts_table(json.loads(json.dumps(results))).splitlines()[2:6]]
    assert [row[0].strip("| ")[:3] for row in rows] == ["one", "two", "the", "**t"]
    assert [float(row[1]) for row in rows] == [1.0, 2.0, 1.0, 4.0]
    assert [row[3].strip(" |") for row in rows] == ["0.500×", "1.00×", "0.500×", "2.00×"]
