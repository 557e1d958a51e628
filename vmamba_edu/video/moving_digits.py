"""Moving Digits: short clips of real handwritten digits, made for questions that only time can answer.

There are twelve motions in six pairs, each the other played backwards. A pair has the same frames in opposite order: no
single frame tells "left" from "right" or "grow" from "shrink", so whoever answers has looked at the order.

The digits are scikit-learn's `load_digits` (1,797 images of 8×8, from the optical recognition set of E. Alpaydin and
C. Kaynak, UCI Machine Learning Repository), which comes with that package and needs no network.
"""

import math
from dataclasses import dataclass, fields, replace
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float32, UInt8
from torch import Tensor

from vmamba_edu.video.digit_ink import Poses, coverage, ink_field, ink_heights

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
BACKGROUNDS = ("soft", "plain")

# Images that follow each other in the set come in runs of about 128 in which every digit comes up equally often, it
# seems one writer after another. Cutting between runs keeps the splits' hands apart as well as their images.
SPLITS = {"train": range(0, 1157), "validation": range(1157, 1415), "test": range(1415, 1797)}

_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_VERBS = {"right": "moves right", "left": "moves left", "down": "moves down", "up": "moves up"} | {
    "clockwise": "turns clockwise",
    "counterclockwise": "turns counterclockwise",
    "grow": "grows",
    "shrink": "shrinks",
    "appear": "appears",
    "disappear": "disappears",
    "open": "opens",
    "close": "closes",
}
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


@dataclass(frozen=True, eq=False)
class MovingDigitsSample:
    """A clip and what happens in it.

    Attributes:
        frames: (time, height, width, 3) uint8, RGB.
        digit: 0 to 9.
        motion: one of MOTIONS.
        image_index: which image of `load_digits` moves.
    """

    frames: UInt8[Tensor, "time height width 3"]
    digit: int
    motion: str
    image_index: int

    @property
    def label(self) -> int:
        """The motion as a class number: its place in MOTIONS."""
        return MOTIONS.index(self.motion)

    @property
    def caption(self) -> str:
        """What happens, in words: "a seven moves left"."""
        return f"{'an' if self.digit == 8 else 'a'} {_NAMES[self.digit]} {_VERBS[self.motion]}"


def moving_digits(
    digit: int | None = None,
    motion: str | None = None,
    *,
    num_frames: int = 16,
    size: int | tuple[int, int] = 224,
    background: str = "soft",
    split: str = "train",
    seed: int = 0,
) -> MovingDigitsSample:
    """Make one clip: a handwritten digit that moves evenly from the first frame to the last.

    The seed settles all that is not asked for: which image, its colours, size, place, and how far it goes. It settles
    them the same for every motion: with one seed, "left" is "right" played backwards, bit for bit.

    Args:
        digit: 0 to 9; None draws one.
        motion: one of MOTIONS; None draws one.
        num_frames: length of the clip; a longer clip is slower motion, not more of it.
        size: (height, width) in pixels, or the side of a square.
        background: "soft" (broad stains of colour, still throughout) or "plain".
        split: "train", "validation" or "test": which images may be drawn; no image is in two of them.
        seed: any int.

    Raises:
        ValueError: an argument is not one of these; the message names it.
        ImportError: scikit-learn is not installed (extra `video`).
    """
    height, width = (size, size) if isinstance(size, int) else size
    _check_counts(num_frames=num_frames, height=height, width=width)
    _check_choice("digit", digit, (None, *range(10)))
    _check_choice("motion", motion, (None, *MOTIONS))
    _check_choice("background", background, BACKGROUNDS)
    _check_choice("split", split, tuple(SPLITS))

    draw = _Draws(seed)
    drawn_digit, drawn_motion = draw.integer(10), MOTIONS[draw.integer(len(MOTIONS))]
    digit, motion = drawn_digit if digit is None else digit, motion or drawn_motion
    image_index = _draw_image(draw, digit, split)
    paper, ink = _draw_colours(draw, height, width, background)
    forward, backward = next(pair for pair in PAIRS if motion in pair)
    poses = _poses(forward, draw, num_frames, height, width)
    field = ink_field(_heights(image_index))
    frames = torch.cat([_paint(coverage(field, part, height, width), paper, ink) for part in _parts(poses)])
    return MovingDigitsSample(frames.flip(0) if motion == backward else frames, digit, motion, image_index)


