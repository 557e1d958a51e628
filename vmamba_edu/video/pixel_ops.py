"""What RandAugment and colour jitter do to pixels: pure functions on uint8 frames (time, height, width, 3).

They follow Pillow, frame by frame, as the published pipelines use it (through rand_augment.py of VideoMamba's
video_sm/datasets, which descends from timm). Pillow cuts to whole levels where we round: one level of 255 at most.
"""

import math

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float32, UInt8
from torch import Tensor

from vmamba_edu.video.resizing import Number

Frames = UInt8[Tensor, "time height width 3"]
GREY = (128, 128, 128)  # what is left empty by a turn or a shift, as published


def blend(other: Float32[Tensor, "..."], frames: Frames, factor: Number) -> Frames:
    """From `other` (factor 0) through the frames themselves (1) to beyond them."""
    return (other + factor * (frames.float() - other)).round().clamp(0, 255).to(torch.uint8)


def brightness(frames: Frames, factor: Number) -> Frames:
    """Towards black (0), or brighter (above 1)."""
    return blend(torch.zeros(()), frames, factor)


def colour(frames: Frames, factor: Number) -> Frames:
    """Towards grey of the same lightness (0), or more colourful (above 1)."""
    return blend(lightness(frames), frames, factor)


def hue(frames: Frames, turns: Number) -> Frames:
    """The colours turned on their circle: by a third, red becomes green; by 1, all is as it was. Grey stays grey.

    Value and saturation of each pixel stay, as in HSV. Pillow counts the circle in 256 steps; here it has none.
    """
    values = frames.float()
    top, span = values.amax(-1, keepdim=True), values.amax(-1, keepdim=True) - values.amin(-1, keepdim=True)
    red, green, blue = values.split(1, dim=-1)
    # In sixths of the circle, from red; each third is counted from its own colour, the largest of the three.
    sixths = torch.where(top == green, 2 * span + blue - red, 4 * span + red - green)
    sixths = torch.where(top == red, green - blue, sixths) / span.clamp(min=1)
    # A colour is full within a sixth of its own place, and gone from two sixths on.
    away = (sixths + 6 * turns - torch.tensor([0.0, 2.0, 4.0]) + 3).remainder(6) - 3
    share = (2 - away.abs()).clamp(0, 1)
    return (top - span * (1 - share)).round().clamp(0, 255).to(torch.uint8)


def contrast(frames: Frames, factor: Number) -> Frames:
    """Towards one grey, the mean lightness of the frame (0), or more contrast (above 1)."""
    mean = reduce(lightness(frames), "time height width 1 -> time 1 1 1", "mean").round()
    return blend(mean, frames, factor)


