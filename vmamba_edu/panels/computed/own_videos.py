"""A reader's own video in the eyes of a model: what it says, its tokens, a mask on them, and what a patch draws on."""

import os
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from vmamba_edu.masking import NAMES
from vmamba_edu.panels.computed import masks_of_clips
from vmamba_edu.panels.computed.arguments import one_of, within
from vmamba_edu.panels.computed.attention_of_models import Look
from vmamba_edu.panels.computed.attention_readings import DIRECTIONS
from vmamba_edu.panels.computed.frames_of_videos import Video, video_of
from vmamba_edu.panels.computed.machine_memory import free_memory
from vmamba_edu.panels.computed.readers_of_videos import SHIPPED, open_reader
from vmamba_edu.panels.computed.watched_videos import LONG, Watched
from vmamba_edu.scan_orders import Grid
from vmamba_edu.video import moving_digits

LOOKS = ("prediction", "tokens", "masks", "attention", "memory")
VIEWS: dict[str, tuple[int, int]] = {"4 × 3": (4, 3), "1 × 1": (1, 1)}
"""Clips and crops that a prediction is the mean of: as `classify` takes them, and the middle of the video alone."""
TOP, MOST_SEED = 5, 9999


@dataclass(frozen=True)
class State:
    """A video, a model, and what is looked at.

    Args:
        look: one of LOOKS.
        views: one of VIEWS.
        clip: which of its clips is shown, from 0; of its crops the middle one.
        mask, ratio, seed: of a mask, see `masks_of_clips.State`.
        frame, row, column: the patch that is asked for, in tokens of the grid.
        block, direction: of which blocks and readings, see `attention_of_models.Look`.
        path: of the video's file; "" for the built-in one, or the given one.
        model, checkpoint: see `readers_of_videos.open_reader`.
        wait: whether what takes long and was not computed before is left out.
        watched: what path, model and checkpoint were opened as.
    """

    look: str = "prediction"
    views: str = "4 × 3"
    clip: int = 0
    mask: str = "clip_row"
    ratio: float = 0.75
    seed: int = 0
    frame: int = 0
    row: int = 0
    column: int = 0
    block: int = 0
    direction: str = "both"
    path: str = ""
    model: str = SHIPPED
    checkpoint: str = ""
    wait: bool = False
    watched: Watched | None = field(default=None, repr=False, compare=False)

    @property
    def view(self) -> tuple[int, int, int]:
        """(clip, clips, crops)."""
        return (self.clip, *VIEWS[self.views])


@dataclass(frozen=True, eq=False)
class Said:
    """What the model finds probable, from 0 to 1; empty where it has no classes."""

    mean: np.ndarray  # (classes,) over all views
    shown: np.ndarray  # (classes,) of the view that is shown

    @property
    def best(self) -> list[int]:
        """The likeliest classes, the likeliest first."""
        return [int(at) for at in np.argsort(-self.mean, kind="stable")[:TOP]]


@dataclass(frozen=True, eq=False)
class Cut:
    """What the tokens cost, one clip."""

    parameters: int
    operations: dict[str, int]  # by kind of layer, the largest first
    bytes: int


