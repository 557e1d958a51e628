"""A data set of videos: records in, samples out, ready for torch's DataLoader.

    records = read_list("train.csv", "kinetics400", prefix="/data/kinetics")
    data = VideoDataset(records, SparseSampler(8), training_transform(224), on_error="skip")
    loader = DataLoader(data, batch_size=16, shuffle=True, num_workers=4)

What is drawn for a sample is settled by the seed, the epoch (`set_epoch`) and the sample's index: not by which worker
draws it, nor by what was drawn before.
"""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from vmamba_edu.video.errors import VideoReadError
from vmamba_edu.video.media import SOURCES, read_record
from vmamba_edu.video.records import Record
from vmamba_edu.video.samplers import MODES, Sampler
from vmamba_edu.video.ssv2_sampling import RAW_FRAME_NAME
from vmamba_edu.video.transforms import clip_to_tensor
from vmamba_edu.video.views import View, all_views

Sample = dict[str, Any]
ON_ERROR = ("raise", "skip")


def sample_generator(seed: int, epoch: int, index: int) -> torch.Generator:
    """A generator for one sample of one epoch, unlike its neighbours' (NumPy's SeedSequence mixes the numbers)."""
    state = np.random.SeedSequence([seed % 2**64, epoch, index]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0] >> np.uint64(1)))


class VideoDataset(Dataset):
    """Clips of the videos of a list, one sample a record; in a test, one a view (chunk, then crop, then record).

    A sample is a dict of
        clip: what the transform makes of the frames, (3, time, height, width) float32;
        index: its place in this data set, path: of its video, and record: the place of its record in the list;
        label (int, or a float32 tensor for regression), or labels (a dict by head), where the record has them;
        caption, where it has captions: in training one that is drawn, else the first;
        chunk and crop in a test. Windows of one film go on counting chunks, so that `merge_views` keeps them apart.
        (The published tests give all windows of a film the same chunks, and then count the first window alone.)
    """

    def __init__(
        self,
        records: Sequence[Record],
        sampler: Sampler,
        transform: Callable[..., Tensor] | None = None,
        *,
        mode: str = "train",
        source: str = "video",
        num_chunks: int = 1,
        num_crops: int = 1,
        num_samples: int = 1,
        on_error: str = "raise",
        seed: int = 0,
        frame_name: str = RAW_FRAME_NAME,
        short_side: int | None = None,
    ) -> None:
        """Nothing is opened yet.

        Args:
            records: from `read_list`, `read_captions`, …
            sampler: which frames of a video.
            transform: called with frames, (time, height, width, 3) uint8, and a generator; with several
                crops with `crop` and `num_crops` besides (`test_transform`). None scales and normalises alone
                (`clip_to_tensor`).
            mode: "train", "validation" or "test".
            source: "video", "frames" (folders of raw frames) or "image".
            num_chunks, num_crops: views of each video in a test.
            num_samples: how often each clip is transformed in training (2 in the published recipes); with more than
                one the clip has a first axis more, see `collate_samples`.
            on_error: what a file that cannot be read does: "raise" VideoReadError, or "skip": it is reported once, as a
                warning, and the next sample that can be read stands in its place, with its own index.
            seed: of all that is drawn.
            frame_name: of raw frames.
            short_side: resize the frames of a video to it as they are decoded, before any transform: large films then
                need little memory.
        """
        choices = (("mode", mode, MODES), ("source", source, SOURCES), ("on_error", on_error, ON_ERROR))
        for name, value, allowed in choices:
            if value not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, but got {value!r}")
        if not records:
            raise ValueError("records is empty; a data set needs at least one record")
        if num_samples < 1 or (num_samples > 1 and mode != "train"):
            raise ValueError(f"num_samples must be 1, or more in training, but got {num_samples} with mode={mode!r}")
        if (num_chunks, num_crops) != (1, 1) and mode != "test":
            raise ValueError(f'num_chunks and num_crops are views of a test, but mode is {mode!r}; give mode="test"')
        self.records, self.sampler, self.transform = list(records), sampler, transform or _no_transform
        self.mode, self.source, self.frame_name = mode, source, frame_name
        self.num_chunks, self.num_crops, self.num_samples = num_chunks, num_crops, num_samples
        self.on_error, self.seed, self.short_side = on_error, seed, short_side
        self.views = all_views(len(self.records), num_chunks, num_crops)
        self._windows = _window_numbers(self.records)
        # Shared with the workers of a loader, so that they see the epoch and the caller sees what they could not read.
        self._epoch = torch.zeros((), dtype=torch.int64).share_memory_()
        self._broken = torch.zeros(len(self.records), dtype=torch.bool).share_memory_()

    def __len__(self) -> int:
        return len(self.views)

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch it is: what is drawn changes with it. Workers that live on (persistent) hear of it too."""
        self._epoch.fill_(epoch)

    def __getitem__(self, index: int) -> Sample:
        """The sample `index`.

        Raises:
            VideoReadError: its file cannot be read, with on_error="raise"; or no file at all can be, with "skip".
            IndexError: there is no such sample.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"index must be below {len(self)}, but got {index}")
        index %= len(self)
        for place in range(index, index + len(self)):
            record = self.views[place % len(self)].video
            if self.on_error == "skip" and self._broken[record]:
                continue
            try:
                return self._sample(place % len(self))
            except (VideoReadError, OSError) as error:
                self._report(record, error)
        raise VideoReadError(f"{self.records[0].list_file or 'records'}: no file at all can be read; check the prefix")

    def _sample(self, index: int) -> Sample:
        view = self.views[index]
        record = self.records[view.video]
        generator = sample_generator(self.seed, int(self._epoch), index)

        def choose(total: int, window: tuple[int, int] | None) -> Tensor:
            views = {"chunk": view.chunk, "num_chunks": self.num_chunks}
            return self.sampler.indices(self.mode, total, generator=generator, window=window, **views)

        frames = read_record(record, choose, self.source, self.frame_name, self.short_side)
        sample = {
            "clip": self._clip(frames, view, generator),
            "index": index,
            "path": record.path,
            "record": view.video,
        }
        if self.mode == "test":
            sample |= {"chunk": view.chunk + self.num_chunks * self._windows[view.video], "crop": view.crop}
        return sample | _targets(record, generator if self.mode == "train" else None)

    def _clip(self, frames: Tensor, view: View, generator: torch.Generator) -> Tensor:
        if self.num_crops > 1:
            return self.transform(frames, generator, crop=view.crop, num_crops=self.num_crops)
        if self.num_samples == 1:
            return self.transform(frames, generator)
        return torch.stack([self.transform(frames, generator) for _ in range(self.num_samples)])

    def _report(self, record: int, error: Exception) -> None:
        """Raise, or note and warn, the first time that a record cannot be read."""
        message = f"{self.records[record].where}: {error}" if self.records[record].list_file else str(error)
        if self.on_error == "raise":
            raise VideoReadError(message) from error
        if not self._broken[record]:
            self._broken[record] = True
            warnings.warn(f"{message} (skipped)", stacklevel=3)

    def check(self, progress: bool = True) -> list[Record]:
        """Read every record once, at its first view, note those that cannot be read, and give them.

        Nothing is raised or warned of; `summary` counts what was found.
        """
        for number in tqdm(range(len(self.records)), desc="checking", unit="video", disable=not progress):
            try:
                self._sample(number)
            except (VideoReadError, OSError):
                self._broken[number] = True
        return self.broken

    @property
    def broken(self) -> list[Record]:
        """The records that could not be read so far, by any worker."""
        return [self.records[number] for number in self._broken.nonzero().flatten().tolist()]

    def summary(self) -> str:
        """What this data set holds and what could not be read so far, in a sentence or two."""
        videos = len({record.path for record in self.records})
        text = f"{len(self.records)} records of {videos} files, {len(self)} samples ({self.mode})"
        broken = self.broken
        if not broken:
            return text + "; none failed so far"
        places = ", ".join(record.where for record in broken[:10]) + (", …" if len(broken) > 10 else "")
        return f"{text}; {len(broken)} could not be read: {places}"


