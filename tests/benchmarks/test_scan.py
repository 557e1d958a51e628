"""A run measures what it was asked to, says what it left out and why, and keeps what it has when it is interrupted."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import cases, machine, scan, tables
from benchmarks.cases import Case, Effort, Expectations, reason_to_skip
from benchmarks.measure import Call
from benchmarks.peers import Peer
from benchmarks.peers.ours import make as make_ours
from benchmarks.shapes import Shape

FIRST, SECOND = (Shape("tiny", dim=8, frames=0, batch=batch, length=9, state=4) for batch in (1, 2))
BRIEF = Effort(seconds=1e-3)


def numba() -> Peer:
    return make_ours("cpu")[0]


@pytest.fixture(autouse=True)
def _no_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine's limits have a test of their own."""
    monkeypatch.setattr(machine, "measure_limits", lambda device: machine.Limits(1e9, 1e9))


def run(peers: list[Peer], out: Path | None = None, **options: Any) -> dict[str, Any]:
    settings = {"chosen": [FIRST, SECOND], "operators": ("selective_scan",), "effort": BRIEF} | options
    return scan.run(peers, {}, device="cpu", out=out, **settings)


def test_every_case_is_measured_or_skipped_with_a_reason() -> None:
    slow = replace(numba(), name="vast", states_kept=(1e15, 1e15))
    results = run([numba(), slow])
    for shape in (FIRST, SECOND):
        for direction in cases.DIRECTIONS:
            for layout in ("model", "contiguous"):
                at = {"shape": shape.key, "direction": direction, "layout": layout}
                assert tables.find(results, peer="numba", **at)["wall"]["calls"] >= BRIEF.least_rounds
                assert tables.find(results, peer="vast", **at) is None
                left_out = [s for s in results["skipped"] if at.items() <= s.items()]
                assert [s["peer"] for s in left_out] == ["vast"]
                assert "GB" in left_out[0]["reason"]


def test_an_interrupted_run_keeps_the_shapes_before(tmp_path: Path) -> None:
    honest = numba()

    def interrupted(arguments: dict[str, Any]) -> Call:
        if arguments["u"].shape == (SECOND.batch, SECOND.dim, SECOND.length):
            raise KeyboardInterrupt
        return honest.forward(arguments)

    with pytest.raises(KeyboardInterrupt):
        run([replace(honest, forward=interrupted)], tmp_path / "scan.json")
    kept = json.loads((tmp_path / "scan.json").read_text())
    assert {m["shape"] for m in kept["measurements"]} == {FIRST.key}


def test_what_is_written_is_what_is_returned(tmp_path: Path) -> None:
    results = run([numba()], tmp_path / "scan.json")
    read = json.loads((tmp_path / "scan.json").read_text())
    assert read == json.loads(json.dumps(results))
    assert tables.timing_tables(read) == tables.timing_tables(results)


def test_a_call_that_would_take_too_long_is_not_made() -> None:
    expected, peer = Expectations(), numba()
    expected.learn(Case(peer, FIRST, "model", "forward"), 1.5)
    twice_as_large = Case(peer, SECOND, "model", "forward")
    assert expected.of(twice_as_large) == pytest.approx(3.0)
    assert "the limit is 2 s" in reason_to_skip(twice_as_large, expected, Effort(limit=2.0), "cpu")
    assert reason_to_skip(twice_as_large, expected, Effort(limit=4.0), "cpu") is None
    assert reason_to_skip(replace(twice_as_large, direction="forward+backward"), expected, Effort(), "cpu") is None


def test_memory_that_is_not_there_is_not_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    state_bytes = 4 * FIRST.updates
    monkeypatch.setattr(cases.psutil, "virtual_memory", lambda: SimpleNamespace(available=100 * state_bytes))
    little, much = (Case(replace(numba(), states_kept=(n, n)), FIRST, "model", "forward") for n in (40, 50))
    assert reason_to_skip(little, Expectations(), Effort(memory_share=0.5), "cpu") is None
    assert "memory" in reason_to_skip(much, Expectations(), Effort(memory_share=0.5), "cpu")


def test_running_out_of_memory_is_a_reason_too() -> None:
    honest = numba()

    def too_large(arguments: dict[str, Any]) -> Call:
        if arguments["u"].shape[1] == FIRST.dim:  # and not where it is checked before it is timed
            raise MemoryError
        return honest.forward(arguments)

    results = run([honest, replace(honest, name="greedy", forward=too_large)], chosen=[FIRST])
    left_out = {(s["peer"], s["direction"], s["reason"]) for s in results["skipped"]}
    assert left_out == {("greedy", "forward", "ran out of memory")}
    assert {m["peer"] for m in results["measurements"] if m["direction"] == "forward"} == {"numba"}


def test_one_thread_is_one_thread_and_then_all_again() -> None:
    seen: list[int] = []
    peer = replace(numba(), set_threads=seen.append)
    measured = run([peer], chosen=[FIRST])["measurements"]
    assert all(m["cpu"]["calls"] > 0 for m in measured)
    assert set(seen[0::2]) == {1}
    assert set(seen[1::2]) == {cases.torch.get_num_threads()}
    unchangeable = run([replace(numba(), set_threads=None)], chosen=[FIRST])["measurements"]
    assert all(m["cpu"]["calls"] > 0 for m in unchangeable)


def test_the_command_explains_itself() -> None:
    script = Path(scan.__file__)
    shown = subprocess.run([sys.executable, script, "--help"], capture_output=True, text=True, check=True).stdout
    assert "python benchmarks/scan.py --shapes 'Ti-8-*'" in shown
    wrong = subprocess.run([sys.executable, script, "--shapes", "XXL"], capture_output=True, text=True)
    assert wrong.returncode != 0
    assert "expected names such as Ti-8-1, got XXL" in wrong.stderr
