"""The recorded gap of lesson 04 is what its script measures."""

import json

import pytest

from benchmarks import selective_copying
from vmamba_edu.ssm import CopyingTask


def test_a_short_run_records_both_models_for_every_seed_and_their_gap(tmp_path, capsys) -> None:
    out = tmp_path / "new" / "found.json"
    selective_copying.main(["--seeds", "0", "7", "--steps", "3", "--test", "20", "--out", str(out)])
    found = json.loads(out.read_text())
    assert [(run["seed"], run["kind"]) for run in found["runs"]] == [
        (0, "selective"),
        (0, "fixed"),
        (7, "selective"),
        (7, "fixed"),
    ]
    accuracy = [run["accuracy"] for run in found["runs"]]
    assert found["gaps"] == pytest.approx([accuracy[0] - accuracy[1], accuracy[2] - accuracy[3]])
    assert found["mean_gap"] == pytest.approx(sum(found["gaps"]) / 2, abs=1e-4)
    assert found["least_gap"] == min(found["gaps"])
    assert all(len(run["losses"]) == 3 for run in found["runs"])
    assert "gap:" in capsys.readouterr().out


def test_the_same_seed_measures_the_same() -> None:
    runs = [selective_copying.run(CopyingTask(12, 3, 2), "fixed", seed, 3, 10) for seed in (1, 1, 2)]
    for run in runs:
        del run["cpu_seconds"]
    assert runs[0] == runs[1] != runs[2]


def test_what_is_recorded_is_the_task_of_the_lesson_on_three_seeds() -> None:
    recorded = json.loads(selective_copying.OUT.read_text())
    assert recorded["task"] == {"length": 64, "values": 6, "remember": 3}
    assert CopyingTask(**recorded["task"]) == CopyingTask()
    assert len(recorded["gaps"]) == 3
    assert recorded["least_gap"] > 0.2
