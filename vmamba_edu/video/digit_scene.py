"""One digit on its paper, and where it is at each moment of a motion: drawn frame by frame, in any order.

A scene is settled when it is made; `draw` then shows it at any share of its way, from 0 to 1.
"""

import math
from dataclasses import dataclass, fields, replace
from functools import cached_property

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float32, UInt8
from torch import Tensor

from vmamba_edu.video.digit_images import heights_of, images_of
from vmamba_edu.video.digit_ink import Poses, coverage, ink_field
from vmamba_edu.video.photo_backgrounds import photo_paper

# The first motion of each pair is the one that is drawn; the second is its time reversal.
PAIRS = (
    ("right", "left"),
    ("down", "up"),
    ("clockwise", "counterclockwise"),
    ("grow", "shrink"),
    ("appear", "disappear"),
    ("open", "close"),
)
MOTIONS = tuple(motion for pair in PAIRS for motion in pair)
BACKGROUNDS = ("soft", "plain", "photo")
# (paper, ink): red, green and blue from 0 to 1, far apart in luminance; light and dark papers.
_COLOURS = (
    ((0.93, 0.90, 0.84), (0.10, 0.13, 0.28)),
    ((0.88, 0.91, 0.93), (0.00, 0.30, 0.52)),
    ((0.94, 0.88, 0.81), (0.55, 0.18, 0.05)),
    ((0.86, 0.91, 0.86), (0.02, 0.33, 0.25)),
    ((0.93, 0.88, 0.91), (0.42, 0.13, 0.36)),
    ((0.10, 0.13, 0.22), (0.95, 0.90, 0.72)),
    ((0.06, 0.17, 0.20), (0.62, 0.88, 0.84)),
    ((0.20, 0.10, 0.16), (0.98, 0.76, 0.66)),
    ((0.12, 0.12, 0.13), (0.95, 0.95, 0.95)),
    ((0.16, 0.14, 0.30), (0.80, 0.84, 1.00)),
)
_CHUNK = 32  # frames drawn at once: a long clip needs no more working memory than these