@dataclass(frozen=True, eq=False)
class Drawn:
    """What a patch draws on, or what is left of it."""

    token: int
    values: np.ndarray  # (patches,): w, or the share that is left
    per_frame: np.ndarray  # (time,): shares of Σ |w|, or the mean of what is left


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows.

    `seen` is what the look asks for: `Said`, `Cut`, a view of `masks_of_clips`, `Drawn`; None where it takes long and
    was to be left out.
    """

    watched: Watched
    indices: np.ndarray  # (time,) frame numbers of the clip that is shown
    frames: np.ndarray  # uint8 (time, size, size, 3), as the model is shown them
    seen: Said | Cut | masks_of_clips.View | Drawn | None

    @property
    def grid(self) -> Grid:
        return self.watched.reader.grid


def film_of(source: str | os.PathLike[str] | Any | None, called: str = "path") -> Video:
    """As `video_of`; what is built in is a film such as the shipped classifier has learned from.

    Raises:
        ValueError: the file cannot be read, or these are no frames.
    """
    if source is None or (isinstance(source, str) and not source.strip()):
        digits = moving_digits(7, "left", num_frames=64, size=112, seed=3).frames
        return replace(video_of(digits), name="the built-in clip, a seven that moves left")
    return video_of(source, called)


def watch(path: str = "", model: str = SHIPPED, checkpoint: str = "") -> Watched:
    """The video and the model that these stand for.

    Raises:
        ValueError: one of them cannot be opened, or the video is too short for the model.
    """
    return Watched(film_of(path), open_reader(model, checkpoint))


def compute(state: State) -> View:
    """The frames of the clip, and what the look asks for.

    Raises:
        ValueError: there is no such look, view, clip, mask, patch, block or direction; video or model cannot be opened;
            the model has no such thing to look at, or is too large for the memory that is free.
    """
    one_of("look", state.look, LOOKS)
    one_of("views", state.views, VIEWS)
    clips, crops = VIEWS[state.views]
    within("clip", state.clip, 0, clips - 1)
    watched = state.watched or watch(state.path, state.model, state.checkpoint)
    _check_patch(state, watched)
    frames = watched.frames(state.clip, clips, crops // 2, crops)
    look = {"prediction": _said, "tokens": _cut, "masks": _masked, "attention": _drawn, "memory": _left}[state.look]
    return View(watched, watched.indices(state.clip, clips), frames, look(state, watched))


def is_long(state: State, watched: Watched) -> bool:
    """Whether a look takes so long that it is done in the background: by its operations, what is known left out."""
    clips, crops = VIEWS[state.views]
    if state.look == "prediction":
        due = sum(not watched.has_said(clip, clips, crops) for clip in range(clips))
        return due > 0 and watched.operations(due * crops) > LONG
    if state.look in ("attention", "memory") and not watched.knows_block(state.look, state.view, state.block):
        return watched.operations(1, state.block) > LONG
    return False


def _check_patch(state: State, watched: Watched) -> None:
    for name, size in zip(("frame", "row", "column"), watched.reader.grid, strict=True):
        within(name, getattr(state, name), 0, size - 1)
    within("block", state.block, 0, watched.reader.depth - 1)
    one_of("direction", state.direction, DIRECTIONS)
    one_of("mask", state.mask, NAMES)
    within("seed", state.seed, 0, MOST_SEED)


def _refuse_what_is_too_large(watched: Watched, batch: int, weights: bool = False) -> None:
    words = watched.refusal(batch, free_memory(), weights)
    if words:
        raise ValueError(f"model: expected one that fits into memory; {words}")


def _said(state: State, watched: Watched) -> Said | None:
    clips, crops = VIEWS[state.views]
    if not watched.reader.classes:
        return Said(np.empty(0), np.empty(0))
    _refuse_what_is_too_large(watched, crops)
    if state.wait and is_long(state, watched):
        return None
    said = np.stack([watched.says(clip, clips, crops) for clip in range(clips)])  # (clips, crops, classes)
    return Said(said.mean((0, 1)), said[state.clip, crops // 2])


def _cut(state: State, watched: Watched) -> Cut:
    cost = watched.reader.cost()
    largest = sorted(cost.flops.items(), key=lambda one: -one[1])
    return Cut(cost.total_parameters, dict(largest), cost.inference_bytes)


def _masked(state: State, watched: Watched) -> masks_of_clips.View:
    teacher = watched.teacher(*state.view)
    return masks_of_clips.compute(
        masks_of_clips.State(watched.reader.grid, state.mask, state.ratio, state.seed, teacher)
    )


def token_of(state: State, grid: Grid) -> int:
    """The patch that is asked for, by its number."""
    return int(np.ravel_multi_index((state.frame, state.row, state.column), grid))


def _drawn(state: State, watched: Watched) -> Drawn | None:
    _refuse_what_is_too_large(watched, 1, weights=True)
    if state.wait and is_long(state, watched):
        return None
    models = watched.attention(*state.view)
    token, look = token_of(state, watched.reader.grid), Look(state.block, state.direction)
    if not models.reads(watched.reader.name, look):
        raise ValueError(f"direction: expected one in which {watched.reader.name} reads, got {state.direction!r}")
    (weights,), _ = models.rows(watched.reader.name, [token], look)
    size = np.abs(weights).reshape(watched.reader.grid[0], -1).sum(1)
    return Drawn(token, weights, size / size.sum() if size.any() else size)


def _left(state: State, watched: Watched) -> Drawn | None:
    _refuse_what_is_too_large(watched, 1)
    if state.wait and is_long(state, watched):
        return None
    token = token_of(state, watched.reader.grid)
    shares = watched.left(state.view, token, state.block, state.direction)
    return Drawn(token, shares, shares.reshape(watched.reader.grid[0], prod(watched.reader.grid[1:])).mean(1))
