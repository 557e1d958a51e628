"""The model that came of training by a recipe, and what one needs to use it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vmamba_edu.models.checkpoints.report import CheckpointError
from vmamba_edu.models.checkpoints.shipped import list_shipped, shipped_record, shipped_weights
from vmamba_edu.recipes.build import build_model, choose_device, frames_of
from vmamba_edu.recipes.frames import Frames
from vmamba_edu.recipes.recipe import Recipe
from vmamba_edu.training import open_checkpoint, trained_weights
from vmamba_edu.training.checkpointing import BEST, LAST, require_same


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained model and what one needs to use it.

    Attributes:
        model: in evaluation mode.
        recipe: that it was trained by.
        classes: what its outputs stand for.
        tokeniser: of captions, for a model that reads them, else None.
        step: how many steps it was trained.
        rank_by: what orders videos for a sentence, "fused" as published, or "dual" where validation found that better.
    """

    model: nn.Module
    recipe: Recipe
    classes: list[str]
    tokeniser: Any
    step: int
    rank_by: str = "fused"

    @property
    def frames(self) -> Frames:
        """What the model wants to be shown."""
        return frames_of(self.model)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def load_trained(path: str | os.PathLike[str], device: str = "auto") -> Trained:
    """The model of a checkpoint, with the weights that validation measured (their moving average, if there is one).

    Args:
        path: a checkpoint; or the folder of a run, whose best is taken, or its last if it was never validated; or the
            name of a model that comes with the package, such as "moving_digits_classifier", if there is no such file.

    Raises:
        CheckpointError: it cannot be read, or was not trained by a recipe.
    """
    path = Path(path)
    metadata, weights, step = open_trained(path)
    recipe = Recipe(metadata["source"], metadata["recipe"])
    tokeniser = _read_tokeniser(metadata["tokeniser"])
    model = build_model(recipe, len(metadata["classes"]), 0 if tokeniser is None else tokeniser.vocab_size)
    require_same(path, "model", model.state_dict(), weights)
    model.load_state_dict(weights)
    return Trained(
        model.eval().to(choose_device(device)),
        recipe,
        metadata["classes"],
        tokeniser,
        step,
        metadata.get("rank_by", "fused"),
    )


def open_trained(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], int]:
    """What a checkpoint keeps beside the run's state, the weights, and how many steps they were trained.

    Args, raises: as `load_trained`.
    """
    if not path.exists() and str(path) in list_shipped():
        metadata = shipped_record(str(path))
        weights, step = shipped_weights(str(path)), metadata["steps"]
    else:
        metadata, weights, step = _open_run(path)
    _require_recipe(path, metadata)
    return metadata, weights, step


def _open_run(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], int]:
    if path.is_dir():
        path = next((path / name for name in (BEST, LAST) if (path / name).is_file()), path)
    content = open_checkpoint(path)
    _require_recipe(path, content["metadata"])
    return content["metadata"], trained_weights(content), content["step"]


def _require_recipe(path: Path, metadata: dict[str, Any]) -> None:
    if "recipe" not in metadata:
        raise CheckpointError(f"{path}: was not trained by a recipe; build its model and use trained_weights")


def _read_tokeniser(text: str | None) -> Any:
    if text is None:
        return None
    from tokenizers import Tokenizer

    from vmamba_edu.models.caption_tokeniser import CaptionTokeniser

    return CaptionTokeniser(Tokenizer.from_str(text))
