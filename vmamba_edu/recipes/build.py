"""The model, the objective and the settings that recipes name."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import isqrt
from typing import Any

import torch
from torch import nn

from vmamba_edu.models import create_model, list_models
from vmamba_edu.models.masked_student_configuration import MaskedStudentConfig
from vmamba_edu.models.registry import MODELS
from vmamba_edu.recipes.frames import Frames
from vmamba_edu.recipes.recipe import Recipe, RecipeError
from vmamba_edu.training import TrainingSettings
from vmamba_edu.training.state import Objective

VIDEO_TEXT = "video_text"
STARTS = ("start_from", "image_initialisation", "inflation")  # keys of [model] that say what training starts from
OBJECTIVES = {
    "supervised": "classifier",
    "self_distillation": "classifier",
    "masked_alignment": "masked student",
    VIDEO_TEXT: "model of video and text",
}


def kind_of(recipe: Recipe) -> str:
    """What the model of a recipe is: a "classifier", a "masked student" or a "model of video and text".

    Raises:
        RecipeError: there is no model of that name.
    """
    name = recipe.name("model", [*list_models(), VIDEO_TEXT])
    if name == VIDEO_TEXT:
        return OBJECTIVES[VIDEO_TEXT]
    return "masked student" if isinstance(MODELS[name], MaskedStudentConfig) else "classifier"


def require_fitting_objective(recipe: Recipe) -> None:
    """Raise unless the objective trains models of this kind.

    Raises:
        RecipeError: it does not; the message names those that do.
    """
    kind, name = kind_of(recipe), recipe.name("objective", OBJECTIVES)
    if OBJECTIVES[name] != kind:
        fitting = " or ".join(repr(one) for one, trained in OBJECTIVES.items() if trained == kind)
        with recipe.blamed_on("objective"):
            raise ValueError(f"name: {name!r} does not train a model of the kind in [model], a {kind}; {fitting} does")


def build_model(recipe: Recipe, num_classes: int, vocab_size: int = 0) -> nn.Module:
    """The model, freshly drawn by torch's generator; `start_from` is the trainer's to see to.

    Args:
        recipe: its table [model] holds the name and the keywords of `create_model`, and tokens_per_frame, if that is to
            settle patch_size; with name = "video_text" the tables [model.vision] and [model.text], and embed_dim of the
            space where clips and captions meet.
        num_classes: as the data has them.
        vocab_size: of the captions' vocabulary.

    Raises:
        RecipeError: it cannot be; the message names the key.
    """
    kind, name = kind_of(recipe), recipe.tables["model"]["name"]
    keys = recipe.keys("model")
    for key in STARTS:
        keys.pop(key, None)
    if kind == OBJECTIVES[VIDEO_TEXT]:
        return _build_video_text(recipe, keys, vocab_size)
    with recipe.blamed_on("model"):
        return create_model(name, **{"num_classes": 0 if kind == "masked student" else num_classes} | in_patches(keys))


def in_patches(keys: Mapping[str, Any]) -> dict[str, Any]:
    """The keywords of a model with `patch_size` in place of `tokens_per_frame`.

    Raises:
        ValueError: a square frame cannot be divided into as many squares.
    """
    rest = {key: value for key, value in keys.items() if key != "tokens_per_frame"}
    if "tokens_per_frame" not in keys:
        return rest
    tokens, size = keys["tokens_per_frame"], keys.get("img_size", 224)
    side = isqrt(tokens) if isinstance(tokens, int) and tokens > 0 else 0
    if "patch_size" in keys:
        raise ValueError("tokens_per_frame: expected it alone, or patch_size alone, got both")
    if not side or side * side != tokens or not isinstance(size, int) or size % side:
        raise ValueError(f"tokens_per_frame: expected a square whose root divides img_size = {size}, got {tokens!r}")
    return rest | {"patch_size": size // side}


@dataclass(frozen=True)
class Guided:
    """The keys of [objective] name = "self_distillation".

    Attributes:
        teacher: the checkpoint, or the folder of a run, of a smaller model that was trained before.
        weight, guidance_until, label_smoothing: as for `GuidedClassification`.
    """

    teacher: str
    weight: float = 1.0
    guidance_until: int | None = None
    label_smoothing: float = 0.0


def build_objective(
    recipe: Recipe, tokeniser: Any = None, *, model: nn.Module | None = None, teacher: nn.Module | None = None
) -> Objective:
    """What the table [objective] names, with its other keys.

    Args:
        recipe: "supervised" (label_smoothing), "self_distillation" (`Guided`), "masked_alignment" (teacher, mask,
            mask_ratio, distance, clip_loss_ratio), or "video_text" (weights and the others of its objective).
        tokeniser: of the captions.
        model: the student of a self-distillation.
        teacher: what the key of that name stands for.

    Raises:
        RecipeError: it cannot be; the message names the key.
    """
    from vmamba_edu.training import objectives

    name, keys = recipe.name("objective", OBJECTIVES), recipe.keys("objective")
    if name == "supervised":
        return recipe.fill("objective", objectives.Supervised)
    if name == "self_distillation":
        from vmamba_edu.recipes.distillation import GuidedClassification

        guided = recipe.fill("objective", Guided)
        rest = {"guidance_until": guided.guidance_until, "label_smoothing": guided.label_smoothing}
        with recipe.blamed_on("objective"):
            return GuidedClassification(model, teacher, weight=guided.weight, **rest)  # type: ignore[arg-type]
    keys.pop("teacher", None)
    made: Any
    if name == "masked_alignment":
        made = recipe.fill_from("objective", keys, objectives.MaskedAlignment, known_too=["teacher"], teacher=teacher)
        return made  # it takes a masked student and no other model: `require_fitting_objective` sees to that
    weights = recipe.fill_from("objective.weights", keys.pop("weights", {}), objectives.LossWeights)
    others = {"tokeniser": tokeniser, "teacher": teacher, "weights": weights}
    made = recipe.fill_from("objective", keys, objectives.VideoText, known_too=["teacher", "weights"], **others)
    return made


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
    """What a model wants to be shown; a model for pictures, a clip of one frame.

    Raises:
        ValueError: it reads frames that are not square, which no transform of ours makes.
    """
    config: Any = model.config
    config = getattr(config, "vision", config)
    height, width = config.frame_size
    if height != width:
        raise ValueError(f"img_size: expected a square, got {height}×{width}")
    return Frames(getattr(config, "num_frames", 1), height)


def choose_device(name: str = "auto") -> torch.device:
    """The device of that name; "auto" takes a GPU where there is one, and each of several processes its own.

    Raises:
        ValueError: torch does not know it, or it is not there.
    """
    if name == "auto" and torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))  # as launchers number the processes here
    if name == "auto":
        return torch.device("cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        first_line = str(error).splitlines()[0]
        raise ValueError(f"device: {name!r} cannot be used ({first_line}); auto takes what is there") from error


def vision_table(recipe: Recipe) -> tuple[str, dict[str, Any]]:
    """The table that holds the keys of the model that sees, by name, and those keys.

    Raises:
        RecipeError: [model.vision] is no table.
    """
    if not needs_captions(recipe):
        return "model", recipe.keys("model")
    keys = recipe.keys("model").get("vision", {})
    if not isinstance(keys, Mapping):
        raise RecipeError(f"{recipe.source}: [model] vision: expected a table, got {keys!r}")
    return "model.vision", dict(keys)


def _build_video_text(recipe: Recipe, keys: Mapping[str, Any], vocab_size: int) -> nn.Module:
    from vmamba_edu.models.text_encoder import TINY
    from vmamba_edu.models.video_text import VideoText, VideoTextConfig
    from vmamba_edu.models.vision_tower import VisionTowerConfig

    vision, text = vision_table(recipe)[1], keys.get("text", {})
    with recipe.blamed_on("model.vision"):
        tower = VisionTowerConfig().with_overrides(**in_patches(vision))
    with recipe.blamed_on("model.text"):
        reader = replace(TINY, **{"vocab_size": vocab_size, "vision_dim": tower.embed_dim} | text)
    rest = {key: value for key, value in keys.items() if key not in ("vision", "text")}
    return VideoText(recipe.fill_from("model", rest, VideoTextConfig, vision=tower, text=reader))
