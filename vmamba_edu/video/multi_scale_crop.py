"""The crop of masked pre-training: squares and near-squares of four sizes, at thirteen fixed places."""

from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from vmamba_edu.video.resizing import Number, check_frames, check_side, resize


@dataclass(frozen=True)
class MultiScaleCrop:
    """Cut one of a few boxes out, the same of every frame, and resize it to a square.

    Sides are shares of the frame's short side; height and width may be neighbours in the list of shares. The corner of
    the box lies at one of 13 places: the corners, the middles of the sides, the middle, and four between these.
    Source: VideoMamba (arXiv 2403.06977), video_sm/datasets/transforms.py, GroupMultiScaleCrop.

    Attributes:
        size: side of the result, in pixels. A box within 3 pixels of it is cut at exactly this size, as published.
        scales: the shares.
    """

    size: int
    scales: tuple[Number, ...] = (1, 0.875, 0.75, 0.66)

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "time size size 3"]:
        check_frames(frames)
        check_side("size", self.size)
        boxes = self.boxes(*frames.shape[1:3])
        height, width = boxes[int(torch.randint(len(boxes), (), generator=generator))]
        down, right = _PLACES[int(torch.randint(len(_PLACES), (), generator=generator))]
        top, left = down * ((frames.shape[1] - height) // 4), right * ((frames.shape[2] - width) // 4)
        return resize(frames[:, top : top + height, left : left + width], self.size, self.size)

    def boxes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width of the boxes there are for frames of this size."""
        short = min(height, width)
        sides = [int(short * scale) for scale in self.scales]
        sides = [min(self.size, short) if abs(side - self.size) < 3 else side for side in sides]
        return [(h, w) for i, h in enumerate(sides) for j, w in enumerate(sides) if abs(i - j) <= 1]


# In quarters of the room above and to the left: (down, right).
_PLACES = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2), (2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3)]
