"""What one patch of a clip draws on in each of several models, and who hears whom in one of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vmamba_edu.models.pro_mixer import PRO_VARIANTS
from vmamba_edu.panels.computed.arguments import one_of, within
from vmamba_edu.panels.computed.attention_of_models import Look, SideBySide

DIRECTIONS = ("both", "forward", "backward")
WEIGHTS = ("size", "mean", "channel")
VARIANTS = ("own", *PRO_VARIANTS)
MOST = 256
"""Most tokens whose matrix is shown; of a longer sequence those around the patch."""


@dataclass(frozen=True)
class State:
    """Which patch asks, and what of the models is looked at.

    Args:
        frame, row, column: the patch, in tokens of the grid.
        block, direction, weights, channel: see `attention_of_models.Look`.
        variant: of a VideoMambaPro: "paper" or a released one; "own" leaves it as it is.
        matrix: the name of the model whose matrix is shown.
        models: on their clip.
    """

    frame: int = 0
    row: int = 0
    column: int = 0
    block: int = 0
    direction: str = "both"
    weights: str = "size"
    channel: int = 0
    variant: str = "own"
    matrix: str = ""
    models: SideBySide | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the patch draws on in one model."""

    weights: np.ndarray  # (patches,)
    to_cls: float
    reads: bool  # whether the model reads in the direction that is looked at
    per_frame: np.ndarray  # (time,) shares of Σ |w| over all patches; 0 if there is none

    @property
    def strongest(self) -> int:
        """The patch with the largest |w|."""
        return int(np.abs(self.weights).argmax())


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows."""

    token: int
    drawn: Mapping[str, Drawn]
    matrix: np.ndarray  # (window, window) row i, column j: how much of token j is in the output at token i
    window: range  # the tokens of the matrix
    diagonal: float  # the share of Σ |w| of the matrix that lies on its diagonal


def compute(state: State) -> View:
    """One row of weights for each model, and the matrix of one of them.

    Raises:
        ValueError: there are no models, or no such patch, block, direction, weights, channel, variant or matrix.
    """
    models = _check(state)
    look = Look(state.block, state.direction, state.weights, state.channel, state.variant)
    _, height, width = models.grid
    token = (state.frame * height + state.row) * width + state.column
    drawn = {name: _drawn(models, name, token, look) for name in models.models}
    length = int(np.prod(models.grid))
    start = max(0, min(token - MOST // 2, length - MOST))
    window = range(start, min(start + MOST, length))
    matrix = models.matrix(state.matrix, window, look)
    size = np.abs(matrix)
    return View(token, drawn, matrix, window, float(np.trace(size) / size.sum()) if size.any() else 0.0)


def _drawn(models: SideBySide, name: str, token: int, look: Look) -> Drawn:
    weights, to_cls = models.rows(name, [token], look)
    size = np.abs(weights[0]).reshape(models.grid[0], -1).sum(1)
    share = size / size.sum() if size.any() else size
    return Drawn(weights[0], float(to_cls[0]), models.reads(name, look), share)


def _check(state: State) -> SideBySide:
    models = state.models
    if models is None:
        raise ValueError("models: expected models on a clip, `SideBySide`, got None")
    time, height, width = models.grid
    most = {"frame": time, "row": height, "column": width, "block": models.depth, "channel": max(models.channels, 1)}
    for name, count in most.items():
        within(name, getattr(state, name), 0, count - 1)
    choices = {"direction": DIRECTIONS, "weights": WEIGHTS, "variant": VARIANTS}
    for name, known in {**choices, "matrix": tuple(models.models)}.items():
        one_of(name, getattr(state, name), known)
    return models


def busiest_patch(frames: np.ndarray, grid: tuple[int, int, int]) -> tuple[int, int, int]:
    """(frame, row, column) of the patch of the middle frame whose pixels differ most: something is there to ask for."""
    time, height, width = grid
    frame = np.asarray(frames)[len(frames) * (time // 2) // time].astype(float).mean(-1)
    rows, columns = frame.shape[0] // height, frame.shape[1] // width
    patches = frame[: rows * height, : columns * width].reshape(height, rows, width, columns)
    row, column = np.unravel_index(patches.std(axis=(1, 3)).argmax(), (height, width))
    return time // 2, int(row), int(column)
