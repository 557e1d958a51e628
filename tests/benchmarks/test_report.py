"""Tables are what the results give, in the README too."""

import json
import re
from pathlib import Path

import pytest

from benchmarks import accuracy, report, tables

NAMES = sorted(report.contents())


def test_numbers_have_three_digits() -> None:
    texts = [tables.number(x) for x in (0.0123, 0.9996, 1.2345, 9.996, 45.67, 99.96, 1234.5)]
    assert texts == ["0.012", "1.00", "1.23", "10.0", "45.7", "100", "1234"]


def test_a_table_has_as_many_cells_in_every_row() -> None:
    for name, text in report.contents().items():
        for paragraph in text.split("\n\n"):
            rows = [line for line in paragraph.splitlines() if line.startswith("|")]
            assert len({line.count("|") for line in rows}) <= 1, name


def test_filling_keeps_the_text_around_and_changes_nothing_twice() -> None:
    text = "before\n<!-- table: one -->\nold | rows\n<!-- end of table -->\nafter\n"
    once = report.filled(text, {"one": "new | rows"})
    assert once == "before\n<!-- table: one -->\nnew | rows\n<!-- end of table -->\nafter\n"
    assert report.filled(once, {"one": "new | rows"}) == once


def test_a_marker_without_a_table_is_an_error() -> None:
    with pytest.raises(KeyError, match="speed"):
        report.filled("<!-- table: speed -->\n<!-- end of table -->", {})


def test_what_was_not_measured_says_so(tmp_path: Path) -> None:
    assert set(report.contents(tmp_path)) == set(NAMES)
    assert all(text.startswith("Not measured yet") for text in report.contents(tmp_path).values())


def test_the_pages_show_what_the_committed_results_give() -> None:
    assert not report.out_of_date(), "run: python benchmarks/report.py"


@pytest.mark.parametrize("page", report.PAGES, ids=lambda page: page.parent.name)
def test_no_measured_number_was_typed_by_hand(page: Path) -> None:
    prose = report.MARKED.sub("", page.read_text())
    assert not re.findall(r"\d[\d.]*\s*(?:ms|µs|×(?! \d)|MB|GB|GFLOP|percent|%)", prose)


def test_every_committed_result_is_shown() -> None:
    shown = {found["name"] for page in report.PAGES for found in report.MARKED.finditer(page.read_text())}
    first = {"scan": "forward", "fresh_memory": "fresh-memory"}
    for path in report.RESULTS.glob("*-c???.json"):  # of a device
        kind, device = path.stem.split("-")
        assert shown & {f"{first.get(kind, kind)}-{device}", f"all-{device}"}, path.name


def test_goals_of_other_machines_stand_beside_the_first(tmp_path: Path) -> None:
    measured = json.loads((Path(__file__).parent / "scan_on_a_busy_machine.json").read_text("utf-8"))
    for name, cpu in (("scan-cpu", "The first"), ("scan-cpu.b", "Another"), ("scan-cpu.c", "A third")):
        results = {**measured, "machine": {**measured["machine"], "cpu": cpu}}
        (tmp_path / f"{name}.json").write_text(json.dumps(results))
    found = report.contents(tmp_path)
    assert "The first" in found["machine-cpu"]
    assert re.findall("The first|Another|A third", found["elsewhere-cpu"]) == ["Another", "A third"]
    assert found["elsewhere-cpu"].count("against ggml") == 2 * found["goals-cpu"].count("against ggml") > 0


def test_errors_become_a_table_of_steps_and_lengths() -> None:
    """float32 is off by something, but by no more than a few hundred roundings on so short a sequence."""
    found = accuracy.errors(0.01, 40)
    assert set(found) == set(accuracy.ENGINES["cpu"])
    for errors in found.values():
        assert all(0 < error < 3e-5 for error in errors.values())
    rows = [{"engine": engine, "step": 0.01, "length": 40} | errors for engine, errors in found.items()]
    text = tables.accuracy_table(json.loads(json.dumps({"measurements": rows})), "y")
    assert text.splitlines()[2].startswith("| Δ = 0.01 | ")
    assert "numba, L = 40" in text


def test_wall_times_of_a_busy_machine_reach_no_goal() -> None:
    results = json.loads((Path(__file__).parent / "scan_on_a_busy_machine.json").read_text("utf-8"))
    about = results["machine"]
    quiet, busy = ({**results, "machine": {**about, "others": others}} for others in (0.0, 1.5))
    assert "too much" not in tables.machine_line(quiet)
    assert "too much for times of the wall clock" in tables.machine_line(busy)
    walls = [
        {line.split("|")[3].strip() for line in tables.goals_table(r, None).splitlines()[2:]} for r in (quiet, busy)
    ]
    assert walls[0] > {tables.NOT_MEASURED}
    assert walls[1] == {tables.NOT_MEASURED}
