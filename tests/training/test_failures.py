"""What goes wrong in a run is said in one line, and nothing is lost by it."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training.tiny_runs import SETTINGS, Classify, Clips, tiny_model, tiny_train

from vmamba_edu.models.checkpoints import CheckpointError
from vmamba_edu.training import NotFiniteError, checkpointing
from vmamba_edu.training.checkpointing import BEST, LAST, open_checkpoint, save_checkpoint, trained_weights

PLAIN = replace(SETTINGS, ema_decay=None, patience=None)
CONTENT = {"weights": torch.arange(5000.0)}


class Spoiled(Classify):
    """Answers as it should until a step, and then something is not finite."""

    def __init__(self, step: int, what: str):
        super().__init__()
        self.step, self.what = step, what

    def forward(self, model: torch.nn.Module, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
        parts = super().forward(model, batch)
        if batch["step"] == self.step:
            if self.what == "gradient":  # the root of 0 is 0, and its slope is not finite
                parts["loss"] = parts["loss"] + (self.temperature - self.temperature.detach()).abs().sqrt()
            else:
                parts[self.what] = parts[self.what] * torch.nan
        return parts


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("loss", "the part 'loss' of the objective is nan; first weight that is not finite: none"),
        ("accuracy", "the part 'accuracy' of the objective is nan"),
        ("gradient", "the norm of the gradient is nan; .*first gradient: objective.temperature"),
    ],
)
def test_what_is_not_finite_stops_the_run_and_says_where(tmp_path, what, said):
    model, healthy = tiny_model(), tiny_model()
    with pytest.raises(NotFiniteError, match=rf"^step 7 \(epoch 2, batch 2\): {said}") as caught:
        tiny_train(tmp_path, model=model, objective=Spoiled(6, what), settings=PLAIN)
    assert "\n" not in str(caught.value)
    assert open_checkpoint(tmp_path / LAST)["step"] == 6
    for name, value in open_checkpoint(tmp_path / LAST)["model"].items():
        assert torch.equal(model.state_dict()[name], value), "the model is as it was before the bad step"
    tiny_train(tmp_path, model=model, objective=Spoiled(99, what), settings=PLAIN)  # goes on from there
    tiny_train(model=healthy, objective=Spoiled(99, what), settings=PLAIN)
    assert all(torch.equal(value, healthy.state_dict()[name]) for name, value in model.state_dict().items())


def test_weights_that_a_step_has_ruined_never_replace_a_good_checkpoint(tmp_path):
    settings = replace(PLAIN, learning_rate=1e37, warmup_steps=0, checkpoint_every=1)
    with pytest.raises(NotFiniteError, match="not finite"):
        tiny_train(tmp_path, settings=settings)
    assert all(torch.isfinite(value).all() for value in open_checkpoint(tmp_path / LAST)["model"].values())


def test_the_first_weight_that_is_not_finite_is_named():
    model = tiny_model()
    with torch.no_grad():
        model.layers[0].mixer.D[1] = torch.nan
    with pytest.raises(NotFiniteError, match=r"first weight that is not finite: layers.0.mixer.D;"):
        tiny_train(model=model, settings=PLAIN)


class FullDisk:
    """A file on a disk that is full after so many bytes."""

    def __init__(self, path: Path, room: int):
        self.file, self.room = open(path, "wb"), room  # noqa: SIM115 (closed as a file is)

    def write(self, data: bytes) -> int:
        self.room -= len(data)
        if self.room < 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.file.write(data)

    def __enter__(self) -> "FullDisk":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


@pytest.mark.parametrize("room", [0, 700, 10_000])
def test_a_full_disk_is_one_clear_error_and_the_checkpoint_before_stays(tmp_path, monkeypatch, room):
    path = save_checkpoint(CONTENT, tmp_path / LAST)
    monkeypatch.setattr(checkpointing, "_open_to_write", lambda path: FullDisk(path, room))
    message = (
        r"last.pt: cannot be written \(No space left on device\); free some space; last.pt is still the one before"
    )
    with pytest.raises(CheckpointError, match=message):
        save_checkpoint({"weights": torch.zeros(9000)}, path)
    assert torch.equal(open_checkpoint(path)["weights"], CONTENT["weights"])
    assert [file.name for file in tmp_path.iterdir()] == [LAST]


def test_a_limit_of_the_operating_system_is_a_full_disk(tmp_path):
    resource = pytest.importorskip("resource")
    path = save_checkpoint(CONTENT, tmp_path / LAST)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8000, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"cannot be written .*; free some space; last.pt is still the one"):
            save_checkpoint(CONTENT, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.equal(open_checkpoint(path)["weights"], CONTENT["weights"])
    assert [file.name for file in tmp_path.iterdir()] == [LAST]


def test_a_disk_that_fills_up_during_a_run_costs_the_steps_since_the_last_checkpoint(tmp_path, monkeypatch):
    opened = checkpointing._open_to_write
    count = iter(range(100))
    with monkeypatch.context() as patch:
        patch.setattr(
            checkpointing, "_open_to_write", lambda path: FullDisk(path, 500) if next(count) == 4 else opened(path)
        )
        with pytest.raises(CheckpointError, match="No space left on device"):
            tiny_train(tmp_path, settings=PLAIN)
    resumed, unbroken = tiny_model(), tiny_model()
    tiny_train(tmp_path, model=resumed, settings=PLAIN)
    tiny_train(model=unbroken, settings=PLAIN)
    assert all(torch.equal(value, unbroken.state_dict()[name]) for name, value in resumed.state_dict().items())


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS])
def test_a_folder_that_cannot_be_written_is_known_before_the_first_step(tmp_path, monkeypatch, number):
    def refuse(path: Path) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(checkpointing, "_open_to_write", refuse)
    model = tiny_model()
    with pytest.raises(CheckpointError, match=r"cannot be written \(.*\); give a run folder that can be written$"):
        tiny_train(tmp_path, model=model)
    assert all(torch.equal(value, tiny_model().state_dict()[name]) for name, value in model.state_dict().items())


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(CheckpointError, match="Permission denied"):
            tiny_train(tmp_path / "run")
    finally:
        tmp_path.chmod(0o700)


def test_a_run_folder_below_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match=r"run: cannot be made \(Not a directory\); give a run folder"):
        tiny_train(tmp_path / "file" / "run")


def test_a_folder_that_holds_a_run_is_not_written_over(tmp_path):
    tiny_train(tmp_path)
    before = (tmp_path / LAST).read_bytes()
    with pytest.raises(CheckpointError, match="holds a run already; resume it, or give another folder"):
        tiny_train(tmp_path, resume=False)
    assert (tmp_path / LAST).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": tiny_model(embed_dim=16)}, "is of another model .*instead of"),
        ({"model": tiny_model(depth=2)}, "is of another model .*missing: layers.1"),
        ({"objective": lambda model, batch: {}}, "is of another objective .*unexpected: temperature"),
        ({"data": Clips(25)}, "was trained on 21 samples, and now there are 25"),
        ({"settings": replace(SETTINGS, seed=4)}, "was trained with seed = 3, and now it is 4; go on with"),
        ({"settings": replace(SETTINGS, batch_size=5)}, "was trained with batch_size = 4, and now it is 5"),
    ],
)
def test_the_checkpoint_of_another_run_is_refused_and_nothing_changed(tmp_path, options, message):
    tiny_train(tmp_path, settings=replace(SETTINGS, epochs=3))
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    model = options.get("model") or tiny_model()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(CheckpointError, match=message) as caught:
        tiny_train(tmp_path, **{"model": model} | options)
    assert "\n" not in str(caught.value)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == files


def test_workers_and_the_rhythm_of_checkpoints_may_change(tmp_path):
    tiny_train(tmp_path)
    tiny_train(tmp_path, settings=replace(SETTINGS, checkpoint_every=7))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "there is no such file; give the last.pt or best.pt of a run folder"),
        (lambda path: path.mkdir(), "is a folder; give the last.pt or best.pt"),
        (lambda path: path.write_bytes(b""), "is damaged or no checkpoint"),
        (lambda path: path.write_text("hello"), "is damaged or no checkpoint"),
        (lambda path: torch.save({"model": {}}, path), "is not a checkpoint of a training run of this version"),
    ],
)
def test_what_is_no_checkpoint_is_said(tmp_path, make, message):
    make(tmp_path / "a.pt")
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(tmp_path / "a.pt")


def test_a_checkpoint_cut_in_half_is_said(tmp_path):
    path = save_checkpoint(CONTENT, tmp_path / LAST)
    path.write_bytes(path.read_bytes()[:9000])
    with pytest.raises(CheckpointError, match="is damaged or no checkpoint"):
        open_checkpoint(path)


def test_a_checkpoint_cannot_bring_code(tmp_path):
    class Evil:
        def __reduce__(self) -> tuple:
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"format": checkpointing.FORMAT, "evil": Evil()}, tmp_path / "a.pt")
    with pytest.raises(CheckpointError):
        open_checkpoint(tmp_path / "a.pt")
    assert not (tmp_path / "made").exists()


def test_metadata_and_architecture_come_back(tmp_path):
    tiny_train(tmp_path, metadata={"classes": ["a", "b", "c"]})
    content = open_checkpoint(tmp_path / BEST)
    assert content["metadata"] == {"classes": ["a", "b", "c"]}
    assert content["architecture"]["class"] == "VideoMamba"
    assert content["architecture"]["config"]["embed_dim"] == 8
    assert trained_weights(content).keys() == tiny_model().state_dict().keys()
