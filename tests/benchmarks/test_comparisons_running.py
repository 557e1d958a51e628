"""Runs in processes of their own: what they write, that they go on where they were ended, and what they measure."""

import json
import signal
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.comparisons import __main__ as command
from benchmarks.comparisons import definition, pictures, runs, sitting
from benchmarks.comparisons.analysis import look_up
from benchmarks.comparisons.clock import Clock
from benchmarks.comparisons.definition import Comparison
from benchmarks.comparisons.measures import REVERSED, gradient_by_frame, measure_motions, shuffled
from benchmarks.comparisons.one_run import nested
from benchmarks.comparisons.runs import Run
from vmamba_edu import create_model
from vmamba_edu.video.digit_scene import MOTIONS
from vmamba_edu.video.moving_digits_data import MovingDigits

RECIPE = """
[model]
name = "videomamba_tiny"
embed_dim = 16
depth = 1
img_size = 16
patch_size = 8
num_frames = 4
drop_path_rate = 0.0
[data]
name = "moving_digits"
train = 48
validation = 24
test = 24
[objective]
name = "supervised"
[training]
epochs = 2
batch_size = 12
learning_rate = 3e-3
monitor = "accuracy"
mode = "max"
"""


def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **changes) -> list[Run]:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    monkeypatch.setattr(definition.resolve, "__defaults__", (tmp_path,))
    variants = {"a": changes}
    comparison = Comparison("tiny", 1, "t", "q", "tiny.toml", "test.accuracy", variants, (0,))
    return runs.plan([comparison], None, tmp_path / "results", tmp_path / "folders")


def places(tmp_path: Path) -> dict[str, Path]:
    return {"results": tmp_path / "results", "folders": tmp_path / "folders"}


@pytest.mark.slow
def test_a_run_leaves_all_that_a_table_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = tiny(tmp_path, monkeypatch)
    outcome = sitting.sit([run], **places(tmp_path))
    assert outcome.done == ["tiny/a/seed 0"], outcome
    found = runs.read_result(run, tmp_path / "results")
    assert found is not None
    assert (found["steps"], found["seed"], found["sittings"]) == (8, 0, 1)
    assert [row["step"] for row in found["curve"]] == [4, 8]
    assert 0 < found["curve"][0]["cpu"] <= found["seconds"]["cpu"]
    assert found["machine"]["threads"] == 1
    assert set(found["test"]["by_class"]) == set(MOTIONS)
    assert len(found["gradient"]["start"]) == 4
    assert max(found["gradient"]["start"]) == 1
    assert str(tmp_path) not in json.dumps(found), "a result says nothing of where it was made"
    figure = pictures.gradient_by_frame({"a": {0: found}})
    assert len(figure.axes) == 2
    assert pictures.accuracy_against_seconds({"a": {0: found}}).axes[0].lines


@pytest.mark.slow
def test_a_run_that_was_ended_goes_on_and_comes_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    changes = {"training.epochs": 40, "data.validation": 12}
    (run,) = tiny(tmp_path, monkeypatch, **changes)
    log = run.folder(tmp_path / "folders") / "training.csv"

    def soon_over(job: sitting._Job, limit: float) -> bool:
        if log.exists() and len(log.read_text().splitlines()) > 10:
            job.timed_out = True
            sitting._end(job)
        return job.process.poll() is not None

    with monkeypatch.context() as patched:
        patched.setattr(sitting, "_is_over", soon_over)
        outcome = sitting.sit([run], **places(tmp_path))
    assert "goes on from its checkpoint" in outcome.failed["tiny/a/seed 0"]
    assert not run.result_path(tmp_path / "results").exists()
    assert sitting.sit([run], **places(tmp_path)).done == ["tiny/a/seed 0"]
    found = runs.read_result(run, tmp_path / "results")
    assert found is not None
    assert (found["steps"], found["sittings"]) == (160, 2)
    assert [row["step"] for row in found["curve"]] == list(range(4, 164, 4)), "no epoch twice, none missing"
    seconds = [row["cpu"] for row in found["curve"]]
    assert seconds == sorted(seconds)

    again = tmp_path / "again"
    whole = sitting.sit([run], results=again, folders=again / "folders")
    assert whole.done == ["tiny/a/seed 0"]
    unbroken = runs.read_result(run, again)
    assert unbroken is not None
    for key in ("test", "shuffled", "reversed", "gradient", "validation"):
        assert found[key] == unbroken[key], "a broken run ends with the weights of an unbroken one"


@pytest.mark.slow
def test_a_run_that_fails_is_told_and_the_next_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bad,) = tiny(tmp_path, monkeypatch, **{"model.start_from": "nowhere.pt"})
    (good,) = tiny(tmp_path, monkeypatch)
    calls: list[int] = []
    outcome = sitting.sit([bad, good], **places(tmp_path), after_each=lambda: calls.append(1))
    assert len(calls) == 2
    assert "start_from" in outcome.failed["tiny/a/seed 0"]
    assert outcome.done == ["tiny/a/seed 0"]


