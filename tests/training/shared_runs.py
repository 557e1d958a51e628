"""Runs whose every number is the same in one process and in several, as processes are told to do them."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from small_video_text import CAPTIONS
from small_video_text import tiny_model as tiny_video_text
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from training.tiny_runs import Clips, die, tiny_model

from vmamba_edu.training import History, TrainingSettings, train
from vmamba_edu.training.objectives import LossWeights, Supervised, VideoText
from vmamba_edu.training.processes import launched
from vmamba_edu.training.state import TrainingState

PLAIN = TrainingSettings(epochs=2, batch_size=4, learning_rate=1e-2, ema_decay=0.5, seed=3)
SETTINGS = TrainingSettings(
    epochs=3, batch_size=4, learning_rate=1e-2, ema_decay=0.5, clip_norm=0.5, checkpoint_every=2, patience=2, seed=3
)


class DoubleClips(Clips):
    """In double precision, and drawn by their place alone, whichever process asks."""

    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        return sample | {"clip": sample["clip"].double()}


def told(history: History, model: nn.Module) -> dict[str, Any]:
    return {"training": history.training, "validation": history.validation, "weights": model.state_dict()}


def supervised() -> dict[str, Any]:
    """A run whose clips are drawn, whose weights are averaged, and which is validated on batches of unequal size."""
    model = tiny_model(drop_path_rate=0.0).double()
    data, held_out = DoubleClips(21), DoubleClips(7, "validation")
    return told(train(model, Supervised(), data, PLAIN, validation=held_out, progress=False), model)


class Captioned(Clips):
    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"clip": torch.randn(3, 4, 16, 16).double(), "caption": CAPTIONS[index % 4], "index": index % 4}


def contrastive() -> dict[str, Any]:
    model, tokeniser = tiny_video_text()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # what one process drops, two would not
    weights = LossWeights(contrast=1.0, matching=0.0, words=0.0)
    objective = VideoText(tokeniser, weights, gathered_gradient="whole")
    return told(train(model.double(), objective, Captioned(16), PLAIN, progress=False), model) | {"validation": None}


def not_finite() -> str:
    """A run in which one process meets a loss that is not finite."""

    class Breaking(Supervised):
        def __call__(self, model: nn.Module, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
            parts = super().__call__(model, batch)
            broken = batch["step"] == 2 and os.environ["RANK"] == "1"
            return parts | {"loss": parts["loss"] * (float("nan") if broken else 1)}

    try:
        train(tiny_model(), Breaking(), Clips(), PLAIN, progress=False)
    except ArithmeticError as error:
        return str(error)
    return "no error"


class Tempered(nn.Module):
    """Cross entropy at a temperature that is learned, which has no axis and is the objective's own.

    Args:
        breaks_at: the step at which its loss is not a number, in the last process alone; None for never.
        dies: whether that process is killed there instead.
    """

    def __init__(self, breaks_at: int | None = None, dies: bool = False):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones((), dtype=torch.float64))
        self.breaks_at, self.dies = breaks_at, dies

    def forward(self, model: nn.Module, batch: dict[str, Any]) -> dict[str, Tensor]:
        is_last = os.environ.get("RANK", "0") == str(int(os.environ.get("WORLD_SIZE", "1")) - 1)
        breaks = self.training and batch["step"] == self.breaks_at and is_last
        if breaks and self.dies:
            die()
        loss = F.cross_entropy(model(batch["clip"]) * self.temperature, batch["label"])
        return {"loss": loss * (float("nan") if breaks else 1)}


def run(folder: Path | None = None, breaks_at: int | None = None, dies: bool = False, **changed: Any) -> dict[str, Any]:
    """Two blocks, clipped gradients, a moving average, a validation on batches of unequal number; goes on if it can."""
    model, objective = tiny_model(drop_path_rate=0.0, depth=2).double(), Tempered(breaks_at, dies)
    data, held_out = DoubleClips(21), DoubleClips(9, "validation")
    settings = replace(SETTINGS, **changed)
    options = {"validation": held_out, "run_folder": folder, "resume": folder is not None, "progress": False}
    try:
        history = train(model, objective, data, settings, **options)
    except ArithmeticError as error:
        return {"error": str(error), "weights": model.state_dict()}
    return told(history, model) | {"ended": history.ended, "temperature": objective.temperature.detach()}


def what_is_held() -> dict[str, int]:
    """How many numbers a process holds of the weights, their average and their moments, and of the model given."""
    model, objective = tiny_model(depth=2), Tempered()
    processes = launched()
    state = TrainingState.begin(model, objective, SETTINGS, 21, processes)
    with processes.training(state.model):
        state.task({"clip": torch.zeros(2, 3, 2, 8, 8), "label": torch.tensor([0, 1]), "step": 0})["loss"].backward()
        state.optimiser.step()
        moments = [value for one in state.optimiser.state.values() for value in one.values() if value.dim()]
        return {
            "weights": count(state.model.parameters()),
            "average": count(state.average.module.parameters()),
            "moments": count(moments),
            "given": count(model.parameters()),
        }


def count(tensors: Any) -> int:
    return sum((x.to_local() if isinstance(x, DTensor) else x).numel() for x in tensors)
