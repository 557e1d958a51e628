"""The model, the objective and the settings that recipes name."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from vmamba_edu.models import create_model, list_models
from vmamba_edu.recipes.data import Frames
from vmamba_edu.recipes.recipe import Recipe
from vmamba_edu.training import TrainingSettings
from vmamba_edu.training.state import Objective

VIDEO_TEXT = "video_text"


def build_model(recipe: Recipe, num_classes: int, vocab_size: int = 0) -> nn.Module:
    """The model, freshly drawn by torch's generator.

    Args:
        recipe: its table [model] holds the name and the keywords of `create_model`; with name = "video_text" the tables
            [model.vision] and [model.text], and embed_dim of the space where clips and captions meet.
        num_classes: as the data has them.
        vocab_size: of the captions' vocabulary.

    Raises:
        RecipeError: it cannot be; the message names the key.
    """
    name = recipe.name("model", [*list_models(), VIDEO_TEXT])
    keys = recipe.keys("model")
    if name == VIDEO_TEXT:
        return _build_video_text(recipe, keys, vocab_size)
    with recipe.blamed_on("model"):
        return create_model(name, **{"num_classes": num_classes} | keys)


def build_objective(recipe: Recipe, tokeniser: Any = None) -> Objective:
    """What the table [objective] names: "supervised" (label_smoothing), or "video_text" (weights and the others).

    Raises:
        RecipeError: it cannot be; the message names the key.
    """
    from vmamba_edu.training import objectives

    if recipe.name("objective", ("supervised", VIDEO_TEXT)) == "supervised":
        return recipe.fill("objective", objectives.Supervised)
    keys = recipe.keys("objective")
    weights = recipe.fill_from("objective.weights", keys.pop("weights", {}), objectives.LossWeights)
    made: Any = recipe.fill_from("objective", keys, objectives.VideoText, tokeniser=tokeniser, weights=weights)
    return made  # it takes a VideoText and no other model: `train_recipe` sees to that


def build_settings(recipe: Recipe) -> TrainingSettings:
    """What the table [training] says.

    Raises:
        RecipeError: it cannot be; the message names the key.
    """
    return recipe.fill("training", TrainingSettings)


def needs_captions(recipe: Recipe) -> bool:
    """Whether the model reads captions, and so needs a vocabulary."""
    return recipe.tables["model"]["name"] == VIDEO_TEXT


def frames_of(model: nn.Module) -> Frames:
    """What a model wants to be shown.

    Raises:
        ValueError: it reads frames that are not square, which no transform of ours makes.
    """
    config: Any = model.config
    config = getattr(config, "vision", config)
    height, width = config.frame_size
    if height != width:
        raise ValueError(f"img_size: expected a square, got {height}×{width}")
    return Frames(config.num_frames, height)


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" takes a GPU where there is one.

    Raises:
        ValueError: torch does not know it, or it is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(f"device: {name!r} cannot be used ({first_line}); auto takes what is there") from error


def _build_video_text(recipe: Recipe, keys: Mapping[str, Any], vocab_size: int) -> nn.Module:
    from vmamba_edu.models.text_encoder import TINY
    from vmamba_edu.models.video_text import VideoText, VideoTextConfig
    from vmamba_edu.models.vision_tower import VisionTowerConfig

    vision, text = keys.get("vision", {}), keys.get("text", {})
    with recipe.blamed_on("model.vision"):
        tower = VisionTowerConfig().with_overrides(**vision)
    with recipe.blamed_on("model.text"):
        reader = replace(TINY, **{"vocab_size": vocab_size, "vision_dim": tower.embed_dim} | text)
    rest = {key: value for key, value in keys.items() if key not in ("vision", "text")}
    return VideoText(recipe.fill_from("model", rest, VideoTextConfig, vision=tower, text=reader))