class _Draws:
    """Random numbers from one seed. What is drawn, and in which order, must not depend on what the caller chose."""

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(int(seed))

    def uniform(self, low: float, high: float) -> float:
        return low + (high - low) * float(torch.rand((), generator=self.generator, dtype=torch.float64))

    def integer(self, below: int) -> int:
        return int(self.uniform(0.0, float(below)))

    def grid(self, colours: int) -> Float32[Tensor, "1 colours 3 3"]:
        return torch.rand((1, colours, 3, 3), generator=self.generator, dtype=torch.float32)


def _poses(forward: str, draw: _Draws, num_frames: int, height: int, width: int) -> Poses:
    """Where the digit is in each frame of the first motion of a pair."""
    ends = (0.0, 1.0) if num_frames > 1 else (0.5, 0.5)
    progress = torch.linspace(*ends, num_frames, dtype=torch.float32)
    half, tilt, extent = draw.uniform(0.46, 0.58), draw.uniform(-0.15, 0.15), draw.uniform(0.8, 1.0)
    # From the middle to the edge, less the box as it stands tilted, and a breath of paper.
    room_x, room_y = (side / min(height, width) - 1.2 * half for side in (width, height))
    x, y = draw.uniform(-0.3, 0.3) * room_x, draw.uniform(-0.3, 0.3) * room_y
    still = Poses(*(torch.full((num_frames,), value, dtype=torch.float32) for value in (x, y, tilt, half, half, 1.0)))
    to_and_fro = extent * (2 * progress - 1)
    match forward:
        case "right":
            return replace(still, x=room_x * to_and_fro)
        case "down":
            return replace(still, y=room_y * to_and_fro)
        case "clockwise":
            return replace(still, turn=tilt + math.radians(80) * to_and_fro)
        case "grow":  # by the same factor in every frame
            size = half * 0.35 ** (extent * (1 - progress))
            return replace(still, half_width=size, half_height=size)
        case "appear":
            return replace(still, opacity=progress)
        case _:  # "open": seen from the edge at first, it turns about its upright middle line until it faces us
            angle = math.radians(90) * (1 - extent * (1 - progress) * 0.95)
            return replace(still, half_width=half * angle.sin())


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


def _draw_image(draw: _Draws, digit: int, split: str) -> int:
    """The number of one image of this digit among those of the split."""
    _, digits = _load_digits()
    candidates = [number for number in SPLITS[split] if digits[number] == digit]
    return candidates[draw.integer(len(candidates))]


def _draw_colours(
    draw: _Draws, height: int, width: int, background: str
) -> tuple[Float32[Tensor, "height width 3"], Float32[Tensor, " 3"]]:
    paper, ink = torch.tensor(_COLOURS[draw.integer(len(_COLOURS))], dtype=torch.float32)
    tints = 0.10 * draw.grid(3) - 0.05
    shade = 0.12 * draw.grid(1) - 0.06
    if background == "plain":
        return paper.expand(height, width, 3), ink
    soft = F.interpolate(tints + shade, size=(height, width), mode="bicubic", align_corners=True)
    return (paper + rearrange(soft, "1 colour height width -> height width colour")).clamp(0, 1), ink


@cache
def _load_digits() -> tuple[np.ndarray, list[int]]:
    """The images, (1797, 8, 8) float32 from 0 to 1, and which digit each shows."""
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError("moving digits need scikit-learn: pip install 'vmamba-edu[video]'") from error
    data = load_digits()
    return (data.images / 16).astype(np.float32), data.target.tolist()


@cache
def _heights(image_index: int) -> Float32[Tensor, "12 12"]:
    images, _ = _load_digits()
    return ink_heights(torch.from_numpy(images[image_index]))


def _check_counts(**counts: int) -> None:
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, but got {count!r}; give a positive int")


def _check_choice(name: str, value: object, choices: tuple) -> None:
    if value not in choices or isinstance(value, bool):
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, but got {value!r}")
