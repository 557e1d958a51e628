"""Reading checkpoint files: every published layout, and one clear error for everything that is none."""

import argparse
import os
import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from agreement import small_model
from safetensors.torch import save_file

from vmamba_edu.models import CheckpointError, load_checkpoint
from vmamba_edu.models.checkpoints import read_checkpoint

WEIGHTS = {"layers.0.norm.weight": torch.arange(3.0), "cls_token": torch.ones(1, 1, 3)}
RUN = {
    "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1e-3, "params": [0]}]},
    "epoch": 49,
    "scaler": {"scale": 65536.0},
    "args": argparse.Namespace(lr=1e-3, opt_betas=(0.9, 0.95), model="videomamba_tiny", nested=argparse.Namespace(a=1)),
    "max_accuracy": np.float64(78.1),
    "steps": np.int64(4),
    "done": np.bool_(True),
    "best": np.float32(0.5),
}
LAYOUTS = {
    "model": {"model": WEIGHTS, **RUN},
    "module": {"module": WEIGHTS, **RUN},
    "state_dict": {"state_dict": WEIGHTS},
    "bare": WEIGHTS,
    "both": {"module": {"a": torch.zeros(1)}, "model": WEIGHTS},  # the published code looks for `model` first
    "parameters": {"model": {name: torch.nn.Parameter(value) for name, value in WEIGHTS.items()}},
    "with a number": {**WEIGHTS, "epoch": 3},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("suffix", [".pth", ".pt", ".bin"])
def test_every_layout_gives_the_same_weights(tmp_path, layout, suffix):
    file = tmp_path / f"a{suffix}"
    torch.save(LAYOUTS[layout], file)
    assert_is_weights(read_checkpoint(file))
    torch.save(LAYOUTS[layout], file, _use_new_zipfile_serialization=False)  # as before torch 1.6
    assert_is_weights(read_checkpoint(file))


def test_safetensors_give_the_same_weights(tmp_path):
    save_file(WEIGHTS, tmp_path / "a.safetensors")
    assert_is_weights(read_checkpoint(tmp_path / "a.safetensors"))


def assert_is_weights(read: dict) -> None:
    assert read.keys() == WEIGHTS.keys()
    assert all(torch.equal(read[name], WEIGHTS[name]) for name in WEIGHTS)


def test_scalars_of_older_numpy_are_read_too(tmp_path):
    """They name their maker where NumPy 1 had it."""
    torch.save(LAYOUTS["model"], tmp_path / "a.pth", _use_new_zipfile_serialization=False)
    content = (tmp_path / "a.pth").read_bytes()
    old = content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert old != content
    (tmp_path / "a.pth").write_bytes(old)
    assert_is_weights(read_checkpoint(tmp_path / "a.pth"))


class Trap:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def torch_pickle(folder: Path) -> Path:
    torch.save({"model": WEIGHTS, "args": Trap(folder / "ran")}, folder / "a.pth")
    return folder / "a.pth"


def old_torch_pickle(folder: Path) -> Path:
    torch.save({"model": WEIGHTS, "args": Trap(folder / "ran")}, folder / "a.pth", _use_new_zipfile_serialization=False)
    return folder / "a.pth"


def plain_pickle(folder: Path) -> Path:
    (folder / "a.pth").write_bytes(pickle.dumps({"model": Trap(folder / "ran")}))
    return folder / "a.pth"


def oldest_pickle(folder: Path) -> Path:
    (folder / "a.pth").write_bytes(pickle.dumps(Trap(folder / "ran"), protocol=0))
    return folder / "a.pth"


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("make", [torch_pickle, old_torch_pickle, plain_pickle, oldest_pickle])
def test_code_in_a_pickle_is_named_and_never_run(tmp_path, make):
    file = make(tmp_path)
    with pytest.raises(
        CheckpointError, match=r"a\.pth is a pickle that asks for (posix|nt)\.system\. That may be code"
    ):
        read_checkpoint(file)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "value", [Path("x"), np.zeros(3), torch.nn.Linear(1, 1), print], ids=["path", "array", "module", "f"]
)
def test_what_is_not_on_the_list_is_refused(tmp_path, value):
    torch.save({"model": WEIGHTS, "extra": value}, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match="is a pickle that asks for"):
        read_checkpoint(tmp_path / "a.pth")


def test_the_list_is_open_for_one_call_alone(tmp_path):
    torch.save(LAYOUTS["model"], tmp_path / "a.pth")
    read_checkpoint(tmp_path / "a.pth")
    with pytest.raises(CheckpointError):
        read_checkpoint(torch_pickle(tmp_path))
    assert argparse.Namespace not in torch.serialization.get_safe_globals()


@pytest.mark.parametrize("kept", [0.03, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("kind", ["zip", "old", "safetensors"])
def test_a_truncated_file_is_called_so(tmp_path, kind, kept):
    file = tmp_path / ("a.safetensors" if kind == "safetensors" else "a.pth")
    if kind == "safetensors":
        save_file(WEIGHTS, file)
    else:
        torch.save(LAYOUTS["model"], file, _use_new_zipfile_serialization=kind == "zip")
    content = file.read_bytes()
    file.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(CheckpointError, match=rf"{file.name} is cut off"):
        read_checkpoint(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "a.pth is empty; download it again"),
        (b"\n <!DOCTYPE html><html>404</html>", "a.pth is no checkpoint but a web page"),
        (b"<HTML><body>log in</body></HTML>", "a.pth is no checkpoint but a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "a.pth is a pointer of Git LFS"),
        (b"once upon a time", "a.pth is cut off or damaged, or no checkpoint at all"),
        (bytes(range(256)) * 4, "a.pth is cut off or damaged, or no checkpoint at all"),
    ],
    ids=["empty", "page", "page in capitals", "lfs", "text", "noise"],
)
def test_what_is_no_checkpoint_is_told(tmp_path, content, message):
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "a.pth")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "expected weights by name in a.pth, got list"),
        (None, "expected weights by name in a.pth, got NoneType"),
        ({"epoch": 3}, "there are no weights in a.pth, only epoch"),
        ({"model": {}}, "there are no weights in a.pth, only nothing"),
        (torch.zeros(3), "expected weights by name in a.pth, got Tensor"),
    ],
)
def test_a_file_without_weights_is_told(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(tmp_path / "a.pth")


def test_a_folder_a_missing_file_and_a_strange_name_are_told(tmp_path):
    (tmp_path / "notes.txt").write_text("x")
    model = small_model()
    for source, error, message in (
        (tmp_path, IsADirectoryError, r"expected a file \(\.safetensors, .*\), got the folder"),
        (tmp_path / "none.pth", FileNotFoundError, r"there is no file .*none\.pth"),
        (str(tmp_path / "none.pth"), FileNotFoundError, r"there is no file .*none\.pth"),
        ("none.pth", FileNotFoundError, r"there is no file none\.pth$"),
        (tmp_path / "notes.txt", CheckpointError, r"expected a name ending in \.safetensors, .*, got notes\.txt"),
    ):
        with pytest.raises(error, match=message):
            load_checkpoint(model, source)


def test_a_checkpoint_in_memory_is_read_the_same_way():
    model, other = small_model(), small_model()
    with torch.no_grad():
        model.cls_token.fill_(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = load_checkpoint(other, {"model": model.state_dict(), "epoch": 3})
    assert torch.equal(other.cls_token, model.cls_token)
    assert str(report).startswith("the checkpoint: 42 of the model's 42 tensors loaded")
