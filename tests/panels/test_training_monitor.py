"""The training monitor: curves against sums written out, folders good and bad, and real runs that stop and go on."""

import csv
import json
import math
import os
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from vmamba_edu import panels
from vmamba_edu.panels import training_monitor_panel
from vmamba_edu.panels.computed.run_logs import (
    FRESH_S,
    Plan,
    free_beside,
    latest_of,
    plan_of,
    read_log,
    small_recipe,
)
from vmamba_edu.panels.computed.training_curves import (
    SMOOTHINGS,
    Curve,
    State,
    compute,
    duration,
    steps_a_second,
    thinned,
)
from vmamba_edu.panels.parts.training_process import TrainingProcess
from vmamba_edu.recipes import Recipe, train_recipe
from vmamba_edu.training import TrainingSettings
from vmamba_edu.training.checkpointing import BEST, LAST, open_checkpoint
from vmamba_edu.training.logs import Callback, Row

TINY = Recipe(
    "tiny",
    {
        "model": {
            "name": "videomamba_tiny", "embed_dim": 8, "depth": 1, "img_size": 16, "patch_size": 16, "num_frames": 2,
            "d_state": 4, "drop_path_rate": 0.0,
        },
        "data": {"name": "moving_digits", "train": 48, "validation": 12, "test": 12, "background": "plain"},
        "objective": {"name": "supervised"},
        "training": {"epochs": 2, "batch_size": 4, "monitor": "accuracy", "mode": "max", "learning_rate": 1e-3},
    },
)  # fmt: skip
STEPS = 24


def rows(losses: list[float], **others: float) -> tuple[dict[str, float], ...]:
    return tuple(
        {"step": step, "epoch": 1, "learning_rate": 0.1 * step, "gradient_norm": 2.0, "loss": loss, **others}
        for step, loss in enumerate(losses, 1)
    )


def write(path: Path, table: tuple[dict[str, float], ...]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, table[0])
        writer.writeheader()
        writer.writerows(table)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that has finished."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    train_recipe(TINY, folder, progress=False)
    return folder


