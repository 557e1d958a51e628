"""Clips and films of digits, as recipes name them: drawn as they are read, without a file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from vmamba_edu.recipes.frames import Frames
from vmamba_edu.video.digit_scene import MOTIONS
from vmamba_edu.video.long_digits import LongDigits
from vmamba_edu.video.moving_digits import DIGIT_NAMES, caption_of
from vmamba_edu.video.moving_digits_data import ALL_PAIRS, MovingDigits, Pair
from vmamba_edu.video.samplers import SparseSampler
from vmamba_edu.video.transforms import clip_to_tensor

LABELS = ("motion", "digit")


@dataclass(frozen=True)
class DigitsData:
    """[data] name = "moving_digits": clips of handwritten digits, see `MovingDigits`.

    Attributes:
        train, validation, test: how many clips each split has; no digit image is in two of them.
        background: "soft", "plain" or "photo".
        noise: standard deviation of noise on every pixel, on a scale from 0 to 1.
        label: what is to be told, "motion" or "digit".
        held_out: a table of combinations of digit and motion that training never sees, by the split that shows them and
            no others: {"validation": [[7, "left"], …], "test": […]}. A split that is not named shows what is not held
            out for another.
        film_frames: 0 shows the whole of a motion, from its first frame to its last, in as many frames as the model
            reads. Otherwise each clip is a film of so many frames, and the model sees those that `SparseSampler` takes
            of it: in training a random one of each segment, anew each time; elsewhere the middle ones, as of a video.
        seed: of the clips.
    """

    train: int = 2400
    validation: int = 600
    test: int = 600
    background: str = "soft"
    noise: float = 0.0
    label: str = "motion"
    held_out: Any = field(default_factory=dict)
    film_frames: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.film_frames < 0:
            said = "a number of frames, or 0 for clips that no frames are taken of"
            raise ValueError(f"film_frames: expected {said}, got {self.film_frames!r}")
        if self.label not in LABELS:
            raise ValueError(f"label: expected one of {', '.join(LABELS)}, got {self.label!r}")
        if not isinstance(self.held_out, Mapping) or not set(self.held_out) <= {"validation", "test"}:
            raise ValueError(f"held_out: expected a table with validation, test or both, got {self.held_out!r}")
        held = {split: _read_pairs(split, pairs) for split, pairs in self.held_out.items()}
        if both := set(held.get("validation", ())) & set(held.get("test", ())):
            raise ValueError(f"held_out: expected other combinations in validation and test, {min(both)} is in both")
        object.__setattr__(self, "held_out", held)

    @property
    def classes(self) -> list[str]:
        """What the labels stand for."""
        return list(MOTIONS if self.label == "motion" else DIGIT_NAMES)

    def make(self, split: str, frames: Frames, views: tuple[int, int] = (1, 1)) -> Dataset:
        """The clips of a split, kept in memory once they are drawn. They are short and square: one view is all."""
        only = self.held_out.get(split)
        others = [pair for name, pairs in self.held_out.items() if name != split for pair in pairs]
        return LabelledDigits(
            split,
            getattr(self, split),
            num_frames=self.film_frames or frames.num_frames,
            size=frames.size,
            transform=FramesOfFilm(frames.num_frames, split) if self.film_frames else None,
            background=self.background,
            noise=self.noise,
            only=only,
            exclude=others,
            keep=True,
            seed=self.seed,
            told=self.label,
        )

    def captions(self, frames: Frames) -> list[str]:
        """The captions of the training split."""
        data: Any = self.make("train", frames)
        return [data.caption(index) for index in range(len(data))]

    def clips_a_round(self, split: str) -> int:
        """How many clips in a row have each caption of a split once."""
        data: Any = self.make(split, Frames(1, 8))
        return len(data.pairs)

    @property
    def caption_numbers(self) -> dict[str, int]:
        """A number for each caption."""
        return {caption_of(*pair): number for number, pair in enumerate(ALL_PAIRS)}


class LabelledDigits(MovingDigits):
    """MovingDigits, of which one may be asked for the digit instead of the motion."""

    def __init__(self, *args: Any, told: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.told = told

    def label(self, index: int) -> int:
        """The motion or the digit of clip `index` as a class number."""
        return super().label(index) if self.told == "motion" else self.pair(index)[0]


@dataclass(frozen=True)
class FramesOfFilm:
    """A transform: the frames of a film that the published sampler takes, normalised.

    Attributes:
        num_frames: how many.
        split: of "train" a random frame of each segment is taken; of others the middle ones.
    """

    num_frames: int
    split: str

    def __call__(
        self, frames: UInt8[Tensor, "film height width 3"], generator: torch.Generator | None = None
    ) -> Float[Tensor, "3 time height width"]:
        mode = "train" if self.split == "train" else "validation"
        return clip_to_tensor(frames[SparseSampler(self.num_frames).indices(mode, len(frames), generator=generator)])


@dataclass(frozen=True)
class LongDigitsData:
    """[data] name = "long_digits": films of minutes whose label is the order of two events far apart, see `LongDigits`.

    Attributes:
        train, validation, test: how many films each split has.
        minutes, fps, num_scenes, keys, background: as for `LongDigits`.
        seed: of the films.
    """

    train: int = 600
    validation: int = 120
    test: int = 120
    minutes: float = 3.0
    fps: int = 8
    num_scenes: int = 6
    keys: Sequence[int] = (1, 4, 7)
    background: str = "soft"
    seed: int = 0

    @property
    def classes(self) -> list[str]:
        """What the labels stand for."""
        return list(LongDigits("train", 1, keys=self.keys).classes)

    def make(self, split: str, frames: Frames, views: tuple[int, int] = (1, 1)) -> Dataset:
        """The films of a split, as many frames of each as the model reads, spread over all of it; one view."""
        return LongDigits(
            split,
            getattr(self, split),
            minutes=self.minutes,
            fps=self.fps,
            num_scenes=self.num_scenes,
            keys=tuple(self.keys),
            sampler=SparseSampler(frames.num_frames),
            mode="train" if split == "train" else "validation",
            size=frames.size,
            background=self.background,
            seed=self.seed,
        )

    def captions(self, frames: Frames) -> list[str]:
        """The captions of the training split."""
        data: Any = self.make("train", frames)
        return [data.caption(index) for index in range(len(data))]


def _read_pairs(split: str, pairs: Any) -> list[Pair]:
    """Combinations as a file has them, lists, as the data set wants them, tuples."""
    known = set(ALL_PAIRS)
    if not isinstance(pairs, Sequence) or isinstance(pairs, str) or not pairs:
        raise ValueError(f"held_out.{split}: expected a list of pairs such as [7, 'left'], got {pairs!r}")
    for pair in pairs:
        if not isinstance(pair, list | tuple) or tuple(pair) not in known:
            advice = f"a digit from 0 to 9 with one of {', '.join(MOTIONS)}"
            raise ValueError(f"held_out.{split}: expected pairs such as [7, 'left'], {advice}; got {pair!r}")
    return [(digit, motion) for digit, motion in pairs]
