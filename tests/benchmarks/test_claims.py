"""The table of claims is what its script writes, and has every claim."""

from pathlib import Path

import pytest

from benchmarks import claims
from benchmarks.comparisons import runs
from benchmarks.comparisons.analysis import HELD, NOT_HELD, NOT_RUN, Interval, Judgement
from benchmarks.comparisons.definition import Expectation, read_definitions

IDS = (
    [f"S{n}" for n in range(1, 6)]
    + [f"V{n}" for n in range(1, 13)]
    + [f"M{n}" for n in range(1, 5)]
    + [f"P{n}" for n in range(1, 6)]
    + [f"T{n}" for n in range(1, 7)]
)


def test_every_claim_has_its_row() -> None:
    assert [claim.name for claim in claims.read_claims()] == IDS
    page = claims.render().splitlines()
    for name in IDS:
        assert sum(line.startswith(f"| {name} |") for line in page) == 1, name


def test_the_page_is_what_the_script_writes() -> None:
    assert claims.OUT.read_text("utf-8") == claims.render(), "run: python -m benchmarks.claims"
    assert claims.main(["--check"]) == 0


@pytest.mark.parametrize("claim", claims.read_claims(), ids=lambda claim: claim.name)
def test_what_a_claim_points_at_is_there(claim: claims.Claim) -> None:
    assert claim.kind in ("derived", "built", "counted", "measured", "re-run", "quoted")
    assert [path for path in claim.see if not (claims.ROOT / path).exists()] == []
    judged = {name for comparison in read_definitions().comparisons for name in comparison.claims}
    assert (claim.name in judged) == (claim.kind == "re-run")
    assert claim.here or claim.name in judged, "says neither what is seen nor what is run"
    assert not set("{}") & set(claim.found()), "every figure is filled in"


def test_comparisons_speak_of_claims_that_there_are() -> None:
    for comparison in read_definitions().comparisons:
        assert set(comparison.claims) <= set(IDS), comparison.name
        assert comparison.expectations, comparison.name


def test_verdicts_are_counted() -> None:
    def judged(*verdicts: str) -> list[Judgement]:
        return [Judgement(Expectation("V1", "", "a", "b", "above"), verdict) for verdict in verdicts]

    assert claims.verdict_of(judged(HELD, HELD)) == "held"
    assert claims.verdict_of(judged(NOT_HELD, HELD, NOT_RUN, HELD)) == (
        "2 of 4 held; 1 of 4 did not hold; 1 of 4 not run yet"
    )


def test_numbers_that_would_vanish_keep_an_exponent() -> None:
    assert [claims.number(value) for value in (0.98765, 0.0, 3e-8)] == ["0.988", "0.000", "3e-08"]
    assert claims.number(0.02, signed=True) == "+0.020"


def test_what_rounding_leaves_of_no_difference_is_told_as_none() -> None:
    expectation = Expectation("V6", "it is no better", "a", "b", "not above", 0.01)
    interval = Interval(4e-17, -3e-17, 0.002, (0.0, 0.0, 0.0))
    told = claims.said(Judgement(expectation, HELD, interval, 0.9, 0.9))
    assert "difference +0.000 [+0.000, +0.002]" in told


def test_what_is_not_run_says_how_to_run_it(tmp_path: Path) -> None:
    page = claims.render(tmp_path)
    assert "No run has been made yet." in page
    assert "held**" not in page
    assert "`python -m benchmarks.comparisons --only scan_orders` runs what is missing" in page


def kept(run: runs.Run, accuracy: float, last: float) -> dict:
    """A JSON as a run leaves it, as far as the page reads it."""
    return {
        "digest": run.digest,
        "test": {"accuracy": accuracy},
        "frozen": {"accuracy": 0.5},
        "gradient": {"start": [1.0, 0.5, 0.25, last], "end": [1.0, 0.5, 0.25, last]},
        "parameters": 12345,
        "steps": 1200,
        "ms_a_step": 40.4,
        "seconds": {"wall": 100.0, "cpu": 55.0},
        "machine": {"cpu": "a processor", "threads": 1, "python": "3", "torch": "2", "others_busy": 0.5},
    }


def test_what_was_run_is_told_with_its_figures_and_a_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (comparison,) = read_definitions().named(["read_out"])
    for run in runs.runs_of(comparison):
        averaged = "mean_temporal" in run.label
        accuracy = (0.9 if averaged else 0.5) + run.seed / 100
        runs.write_json(kept(run, accuracy, 0.9 if averaged else 1e-9), run.result_path(tmp_path))
    monkeypatch.setattr(claims, "FOLDER", tmp_path)
    page = claims.render(tmp_path)
    row = next(line for line in page.splitlines() if line.startswith("| **mean_temporal**"))
    assert "| 0.910 | 0.900, 0.910, 0.920 | 0.500 |" in row
    assert row.endswith("| 12,345 | 1,200 | 40 | 55 |")
    assert "0.910 against 0.510, difference +0.400 [+0.400, +0.400], **held**." in page
    assert "| P1 |" in page
    assert next(line for line in page.splitlines() if line.startswith("| P1 |")).count("| held |") == 1
    assert "a processor, 1 thread" in page
    assert "pictures/gradient_by_frame.png" not in page
    (tmp_path / "gradient_by_frame.png").touch()
    assert "(pictures/gradient_by_frame.png)" in claims.render(tmp_path)


def test_a_page_that_is_out_of_date_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "OUT", tmp_path / "claims.md")
    assert claims.main(["--check"]) == 1
    assert claims.main([]) == 0
    assert claims.main(["--check"]) == 0
