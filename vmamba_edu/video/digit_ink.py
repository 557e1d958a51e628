"""Draw a handwritten digit of 8×8 grey values as a stroke of ink, at any size, place, turn and stretch.

Each grey value of the data set tells how much of its cell the pen once covered. So we look for a smooth field of
heights of which that share of each cell lies above zero (`ink_heights`). The stroke is where the field is positive; its
outline, like the shore of an island, stays smooth however far one zooms in.

A pixel on the shore is covered in part: the height there, divided by the slope per pixel, is its distance from the
shore in pixels. So edges are antialiased, exactly to first order, at every scale, and a digit that moves by a tenth of
a pixel looks as if it did (`coverage`).
"""

from dataclasses import dataclass
from functools import cache

import torch
import torch.nn.functional as F
from einops import einsum, rearrange, reduce
from jaxtyping import Float32
from torch import Tensor

_CELLS = 8  # the data set's pixels a side
_FINE = 20  # points of the fine grid a cell
_MARGIN = 2  # cells of empty paper around, in which strokes that touch the border end roundly
_SIDE = _CELLS + 2 * _MARGIN
_SMOOTHING = 0.6  # standard deviation of the interpolating Gaussian, in cells: less shows the grid, more melts the ink
_ROUNDS = 60  # of fitting; by then the shares of the cells are met to a few hundredths


@dataclass(frozen=True, eq=False)
class Poses:
    """Where a digit is in each frame; every tensor is (time,) float32.

    Lengths are in half short sides of the picture: the middle is (0, 0), a square picture reaches from -1 to 1; x runs
    to the right, y down. `turn` is in radians, clockwise. `half_width` and `half_height` are those of the digit's 8×8
    box before it is turned. `opacity` is 1 for full ink.
    """

    x: Float32[Tensor, " time"]
    y: Float32[Tensor, " time"]
    turn: Float32[Tensor, " time"]
    half_width: Float32[Tensor, " time"]
    half_height: Float32[Tensor, " time"]
    opacity: Float32[Tensor, " time"]


def ink_heights(image: Float32[Tensor, "8 8"]) -> Float32[Tensor, "12 12"]:
    """Find heights at the middles of the cells (and of a margin of two) whose smooth field covers what `image` says.

    Each round measures the share of every cell that is covered and moves the cell's height by what is missing.

    Args:
        image: (8, 8), the share of each cell that is ink, from 0 to 1.
    """
    wanted = F.pad(image, (_MARGIN,) * 4)
    points = 8
    weight = _interpolation(points)
    heights = wanted - 0.5
    for _ in range(_ROUNDS):
        field = weight @ heights @ weight.T
        covered = torch.sigmoid(8 * field)  # a soft step, so that a cell just below the surface feels what it lacks
        share = reduce(covered, "(row y) (column x) -> row column", "mean", y=points, x=points)
        heights = (heights + wanted - share).clamp(-1, 1)
    return heights


def ink_field(heights: Float32[Tensor, "12 12"]) -> Float32[Tensor, "3 points points"]:
    """The field of these heights on a fine grid, and its slopes along x and y, a unit of length being half the box."""
    weight, slope = _interpolation(_FINE), _interpolation_slope(_FINE)
    return torch.stack([weight @ heights @ weight.T, weight @ heights @ slope.T, slope @ heights @ weight.T])


@cache
def _interpolation(points: int) -> Float32[Tensor, "points cells"]:
    """Weights from the cells of a row to `points` points in each of them: Gaussian, and 1 in sum."""
    weight, _ = _gaussian(points)
    return weight / weight.sum(dim=1, keepdim=True)


@cache
def _interpolation_slope(points: int) -> Float32[Tensor, "points cells"]:
    """How those weights change along the row, a unit of length being half the box: the quotient rule."""
    weight, change = _gaussian(points)
    total = weight.sum(dim=1, keepdim=True)
    return (change - weight / total * change.sum(dim=1, keepdim=True)) / total * (_CELLS / 2)


def _gaussian(points: int) -> tuple[Float32[Tensor, "points cells"], Float32[Tensor, "points cells"]]:
    """A Gaussian about the middle of each cell at every point, and its slope, a unit of length being a cell."""
    place = (_count(_SIDE * points) + 0.5) / points
    distance = place[:, None] - (_count(_SIDE) + 0.5)
    weight = torch.exp(-0.5 * (distance / _SMOOTHING) ** 2)
    weight = weight * (distance.abs() < 5)  # beyond, it is below 1e-15, and soon denormal, which is slow
    return weight, -distance / _SMOOTHING**2 * weight


def _count(number: int) -> Float32[Tensor, " number"]:
    return torch.arange(number, dtype=torch.float32)  # whatever PyTorch's default is: one seed, one picture


def coverage(
    field: Float32[Tensor, "3 points points"], poses: Poses, height: int, width: int
) -> Float32[Tensor, "time height width"]:
    """How much of each pixel the ink covers, from 0 to 1, in every pose."""
    to_box = _picture_to_box(poses)
    short = min(height, width)
    y = (2 * _count(height) + 1 - height) / short
    x = (2 * _count(width) + 1 - width) / short
    place = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)
    place = place - rearrange(torch.stack([poses.x, poses.y], dim=-1), "time xy -> time 1 1 xy")
    in_box = einsum(to_box, place, "time box xy, time height width xy -> time height width box")
    grid = in_box * (_CELLS / _SIDE)  # grid_sample counts from -1 to 1 over the whole field, margin included
    # Beyond the field the nearest point of its empty border holds.
    sampled = F.grid_sample(field.expand(len(grid), -1, -1, -1), grid, padding_mode="border", align_corners=False)
    slope = einsum(sampled[:, 1:], to_box, "time box height width, time box xy -> time xy height width")
    slope_per_pixel = torch.hypot(*slope.unbind(dim=1)) * (2 / short)
    from_shore = sampled[:, 0] / slope_per_pixel.clamp_min(1e-6)
    return (from_shore + 0.5).clamp(0, 1) * rearrange(poses.opacity, "time -> time 1 1")


def _picture_to_box(poses: Poses) -> Float32[Tensor, "time box xy"]:
    """The linear map from the picture (relative to the digit's middle) to its box: turn back, then undo the size."""
    cosine, sine = poses.turn.cos(), poses.turn.sin()
    along_x = torch.stack([cosine, sine], dim=-1) / poses.half_width[:, None]
    along_y = torch.stack([-sine, cosine], dim=-1) / poses.half_height[:, None]
    return torch.stack([along_x, along_y], dim=1)
