"""Training by a recipe, and the model that came of it."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vmamba_edu.models.checkpoints.report import CheckpointError
from vmamba_edu.recipes.build import (
    build_model,
    build_objective,
    build_settings,
    choose_device,
    frames_of,
    needs_captions,
)
from vmamba_edu.recipes.data import Frames, class_names, make_split, read_data
from vmamba_edu.recipes.recipe import Recipe
from vmamba_edu.training import History, open_checkpoint, train, trained_weights
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
    """

    model: nn.Module
    recipe: Recipe
    classes: list[str]
    tokeniser: Any
    step: int

    @property
    def frames(self) -> Frames:
        """What the model wants to be shown."""
        return frames_of(self.model)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


def train_recipe(
    recipe: Recipe,
    run_folder: str | os.PathLike[str] | None,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
) -> History:
    """Train what a recipe says, from weights that its seed draws.

    Raises:
        RecipeError: the recipe cannot be followed; the message names the table and the key.
        CheckpointError, NotFiniteError: as `train`.
    """
    settings, data = build_settings(recipe), read_data(recipe)
    objective_name = recipe.tables["objective"]["name"]
    if needs_captions(recipe) != (objective_name == "video_text"):
        with recipe.blamed_on("objective"):
            raise ValueError(f"name: {objective_name!r} does not train a model of the kind in [model]")
    tokeniser = None
    if needs_captions(recipe):
        from vmamba_edu.models.caption_tokeniser import train_tokeniser

        vision = recipe.keys("model").get("vision", {})
        tokeniser = train_tokeniser(data.captions(Frames(vision.get("num_frames", 8), vision.get("img_size", 224))))
    names = class_names(data)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        model = build_model(recipe, len(names), 0 if tokeniser is None else tokeniser.vocab_size)
    with recipe.blamed_on("model"):
        frames = frames_of(model)
    metadata = {
        "recipe": _plain(recipe.tables),
        "source": recipe.source,
        "classes": names,
        "tokeniser": None if tokeniser is None else tokeniser.tokeniser.to_str(),
    }
    return train(
        model.to(choose_device(device)),
        build_objective(recipe, tokeniser),
        make_split(recipe, "train", frames),
        settings,
        validation=make_split(recipe, "validation", frames) if data.validation else None,
        run_folder=run_folder,
        resume=resume,
        metadata=metadata,
        progress=progress,
    )


def load_trained(path: str | os.PathLike[str], device: str = "auto") -> Trained:
    """The model of a checkpoint, with the weights that validation measured (their moving average, if there is one).

    Args:
        path: a checkpoint, or the folder of a run, whose best is taken, or its last if it was never validated.

    Raises:
        CheckpointError: it cannot be read, or was not trained by a recipe.
    """
    path = Path(path)
    if path.is_dir():
        path = next((path / name for name in (BEST, LAST) if (path / name).is_file()), path)
    content = open_checkpoint(path)
    metadata = content["metadata"]
    if "recipe" not in metadata:
        raise CheckpointError(f"{path}: was not trained by a recipe; build its model and use trained_weights")
    recipe = Recipe(metadata["source"], metadata["recipe"])
    tokeniser = _read_tokeniser(metadata["tokeniser"])
    model = build_model(recipe, len(metadata["classes"]), 0 if tokeniser is None else tokeniser.vocab_size)
    weights = trained_weights(content)
    require_same(path, "model", model.state_dict(), weights)
    model.load_state_dict(weights)
    return Trained(model.eval().to(choose_device(device)), recipe, metadata["classes"], tokeniser, content["step"])


def _read_tokeniser(text: str | None) -> Any:
    if text is None:
        return None
    from tokenizers import Tokenizer

    from vmamba_edu.models.caption_tokeniser import CaptionTokeniser

    return CaptionTokeniser(Tokenizer.from_str(text))


def _plain(value: Any) -> Any:
    """Tables and lists as dicts and lists, dates as text: what a checkpoint can hold."""
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_plain(inner) for inner in value]
    return value if isinstance(value, (str, int, float, bool)) else str(value)
