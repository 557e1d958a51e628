"""The data that recipes name: digits drawn as they are read, or videos of list files; and what is changed about it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from vmamba_edu.recipes.digits import DigitsData, LongDigitsData
from vmamba_edu.recipes.frames import Frames
from vmamba_edu.recipes.recipe import Recipe, RecipeError
from vmamba_edu.recipes.variations import Varied, first_of_each, with_caption_number, with_shuffled_frames
from vmamba_edu.video.datasets import VideoDataset
from vmamba_edu.video.list_files import read_list
from vmamba_edu.video.recipes import test_transform, training_transform, validation_transform
from vmamba_edu.video.records import Record
from vmamba_edu.video.samplers import DenseSampler, SparseSampler, SSv2Sampler

SPLITS = ("train", "validation", "test")
_CHANGES = ("shuffle_frames", "labels_per_class")
SAMPLERS = {"sparse": SparseSampler, "dense": DenseSampler, "ssv2": SSv2Sampler}


@dataclass(frozen=True)
class VideosData:
    """[data] name = "videos": videos in list files.

    Attributes:
        train, validation, test: the list files; those that are not used need not be there.
        form: of the lists, one of `video.list_files.LIST_FORMS`.
        classes: names of the classes in the order of their numbers, or a text file with one a line.
        prefix: folder in front of the paths in the lists.
        sampler: which frames are taken: "sparse", "dense" or "ssv2".
        transform: what is done to them in training, one of `video.recipes.TRAINING_RECIPES`.
        on_error: what a broken file does: "raise" or "skip".
        seed: of what is drawn.
    """

    train: str
    classes: list[str] | str
    validation: str = ""
    test: str = ""
    form: str = "kinetics400"
    prefix: str = ""
    sampler: str = "sparse"
    transform: str = "kinetics"
    on_error: str = "raise"
    seed: int = 0
    labels: tuple[str, ...] = field(init=False, default=())

    def __post_init__(self) -> None:
        names = read_classes(self.classes) if isinstance(self.classes, str) else self.classes
        object.__setattr__(self, "labels", tuple(map(str, names)))
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler: expected one of {', '.join(SAMPLERS)}, got {self.sampler!r}")

    def make(self, split: str, frames: Frames, views: tuple[int, int] = (1, 1)) -> Dataset:
        """The clips of a split; `views` are the clips and the crops of each video in a test."""
        mode = "test" if views != (1, 1) else split
        transforms: dict[str, Any] = {
            "train": lambda: training_transform(frames.size, self.transform),
            "validation": lambda: validation_transform(frames.size),
            "test": lambda: test_transform(frames.size),
        }
        chunks, crops = views
        sampler = SAMPLERS[self.sampler](frames.num_frames)
        options: dict[str, Any] = {
            "num_chunks": chunks,
            "num_crops": crops,
            "on_error": self.on_error,
            "seed": self.seed,
        }
        return VideoDataset(self._records(split), sampler, transforms[mode](), mode=mode, **options)

    def captions(self, frames: Frames) -> list[str]:
        """The captions of the training split."""
        return [caption for record in self._records("train") for caption in record.captions]

    def _records(self, split: str) -> list[Record]:
        if not getattr(self, split):
            raise ValueError(f"{split}: expected a list file, and the recipe names none")
        records = read_list(getattr(self, split), self.form, prefix=self.prefix)
        for record in records:
            if isinstance(record.label, int) and record.label >= len(self.labels):
                raise ValueError(f"classes: {record.where} has label {record.label}, but {len(self.labels)} are named")
        return records


DATA = {"moving_digits": DigitsData, "long_digits": LongDigitsData, "videos": VideosData}
Data = DigitsData | LongDigitsData | VideosData


@dataclass(frozen=True)
class Changes:
    """Keys of [data] that every kind of data has.

    Attributes:
        shuffle_frames: whether frames come in a random order: true, or a list of the splits where they do.
        labels_per_class: of how many clips of each class training sees, the first of the split; 0 for all.
    """

    shuffle_frames: bool | Sequence[str] = ()
    labels_per_class: int = 0

    def __post_init__(self) -> None:
        shuffled = self.shuffle_frames
        if isinstance(shuffled, str) or not (isinstance(shuffled, bool) or set(shuffled) <= set(SPLITS)):
            raise ValueError(f"shuffle_frames: expected true, false or a list of {', '.join(SPLITS)}, got {shuffled!r}")
        if isinstance(self.labels_per_class, bool) or self.labels_per_class < 0:
            raise ValueError(f"labels_per_class: expected a whole number of at least 0, got {self.labels_per_class!r}")

    def shuffles(self, split: str) -> bool:
        """Whether the frames of this split are shuffled."""
        return self.shuffle_frames if isinstance(self.shuffle_frames, bool) else split in self.shuffle_frames

    def apply(self, data: Any, split: str) -> Dataset:
        """The data set with these changes; the same if there are none."""
        if split == "train" and self.labels_per_class:
            labels = [record.label for record in data.records] if isinstance(data, VideoDataset) else _labels(data)
            data = Varied(data, lambda sample: sample, first_of_each(labels, self.labels_per_class))
        return Varied(data, with_shuffled_frames) if self.shuffles(split) else data


def read_data(recipe: Recipe) -> Data:
    """What the table [data] describes; nothing is opened or drawn yet.

    Raises:
        RecipeError: it cannot be; the message names the key.
    """
    keys, changes = _parted(recipe)
    kind = DATA[recipe.name("data", DATA)]
    recipe.fill_from("data", changes, Changes)
    return recipe.fill_from("data", keys, kind, known_too=_CHANGES)


def class_names(data: Data) -> list[str]:
    """What the labels stand for, in the order of their numbers."""
    return list(data.labels) if isinstance(data, VideosData) else data.classes


def make_split(recipe: Recipe, split: str, frames: Frames, views: tuple[int, int] = (1, 1)) -> Dataset:
    """The clips of one split of the recipe's data.

    Raises:
        RecipeError: the recipe has no such split, or its list cannot be read.
    """
    with recipe.blamed_on("data"):
        try:
            kind = read_data(recipe)
            data = recipe.fill_from("data", _parted(recipe)[1], Changes).apply(kind.make(split, frames, views), split)
        except OSError as error:
            raise RecipeError(f"{recipe.source}: [data] {split}: {error.filename}: {error.strerror}") from error
    if isinstance(kind, DigitsData) and recipe.tables["model"]["name"] == "video_text":
        return Varied(data, with_caption_number(kind.caption_numbers))
    return data


def _parted(recipe: Recipe) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of [data] that belong to its kind, and those that every kind has."""
    keys = recipe.keys("data")
    return {k: v for k, v in keys.items() if k not in _CHANGES}, {k: v for k, v in keys.items() if k in _CHANGES}


def _labels(data: Any) -> list[int]:
    return [data.label(index) for index in range(len(data))]


def read_classes(path: str | Path) -> list[str]:
    """Names of classes, one a line, in the order of their numbers.

    Raises:
        ValueError: the file cannot be read or is empty.
    """
    try:
        names = [line.strip() for line in Path(path).read_text("utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"classes: {path} cannot be read ({error}); give a text file with a name a line") from error
    if not names:
        raise ValueError(f"classes: {path} is empty; give a text file with a name a line")
    return names
