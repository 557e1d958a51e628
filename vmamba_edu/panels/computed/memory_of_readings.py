"""What one channel of a block remembers while it reads a clip: its states in the order of each reading."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vmamba_edu.analysis import block_scan, states_of
from vmamba_edu.analysis.hidden_state import BlockScan
from vmamba_edu.models.backbone import Backbone
from vmamba_edu.panels.computed.small_models import FRESH, as_pixels, fresh_model, with_plan
from vmamba_edu.scan_orders import Grid, Reading, scan_plan


@dataclass(frozen=True, eq=False)
class MemoryOfReadings:
    """The states of a block that reads one clip, by plan, reading and channel; what was computed once is kept.

    Args:
        model: a VideoMamba or VideoMambaPro; its weights serve every plan that it can read by.
        pixels: (1, 3, time, height, width), as for the model.
        block: which block, from 0.
        described: what the model is, in words.
    """

    model: Backbone
    pixels: Tensor
    block: int
    described: str = "the given model"
    _scans: dict[str, dict[Reading, BlockScan]] = field(default_factory=dict, repr=False)
    _states: dict[Any, np.ndarray] = field(default_factory=dict, repr=False)

    @property
    def channels(self) -> int:
        return self.model.block(self.block).mixer.inner_dim

    def along(self, plan: str, reading: Reading, channel: int) -> np.ndarray:
        """h of a channel after each step of a reading, (length, state); [cls] is read and left out.

        Raises:
            ValueError: the model cannot read by that plan, or there is no such channel.
        """
        key = (plan, reading, channel)
        if key not in self._states:
            self._states[key] = self._compute(*key)
        return self._states[key]

    def busiest(self, plan: str) -> int:
        """The channel that hears most of the clip: whose states move most, measured by their size.

        Only the second half of the first reading counts: at the beginning every memory moves, because it fills.
        """
        reading, scan = next(iter(self._scans_of(plan).items()))
        late = _states_of(scan, range(self.channels), reading).tensor_split(2, dim=1)[reading.direction == "forward"]
        moves, size = late.var(dim=1, correction=0).sum(-1), late.square().mean(dim=1).sum(-1)
        return int((moves / size.clamp(min=torch.finfo(size.dtype).tiny)).argmax())

    def _compute(self, plan: str, reading: Reading, channel: int) -> np.ndarray:
        if channel not in range(self.channels):
            raise ValueError(f"channel: expected 0 to {self.channels - 1}, got {channel}")
        scan = self._scans_of(plan).get(reading)
        if scan is None:
            raise ValueError(f"plan: this model does not read {reading.direction} in {reading.order} order")
        h = _states_of(scan, [channel], reading)[0, :, 0]
        cls_index = self.model.cls_index(len(h) - 1)
        patches = torch.cat([h[:cls_index], h[cls_index + 1 :]])
        return patches.flip(0).float().numpy() if reading.direction == "backward" else patches.float().numpy()

    def _scans_of(self, plan: str) -> dict[Reading, BlockScan]:
        if plan not in self._scans:
            model = with_plan(self.model, plan)
            directions = model.block(self.block).mixer.directions
            self._scans[plan] = {
                reading: block_scan(model, self.pixels, self.block, direction=reading.direction, order=reading.order)
                for reading in scan_plan(plan)
                if reading.direction in directions
            }
        return self._scans[plan]


@torch.no_grad()
def _states_of(scan: BlockScan, channels: Any, reading: Reading) -> Tensor:
    """(1, length, channels, state) in the order of the reading's order, whichever its direction."""
    return states_of(scan.arguments, channels, reverse=reading.direction == "backward")


def memory_of(
    frames: Tensor | np.ndarray,
    grid: Grid,
    model: nn.Module | None = None,
    block: int = 0,
    *,
    patch_size: int = 16,
    tubelet_size: int = 1,
) -> MemoryOfReadings:
    """The memory of a block of a model, or of a small fresh one, for a clip that is cut into `grid`.

    Args:
        frames: (time, height, width, 3) uint8.
        grid: what the panel shows; the model must cut the clip likewise.
        block: which block; 0 is nearest to the pixels.

    Raises:
        ValueError: the model has no scans, cuts the clip otherwise, or has no such block.
    """
    described = "the given model"
    if model is None:
        model, described = fresh_model(frames, patch_size, tubelet_size), FRESH
    if not isinstance(model, Backbone):
        raise ValueError(f"model: expected one whose blocks scan, such as videomamba_tiny, got {type(model).__name__}")
    cut = model.config.grid_of(*frames.shape[:3])  # type: ignore[attr-defined]
    if tuple(cut) != tuple(grid):
        raise ValueError(f"model: expected one that cuts this clip into {tuple(grid)} tokens, it cuts it into {cut}")
    model.block(block)  # says so if there is none
    return MemoryOfReadings(model, as_pixels(frames, model), block, described)