def collate_samples(samples: Sequence[Sample]) -> Sample:
    """Make a batch, as torch's own collation does, of samples whose clips hold `num_samples` versions each.

    The versions become samples of their own, (batch × num_samples, 3, time, height, width); all else is repeated.
    """
    from torch.utils.data import default_collate

    single = []
    for sample in samples:
        clips = sample["clip"] if sample["clip"].ndim == 5 else sample["clip"][None]
        single += [{**sample, "clip": clip} for clip in clips]
    return default_collate(single)


def _no_transform(
    frames: Tensor, generator: torch.Generator | None = None, *, crop: int = 0, num_crops: int = 1
) -> Tensor:
    if num_crops != 1:
        raise ValueError(f"num_crops is {num_crops}, but there is no transform to cut them; give test_transform(size)")
    return clip_to_tensor(frames)


def _targets(record: Record, generator: torch.Generator | None) -> Sample:
    """What a record says of its video: label, labels, caption."""
    targets: Sample = {}
    if record.label is not None:
        regression = isinstance(record.label, float)
        targets["label"] = torch.tensor(record.label, dtype=torch.float32) if regression else record.label
    if record.labels:
        targets["labels"] = dict(record.labels)
    if record.captions:
        count = len(record.captions)
        place = int(torch.randint(count, (), generator=generator)) if generator is not None and count > 1 else 0
        targets["caption"] = record.captions[place]
    return targets


def _window_numbers(records: Sequence[Record]) -> list[int]:
    """For each record, how many pieces of the same film come before it."""
    seen: dict[str, int] = {}
    numbers = []
    for record in records:
        numbers.append(seen.get(record.path, 0) if record.start is not None else 0)
        seen[record.path] = numbers[-1] + 1
    return numbers
