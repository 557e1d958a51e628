"""Fresh memory: huge pages are touched for the first time far less often than those of the usual size."""

from pathlib import Path

import pytest

from benchmarks import fresh_memory, tables
from benchmarks.shapes import shapes

SETTING = Path("/sys/kernel/mm/transparent_hugepage/enabled")


@pytest.mark.skipif(not SETTING.exists() or "[never]" in SETTING.read_text(), reason="the system has no huge pages")
@pytest.mark.slow
def test_huge_pages_are_fewer() -> None:
    """No times are compared. The output alone is 39 MB: 9,400 usual pages, or 18 huge ones."""
    shape = next(shape for shape in shapes() if shape.key == "S-64-1")
    usual, huge = (fresh_memory.in_own_process(shape, "forward", wanted) for wanted in (False, True))
    assert usual["ms"] > 0
    assert huge["ms"] > 0
    assert usual["faults"] > 4 * huge["faults"]


def test_the_table_sets_usual_pages_beside_huge_ones() -> None:
    machine = {"date": "today", "cpu": "a processor", "threads": 1, "memory_gb": 1, "system": "Linux", "python": "3"}
    at = {"shape": "Ti-8-1", "direction": "forward"}
    results = {
        "machine": machine | {"torch": "2", "commit": "abc"},
        "shapes": {"Ti-8-1": {"dim": 384, "length": 1569, "batch": 1, "state": 16}},
        "measurements": [at | {"huge": True, "ms": 2.0, "faults": 3}, at | {"huge": False, "ms": 6.0, "faults": 4000}],
        "floors": [at | {"floor": 1.0}],
    }
    row = tables.fresh_memory_table(results).splitlines()[2]
    assert [cell.strip() for cell in row.strip("| ").split("|")][1:] == ["6.00", "4,000", "6.00×", "2.00", "3", "2.00×"]
