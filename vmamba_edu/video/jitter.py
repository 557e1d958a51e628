"""Random changes of colour, of what is seen and of when: colour jitter, random erasing, temporal jitter.

Each is drawn once a clip, so that all frames are changed alike; only temporal jitter is about single frames.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import UInt8
from torch import Tensor

from vmamba_edu.video import pixel_ops
from vmamba_edu.video.normalisation import IMAGENET_MEAN, IMAGENET_STD
from vmamba_edu.video.resizing import Number, check_frames


@dataclass(frozen=True)
class ColourJitter:
    """Change brightness, contrast and saturation by random factors, and turn the colours, in random order.

    Attributes:
        brightness, contrast, saturation: a factor is drawn from [max(0, 1 - value), 1 + value]; 0 changes nothing.
        hue: a turn is drawn from [-value, value], as a share of the circle of colours, so at most 0.5. By default there
            is none: the published recipes turn no colours.

    Raises:
        ValueError: a value is below 0, or hue is above 0.5.
    """

    brightness: Number = 0.4
    contrast: Number = 0.4
    saturation: Number = 0.4
    hue: Number = 0.0

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, but got {getattr(self, name)}; 0 changes nothing")
        if not 0 <= self.hue <= 0.5:
            raise ValueError(f"hue must be from 0 to 0.5, half the circle of colours, but got {self.hue}")

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "time height width 3"]:
        check_frames(frames)
        bounds = [(max(0.0, 1 - span), 1 + span) for span in (self.brightness, self.contrast, self.saturation)]
        bounds.append((-self.hue, self.hue))
        changes = (pixel_ops.brightness, pixel_ops.contrast, pixel_ops.colour, pixel_ops.hue)
        chances = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        for place in torch.randperm(4, generator=generator).tolist():
            low, high = bounds[place]
            if low < high:
                frames = changes[place](frames, low + (high - low) * chances[place])
        return frames


@dataclass(frozen=True)
class RandomErasing:
    """Cover a random box with noise, the same box and noise in all frames (arXiv 1708.04896).

    The published code (VideoMamba, random_erasing.py, mode "pixel") works on normalised frames and fills each frame's
    box with unit Gaussian noise of its own. Here frames are still uint8: the noise has ImageNet's mean and spread, cut
    to 0 to 255, and stands still, so that a clip played backwards is erased alike.

    Attributes:
        probability: of erasing at all; 0.25 as published.
        area: smallest and largest share of the frame.
        ratio: smallest ratio of the box's height to its width; the largest is its inverse.
    """

    probability: Number = 0.25
    area: tuple[Number, Number] = (0.02, 1 / 3)
    ratio: Number = 0.3

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "time height width 3"]:
        check_frames(frames)
        if float(torch.rand((), generator=generator)) >= self.probability:
            return frames
        box = self.box(frames.shape[1], frames.shape[2], generator)
        if box is None:
            return frames
        top, left, height, width = box
        noise = torch.randn((height, width, 3), generator=generator)
        noise = 255 * (torch.tensor(IMAGENET_MEAN) + torch.tensor(IMAGENET_STD) * noise)
        frames = frames.clone()
        frames[:, top : top + height, left : left + width] = noise.round().clamp(0, 255).to(torch.uint8)
        return frames

    def box(self, height: int, width: int, generator: torch.Generator) -> tuple[int, int, int, int] | None:
        """Top, left, height and width of the box; None if ten tries found none that fits."""
        for _ in range(10):
            share, shape, down, right = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
            area = height * width * (self.area[0] + share * (self.area[1] - self.area[0]))
            ratio = math.exp((2 * shape - 1) * -math.log(self.ratio))
            h, w = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
            if 0 < h < height and 0 < w < width:
                return int(down * (height - h + 1)), int(right * (width - w + 1)), h, w
        return None


@dataclass(frozen=True)
class TemporalJitter:
    """Show near each frame's time another frame instead, up to `most` places earlier or later; the order is kept."""

    most: int = 1

    def __call__(
        self, frames: UInt8[Tensor, "time height width 3"], generator: torch.Generator
    ) -> UInt8[Tensor, "time height width 3"]:
        check_frames(frames)
        time = frames.shape[0]
        shift = torch.randint(-self.most, self.most + 1, (time,), generator=generator)
        places = (torch.arange(time) + shift).clamp(0, time - 1).sort().values
        return frames[places] if self.most else frames
