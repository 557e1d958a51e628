"""LongDigits: films of minutes whose label depends on the order of two events far apart.

A stand-in for Breakfast, COIN and LVU, on which VideoMamba (arXiv 2403.06977, tables 6 and 7) shows that it reads long
videos end to end. A film is a row of scenes; in each a digit moves once. Two of its digits are keys: one is seen early,
one late, with a third of all scenes or more between them, and the label says which came first.

Films come in twins: film 2k + 1 is film 2k with its two key scenes exchanged. Both show the same digits in the same
motions, so whoever looks at frames without their order cannot tell which is which, and is right half of the time.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, permutations
from typing import Any

import torch
from jaxtyping import Int64, UInt8
from torch import Tensor
from torch.utils.data import Dataset

from vmamba_edu.video.datasets import sample_generator
from vmamba_edu.video.digit_scene import MOTIONS, DigitScene, Draws, make_scene
from vmamba_edu.video.moving_digits import DIGIT_NAMES, caption_of, check_clip, check_counts
from vmamba_edu.video.samplers import Sampler, SparseSampler
from vmamba_edu.video.transforms import clip_to_tensor


@dataclass(frozen=True, eq=False)
class LongFilm:
    """A film that is drawn where one looks at it.

    Attributes:
        scenes: one after another.
        digits: that they show.
        borders: the first frame of each scene, and the number of frames.
        label: which order of two keys it shows.
    """

    scenes: tuple[DigitScene, ...]
    digits: tuple[int, ...]
    borders: tuple[int, ...]
    label: int

    @property
    def num_frames(self) -> int:
        return self.borders[-1]

    @property
    def caption(self) -> str:
        """What happens, in words: "a one moves left, then a four grows, then …"."""
        return ", then ".join(
            caption_of(digit, scene.motion) for digit, scene in zip(self.digits, self.scenes, strict=True)
        )

    def frames(self, indices: Int64[Tensor, " time"] | Sequence[int]) -> UInt8[Tensor, "time height width 3"]:
        """Draw these frames and no others; in any order, repeats allowed. IndexError if one lies outside."""
        numbers = torch.as_tensor(indices, dtype=torch.int64)
        if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < self.num_frames:
            raise IndexError(f"indices must be from 0 to {self.num_frames - 1}, but reach {int(numbers.max())}")
        height, width = self.scenes[0].paper.shape[:2]
        frames = torch.empty((len(numbers), height, width, 3), dtype=torch.uint8)
        for scene, start, end in zip(self.scenes, self.borders, self.borders[1:], strict=False):
            inside = (numbers >= start) & (numbers < end)
            if inside.any():
                frames[inside] = scene.draw((numbers[inside] - start).float() / max(end - start - 1, 1))
        return frames

    def __iter__(self) -> Iterator[UInt8[Tensor, "height width 3"]]:
        """All frames, of which a few are held at a time."""
        for part in torch.arange(self.num_frames).split(64):
            yield from self.frames(part)


class LongDigits(Dataset):
    """Films of minutes, drawn when they are read: only the frames that the sampler chooses.

    A sample is a dict: clip (what the transform makes of the frames), label (the place of its keys' order in
    `classes`), caption, index, and path (a name). All is settled by the seed and the index; in training the sampler
    and the transform are given a generator that changes with the epoch.
    """

    def __init__(
        self,
        split: str = "train",
        length: int = 600,
        *,
        minutes: int | float = 3,
        fps: int = 8,
        num_scenes: int = 6,
        keys: Sequence[int] = (1, 4, 7),
        sampler: Sampler | None = None,
        mode: str = "train",
        size: int | tuple[int, int] = 32,
        background: str = "soft",
        transform: Callable[..., Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        """Nothing is drawn yet.

        Args:
            split: "train", "validation" or "test"; no digit image is in two of them.
            length: how many films.
            minutes, fps: how long each is, and how many frames it has a second.
            num_scenes: at least 3; a scene lasts from half to one and a half times its even share.
            keys: digits, at least two, of which each film shows two; n keys make n (n - 1) classes.
            sampler: which frames to look at; None takes 32, spread over the whole film.
            mode: "train" (frames are drawn at random by the sampler's rule) or "validation".
            size, background: as for `moving_digits`.
            transform: called with frames, (time, height, width, 3) uint8, and a generator; None scales and normalises
                alone (`clip_to_tensor`).
            seed: any int.

        Raises:
            ValueError: an argument is not one of these; the message names it.
        """
        self.num_frames = round(60 * minutes * fps)
        self.size = check_clip(max(self.num_frames, 0), size, background, split)
        check_counts(length=length, fps=fps, num_scenes=num_scenes)
        if num_scenes < 3 or self.num_frames < 4 * num_scenes:
            least = f"at least 3 scenes of 4 frames, but got {num_scenes} in {self.num_frames} frames"
            raise ValueError(f"num_scenes must leave {least}; make the film longer or the scenes fewer")
        if len(set(keys)) != len(keys) or len(keys) < 2 or not set(keys) < set(range(10)):
            raise ValueError(f"keys must be from two to nine different digits from 0 to 9, but got {tuple(keys)}")
        if mode not in ("train", "validation"):
            raise ValueError(f"mode must be one of train, validation, but got {mode!r}")
        self.split, self.length, self.fps, self.num_scenes = split, length, fps, num_scenes
        self.keys, self.background, self.seed, self.mode = tuple(keys), background, seed, mode
        self.sampler, self.transform = sampler or SparseSampler(32), transform or _no_transform
        self._orders = list(permutations(self.keys, 2))
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()

    @property
    def classes(self) -> tuple[str, ...]:
        """What the labels stand for: "one before four" and so on."""
        return tuple(f"{DIGIT_NAMES[first]} before {DIGIT_NAMES[then]}" for first, then in self._orders)

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch it is: frames and transforms that are drawn change with it; the films do not."""
        self._epoch.fill_(epoch)

    def film(self, index: int) -> LongFilm:
        """Film `index`, not yet drawn."""
        twins, exchanged = divmod(index, 2)
        draw = Draws(int(torch.randint(2**62, (), generator=sample_generator(self.seed, 0, twins))))
        pairs = list(combinations(self.keys, 2))
        pair = pairs[twins % len(pairs)]
        pair = pair[::-1] if draw.integer(2) else pair
        third = self.num_scenes // 3
        early, late = draw.integer(third), self.num_scenes - 1 - draw.integer(third)
        others = [digit for digit in range(10) if digit not in self.keys]
        digits = [others[draw.integer(len(others))] for _ in range(self.num_scenes)]
        digits[early], digits[late] = pair
        scenes = [self._scene(draw, digit) for digit in digits]
        borders = self._borders(draw)
        if exchanged:
            scenes[early], scenes[late] = scenes[late], scenes[early]
            digits[early], digits[late] = digits[late], digits[early]
            pair = pair[::-1]
        return LongFilm(tuple(scenes), tuple(digits), borders, self._orders.index(pair))

    def _scene(self, draw: Draws, digit: int) -> DigitScene:
        motion = MOTIONS[draw.integer(len(MOTIONS))]
        return make_scene(draw, digit, motion, self.size[0], self.size[1], self.background, self.split)

    def _borders(self, draw: Draws) -> tuple[int, ...]:
        """The first frame of each scene, and the number of frames."""
        shares = torch.tensor([0.0, *(draw.uniform(0.5, 1.5) for _ in range(self.num_scenes))], dtype=torch.float64)
        ends = shares.cumsum(0) / shares.sum()
        return tuple((ends * self.num_frames).round().long().tolist())

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be below {len(self)}, but got {index}")
        index %= len(self)
        film = self.film(index)
        generator = sample_generator(self.seed, 2 + int(self._epoch), index)
        frames = film.frames(self.sampler.indices(self.mode, film.num_frames, generator=generator))
        return {
            "clip": self.transform(frames, generator),
            "label": film.label,
            "caption": film.caption,
            "index": index,
            "path": self.name(index),
        }

    def frames(self, index: int) -> LongFilm:
        """All frames of film `index`, one at a time."""
        return self.film(index)

    def label(self, index: int) -> int:
        """The order of the keys of film `index` as a class number."""
        return self.film(index).label

    def caption(self, index: int) -> str:
        """What happens in film `index`, in words."""
        return self.film(index).caption

    def name(self, index: int) -> str:
        """The name of film `index`, and of its file when it is written."""
        return f"film_{index:06}"


def _no_transform(frames: Tensor, generator: torch.Generator | None = None) -> Tensor:
    return clip_to_tensor(frames)
