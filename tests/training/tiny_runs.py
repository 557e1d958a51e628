"""Runs so small that they can be killed and repeated: one block, random clips, an objective that learns.

Everything that must survive a kill takes part: the data draws from all three generators, the model drops paths, the
objective has a parameter and draws, the weights are averaged, validation is watched.
"""

import multiprocessing
import os
import random
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from vmamba_edu import create_model
from vmamba_edu.training import Callback, History, TrainingSettings, checkpointing, train

SETTINGS = TrainingSettings(
    epochs=3, batch_size=4, learning_rate=1e-2, warmup_steps=2, ema_decay=0.5, checkpoint_every=2, patience=5, seed=3
)
STEPS_PER_EPOCH, STEPS = 5, 15
RECIPE = """
[model]
name = "videomamba_tiny"
embed_dim = 8
depth = 1
d_state = 4
img_size = 16
patch_size = 8
num_frames = 2
drop_path_rate = 0.1

[data]
name = "moving_digits"
train = 24
validation = 8

[objective]
name = "supervised"

[training]
epochs = 1
batch_size = 4
checkpoint_every = 5
precision = "float32"
"""
"""Where a run has to begin from a file: six steps; `write_recipe` replaces lines."""


def tiny_model(**overrides: Any) -> nn.Module:
    """One block on 1 + 2 tokens; the same weights at every call."""
    size = {"embed_dim": 8, "depth": 1, "img_size": 8, "patch_size": 8, "num_frames": 2, "num_classes": 3, "d_state": 4}
    torch.manual_seed(0)
    return create_model("videomamba_tiny", **size | {"drop_path_rate": 0.5} | overrides).set_backend("reference")


class Clips(Dataset):
    """Clips of one brightness each, which is their label, in noise that is drawn anew each time they are asked for."""

    def __init__(self, length: int = 21, split: str = "train"):
        self.length = length
        self.split = split

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> dict[str, Any]:
        noise = torch.randn(3, 2, 8, 8) + np.random.rand() + random.random()  # noqa: NPY002
        return {"clip": noise + index % 3, "label": index % 3, "caption": f"clip {index}", "index": index}


class Classify(nn.Module):
    """Cross entropy at a temperature that is learned, with noise on the logits."""

    def __init__(self) -> None:
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(()))

    def forward(self, model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        logits = model(batch["clip"])
        loss = F.cross_entropy((logits + 0.1 * torch.randn_like(logits)) * self.temperature, batch["label"])
        return {"loss": loss, "accuracy": (logits.argmax(-1) == batch["label"]).double().mean()}


def tiny_train(run_folder: Path | None = None, **options: Any) -> History:
    """Train, or go on."""
    given = {"objective": Classify(), "data": Clips(), "settings": SETTINGS}
    if "model" not in options:
        given["model"] = tiny_model()
    given |= {"validation": Clips(7, "validation"), "progress": False, "resume": run_folder is not None} | options
    return train(
        given.pop("model"),
        given.pop("objective"),
        given.pop("data"),
        given.pop("settings"),
        run_folder=run_folder,
        **given,
    )


def run_and_die(folder: Path, moment: str, number: int = 0, num_workers: int = 0) -> None:
    """Go on with the run in a folder, in a process of its own, and be killed as kill -9 kills.

    Args:
        moment: "never"; after "step" or "validation" `number`; while byte `number` of the third checkpoint that this
            process writes is being "written"; just before ("unnamed") or after ("named") checkpoint `number` gets its
            name.
    """
    torch.set_num_threads(1)
    multiprocessing.set_start_method("fork", force=True)  # of a DataLoader's workers; a fork server passes on itself
    settings = replace(SETTINGS, num_workers=num_workers)
    {"written": _die_writing, "unnamed": _die_naming, "named": _die_naming}.get(moment, lambda *_: None)(moment, number)
    tiny_train(folder, settings=settings, callbacks=[Killer(moment, number)])


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Killer(Callback):
    """Kills its own process after so many steps or validations of the run."""

    def __init__(self, moment: str, number: int):
        self.moment, self.number = moment, number

    def on_step(self, row: dict[str, float]) -> None:
        if self.moment == "step" and row["step"] == self.number:
            die()

    def on_validation(self, row: dict[str, float]) -> None:
        if self.moment == "validation" and row["epoch"] == self.number:
            die()


class DyingFile:
    """A file whose writer is killed once so many bytes are in it."""

    def __init__(self, file: IO[bytes], limit: int):
        self.file, self.left = file, limit

    def write(self, data: bytes) -> int:
        self.left -= len(data)
        written = self.file.write(data[: self.left] if self.left < 0 else data)
        if self.left < 0:
            self.file.flush()
            die()
        return written

    def __enter__(self) -> "DyingFile":
        return self

    def __exit__(self, *_: object) -> None:
        self.file.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


def _die_writing(moment: str, number: int) -> None:
    opened, count = checkpointing._open_to_write, iter(range(1000))

    def open_third(path: Path) -> Any:
        file = opened(path)
        return DyingFile(file, number) if next(count) == 2 else file

    checkpointing._open_to_write = open_third


def _die_naming(moment: str, number: int) -> None:
    rename: Callable = os.replace
    count = iter(range(1000))

    def replace(source: Any, target: Any) -> None:
        if not str(target).endswith(".pt") or next(count) != number:
            rename(source, target)
            return
        if moment == "named":
            rename(source, target)
        die()

    os.replace = replace  # type: ignore[assignment]
