"""The published ways of sampling as objects that a data set can hold: one for each rule, with train, validation, test.

`SparseSampler(8).indices("test", 300, chunk=1, num_chunks=4)` calls the pure functions of `sampling`, `ssv2_sampling`
and `segment_sampling`. All are frozen and can be pickled, so the workers of a loader take them along.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Int64
from torch import Tensor

from vmamba_edu.video import sampling, segment_sampling, ssv2_sampling

MODES = ("train", "validation", "test")


@dataclass(frozen=True)
class Sampler(ABC):
    """Chooses `num_frames` frames. What differs from rule to rule is in `_train` and `_test`.

    Attributes:
        num_frames: length of a clip.
    """

    num_frames: int
    window_end_included: ClassVar[bool] = True

    def indices(
        self,
        mode: str,
        num_frames_total: int,
        *,
        generator: torch.Generator | None = None,
        chunk: int = 0,
        num_chunks: int = 1,
        window: tuple[int, int] | None = None,
    ) -> Int64[Tensor, " time"]:
        """The frames to look at.

        Args:
            mode: "train" (random, wants a generator), "validation" or "test" (view `chunk` of `num_chunks`).
            num_frames_total: frames the video has.
            window: first and last frame of the piece that is meant; None for the whole. (Captions count the last one
                out, as published: "the first 30 seconds" are floor(30 fps) frames.)
        """
        if mode not in MODES:
            raise ValueError(f"mode must be one of {', '.join(MODES)}, but got {mode!r}")
        start, end = (0, num_frames_total - 1) if window is None else window
        start = max(0, min(start, num_frames_total - 1))
        end = max(start, min(end - (window is not None and not self.window_end_included), num_frames_total - 1))
        total = end - start + 1
        if mode == "train":
            if generator is None:
                raise ValueError("generator must be given in training, where frames are drawn; give a torch.Generator")
            return start + self._train(total, generator)
        return start + (self._validation(total) if mode == "validation" else self._test(total, chunk, num_chunks))

    @abstractmethod
    def _train(self, total: int, generator: torch.Generator) -> Int64[Tensor, " time"]:
        """The frames of a training clip, from the first of the piece on."""

    def _validation(self, total: int) -> Int64[Tensor, " time"]:
        return self._test(total, 0, 1)

    @abstractmethod
    def _test(self, total: int, chunk: int, num_chunks: int) -> Int64[Tensor, " time"]:
        """The frames of one view of a test, from the first of the piece on."""


@dataclass(frozen=True)
class SparseSampler(Sampler):
    """Over the whole video: Kinetics (sparse), Breakfast, COIN and LVU."""

    def _train(self, total: int, generator: torch.Generator) -> Int64[Tensor, " time"]:
        return sampling.sparse_train_indices(total, self.num_frames, generator)

    def _test(self, total: int, chunk: int, num_chunks: int) -> Int64[Tensor, " time"]:
        return sampling.sparse_test_indices(total, self.num_frames, chunk, num_chunks)


@dataclass(frozen=True)
class DenseSampler(Sampler):
    """A short clip, every `stride`-th frame: Kinetics (dense). Validation takes the middle of the video."""

    stride: int = 4

    def _train(self, total: int, generator: torch.Generator) -> Int64[Tensor, " time"]:
        return sampling.dense_train_indices(total, self.num_frames, self.stride, generator)

    def _validation(self, total: int) -> Int64[Tensor, " time"]:
        return sampling.dense_validation_indices(total, self.num_frames, self.stride)

    def _test(self, total: int, chunk: int, num_chunks: int) -> Int64[Tensor, " time"]:
        return sampling.dense_test_indices(total, self.num_frames, self.stride, chunk, num_chunks)


@dataclass(frozen=True)
class SSv2Sampler(Sampler):
    """Something-Something V2 from video files: two views in the test."""

    def _train(self, total: int, generator: torch.Generator) -> Int64[Tensor, " time"]:
        return ssv2_sampling.ssv2_train_indices(total, self.num_frames, generator)

    def _validation(self, total: int) -> Int64[Tensor, " time"]:
        return ssv2_sampling.ssv2_validation_indices(total, self.num_frames)

    def _test(self, total: int, chunk: int, num_chunks: int) -> Int64[Tensor, " time"]:
        return ssv2_sampling.ssv2_test_indices(total, self.num_frames, chunk, num_chunks)


@dataclass(frozen=True)
class SSv2FramesSampler(Sampler):
    """Something-Something V2 from folders of raw frames."""

    def _train(self, total: int, generator: torch.Generator) -> Int64[Tensor, " time"]:
        return ssv2_sampling.ssv2_frames_train_indices(total, self.num_frames, generator)

    def _validation(self, total: int) -> Int64[Tensor, " time"]:
        return ssv2_sampling.ssv2_frames_validation_indices(total, self.num_frames)

    def _test(self, total: int, chunk: int, num_chunks: int) -> Int64[Tensor, " time"]:
        return ssv2_sampling.ssv2_frames_test_indices(total, self.num_frames, chunk, num_chunks)


@dataclass(frozen=True)
class PretrainingSampler(SparseSampler):
    """Masked pre-training: a random frame of each segment; where nothing is drawn, as SparseSampler."""

    def _train(self, total: int, generator: torch.Generator) -> Int64[Tensor, " time"]:
        return segment_sampling.pretraining_indices(total, self.num_frames, generator)


@dataclass(frozen=True)
class CaptionSampler(Sampler):
    """Video and text: the middle of each interval, in training a random frame of it. A test has one view."""

    window_end_included: ClassVar[bool] = False

    def _train(self, total: int, generator: torch.Generator) -> Int64[Tensor, " time"]:
        return segment_sampling.caption_random_indices(total, self.num_frames, generator)

    def _test(self, total: int, chunk: int, num_chunks: int) -> Int64[Tensor, " time"]:
        if num_chunks != 1:
            raise ValueError(f"num_chunks must be 1 for captions, but got {num_chunks}; their test has one view")
        return segment_sampling.caption_middle_indices(total, self.num_frames)
