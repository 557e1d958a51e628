"""MovingDigits: a data set of motions, drawn when it is read. No files, no network, any size and length.

    train = MovingDigits("train", 2000, num_frames=8, size=32)
    test = MovingDigits("test", 500, num_frames=8, size=32)
    sample = train[0]                       # clip, label, caption, index, path

For zero-shot retrieval some combinations of digit and motion are held out: `exclude=[(7, "left")]` in training,
`only=[(7, "left")]` in the test.
"""

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor
from torch.utils.data import Dataset

from vmamba_edu.video.datasets import sample_generator
from vmamba_edu.video.digit_scene import MOTIONS
from vmamba_edu.video.moving_digits import MovingDigitsSample, caption_of, check_clip, check_counts, moving_digits
from vmamba_edu.video.transforms import clip_to_tensor

Pair = tuple[int, str]
ALL_PAIRS = tuple((digit, motion) for digit in range(10) for motion in MOTIONS)


class MovingDigits(Dataset):
    """Clips of moving digits, balanced: every so many samples in a row hold each combination of digit and motion once.

    A sample is a dict: clip (what the transform makes of the frames), label (the motion's place in MOTIONS), digit,
    caption ("a seven moves left"), index, and path (a name). All is settled by the seed and the index, however often
    and in whichever worker it is read; a transform that draws is given a generator that changes with the epoch.
    """

    def __init__(
        self,
        split: str = "train",
        length: int = 1000,
        *,
        num_frames: int = 8,
        size: int | tuple[int, int] = 32,
        background: str = "soft",
        noise: int | float = 0.0,
        only: Collection[Pair] | None = None,
        exclude: Collection[Pair] = (),
        transform: Callable[..., Tensor] | None = None,
        keep: bool = False,
        seed: int = 0,
    ) -> None:
        """Nothing is drawn yet.

        Args:
            split: "train", "validation" or "test"; no digit image is in two of them.
            length: how many clips.
            num_frames, size, background: as for `moving_digits`.
            noise: standard deviation of what a camera would add to every pixel, on a scale from 0 to 1.
            only: combinations of digit and motion that may come; None for all.
            exclude: combinations that may not.
            transform: called with frames, (time, height, width, 3) uint8, and a generator; None scales and normalises
                alone (`clip_to_tensor`).
            keep: keep every clip's frames in memory once it is drawn, shared with the workers of a loader:
                length × time × height × width × 3 bytes.
            seed: any int.

        Raises:
            ValueError: an argument is not one of these, or no combination is left; the message names it.
        """
        height, width = check_clip(num_frames, size, background, split)
        check_counts(length=length)
        if not noise >= 0:
            raise ValueError(f"noise must be at least 0, but got {noise}; 0.1 is much")
        self.pairs = _pairs(only, exclude)
        self.split, self.length, self.noise, self.seed = split, length, noise, seed
        self.num_frames, self.size, self.background = num_frames, (height, width), background
        self.transform = transform or _no_transform
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._kept, self._is_kept = torch.empty(0), torch.zeros(length, dtype=torch.bool)
        if keep:
            self._kept = torch.zeros((length, num_frames, height, width, 3), dtype=torch.uint8).share_memory_()
            self._is_kept.share_memory_()

    def __len__(self) -> int:
        return self.length

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch it is: what the transform draws changes with it; the clips do not."""
        self._epoch.fill_(epoch)

    def pair(self, index: int) -> Pair:
        """The digit and the motion of clip `index`: each round of all combinations has an order of its own."""
        round_number, place = divmod(index, len(self.pairs))
        return self.pairs[_order(self.seed, round_number, len(self.pairs))[place]]

    def draw(self, index: int) -> MovingDigitsSample:
        """Clip `index` and what happens in it, without noise."""
        digit, motion = self.pair(index)
        seed = int(torch.randint(2**62, (), generator=sample_generator(self.seed, 0, index)))
        options = {"background": self.background, "split": self.split}
        return moving_digits(digit, motion, num_frames=self.num_frames, size=self.size, seed=seed, **options)

    def frames(self, index: int) -> UInt8[Tensor, "time height width 3"]:
        """The frames of clip `index`, with their noise."""
        if self._is_kept[index]:
            return self._kept[index]
        frames = self.draw(index).frames
        if self.noise:
            generator = sample_generator(self.seed, 1, index)
            added = 255 * self.noise * torch.randn(frames.shape, generator=generator, dtype=torch.float32)
            frames = (frames + added).round().clamp(0, 255).to(torch.uint8)
        if len(self._kept):
            self._kept[index] = frames
            self._is_kept[index] = True
        return frames

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be below {len(self)}, but got {index}")
        index %= len(self)
        generator = sample_generator(self.seed, 2 + int(self._epoch), index)
        return {
            "clip": self.transform(self.frames(index), generator),
            "label": self.label(index),
            "digit": self.pair(index)[0],
            "caption": self.caption(index),
            "index": index,
            "path": self.name(index),
        }

    def caption(self, index: int) -> str:
        """What happens in clip `index`, in words."""
        return caption_of(*self.pair(index))

    def label(self, index: int) -> int:
        """The motion of clip `index` as a class number."""
        return MOTIONS.index(self.pair(index)[1])

    def name(self, index: int) -> str:
        """The name of clip `index`, and of its file when it is written: "left/7_000012"."""
        digit, motion = self.pair(index)
        return f"{motion}/{digit}_{index:06}"

    @property
    def classes(self) -> tuple[str, ...]:
        """What the labels stand for."""
        return MOTIONS


def _pairs(only: Collection[Pair] | None, exclude: Collection[Pair]) -> tuple[Pair, ...]:
    """The combinations that may come, in order."""
    for name, pairs in (("only", only or ()), ("exclude", exclude)):
        for pair in pairs:
            if tuple(pair) not in ALL_PAIRS:
                advice = f"a digit from 0 to 9 with one of {', '.join(MOTIONS)}"
                raise ValueError(f"{name} must hold pairs such as (7, 'left'), {advice}; but got {pair!r}")
    chosen = ALL_PAIRS if only is None else [pair for pair in ALL_PAIRS if pair in {tuple(p) for p in only}]
    left = tuple(pair for pair in chosen if pair not in {tuple(p) for p in exclude})
    if not left:
        raise ValueError("only and exclude leave no combination of digit and motion; leave at least one")
    return left


@lru_cache(maxsize=64)
def _order(seed: int, round_number: int, count: int) -> list[int]:
    """An order of `count` things that is the seed's and the round's own."""
    return torch.randperm(count, generator=sample_generator(seed, round_number, 2**40)).tolist()


def _no_transform(frames: Tensor, generator: torch.Generator | None = None) -> Tensor:
    return clip_to_tensor(frames)
