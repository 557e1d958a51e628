"""Moving Digits: short clips of real handwritten digits, made for questions that only time can answer.

There are twelve motions in six pairs, each the other played backwards. A pair has the same frames in opposite order: no
single frame tells "left" from "right" or "grow" from "shrink", so whoever answers has looked at the order.

`moving_digits` makes one clip; `MovingDigits` is a data set of them.
"""

from dataclasses import dataclass
from functools import cache

from jaxtyping import UInt8
from torch import Tensor

from vmamba_edu.video.digit_images import SPLITS
from vmamba_edu.video.digit_scene import BACKGROUNDS, MOTIONS, PAIRS, Draws, evenly, make_scene

DIGIT_NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
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
        return caption_of(self.digit, self.motion)


@cache
def caption_of(digit: int, motion: str) -> str:
    """What happens when this digit makes this motion, in words."""
    return f"{'an' if digit == 8 else 'a'} {DIGIT_NAMES[digit]} {_VERBS[motion]}"


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
        background: "soft" (broad stains of colour, still throughout), "plain", or "photo" (a piece of a photograph,
            darkened; see PHOTO_ATTRIBUTION).
        split: "train", "validation" or "test": which images may be drawn; no image is in two of them.
        seed: any int.

    Raises:
        ValueError: an argument is not one of these; the message names it.
        ImportError: scikit-learn is not installed (extra `video`), or for photographs Pillow (extra `lab`).
    """
    height, width = check_clip(num_frames, size, background, split)
    check_choice("digit", digit, (None, *range(10)))
    check_choice("motion", motion, (None, *MOTIONS))
    draw = Draws(seed)
    drawn_digit, drawn_motion = draw.integer(10), MOTIONS[draw.integer(len(MOTIONS))]
    digit, motion = drawn_digit if digit is None else digit, motion or drawn_motion
    # Drawn as the first motion of its pair and then reversed: so that both are the same to the last bit.
    forward, backward = next(pair for pair in PAIRS if motion in pair)
    scene = make_scene(draw, digit, forward, height, width, background, split)
    frames = scene.draw(evenly(num_frames))
    return MovingDigitsSample(frames.flip(0) if motion == backward else frames, digit, motion, scene.image_index)


def check_clip(num_frames: int, size: int | tuple[int, int], background: str, split: str) -> tuple[int, int]:
    """Raise unless such a clip can be made; the message names what cannot. Gives the height and the width."""
    height, width = (size, size) if isinstance(size, int) else size
    check_counts(num_frames=num_frames, height=height, width=width)
    check_choice("background", background, BACKGROUNDS)
    check_choice("split", split, tuple(SPLITS))
    return height, width


def check_counts(**counts: int) -> None:
    """Raise unless every count is a positive int; the message names it."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int) or count < 1:
            raise ValueError(f"{name} must be a whole number of at least 1, but got {count!r}; give a positive int")


def check_choice(name: str, value: object, choices: tuple) -> None:
    """Raise unless the value is one of the choices; the message names them."""
    if value not in choices or isinstance(value, bool):
        raise ValueError(f"{name} must be one of {', '.join(map(str, choices))}, but got {value!r}")
