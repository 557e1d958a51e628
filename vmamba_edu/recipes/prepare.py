"""Training by a recipe: everything that it names is made, and handed to the loop."""

import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from vmamba_edu.models.checkpoints.report import CheckpointError
from vmamba_edu.models.digit_teacher import digit_teacher
from vmamba_edu.models.image_initialisation import initialise_from_image_
from vmamba_edu.models.timesformer import TimeSformer
from vmamba_edu.models.vivit import ViViT
from vmamba_edu.recipes.build import (
    build_model,
    build_objective,
    build_settings,
    choose_device,
    frames_of,
    needs_captions,
    require_fitting_objective,
    vision_table,
)
from vmamba_edu.recipes.data import Data, class_names, make_split, read_data
from vmamba_edu.recipes.distillation import GuidedClassification
from vmamba_edu.recipes.frames import Frames
from vmamba_edu.recipes.recipe import Recipe, RecipeError, as_plain
from vmamba_edu.recipes.teachers import DIGIT_TEACHER, make_teacher, start_trunk_, teacher_dim
from vmamba_edu.recipes.trained import load_trained, open_trained
from vmamba_edu.training import History, TrainingSettings, train
from vmamba_edu.training.logs import Callback
from vmamba_edu.training.objectives import Supervised
from vmamba_edu.training.state import Objective


@dataclass(frozen=True, eq=False)
class Prepared:
    """What a recipe comes to before the first step: all that `vmamba_edu.training.train` wants to be given.

    Attributes:
        recipe: the recipe, and in its [model] the teacher's width, which it need not say.
        model: as its seed draws it, with the weights it starts from, on the device.
        objective, validation_objective: what is descended on, and what is measured.
        train, validation: the data; None if there is nothing to measure on.
        settings: all the numbers.
        metadata: what checkpoints keep.
    """

    recipe: Recipe
    model: nn.Module
    objective: Objective
    validation_objective: Objective
    train: Any
    validation: Any
    settings: TrainingSettings
    metadata: dict[str, Any]


def prepare_recipe(recipe: Recipe, device: str = "auto") -> Prepared:
    """Make all that a recipe names; nothing is trained or written yet.

    Raises:
        RecipeError: the recipe cannot be followed; the message names the table and the key.
    """
    settings, data = build_settings(recipe), read_data(recipe)
    require_fitting_objective(recipe)
    place, tokeniser = choose_device(device), _learn_captions(recipe, data)
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        recipe, teacher = _find_teacher(recipe, str(place))
        model = build_model(recipe, len(class_names(data)), 0 if tokeniser is None else tokeniser.vocab_size)
        _start(recipe, model)
        objective: Any = build_objective(recipe, tokeniser, model=model, teacher=teacher)
    with recipe.blamed_on("model"):
        frames = frames_of(model)
    objective = objective.to(place) if isinstance(objective, nn.Module) else objective
    judge = Supervised(objective.label_smoothing) if isinstance(objective, GuidedClassification) else objective
    metadata = {
        "recipe": as_plain(recipe.tables),
        "source": recipe.source,
        "classes": class_names(data),
        "tokeniser": None if tokeniser is None else tokeniser.tokeniser.to_str(),
    }
    train_split = make_split(recipe, "train", frames)
    held_out = make_split(recipe, "validation", frames) if data.validation else None
    return Prepared(recipe, model.to(place), objective, judge, train_split, held_out, settings, metadata)


def initial_model(recipe: Recipe, device: str = "auto") -> nn.Module:
    """The model as it is before the first step: what the seed draws, and the weights that it starts from.

    Raises:
        RecipeError: as `prepare_recipe`.
    """
    return prepare_recipe(recipe, device).model