def sharpness(frames: Frames, factor: Number) -> Frames:
    """Towards a smoothed picture (0), or sharper (above 1); the outermost pixels stay."""
    height, width = frames.shape[1:3]
    if min(height, width) < 3:
        return frames
    kernel = torch.tensor([[1.0, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    planes = rearrange(frames, "time height width channel -> (time channel) 1 height width").float()
    smooth = planes.clone()
    smooth[..., 1:-1, 1:-1] = F.conv2d(planes, kernel[None, None])
    time = frames.shape[0]
    return blend(rearrange(smooth, "(time channel) 1 y x -> time y x channel", time=time), frames, factor)


def lightness(frames: Frames) -> Float32[Tensor, "time height width 1"]:
    """The grey of each pixel by ITU-R BT.601, rounded, as Pillow's mode L."""
    weights = torch.tensor([0.299, 0.587, 0.114])
    return (frames.float() @ weights).round()[..., None]


def auto_contrast(frames: Frames) -> Frames:
    """Stretch each colour of each frame to reach from 0 to 255."""
    values = frames.float()
    low, high = (getattr(values, extreme)(dim=(1, 2), keepdim=True) for extreme in ("amin", "amax"))
    span = (high - low).clamp(min=1)
    return torch.where(high > low, (values - low) * 255 / span, values).round().to(torch.uint8)


def equalize(frames: Frames) -> Frames:
    """Spread the levels of each colour of each frame, so that about as many pixels have each."""
    planes = rearrange(frames, "time height width channel -> (time channel) (height width)").long()
    counts = torch.zeros(len(planes), 256, dtype=torch.int64).scatter_add_(1, planes, torch.ones_like(planes))
    last = counts.gather(1, planes.amax(dim=1, keepdim=True))  # Pillow leaves the brightest level out of the sum
    step = (counts.sum(dim=1, keepdim=True) - last) // 255
    before = counts.cumsum(dim=1) - counts
    table = ((before + step // 2) // step.clamp(min=1)).clamp(0, 255)
    table = torch.where(step > 0, table, torch.arange(256))
    time, height = frames.shape[:2]
    spread = table.gather(1, planes).to(torch.uint8)
    return rearrange(spread, "(time channel) (height width) -> time height width channel", time=time, height=height)


def invert(frames: Frames) -> Frames:
    """The negative."""
    return 255 - frames


def posterize(frames: Frames, bits: int) -> Frames:
    """Keep the highest `bits` bits of each level: 8 changes nothing, 0 is black."""
    return frames & (0xFF << (8 - min(bits, 8)) & 0xFF)


def solarize(frames: Frames, threshold: int) -> Frames:
    """Invert the levels from `threshold` up: 256 changes nothing."""
    return torch.where(frames >= threshold, 255 - frames, frames) if threshold < 256 else frames


def solarize_add(frames: Frames, amount: int) -> Frames:
    """Add to the darker half of the levels, at most up to 255."""
    brighter = (frames.int() + amount).clamp(0, 255).to(torch.uint8)
    return torch.where(frames < 128, brighter, frames)


def affine(
    frames: Frames,
    inverse: tuple[tuple[Number, Number, Number], tuple[Number, Number, Number]],
    fill: tuple[int, ...] = GREY,
) -> Frames:
    """Show at (x, y), counted in pixels from the middle, what was at `inverse` (x, y, 1); bilinear, empty parts `fill`.

    An inverse that is the identity changes nothing.
    """
    if inverse == ((1, 0, 0), (0, 1, 0)):
        return frames
    height, width = frames.shape[1:3]
    half = torch.tensor([width / 2, height / 2])
    matrix = torch.tensor(inverse, dtype=torch.float32)
    # grid_sample counts from -1 to 1 along each side.
    scaled = torch.cat([matrix[:, :2] * half / half[:, None], matrix[:, 2:] / half[:, None]], dim=1)
    grid = F.affine_grid(scaled[None], [1, 3, height, width], align_corners=False)
    time = frames.shape[0]
    colours = torch.tensor(fill, dtype=torch.float32)
    # Zero stands for `fill` while sampling, so that borders fade into it.
    planes = rearrange(frames - colours, "time height width channel -> 1 (time channel) height width")
    moved = F.grid_sample(planes, grid, padding_mode="zeros", align_corners=False)
    moved = rearrange(moved, "1 (time channel) height width -> time height width channel", time=time)
    return (moved + colours).round().clamp(0, 255).to(torch.uint8)


def rotate(frames: Frames, degrees: Number, fill: tuple[int, ...] = GREY) -> Frames:
    """Turn counter-clockwise about the middle."""
    sine, cosine = math.sin(math.radians(degrees)), math.cos(math.radians(degrees))
    return affine(frames, ((cosine, -sine, 0.0), (sine, cosine, 0.0)), fill) if degrees else frames


def shear(frames: Frames, x: Number = 0.0, y: Number = 0.0, fill: tuple[int, ...] = GREY) -> Frames:
    """Shear about the upper left corner as Pillow does: what was at (column + x row, row + y column) is shown."""
    height, width = frames.shape[1:3]
    return affine(frames, ((1.0, x, x * height / 2), (y, 1.0, y * width / 2)), fill)


def translate(frames: Frames, x: Number = 0.0, y: Number = 0.0, fill: tuple[int, ...] = GREY) -> Frames:
    """Shift by shares of the width (x) and height (y): what was that far to the right and below is shown."""
    height, width = frames.shape[1:3]
    return affine(frames, ((1.0, 0.0, x * width), (0.0, 1.0, y * height)), fill)
