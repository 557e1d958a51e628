"""What a block does with a clip, step by step: where each of its readings stands, and what a channel then holds."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from torch import Tensor

from vmamba_edu.panels.computed.arguments import one_of
from vmamba_edu.panels.computed.memory_of_readings import MemoryOfReadings
from vmamba_edu.scan_orders import PLANS, Grid, Reading, inverse, neighbour_distances, scan_plan

TRAIL = 12
"""How many tokens back the line behind each reading goes."""


@dataclass(frozen=True)
class State:
    """Which plan, of which grid (time, height, width) of tokens, after how many steps, and which of its readings.

    `memory` is what holds the states of a model on the clip, of which `channel` is looked at; None shows none.
    """

    grid: Grid = (8, 4, 4)
    plan: str = "spatial_first"
    position: int = 0
    directions: Literal["both", "forward", "backward"] = "both"
    channel: int = 0
    memory: MemoryOfReadings | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Pass:
    """One reading at one moment."""

    reading: Reading
    path: np.ndarray  # (length,) the token read at each step
    rank: np.ndarray  # (length,) the step at which each token is read
    token: int  # the one being read now
    trail: np.ndarray  # (up to TRAIL + 1,) the last tokens read, the current one at the end
    distances: dict[str, int]  # steps between neighbours in time, height and width
    h: np.ndarray | None = None  # (length, state) what the channel holds after each step, those to come included

    @property
    def name(self) -> str:
        return f"{self.reading.order.replace('_', '-')} {self.reading.direction}"


@dataclass(frozen=True)
class View:
    """What the panel shows."""

    grid: Grid
    position: int
    passes: tuple[Pass, ...]

    @property
    def length(self) -> int:
        return len(self.passes[0].path)


def compute(state: State) -> View:
    """Where each reading of the plan stands after `position` steps.

    Raises:
        ValueError: the plan is unknown, the position lies outside the sequence, or the model has no such channel or
            cannot read so.
    """
    one_of("plan", state.plan, PLANS)
    one_of("directions", state.directions, ("both", "forward", "backward"))
    time, height, width = state.grid
    length = time * height * width
    if not 0 <= state.position < length:
        raise ValueError(f"position: expected 0 to {length - 1}, the tokens of the grid, got {state.position}")
    readings = [r for r in scan_plan(state.plan) if state.directions in ("both", r.direction)]
    return View(state.grid, state.position, tuple(_read(reading, state) for reading in readings))


def _read(reading: Reading, state: State) -> Pass:
    path = reading.path(state.grid)
    distances = neighbour_distances(path, state.grid)
    return Pass(
        reading=reading,
        path=path.numpy(),
        rank=inverse(path).numpy(),
        token=int(path[state.position]),
        trail=path[max(0, state.position - TRAIL) : state.position + 1].numpy(),
        distances={axis: int(steps[0]) for axis, steps in distances.items() if steps.numel()},
        h=state.memory.along(state.plan, reading, state.channel) if state.memory else None,
    )


def tokens_of(frames: Tensor | np.ndarray, patch_size: int, tubelet_size: int = 1) -> Grid:
    """The grid of tokens that a clip of frames (time, height, width, 3) is cut into.

    Raises:
        ValueError: the clip cannot be cut into whole patches.
    """
    sizes = (tubelet_size, patch_size, patch_size)
    names = ("tubelet_size", "patch_size", "patch_size")
    for name, size in (("patch_size", patch_size), ("tubelet_size", tubelet_size)):
        if size < 1:
            raise ValueError(f"{name}: expected at least 1, got {size}")
    for what, axis, size, name in zip(("frames", "height", "width"), frames.shape[:3], sizes, names, strict=True):
        if axis % size:
            expected = f"{what} by {name} to divide without remainder"
            raise ValueError(f"clip, {name}: expected {expected}, got {axis} by {size}")
    time, height, width = (axis // size for axis, size in zip(frames.shape[:3], sizes, strict=True))
    return time, height, width


def where(one: Pass, grid: Grid) -> str:
    """Which token a reading is at, in words."""
    t, h, w = (int(i) for i in np.unravel_index(one.token, grid))
    return f"{one.name} reads frame {t}, row {h}, column {w}"


def apart(one: Pass) -> str:
    """How far apart the order of a reading puts neighbours, in words."""
    names = {"time": "the same place one frame on", "height": "the patch below", "width": "the patch beside it"}
    steps = [f"{names[axis]} is {n} step{'s' * (n != 1)} away" for axis, n in one.distances.items()]
    return f" In {one.reading.order.replace('_', '-')} order {', '.join(steps)}." if steps else ""


def held(one: Pass, position: int) -> str:
    """The largest number that the channel holds now, in words."""
    assert one.h is not None
    n = int(np.abs(one.h[position]).argmax())
    return f"{one.name} holds most in n = {n + 1} of {one.h.shape[1]}, h = {one.h[position, n]:+.2g}"
