"""Which tokens of a clip a mask leaves, and what a 1-D convolution then sees: what the mask studio computes.

The convolution of a Mamba block looks at a token and the width - 1 before it in what is left. Where those are the ones
that stood there in the clip, its window is whole; after a hole it reaches over the gap.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from torch import Tensor

from vmamba_edu.masking import NAMES, make_mask, unbroken_windows, visible_runs
from vmamba_edu.models.digit_teacher import digit_teacher
from vmamba_edu.panels.computed.arguments import came, one_of, within
from vmamba_edu.scan_orders import Grid
from vmamba_edu.video import clip_to_tensor

WIDTH = 4
"""Of the convolution, as published."""
DRAWS = 16
"""Masks of each kind from which the comparison takes its means."""


@dataclass(frozen=True)
class State:
    """Which mask, of which grid (time, height, width) of tokens.

    Args:
        mask: one of `masking.NAMES`.
        ratio: the share of tokens to drop, from 0 to 1.
        seed: of the draw.
        attention: (time, height · width), what a teacher looks at; without it there is no "attention" mask.
    """

    grid: Grid = (8, 8, 8)
    mask: str = "clip_row"
    ratio: float = 0.75
    seed: int = 0
    attention: Tensor | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows. The visible tokens stand in the order in which they are read."""

    dropped: np.ndarray  # (tokens,) bool
    visible: np.ndarray  # (visible,) which tokens
    runs: np.ndarray  # (runs, 2) first token and number of tokens of each stretch that stays
    true: np.ndarray  # (WIDTH, visible) 1 where that tap sees the token that stood there, 0 a stranger, NaN padding
    whole: np.ndarray  # (visible,) bool: no tap sees a stranger
    by_frame: np.ndarray  # (time,) visible tokens of each
    shares: dict[str, float]  # of whole windows, by mask, the mean over DRAWS; without those that cannot be had
    lengths: dict[str, float]  # mean length of a run, likewise


def compute(state: State) -> View:
    """The mask, what is left, and how the other masks would do at the same ratio.

    Raises:
        ValueError: there is no such mask, the ratio cannot be, or the attention is missing or of another grid.
    """
    one_of("mask", state.mask, NAMES)
    within("seed", state.seed, 0, 2**63 - 1)
    if not 0 <= state.ratio <= 1:
        raise ValueError(f"ratio: expected the share of tokens to drop, from 0 to 1, got {state.ratio}")
    _check_attention(state)
    generator = torch.Generator().manual_seed(state.seed)
    attention = None if state.attention is None else state.attention[None]
    mask = make_mask(state.mask, state.grid, state.ratio, attention=attention, generator=generator)
    dropped = mask[0].numpy()
    visible = np.flatnonzero(~dropped)
    true = taps(visible)
    by_frame = (~dropped).reshape(state.grid[0], -1).sum(axis=1)
    shares, lengths = {}, {}
    for name in NAMES:
        if name != "attention" or attention is not None:
            shares[name], lengths[name] = _compared(state, name)
    whole = ~(true == 0).any(axis=0)
    return View(dropped, visible, visible_runs(mask)[0].numpy(), true, whole, by_frame, shares, lengths)


def _check_attention(state: State) -> None:
    attention, (time, height, width) = state.attention, state.grid
    if attention is None:
        return
    if attention.shape != (time, height * width):
        expected = f"(time, height · width) = {(time, height * width)}"
        raise ValueError(f"attention: expected {expected}, got {tuple(attention.shape)}")
    if not attention.is_floating_point() or not attention.isfinite().all() or (attention < 0).any():
        raise ValueError(f"attention: expected finite numbers, none below 0, got {came(attention)} with others")


def taps(visible: np.ndarray, width: int = WIDTH) -> np.ndarray:
    """Whether each tap of the convolution sees the token that stood there in the clip.

    Args:
        visible: (visible,) the tokens that are left, in order.
        width: of the convolution; tap 0 is the token itself, tap k the one k before it in what is left.

    Returns:
        (width, visible) 1 or 0; NaN where there is only padding.
    """
    seen = np.full((width, len(visible)), np.nan)
    for back in range(min(width, len(visible))):
        seen[back, back:] = visible[back:] - visible[: len(visible) - back] == back
    return seen


def attention_of_teacher(frames: Tensor | np.ndarray, grid: Grid) -> Tensor:
    """Where the shipped digit teacher looks, (time, height · width), on the grid of the tokens.

    The teacher cuts every frame into 4 × 4; on another grid its weights are interpolated, and over the frames of a
    tubelet their mean is taken.
    """
    time, height, width = grid
    pixels = clip_to_tensor(torch.as_tensor(np.asarray(frames)))[None]
    attention = digit_teacher()(pixels).attention
    assert attention is not None  # this teacher always says where it looks
    side = round(attention.shape[-1] ** 0.5)
    maps = rearrange(attention[0], "t (h w) -> t 1 h w", h=side)
    if (height, width) != (side, side):
        maps = F.interpolate(maps, (height, width), mode="bilinear", antialias=True)
    return reduce(maps, "(t tubelet) 1 h w -> t (h w)", "mean", t=time)


def _compared(state: State, name: str) -> tuple[float, float]:
    """Share of whole windows and mean length of a run, over draws of their own."""
    generator = torch.Generator().manual_seed(0)
    many = None if state.attention is None else state.attention.expand(DRAWS, -1, -1)
    masks = make_mask(name, state.grid, state.ratio, DRAWS, attention=many, generator=generator)
    runs = sum(len(one) for one in visible_runs(masks))
    return float(unbroken_windows(masks, WIDTH).mean()), int((~masks).sum()) / max(runs, 1)