def test_who_stops_the_sitting_stops_its_trainings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (run,) = tiny(tmp_path, monkeypatch)
    jobs: list[sitting._Job] = []
    start = sitting._start

    def start_and_tell(*arguments) -> sitting._Job:
        jobs.append(start(*arguments))
        return jobs[-1]

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sitting, "_start", start_and_tell)
    monkeypatch.setattr(sitting, "_is_over", lambda job, limit: interrupt(0))
    with pytest.raises(KeyboardInterrupt):
        sitting.sit([run], **places(tmp_path))
    assert jobs[0].process.returncode is not None
    with pytest.raises(SystemExit) as ended:
        command._stop(signal.SIGTERM, None)
    assert ended.value.code == 128 + signal.SIGTERM


def test_the_clock_goes_on_from_the_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "clock.json"
    first = Clock(path)
    first.on_start(0, 30)
    for step in (1, 2):
        first.on_step({"step": step})
        first.on_validation({"step": step, "epoch": step, "accuracy": 0.5})
    kept = json.loads(path.read_text())
    kept["rows"][0] |= {"wall": 100.0, "cpu": 50.0}
    path.write_text(json.dumps(kept))
    second = Clock(path)
    second.on_start(1, 30)  # the row of step 2 came after the last checkpoint
    second.on_step({"step": 2})
    second.on_validation({"step": 2, "epoch": 2, "accuracy": 0.6})
    assert [row["accuracy"] for row in second.rows] == [0.5, 0.6]
    assert 50 <= second.rows[1]["cpu"] < 60
    assert 100 <= second.rows[1]["wall"] < 110
    assert second.sittings == 2


def test_the_first_epoch_draws_clips_and_does_not_count_for_the_pace(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock.json")
    clock.rows = [{"ms_a_step": 90.0}, {"ms_a_step": 10.0}, {"ms_a_step": 12.0}]
    assert clock.ms_a_step == 11
    clock.rows = clock.rows[:1]
    assert clock.ms_a_step == 90


class Oracle(nn.Module):
    """Names the motion by comparing a clip with those of the test split, as they are or played backwards."""

    def __init__(self, data: MovingDigits):
        super().__init__()
        self.clips = [data[index]["clip"] for index in range(len(data))]
        self.labels = [data.label(index) for index in range(len(data))]

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        said = []
        for clip in clips:
            known = [(l, c) for c, l in zip(self.clips, self.labels, strict=True)]
            known += [(int(REVERSED[l]), c.flip(1)) for c, l in zip(self.clips, self.labels, strict=True)]
            said.append(next((label for label, shown in known if torch.equal(shown, clip)), 0))
        return torch.nn.functional.one_hot(torch.tensor(said), len(MOTIONS)).float()


def test_what_sees_motion_is_told_from_what_sees_pictures() -> None:
    data = MovingDigits("test", 24, num_frames=4, size=16)
    seen = measure_motions(Oracle(data), data)
    assert seen["test"]["accuracy"] == seen["test"]["pair"] == 1
    assert seen["reversed"] == {"accuracy": 0, "swapped": 1}
    assert seen["frozen"]["accuracy"] < 0.5
    assert seen["shuffled"]["accuracy"] < 0.5


def test_recalls_can_be_looked_up() -> None:
    found = nested({"dual.txt_r1": 40.0, "dual.img_r1": 50.0, "chance_r1": 5.0})
    assert look_up({"retrieval": found}, "retrieval.dual.img_r1") == 50
    assert look_up({"retrieval": found}, "retrieval.chance_r1") == 5


def test_every_motion_has_its_opposite() -> None:
    assert torch.equal(REVERSED[REVERSED], torch.arange(len(MOTIONS)))
    assert MOTIONS[int(REVERSED[MOTIONS.index("open")])] == "close"


def test_shuffled_clips_have_the_same_frames_in_an_order_of_their_own() -> None:
    clips = torch.arange(8.0).reshape(1, 1, 8, 1, 1).repeat(3, 2, 1, 1, 1)
    mixed = shuffled(clips, torch.tensor([4, 5, 4]))
    assert torch.equal(mixed.sort(2).values, clips)
    assert torch.equal(mixed[0], mixed[2])
    assert not torch.equal(mixed[0], mixed[1])


def test_a_frame_that_is_not_read_has_no_share_in_the_gradient() -> None:
    """A VideoMamba that reads in one direction, [cls] in front: nothing reaches [cls], and nothing moves the loss."""
    data = MovingDigits("test", 24, num_frames=4, size=16)
    sizes = {"embed_dim": 16, "depth": 1, "img_size": 16, "patch_size": 8, "num_frames": 4, "num_classes": 12}
    torch.manual_seed(0)
    deaf = create_model("videomamba_tiny", bidirectional=False, **sizes)
    assert gradient_by_frame(deaf, data) == [0, 0, 0, 0]
    hearing = create_model("videomamba_tiny", pool="mean", **sizes)
    before = [parameter.requires_grad for parameter in hearing.parameters()]
    shares = gradient_by_frame(hearing, data)
    assert max(shares) == 1
    assert min(shares) > 0.5, "all tokens are averaged: every frame is heard directly"
    assert [parameter.requires_grad for parameter in hearing.parameters()] == before


def test_seconds_of_a_sitting_are_its_own(tmp_path: Path) -> None:
    clock = Clock(tmp_path / "clock.json")
    clock.on_start(0, 2)
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    assert clock.seconds()["cpu"] >= 0.05