def train_recipe(
    recipe: Recipe,
    run_folder: str | os.PathLike[str] | None,
    *,
    resume: bool = False,
    device: str = "auto",
    progress: bool = True,
    callbacks: Sequence[Callback] = (),
    stop: threading.Event | None = None,
) -> History:
    """Train what a recipe says, from weights that its seed draws or that it starts from.

    Args:
        recipe: what to train, on what and how.
        run_folder: where checkpoints and logs go; None keeps nothing.
        resume, progress, callbacks, stop: as for `train`.
        device: to train on; "auto" takes a GPU where there is one.

    Raises:
        RecipeError: the recipe cannot be followed; the message names the table and the key.
        CheckpointError, NotFiniteError: as `train`.
    """
    prepared = prepare_recipe(recipe, device)
    return train(
        prepared.model,
        prepared.objective,
        prepared.train,
        prepared.settings,
        validation=prepared.validation,
        validation_objective=prepared.validation_objective,
        run_folder=run_folder,
        resume=resume,
        metadata=prepared.metadata,
        progress=progress,
        callbacks=callbacks,
        stop=stop,
    )


def rebuild_objective(recipe: Recipe, model: nn.Module, tokeniser: Any, device: str) -> Objective:
    """The objective of a model that was trained, to measure it again.

    Raises:
        RecipeError: the recipe cannot be followed; the message names the table and the key.
    """
    recipe, teacher = _find_teacher(recipe, device)
    return build_objective(recipe, tokeniser, model=model, teacher=teacher)


def _learn_captions(recipe: Recipe, data: Data) -> Any:
    """The vocabulary of the training split's captions, for a model that reads."""
    if not needs_captions(recipe):
        return None
    from vmamba_edu.models.caption_tokeniser import train_tokeniser

    table, vision = vision_table(recipe)
    with recipe.blamed_on(table):
        frames = Frames(vision.get("num_frames", 8), vision.get("img_size", 224))
    return train_tokeniser(data.captions(frames))


def _find_teacher(recipe: Recipe, device: str) -> tuple[Recipe, nn.Module | None]:
    """The teacher that [objective] names, and the recipe with its width in [model], if it does not stand there."""
    name = recipe.keys("objective").get("teacher")
    if name is None and recipe.tables["objective"]["name"] in ("self_distillation", "masked_alignment"):
        raise RecipeError(f"{recipe.source}: [objective] teacher: expected this key, and there is none")
    if name is None:
        return recipe, None
    with recipe.blamed_on("objective"):
        if not isinstance(name, str):
            raise ValueError(f"teacher: expected a name in quotes, got {name!r}")
        if recipe.tables["objective"]["name"] == "supervised":
            raise ValueError("teacher: expected none, as 'supervised' asks nobody; did you mean self_distillation?")
        if recipe.tables["objective"]["name"] == "self_distillation":
            with _about("teacher"):
                return recipe, load_trained(name, device).model
        table, keys = vision_table(recipe)
        teacher = make_teacher(name, keys.get("aligned_layers", 1))
        model: Any = build_model(recipe, 0, 1)
        config = getattr(model.config, "vision", model.config)
        width = teacher_dim(teacher, config.grid[1:], config.frame_size)
        if keys.get("teacher_dim", width) != width:
            raise ValueError(f"teacher: has features of {width} channels, but [{table}] teacher_dim is another")
    return recipe.changed({f"{table}.teacher_dim": width}), teacher.to(device)


def _start(recipe: Recipe, model: nn.Module) -> None:
    """Give a model the weights that [model] start_from or image_initialisation names."""
    keys = recipe.keys("model")
    with recipe.blamed_on("model"):
        if source := keys.get("start_from"):
            if not isinstance(source, str):
                raise ValueError(f"start_from: expected a path in quotes, got {source!r}")
            with _about("start_from"):
                start_trunk_(model, open_trained(Path(source))[1], source)
        if name := keys.get("image_initialisation"):
            if name != DIGIT_TEACHER or not isinstance(model, ViViT | TimeSformer):
                expected = f"'{DIGIT_TEACHER}', for a vivit or a timesformer"
                raise ValueError(f"image_initialisation: expected {expected}, got {name!r}")
            initialise_from_image_(model, digit_teacher().vit, keys.get("inflation", "average"))


@contextmanager
def _about(key: str) -> Iterator[None]:
    """Let an error about a checkpoint name the key under which it stands."""
    try:
        yield
    except CheckpointError as error:
        text = str(error)
        raise CheckpointError(text if text.startswith(f"{key}:") else f"{key}: {text}") from error