@pytest.fixture(autouse=True)
def _quickly(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(training_monitor_panel, "PAUSE_S", 0.02)
    monkeypatch.chdir(tmp_path)


def until(is_so: Any, seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.01)


@pytest.mark.parametrize("keep", SMOOTHINGS)
def test_a_smoothed_point_is_the_weighted_mean_of_all_before_it(keep: float) -> None:
    losses = np.random.default_rng(0).random(30).tolist()
    view = compute(State(training=rows(losses), smoothing=keep))
    for at in range(30):
        weights = [keep ** (at - k) for k in range(at + 1)]
        expected = sum(w * x for w, x in zip(weights, losses, strict=False)) / sum(weights)
        assert view.smoothed.y[at] == pytest.approx(expected, rel=1e-12)  # float64, thirty terms
    assert view.raw.y.tolist() == losses
    assert view.smoothed.x.tolist() == list(range(1, 31))


def test_what_is_shown_is_what_was_asked_for_and_names_come_in_order() -> None:
    table = rows([3.0, 2.0], accuracy=0.25)
    held = ({"step": 2, "epoch": 1, "loss": 2.5, "accuracy": 0.5},)
    view = compute(State("accuracy", training=table, validation=held))
    assert view.names == ("loss", "accuracy", "learning_rate", "gradient_norm")
    assert view.raw.y.tolist() == [0.25, 0.25]
    assert (view.validation.x.tolist(), view.validation.y.tolist()) == ([2], [0.5])
    assert view.rate.y.tolist() == [0.1, 0.2]
    assert (view.step, view.epoch, view.num_steps, view.ended) == (2, 1, 0, "")


@pytest.mark.parametrize(("mode", "place"), [("min", 1), ("max", 2)])
def test_the_best_validation_is_the_one_that_the_run_is_judged_by(mode: Any, place: int) -> None:
    held = tuple({"step": step, "epoch": step, "loss": loss} for step, loss in ((1, 2.0), (2, 1.0), (3, 3.0)))
    plan = Plan(9, monitor="loss", mode=mode)
    assert compute(State(training=rows([1.0] * 3), validation=held, plan=plan)).best == place
    assert compute(State(training=rows([1.0] * 3), validation=held)).best is None
    assert compute(State("gradient_norm", training=rows([1.0] * 3), validation=held, plan=plan)).best is None


def test_patience_that_has_run_out_ends_a_run_before_its_last_step() -> None:
    held = tuple({"step": step, "epoch": step, "loss": loss} for step, loss in ((1, 1.0), (2, 2.0), (3, 3.0)))
    for patience, ended in ((2, "early stop"), (3, "")):
        assert compute(State(training=rows([1.0] * 3), validation=held, plan=Plan(9, patience=patience))).ended == ended
    assert compute(State(training=rows([1.0] * 9), plan=Plan(9))).ended == "finished"


def test_pace_and_time_left_are_those_of_the_last_half_minute() -> None:
    marks = ((0, 0.0), (10, 100.0), (30, 110.0), (50, 120.0))
    view = compute(State(training=rows([1.0] * 50), plan=Plan(100), marks=marks))
    assert view.steps_a_second == pytest.approx(40 / 20)
    assert view.seconds_left == pytest.approx(25)
    assert math.isnan(steps_a_second(()))
    assert math.isnan(steps_a_second(((5, 1.0),)))
    assert math.isnan(steps_a_second(((5, 1.0), (5, 9.0))))


def test_durations_in_words() -> None:
    assert [duration(seconds) for seconds in (0.2, 42, 200, 9000)] == ["1 s", "42 s", "3 minutes", "2.5 hours"]


def test_a_long_curve_keeps_its_ends_and_its_peaks() -> None:
    y = np.random.default_rng(1).random(50_000)
    y[12_345], y[23_456] = 9.0, -9.0
    few = thinned(Curve(np.arange(50_000), y))
    assert len(few.x) <= 600
    assert (few.y.max(), few.y.min(), few.x[0], few.x[-1]) == (9.0, -9.0, 0, 49_999)
    assert np.array_equal(few.y, y[few.x])


def test_a_plan_is_what_the_run_then_does(run: Path) -> None:
    plan, log = plan_of(TINY), read_log(run)
    assert plan.num_steps == STEPS == len(log.training)
    assert list(plan.rates) == [row["learning_rate"] for row in log.training]
    assert log.plan is not None
    assert (log.plan.num_steps, log.plan.rates, log.plan.monitor) == (STEPS, plan.rates, "accuracy")
    assert plan.clip_norm == TrainingSettings().clip_norm


def test_the_small_recipe_is_small() -> None:
    plan = plan_of(small_recipe())
    assert plan.num_steps == 480
    assert max(plan.rates) == 3e-3


def test_a_run_that_has_finished_is_shown(run: Path) -> None:
    panel = panels.training_monitor(run, show="accuracy")
    assert not panel.watch.is_running
    words = panel.sentence()
    assert f"is at step {STEPS} of {STEPS}, epoch 2 and has finished." in words
    held = read_log(run).validation
    best = max(held, key=lambda row: row["accuracy"])
    assert f"best was {best['accuracy']:.3g} after step {best['step']}." in words
    assert "This run has ended: finished." in panel.watch.words.value
    assert panel.watch.bar.value == panel.watch.bar.max == STEPS
    raw, *_ = panel.canvas.data
    assert len(raw.x) == STEPS


@pytest.mark.parametrize(
    ("control", "value"), [("show", "accuracy"), ("show", "learning_rate"), ("axis", "log"), ("smoothing", 0.5)]
)
def test_a_control_changes_picture_and_code(run: Path, control: str, value: Any) -> None:
    panel = panels.training_monitor(run)
    before = [panel.canvas.layout.yaxis.type, *(list(trace.y or ()) for trace in panel.canvas.data)]
    panel.controls[control].value = value
    assert getattr(panel.state, control) == value
    assert [panel.canvas.layout.yaxis.type, *(list(trace.y or ()) for trace in panel.canvas.data)] != before
    assert f"{control}={value!r}" in panel.copy.text


def test_nothing_is_drawn_where_there_is_no_logarithm() -> None:
    panel = panels.training_monitor(recipe=TINY)
    panel._refresh(training=rows([0.0, 1.0, 2.0]), axis="log", smoothing=0.0)
    assert list(panel.canvas.data[1].y) == [None, 1.0, 2.0]


def test_the_copied_code_reproduces_the_view(run: Path) -> None:
    panel = panels.training_monitor(run, show="gradient_norm", axis="log", smoothing=0.5)
    *lines, call = panel.code().splitlines()
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    again = eval(call, scope)
    assert again.state == panel.state
    assert again.sentence() == panel.sentence()


def test_a_page_of_it_plays_the_numbers(run: Path, tmp_path: Path) -> None:
    page = panels.training_monitor(run).to_html(tmp_path / "monitor.html", progress=False).read_text("utf-8")
    assert "Its loss was" in page
    assert "Its gradient norm was" in page


def test_what_stays_in_a_saved_notebook_is_small(run: Path) -> None:
    panel = panels.training_monitor(run)
    data, _ = panel._repr_mimebundle_()
    assert data["text/plain"] == panel.sentence()
    assert 1000 < len(data["image/png"]) < 60_000


def test_a_run_in_another_process_is_followed_as_it_grows(run: Path, tmp_path: Path) -> None:
    """Rows come one by one, half a row among them; the run has ended when its last row is there."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / LAST).write_bytes((run / LAST).read_bytes())  # as it says how long the run is to be
    lines = (run / "training.csv").read_text().splitlines(keepends=True)
    (folder / "training.csv").write_text("".join(lines[:11]))
    panel = panels.training_monitor(folder)
    assert panel.watch.is_running
    assert "step 10 of 24" in panel.sentence()
    with open(folder / "training.csv", "a") as log:
        log.write(lines[11][:7])  # a writer's first half
        log.flush()
        time.sleep(0.2)
        assert panel.view.step == 10
        log.write(lines[11][7:])
        log.flush()
        until(lambda: panel.view.step == 11)
        log.writelines(lines[12:])
    panel.watch.thread.join(300)
    assert panel.view.ended == "finished"
    assert "This run has ended: finished." in panel.watch.words.value
    assert "has finished" in panel.caption.value
    assert len(panel.canvas.data[0].x) == STEPS


def test_who_stops_looking_leaves_the_run_alone(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "training.csv").write_text((run / "training.csv").read_text())
    panel = panels.training_monitor(folder)  # without a checkpoint nobody knows how long it is to be
    assert f"is at step {STEPS}, epoch 2." in panel.sentence()
    panel.watch.cancel.click()
    panel.watch.thread.join(300)
    assert "the run itself goes on" in panel.watch.words.value
    panel.watch.start.click()
    assert panel.watch.is_running
    panel.watch.end()


def test_a_log_that_has_stood_still_is_not_followed_until_asked(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "stopped"
    folder.mkdir()
    (folder / "training.csv").write_text((run / "training.csv").read_text())
    os.utime(folder / "training.csv", (time.time() - 7200, time.time() - 7200))
    panel = panels.training_monitor(folder)
    assert not panel.watch.is_running
    assert "Its last line was written 2.0 hours ago" in panel.watch.words.value


def test_the_view_moves_to_another_folder_and_stays_where_it_cannot(run: Path, tmp_path: Path) -> None:
    panel = panels.training_monitor(recipe=TINY)
    sentence = panel.sentence()
    assert "is at step 0: no loss has been logged yet. It is to take 24 steps" in sentence
    assert sentence.endswith("Start trains tiny.")
    panel.controls["folder"].value = str(tmp_path)
    assert "expected the folder of a run, with training.csv or last.pt in it" in panel.caption.value
    assert "The view stays as it was." in panel.caption.value
    assert panel.sentence() == sentence
    assert panel.controls["folder"].value == panel.state.folder
    panel.controls["folder"].value = str(run)
    assert f"step {STEPS} of {STEPS}" in panel.sentence()
    assert panel.watch.start.description == "Follow"
    assert [name for _, name in panel.controls["show"].options][:2] == ["loss", "accuracy"]


@pytest.mark.slow  # processes that import everything
def test_a_run_is_started_stopped_and_gone_on_with(tmp_path: Path) -> None:
    """In a process of its own; what comes of it is, bit for bit, what an unbroken run gives."""
    slow = TINY.changed({"training.epochs": 400})  # so that there is something to stop
    panel = panels.training_monitor(tmp_path / "mine", slow, show="loss")
    panel.watch.start.click()
    until(lambda: panel.view.step >= 3)
    until(lambda: 'aria-live="off"' in panel.caption.value)  # not read aloud at every look
    with pytest.raises(ValueError, match=r"folder: a training goes on in .*press Stop"):
        panel.show(folder=str(tmp_path))
    panel.controls["folder"].value = str(tmp_path)
    stands = "press Stop before you leave it. The view stays as it was. The run"
    until(lambda: stands in panel.caption.value)  # when the run has gone on, too: there is time to read it
    panel.controls["smoothing"].value = 0.0
    assert "press Stop" not in panel.caption.value
    panel.watch.cancel.click()
    panel.watch.thread.join(300)
    stopped_at = panel.view.step
    assert 3 <= stopped_at < 4800
    assert f"Stopped after step {stopped_at}, saved in" in panel.watch.words.value
    assert 'aria-live="polite"' in panel.caption.value
    assert open_checkpoint(tmp_path / "mine" / LAST)["step"] == stopped_at
    assert [row["step"] for row in panel.state.training] == list(range(1, stopped_at + 1))

    panel.watch.start.click()
    until(lambda: panel.view.step > stopped_at)
    panel.watch.end()
    reached = panel.view.step
    until_there = StopAt(reached)
    unbroken = slow.changed({"training.checkpoint_every": None})
    whole = train_recipe(unbroken, None, progress=False, callbacks=[until_there], stop=until_there.stop).training
    assert list(panel.state.training) == whole


class StopAt(Callback):
    """Ends a training after so many steps."""

    def __init__(self, step: int) -> None:
        self.step, self.stop = step, threading.Event()

    def on_step(self, row: Row) -> None:
        if row["step"] == self.step:
            self.stop.set()


class Here:
    """Stands for a `TrainingProcess`: trains at once, and is done."""

    is_running = False

    def __init__(self, recipe: Recipe, folder: Path, device: str) -> None:
        self.work = lambda: train_recipe(recipe, folder, resume=(folder / LAST).exists(), progress=False).ended

    def stop(self) -> None:
        pass

    def result(self) -> str:
        return self.work()


def test_a_run_that_has_ended_stays_and_another_begins_beside_it(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_monitor_panel, "TrainingProcess", Here)
    panel = panels.training_monitor(run, TINY, show="accuracy")
    before = (run / "training.csv").read_bytes()
    panel.watch.start.click()
    panel.watch.thread.join(300)
    assert panel.state.folder == f"{run}-2"
    assert f"Finished: {STEPS} steps." in panel.watch.words.value
    assert (run / "training.csv").read_bytes() == before == Path(f"{run}-2", "training.csv").read_bytes()
    assert Path(f"{run}-2", BEST).exists()
    assert panel.state.show == "accuracy"
    assert latest_of(run) == Path(f"{run}-2")
    assert free_beside(Path(f"{run}-2")) == Path(f"{run}-3")


@pytest.mark.slow  # processes that import everything
def test_the_process_ends_by_itself_when_nobody_is_there_any_more(tmp_path: Path) -> None:
    """As when the kernel of a notebook is gone: its end of the pipe is closed."""
    process = TrainingProcess(TINY.changed({"training.epochs": 4000}), tmp_path / "left")
    until(lambda: (tmp_path / "left" / "training.csv").exists())
    process.child.stdin.close()
    assert process.child.wait(300) == 0
    assert json.loads(process_said(process))["ended"] == "interrupted"
    steps = len(read_log(tmp_path / "left").training)
    assert open_checkpoint(tmp_path / "left" / LAST)["step"] == steps


def process_said(process: TrainingProcess) -> str:
    process.reader.join()
    return process.said[0].splitlines()[-1]


def test_what_cannot_be_trained_is_told_and_the_checkpoint_stays(tmp_path: Path) -> None:
    """Half a run, by other settings than those that are now wanted."""
    folder = tmp_path / "other"
    stop = threading.Event()
    stop.set()
    train_recipe(TINY.changed({"training.seed": 5}), folder, progress=False, stop=stop)
    before = (folder / LAST).read_bytes()
    for path in folder.iterdir():
        os.utime(path, (time.time() - 2 * FRESH_S,) * 2)
    panel = panels.training_monitor(folder, TINY)
    panel.watch.start.click()
    panel.watch.thread.join(300)
    assert "It could not go on:" in panel.watch.words.value
    assert "was trained with seed = 5, and now it is 0" in panel.watch.words.value
    assert (folder / LAST).read_bytes() == before
    assert not panel.watch.start.disabled


def test_a_folder_to_which_somebody_writes_is_left_to_them(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "busy"
    folder.mkdir()
    (folder / LAST).write_bytes((run / LAST).read_bytes())
    panel = panels.training_monitor(folder, TINY)
    panel.watch.start.click()
    assert not panel.watch.is_running
    assert "a moment ago: look on with panels.training_monitor(" in panel.watch.words.value


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"show": "sharpness"}, "show: expected one of 'loss', 'learning_rate', 'gradient_norm', got 'sharpness'"),
        ({"axis": "root"}, "axis: expected one of 'linear', 'log', got 'root'"),
        ({"smoothing": 1.0}, "smoothing: expected a number of at least 0 and below 1, got 1.0"),
        ({"training": ({"loss": 1.0},)}, "training: expected rows as .*read_rows gives them.*got a dict"),
    ],
)
def test_what_cannot_be_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compute(State(**changes))


def test_bad_folders_and_recipes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"folder: expected the folder of a run.*nowhere, and there is no such folder"):
        panels.training_monitor(tmp_path / "nowhere")
    (tmp_path / "letters.txt").write_text("dear")
    with pytest.raises(ValueError, match=r"folder: .*which holds letters\.txt"):
        panels.training_monitor(tmp_path)
    with pytest.raises(ValueError, match=r"folder: .*letters\.txt, a file"):
        panels.training_monitor(tmp_path / "letters.txt")
    (tmp_path / "training.csv").write_text("time,loss\n1,2\n")
    with pytest.raises(ValueError, match="folder: expected logs with a column 'step'"):
        panels.training_monitor(tmp_path)
    with pytest.raises(ValueError, match=r"recipe: tiny: \[training\] batch_size: expected a whole number"):
        panels.training_monitor(recipe=TINY.changed({"training.batch_size": 0}))
    with pytest.raises(ValueError, match="recipe: batch_size: expected at most the 48 clips"):
        panels.training_monitor(recipe=TINY.changed({"training.batch_size": 64}))
