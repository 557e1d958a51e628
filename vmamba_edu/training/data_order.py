"""Which clips a step sees: settled by (seed, epoch, position), whatever happened before and whoever makes the batch."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vmamba_edu.training.randomness import seed_everything, seeded, streams_kept

Batch = dict[str, Any]
Collate = Callable[[list], Mapping[str, Any]]
Samples = Any  # a torch Dataset with a length, or whatever else has a length and items
Place = tuple[int, int]  # (epoch, index of the sample)


@dataclass(frozen=True)
class DataOrder:
    """The batches of a whole run, from a step on: every epoch is a new permutation, its incomplete end left out.

    Args:
        num_samples: of the data.
        batch_size: samples a step.
        epochs: passes.
        seed: of the permutations.
        start: the first step that is still to be done.

    Raises:
        ValueError: there are fewer samples than a batch takes.
    """

    num_samples: int
    batch_size: int
    epochs: int
    seed: int
    start: int = 0

    def __post_init__(self) -> None:
        if self.num_samples < self.batch_size:
            advice = "give more data or a smaller batch_size"
            least = f"at least batch_size = {self.batch_size} samples"
            raise ValueError(f"data: expected {least}, got {self.num_samples}; {advice}")

    @property
    def steps_per_epoch(self) -> int:
        return self.num_samples // self.batch_size

    @property
    def num_steps(self) -> int:
        return self.epochs * self.steps_per_epoch

    def epoch_batches(self, epoch: int) -> list[list[Place]]:
        """What is still to be done of an epoch: the places of the samples of each batch."""
        done = max(0, self.start - epoch * self.steps_per_epoch)
        chosen = self.permutation(epoch)[done * self.batch_size : self.steps_per_epoch * self.batch_size]
        return [[(epoch, index) for index in batch.tolist()] for batch in chosen.split(self.batch_size)]

    def permutation(self, epoch: int) -> Tensor:
        """The order of the samples in one epoch, (num_samples,) int64."""
        with seeded(self.seed, epoch):
            return torch.randperm(self.num_samples)


class SeededSamples(Dataset):
    """A dataset that is asked for (epoch, index), and draws from a stream of that place whatever it draws.

    So a clip's augmentation depends on the seed, the epoch and the index, and on no worker's history. The generators of
    Python, NumPy and torch are covered; a dataset that keeps a generator of its own has to do the same, and is told the
    epoch by `set_epoch(epoch)`, where it has that.
    """

    def __init__(self, data: Samples, seed: int):
        self.data = data
        self.seed = seed

    def __getitem__(self, place: Place) -> Any:
        return self.__getitems__([place])[0]

    def __getitems__(self, places: list[Place]) -> list[Any]:
        """The samples of a batch, which a loader asks for together: what is outside is put back once for all."""
        with streams_kept():
            return [self._draw(*place) for place in places]

    def _draw(self, epoch: int, index: int) -> Any:
        seed_everything(self.seed, epoch, index)
        return self.data[index]


@dataclass(frozen=True)
class Loading:
    """How samples become batches.

    Args:
        data: the samples.
        seed: of what is drawn for them.
        num_workers: processes at work; they live for one pass.
        collate: makes a batch of a list of samples; None takes torch's default, for samples that are dicts.
    """

    data: Samples
    seed: int
    num_workers: int = 0
    collate: Collate | None = None

    def load(self, batches: list[list[Place]], epoch: int = 0) -> DataLoader:
        """The batches of one pass."""
        if hasattr(self.data, "set_epoch"):
            self.data.set_epoch(epoch)
        return DataLoader(
            SeededSamples(self.data, self.seed),
            batch_sampler=batches,
            num_workers=self.num_workers,
            collate_fn=self.collate,
            # Its own: a loader draws a seed for its workers, and would take it from the stream of the training.
            generator=torch.Generator().manual_seed(self.seed),
        )

    def load_all(self, order: DataOrder, part: Callable[[list[Place]], list[Place]] = list) -> Iterator[Batch]:
        """The batches of all that is left of a run, epoch by epoch: no worker looks into the next before its time.

        Args:
            order: of the samples.
            part: takes what this process is to see of a batch.
        """
        for epoch in range(order.start // order.steps_per_epoch, order.epochs):
            yield from self.load([part(batch) for batch in order.epoch_batches(epoch)], epoch)


def in_order(num_samples: int, batch_size: int) -> list[list[Place]]:
    """Every sample once, first to last, for validation; the last batch may be smaller."""
    places = [(0, index) for index in range(num_samples)]
    return [places[first : first + batch_size] for first in range(0, num_samples, batch_size)]


def size_of(data: Samples, name: str = "data") -> int:
    """How many samples there are.

    Raises:
        TypeError: it is no dataset with a length.
        ValueError: it is empty.
    """
    if not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        advice = "a stream cannot be continued where it was left"
        raise TypeError(f"{name}: expected a dataset with a length and items, got {type(data).__name__}; {advice}")
    if not len(data):
        raise ValueError(f"{name}: expected at least one sample, got none")
    return len(data)


def to_device(batch: Mapping[str, Any], device: torch.device) -> Batch:
    """The batch with its tensors on a device, those in dicts inside it too."""

    def move(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value.to(device)
        return {key: move(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value

    return {key: move(value) for key, value in batch.items()}
