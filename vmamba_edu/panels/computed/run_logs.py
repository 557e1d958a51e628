"""What the folder of a training run tells: its rows, and what its checkpoint says was planned."""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from types import MappingProxyType
from typing import Any

from vmamba_edu.models.checkpoints.report import CheckpointError
from vmamba_edu.recipes import Recipe
from vmamba_edu.recipes.build import build_settings, vision_table
from vmamba_edu.recipes.data import make_split
from vmamba_edu.recipes.frames import Frames
from vmamba_edu.training import TrainingSettings, open_checkpoint
from vmamba_edu.training.checkpointing import LAST
from vmamba_edu.training.early_stop import EarlyStop, Mode
from vmamba_edu.training.logs import TRAINING, VALIDATION, Row, read_rows
from vmamba_edu.training.settings import FREE_TO_CHANGE

FRESH_S = 10.0
"""Seconds since the last line of a log, up to which its run is taken to go on."""
SMALL: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "model": {
            "name": "videomamba_tiny",
            "embed_dim": 48,
            "depth": 2,
            "img_size": 32,
            "patch_size": 16,
            "num_frames": 4,
            "pos_embed_std": 0.3,
            "drop_path_rate": 0.0,
        },
        "data": {"name": "moving_digits", "train": 960, "validation": 120, "test": 120},
        "objective": {"name": "supervised"},
        "training": {
            "epochs": 8,
            "batch_size": 16,
            "learning_rate": 3e-3,
            "warmup_steps": 20,
            "checkpoint_every": 20,
            "monitor": "accuracy",
            "mode": "max",
        },
    }
)


def small_recipe() -> Recipe:
    """Half a minute's training on two cores: 480 steps on moving digits, told by their twelve motions."""
    return Recipe("moving digits, made small", SMALL)


@dataclass(frozen=True, eq=False)
class Plan:
    """What was settled before the first step.

    Attributes:
        num_steps: of the whole run.
        rates: the learning rate before each step; empty where it is not known.
        monitor, mode, patience: as in `TrainingSettings`.
        clip_norm: the longest gradient that is not shortened, None if all are left as they are.
    """

    num_steps: int
    rates: tuple[float, ...] = ()
    monitor: str = "loss"
    mode: Mode = "min"
    patience: int | None = None
    clip_norm: float | None = None

    def has_stopped_early(self, validation: tuple[Row, ...]) -> bool:
        """Whether patience ran out at the last of these validations."""
        watch = EarlyStop(self.monitor, self.mode, self.patience)
        for row in validation:
            if self.monitor in row:
                watch.update(row)
        return watch.says_stop


@dataclass(frozen=True, eq=False)
class Log:
    """What stands in a run folder: the rows of training and validation, and the plan, None where nobody knows it."""

    training: tuple[Row, ...] = ()
    validation: tuple[Row, ...] = ()
    plan: Plan | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """As fields of the monitor's state."""
        return {"training": self.training, "validation": self.validation, "plan": self.plan}


def read_log(folder: Path, plan: Plan | None = None) -> Log:
    """The rows as they are now, none if nothing was logged yet; the plan is the last checkpoint's unless it is given.

    Raises:
        ValueError: there is no such folder, or no run has written to it.
    """
    require_run(folder)
    try:
        training, validation = (tuple(read_rows(folder / name)) for name in (TRAINING, VALIDATION))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"folder: the log in {folder} cannot be read ({error})") from error
    if any("step" not in row for row in (*training[:1], *validation[:1])):
        raise ValueError(f"folder: expected logs with a column 'step' in {folder}, as vmamba_edu.training writes them")
    return Log(training, validation, plan or plan_in(folder))


def written_in(folder: Path) -> float:
    """When the run last wrote to its folder, in seconds since the epoch; 0 if never."""
    paths = [folder / name for name in (TRAINING, VALIDATION, LAST)]
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)


def is_fresh(folder: Path) -> bool:
    """Whether the run wrote a moment ago."""
    return time.time() - written_in(folder) < FRESH_S


def latest_of(folder: Path) -> Path:
    """Of a folder and those that were begun beside it, FOLDER-2 and so on, the last that holds a run; or the first."""
    found = folder
    for number in count(2):
        if not (found / LAST).exists() or not (_beside(folder, number) / LAST).exists():
            return found
        found = _beside(folder, number)
    raise AssertionError("there is no last number")


def free_beside(folder: Path) -> Path:
    """The first of FOLDER-2, FOLDER-3 and so on that holds no run."""
    first = folder.with_name(re.sub(r"-\d+$", "", folder.name))
    return next(path for number in count(2) if not ((path := _beside(first, number)) / LAST).exists())


def _beside(folder: Path, number: int) -> Path:
    return folder.with_name(f"{folder.name}-{number}")


def require_run(folder: Path) -> None:
    """Raise unless a folder is one of a run.

    Raises:
        ValueError: it is not there, is no folder, or holds nothing of a run.
    """
    expected = f"expected the folder of a run, with {TRAINING} or {LAST} in it as vmamba_edu.training writes them"
    if not folder.is_dir():
        what = "a file" if folder.is_file() else "and there is no such folder"
        raise ValueError(f"folder: {expected}, got {folder}, {what}")
    if not any((folder / name).is_file() for name in (TRAINING, LAST)):
        there = ", ".join(sorted(path.name for path in folder.iterdir())[:4]) or "nothing"
        raise ValueError(f"folder: {expected}, got {folder}, which holds {there}")


def plan_in(folder: Path) -> Plan | None:
    """What the last checkpoint says of the whole run; None where there is none that can be read."""
    try:
        content = open_checkpoint(folder / LAST)
    except CheckpointError:
        return None
    return plan_from(content["settings"], int(content["schedule"]["num_steps"]))


def plan_from(settings: Mapping[str, Any], num_steps: int) -> Plan:
    """A plan of settings as a checkpoint keeps them; those of another version say less."""
    try:
        known = TrainingSettings(**settings)
        rates = tuple(known.learning_rates(num_steps))
    except (TypeError, ValueError):
        return Plan(num_steps)
    return Plan(num_steps, rates, known.monitor, known.mode, known.patience, known.clip_norm)


def plan_of(recipe: Recipe) -> Plan:
    """What a recipe plans, before anything of it is made.

    Raises:
        ValueError: the recipe cannot be followed; the message names the key.
    """
    try:
        settings = build_settings(recipe)
        vision = vision_table(recipe)[1]
        frames = Frames(vision.get("num_frames", 8), vision.get("img_size", 224))
        num_samples: Any = len(make_split(recipe, "train", frames))  # type: ignore[arg-type]
        num_steps = settings.epochs * (num_samples // settings.batch_size)
        if not num_steps:
            raise ValueError(f"batch_size: expected at most the {num_samples} clips there are")
        return plan_from(settings.binding() | {name: getattr(settings, name) for name in FREE_TO_CHANGE}, num_steps)
    except ValueError as error:
        raise ValueError(f"recipe: {error}") from error
