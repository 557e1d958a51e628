"""How far back models look: what is left of a token later, and at which distances their weights lie."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from vmamba_edu.analysis import decay_of
from vmamba_edu.models.backbone import Backbone
from vmamba_edu.panels.computed.attention_of_models import Look, SideBySide
from vmamba_edu.panels.computed.models_side_by_side import pixels_for

MOST_ROWS, FURTHEST, MOST_CHANNELS = 128, 256, 16
"""Of a long sequence so many tokens, spread evenly, look back; decay is followed so far, in so many channels."""


@dataclass(frozen=True, eq=False)
class Reach:
    """How far back one block of a model looks.

    Args:
        by_tokens: (length,) the share of |w| that lies 0, 1, 2 … tokens back; sums to 1.
        by_frames: (time,) the same in frames.
        left: (3, distances) of a model that scans: what is left of a token so many tokens later, at the 10th, 50th and
            90th percentile of the states of `MOST_CHANNELS` channels, spread evenly; None of one that attends: nothing
            decays there.
    """

    by_tokens: np.ndarray
    by_frames: np.ndarray
    left: np.ndarray | None

    @property
    def half(self) -> tuple[int, int]:
        """Within how many tokens, and within how many frames, half of all |w| lies."""
        tokens, frames = (int(np.searchsorted(share.cumsum(), 0.5)) for share in (self.by_tokens, self.by_frames))
        return tokens, frames


@dataclass(frozen=True, eq=False)
class HowFarBack:
    """The reach of every model, block by block; what was computed once is kept."""

    models: SideBySide
    _kept: dict[int, Mapping[str, Reach]] = field(default_factory=dict, repr=False)

    def block(self, number: int) -> Mapping[str, Reach]:
        """The reach of each model in one block; of a scan that of its forward reading.

        Raises:
            ValueError: there is no such block.
        """
        if number not in range(self.models.depth):
            raise ValueError(f"block: expected 0 to {self.models.depth - 1}, got {number}")
        if number not in self._kept:
            self._kept[number] = {name: self._reach(name, model, number) for name, model in self.models.models.items()}
        return self._kept[number]

    def knows(self, number: int) -> bool:
        """Whether `block` has been asked for it before."""
        return number in self._kept

    def _reach(self, name: str, model: Any, number: int) -> Reach:
        length, space = int(np.prod(self.models.grid)), self.models.grid[1] * self.models.grid[2]
        tokens = np.linspace(0, length - 1, min(length, MOST_ROWS)).round().astype(int)
        weights, _ = self.models.rows(name, tokens.tolist(), Look(number, "forward"))
        back = tokens[:, None] - np.arange(length)
        frames = tokens[:, None] // space - np.arange(length) // space
        left = None
        if isinstance(model, Backbone):
            inner = model.block(number).mixer.inner_dim
            some = range(0, inner, -(-inner // MOST_CHANNELS))
            decay = decay_of(model, pixels_for(model, self.models.frames), number, channels=some)
            shares = decay.by_distance(min(FURTHEST, length)).flatten(0, 1).double().cpu().numpy()
            left = np.quantile(shares, [0.1, 0.5, 0.9], axis=0)
        return Reach(_by(back, weights, back >= 0, length), _by(frames, weights, back >= 0, self.models.grid[0]), left)


def _by(distance: np.ndarray, weights: np.ndarray, counted: np.ndarray, most: int) -> np.ndarray:
    """The mean |w| at each distance, as shares of the sum of these means; of tokens that came before and of itself."""
    at = distance[counted]
    total = np.bincount(at, np.abs(weights)[counted], most)
    pairs = np.bincount(at, minlength=most)
    mean = total / np.maximum(pairs, 1)
    return mean / (mean.sum() or math.inf)
