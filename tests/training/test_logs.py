"""What a run tells: files that survive a kill, TensorBoard, the bar and the curve."""

import sys
import types

import pytest
from training.tiny_runs import STEPS, tiny_train

from vmamba_edu.models.checkpoints import CheckpointError
from vmamba_edu.training import Callback, CsvLog, LiveCurve, TensorBoardLog, progress
from vmamba_edu.training.logs import TRAINING, VALIDATION, read_rows

ROWS = [{"step": step, "epoch": 1, "loss": 1 / step} for step in (1, 2, 3)]


def test_rows_come_back_to_the_last_bit(tmp_path):
    history = tiny_train(tmp_path)
    assert read_rows(tmp_path / TRAINING) == history.training
    assert read_rows(tmp_path / VALIDATION) == history.validation


def test_a_run_that_goes_on_drops_what_came_after_its_checkpoint(tmp_path):
    log = CsvLog(tmp_path)
    for row in ROWS:
        log.on_step(row)
    with open(tmp_path / TRAINING, "a") as file:
        file.write("4,1,0.")  # killed while writing: 0. is a number, but the row says step 4, after the checkpoint
    log.on_start(2, 9)
    assert read_rows(tmp_path / TRAINING) == ROWS[:2]
    log.on_step(ROWS[2])
    assert read_rows(tmp_path / TRAINING) == ROWS
    log.on_start(0, 9)
    assert not (tmp_path / TRAINING).exists()


@pytest.mark.parametrize("broken", ["4", "4,1", "4,1,", "x,1,2"])
def test_a_broken_row_is_left_out(tmp_path, broken):
    CsvLog(tmp_path).on_step(ROWS[0])
    with open(tmp_path / TRAINING, "a") as file:
        file.write(broken)
    assert read_rows(tmp_path / TRAINING) == ROWS[:1]


def test_no_file_is_no_rows(tmp_path):
    assert read_rows(tmp_path / TRAINING) == []


def test_a_log_that_cannot_be_written_is_one_clear_error(tmp_path):
    with pytest.raises(CheckpointError, match=r"training.csv: cannot be written \(No such file or directory\); free"):
        CsvLog(tmp_path / "nowhere").on_step(ROWS[0])


def test_tensorboard_is_named_where_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorboard"):
        TensorBoardLog(tmp_path)


def test_tensorboard_gets_every_number(monkeypatch, tmp_path):
    told: list[tuple] = []

    class Writer:
        def __init__(self, folder: str, purge_step: int | None):
            told.append((folder, purge_step))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            told.append((name, value, step))

        def close(self) -> None:
            told.append(("closed",))

    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", types.SimpleNamespace(SummaryWriter=Writer))
    history = tiny_train(callbacks=[TensorBoardLog(tmp_path)])
    assert told[0] == (str(tmp_path), None)
    assert told[-1] == ("closed",)
    assert ("training/loss", history.training[3]["loss"], 4) in told
    assert ("validation/loss", history.validation[-1]["loss"], STEPS) in told


def test_tensorboard_reads_back_what_was_logged(tmp_path):
    """With TensorBoard itself, where it is installed: after a run that was killed and went on, every step once."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    log = TensorBoardLog(tmp_path)
    log.on_start(0, 9)
    for row in ROWS:
        log.on_step(row)
    log.on_end()
    log = TensorBoardLog(tmp_path)
    log.on_start(2, 9)  # its last checkpoint was that of step 2
    log.on_step({"step": 3, "epoch": 1, "loss": 0.25})
    log.on_validation({"step": 3, "epoch": 1, "loss": 0.5})
    log.on_end()
    events = reader.EventAccumulator(str(tmp_path)).Reload()
    assert set(events.Tags()["scalars"]) == {"training/epoch", "training/loss", "validation/epoch", "validation/loss"}
    assert [(event.step, event.value) for event in events.Scalars("training/loss")] == [(1, 1.0), (2, 0.5), (3, 0.25)]
    assert [(event.step, event.value) for event in events.Scalars("validation/loss")] == [(3, 0.5)]


def test_the_bar_counts_steps_and_says_what_was_measured(capsys):
    tiny_train(progress=True)
    said = capsys.readouterr().err
    assert f"{STEPS}/{STEPS}" in said
    assert "validation loss" in said


class Shown:
    """Stands in for a notebook: what is displayed, and how often it is replaced."""

    def __init__(self) -> None:
        self.pictures: list = []

    def display(self, picture: object, display_id: bool) -> "Shown":
        self.pictures.append(picture)
        return self

    def update(self, picture: object) -> None:
        self.pictures.append(picture)


def test_the_curve_is_one_picture_that_is_replaced(monkeypatch):
    display = pytest.importorskip("IPython.display")
    pytest.importorskip("matplotlib")
    shown = Shown()
    monkeypatch.setattr(progress, "_in_ipython", lambda: True)
    monkeypatch.setattr(display, "display", shown.display)
    curve = LiveCurve(seconds=0.0)
    history = tiny_train(callbacks=[curve])
    assert len(shown.pictures) == STEPS + 3 + 1  # steps, validations, the end
    last = shown.pictures[-1]
    assert last.data.startswith(b"\x89PNG")
    first, final = history.training[0]["loss"], history.training[-1]["loss"]
    assert f"training from {first:.3g} to {final:.3g} at step {STEPS}" in last.alt
    assert "validation from" in last.alt
    shown_as = last._repr_mimebundle_()
    assert f'alt="{last.alt}"' in shown_as["text/html"], "JupyterLab has no other place for it"
    assert shown_as["text/plain"] == last.alt


def test_the_curve_is_not_redrawn_more_often_than_asked(monkeypatch):
    display = pytest.importorskip("IPython.display")
    pytest.importorskip("matplotlib")
    shown = Shown()
    monkeypatch.setattr(progress, "_in_ipython", lambda: True)
    monkeypatch.setattr(display, "display", shown.display)
    tiny_train(callbacks=[LiveCurve(seconds=1e9)])
    assert len(shown.pictures) == 2  # the first point, and the end


def test_outside_a_notebook_the_curve_is_silent(monkeypatch):
    monkeypatch.setattr(LiveCurve, "png", lambda self: pytest.fail("nobody would see it"))
    tiny_train(callbacks=[LiveCurve()])


def test_the_curve_names_what_to_install(monkeypatch):
    monkeypatch.setattr(progress, "_in_ipython", lambda: True)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'vmamba-edu\[lab\]'"):
        LiveCurve()


def test_listeners_hear_the_end_when_a_run_fails():
    heard: list[str] = []

    class Listener(Callback):
        def on_step(self, row: dict[str, float]) -> None:
            raise ArithmeticError("mine")

        def on_end(self) -> None:
            heard.append("end")

    with pytest.raises(ArithmeticError, match="mine"):
        tiny_train(callbacks=[Listener()])
    assert heard == ["end"]
