"""Change the size of frames, and cut squares out of them: the same for every frame of a clip.

All transforms of this room take and give uint8 frames (time, height, width, 3) and are called as
`transform(frames, generator)`; those that draw nothing leave the generator alone, and it may be left out.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import UInt8
from torch import Tensor

Number = int | float  # an int is a float to people, and to mypy, but not to a check of types at run time
INTERPOLATIONS = ("bilinear", "bicubic")


def check_frames(frames: Tensor) -> None:
    """Raise unless frames are uint8 (time, height, width, 3)."""
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[-1] != 3:
        got = f"{frames.dtype} of shape {tuple(frames.shape)}"
        raise ValueError(f"frames must be uint8 (time, height, width, 3), but got {got}; give it read_clip(...).frames")


def check_side(name: str, side: int) -> None:
    if isinstance(side, bool) or not isinstance(side, int) or side < 1:
        raise ValueError(f"{name} must be at least 1 pixel, but got {side!r}; 224 is usual")


def resize(
    frames: UInt8[Tensor, "time height width 3"], height: int, width: int, interpolation: str = "bilinear"
) -> UInt8[Tensor, "time new_height new_width 3"]:
    """Resize every frame, antialiased, rounded to whole levels once."""
    check_frames(frames)
    if interpolation not in INTERPOLATIONS:
        raise ValueError(f"interpolation must be one of {', '.join(INTERPOLATIONS)}, but got {interpolation!r}")
    if tuple(frames.shape[1:3]) == (height, width):
        return frames
    pictures = rearrange(frames, "time height width channel -> time channel height width")
    resized = F.interpolate(pictures, size=(height, width), mode=interpolation, antialias=True, align_corners=False)
    return rearrange(resized, "time channel height width -> time height width channel")


def short_side_size(height: int, width: int, size: int) -> tuple[int, int]:
    """Height and width with a short side of `size`, the long one in proportion, cut to whole pixels."""
    short = min(height, width)
    return size * height // short, size * width // short


def resize_short_side(
    frames: UInt8[Tensor, "time height width 3"], size: int, interpolation: str = "bilinear"
) -> UInt8[Tensor, "time new_height new_width 3"]:
    """Resize so that the short side has `size` pixels; the proportions stay."""
    check_frames(frames)
    check_side("size", size)
    return resize(frames, *short_side_size(frames.shape[1], frames.shape[2], size), interpolation)


@dataclass(frozen=True)
class ShortSideResize:
    """Resize the short side to `size` pixels."""

    size: int
    interpolation: str = "bilinear"

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "time new_height new_width 3"]:
        return resize_short_side(frames, self.size, self.interpolation)


@dataclass(frozen=True)
class CentreCrop:
    """Cut the middle `size` × `size` pixels out; smaller frames are refused."""

    size: int

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator | None = None
    ) -> UInt8[Tensor, "time size size 3"]:
        check_frames(frames)
        check_side("size", self.size)
        height, width = frames.shape[1:3]
        if min(height, width) < self.size:
            advice = "put ShortSideResize before it"
            raise ValueError(f"size: a square of {self.size} does not fit into frames of {height}×{width}; {advice}")
        top, left = (height - self.size) // 2, (width - self.size) // 2
        return frames[:, top : top + self.size, left : left + self.size]


@dataclass(frozen=True)
class RandomResizedCrop:
    """Cut a random piece out, the same of every frame, and resize it to a square (VideoMamba, video_transforms.py).

    Ten times an area (a share of the frame within `scale`) and a ratio of width to height (logarithmically uniform in
    `ratio`) are drawn, until they fit; if none does, the largest middle piece whose ratio is allowed is taken.

    Attributes:
        size: side of the result, in pixels.
        scale, ratio: the published ranges.
        interpolation: "bilinear" as published for this step, or "bicubic".
    """

    size: int
    scale: tuple[Number, Number] = (0.08, 1.0)
    ratio: tuple[Number, Number] = (0.75, 1.3333)
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        check_side("size", self.size)
        if not 0 < self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale must be two shares of the area, rising, above 0 up to 1, but got {self.scale}")
        if not 0 < self.ratio[0] <= self.ratio[1]:
            raise ValueError(f"ratio must be two positive ratios, rising, but got {self.ratio}")

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "time size size 3"]:
        check_frames(frames)
        top, left, height, width = self.box(frames.shape[1], frames.shape[2], generator)
        piece = frames[:, top : top + height, left : left + width]
        return resize(piece, self.size, self.size, self.interpolation)

    def box(self, height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int]:
        """Draw a piece of a frame of this size: top, left, height and width in pixels."""
        for _ in range(10):
            share, shape, down, right = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
            area = height * width * (self.scale[0] + share * (self.scale[1] - self.scale[0]))
            low, high = map(math.log, self.ratio)
            ratio = math.exp(low + shape * (high - low))
            w, h = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < w <= width and 0 < h <= height:
                return int(down * (height - h + 1)), int(right * (width - w + 1)), h, w
        ratio = min(max(width / height, self.ratio[0]), self.ratio[1])
        w, h = min(width, max(1, round(height * ratio))), min(height, max(1, round(width / ratio)))
        return (height - h) // 2, (width - w) // 2, h, w


@dataclass(frozen=True)
class RandomHorizontalFlip:
    """Mirror left and right, all frames or none. Not for data sets whose labels say "left" and "right" (SSv2)."""

    probability: Number = 0.5

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "time height width 3"]:
        check_frames(frames)
        return frames.flip(2) if float(torch.rand((), generator=generator)) < self.probability else frames