class Draws:
    """Random numbers from one seed. What is drawn, and in which order, must not depend on what the caller chose."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(int(seed))

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator, dtype=torch.float64))

    def integer(self, below: int) -> int:
        return int(self.uniform(0.0, float(below)))

    def grid(self, colours: int) -> Float32[Tensor, "1 colours 3 3"]:
        return torch.rand((1, colours, 3, 3), generator=self.generator, dtype=torch.float32)


@dataclass(frozen=True, eq=False)
class DigitScene:
    """A digit that moves once, from 0 to 1 of its way.

    Attributes:
        image_index: which image of `load_digits`.
        motion: one of MOTIONS.
        paper, ink: colours from 0 to 1; the paper is (height, width, 3).
        half, tilt, extent, x, y: size, lean, how far it goes, and where it stands, in the units of `Poses`.
    """

    image_index: int
    motion: str
    paper: Float32[Tensor, "height width 3"]
    ink: Float32[Tensor, " 3"]
    half: float
    tilt: float
    extent: float
    x: float
    y: float

    @cached_property
    def _field(self) -> Float32[Tensor, "3 points points"]:
        return ink_field(heights_of(self.image_index))

    def draw(self, progress: Float32[Tensor, " time"]) -> UInt8[Tensor, "time height width 3"]:
        """The frames at these shares of the way."""
        height, width = self.paper.shape[:2]
        forward, backward = next(pair for pair in PAIRS if self.motion in pair)
        poses = self._poses(forward, 1 - progress if self.motion == backward else progress)
        parts = [coverage(self._field, part, height, width) for part in _parts(poses)]
        return torch.cat([_paint(part, self.paper, self.ink) for part in parts])

    def _poses(self, forward: str, progress: Float32[Tensor, " time"]) -> Poses:
        """Where the digit is in each frame of the first motion of a pair."""
        values = (self.x, self.y, self.tilt, self.half, self.half, 1.0)
        still = Poses(*(torch.full(progress.shape, value, dtype=torch.float32) for value in values))
        room_x, room_y = _room(self.half, self.paper.shape[0], self.paper.shape[1])
        to_and_fro = self.extent * (2 * progress - 1)
        match forward:
            case "right":
                return replace(still, x=room_x * to_and_fro)
            case "down":
                return replace(still, y=room_y * to_and_fro)
            case "clockwise":
                return replace(still, turn=self.tilt + math.radians(80) * to_and_fro)
            case "grow":  # by the same factor in every frame
                size = self.half * 0.35 ** (self.extent * (1 - progress))
                return replace(still, half_width=size, half_height=size)
            case "appear":
                return replace(still, opacity=progress)
            case _:  # "open": seen from the edge at first, it turns about its upright middle line until it faces us
                angle = math.radians(90) * (1 - self.extent * (1 - progress) * 0.95)
                return replace(still, half_width=self.half * angle.sin())


def make_scene(
    draw: Draws, digit: int, motion: str, height: int, width: int, background: str, split: str
) -> DigitScene:
    """Draw all that is not asked for: which image, its colours, size, place, and how far it goes."""
    candidates = images_of(digit, split)
    image_index = candidates[draw.integer(len(candidates))]
    paper, ink = _draw_colours(draw, height, width, background)
    half, tilt, extent = draw.uniform(0.46, 0.58), draw.uniform(-0.15, 0.15), draw.uniform(0.8, 1.0)
    room_x, room_y = _room(half, height, width)
    x, y = draw.uniform(-0.3, 0.3) * room_x, draw.uniform(-0.3, 0.3) * room_y
    return DigitScene(image_index, motion, paper, ink, half, tilt, extent, x, y)


def evenly(num_frames: int) -> Float32[Tensor, " time"]:
    """Shares of the way of the frames of a clip, from 0 to 1; a single frame is half-way."""
    ends = (0.0, 1.0) if num_frames > 1 else (0.5, 0.5)
    return torch.linspace(*ends, num_frames, dtype=torch.float32)


def _room(half: float, height: int, width: int) -> tuple[float, float]:
    """From the middle to the edge, less the box as it stands tilted, and a breath of paper."""
    return width / min(height, width) - 1.2 * half, height / min(height, width) - 1.2 * half


def _parts(poses: Poses) -> list[Poses]:
    """The same poses, in pieces of at most _CHUNK frames."""
    columns = [getattr(poses, field.name).split(_CHUNK) for field in fields(poses)]
    return [Poses(*piece) for piece in zip(*columns, strict=True)]


def _paint(
    covered: Float32[Tensor, "time height width"],
    paper: Float32[Tensor, "height width 3"],
    ink: Float32[Tensor, " 3"],
) -> UInt8[Tensor, "time height width 3"]:
    share = rearrange(covered, "time height width -> time height width 1")
    return (255 * (paper + share * (ink - paper))).round().to(torch.uint8)


def _draw_colours(
    draw: Draws, height: int, width: int, background: str
) -> tuple[Float32[Tensor, "height width 3"], Float32[Tensor, " 3"]]:
    number = draw.integer(len(_COLOURS))
    paper, ink = torch.tensor(_COLOURS[number], dtype=torch.float32)
    tints = 0.10 * draw.grid(3) - 0.05
    shade = 0.12 * draw.grid(1) - 0.06
    if background == "plain":
        return paper.expand(height, width, 3), ink
    if background == "photo":  # darkened, so that light ink is seen everywhere; what was drawn above settles the place
        light = torch.tensor(_COLOURS[5 + number % 5][1], dtype=torch.float32)
        return photo_paper(tints.flatten().add(0.05).mul(10), height, width), light
    soft = F.interpolate(tints + shade, size=(height, width), mode="bicubic", align_corners=True)
    return (paper + rearrange(soft, "1 colour height width -> height width colour")).clamp(0, 1), ink
