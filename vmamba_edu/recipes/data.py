"""The data that recipes name: digits drawn as they are read, or videos of list files."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch.utils.data import Dataset

from vmamba_edu.recipes.recipe import Recipe, RecipeError
from vmamba_edu.video.datasets import VideoDataset
from vmamba_edu.video.list_files import read_list
from vmamba_edu.video.moving_digits_data import MovingDigits
from vmamba_edu.video.recipes import test_transform, training_transform, validation_transform
from vmamba_edu.video.records import Record
from vmamba_edu.video.samplers import DenseSampler, SparseSampler, SSv2Sampler

SPLITS = ("train", "validation", "test")
SAMPLERS = {"sparse": SparseSampler, "dense": DenseSampler, "ssv2": SSv2Sampler}


@dataclass(frozen=True)
class Frames:
    """What a model reads.

    Attributes:
        num_frames: of a clip.
        size: side of a frame in pixels.
    """

    num_frames: int
    size: int


@dataclass(frozen=True)
class DigitsData:
    """[data] name = "moving_digits": clips of handwritten digits, see `MovingDigits`.

    Attributes:
        train, validation, test: how many clips each split has; no digit image is in two of them.
        background: "soft" or "plain".
        noise: standard deviation of noise on every pixel, on a scale from 0 to 1.
        seed: of the clips.
    """

    train: int = 2400
    validation: int = 600
    test: int = 600
    background: str = "soft"
    noise: float = 0.0
    seed: int = 0

    @property
    def classes(self) -> list[str]:
        """What the labels stand for."""
        return list(MovingDigits("train", 1).classes)

    def make(self, split: str, frames: Frames, views: tuple[int, int] = (1, 1)) -> Dataset:
        """The clips of a split, kept in memory once they are drawn. They are short and square: one view is all."""
        return MovingDigits(
            split,
            getattr(self, split),
            num_frames=frames.num_frames,
            size=frames.size,
            background=self.background,
            noise=self.noise,
            keep=True,
            seed=self.seed,
        )

    def captions(self, frames: Frames) -> list[str]:
        """The captions of the training split."""
        data = MovingDigits("train", self.train, num_frames=frames.num_frames, size=frames.size, seed=self.seed)
        return [data.caption(index) for index in range(len(data))]


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


DATA = {"moving_digits": DigitsData, "videos": VideosData}


def read_data(recipe: Recipe) -> DigitsData | VideosData:
    """What the table [data] describes; nothing is opened or drawn yet.

    Raises:
        RecipeError: it cannot be; the message names the key.
    """
    return recipe.fill("data", DATA[recipe.name("data", DATA)])


def class_names(data: DigitsData | VideosData) -> list[str]:
    """What the labels stand for, in the order of their numbers."""
    return data.classes if isinstance(data, DigitsData) else list(data.labels)


def make_split(recipe: Recipe, split: str, frames: Frames, views: tuple[int, int] = (1, 1)) -> Dataset:
    """The clips of one split of the recipe's data.

    Raises:
        RecipeError: the recipe has no such split, or its list cannot be read.
    """
    with recipe.blamed_on("data"):
        try:
            return read_data(recipe).make(split, frames, views)
        except OSError as error:
            raise RecipeError(f"{recipe.source}: [data] {split}: {error.filename}: {error.strerror}") from error


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
