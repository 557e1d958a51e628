"""What a recipe changes about a data set: fewer samples, frames in a random order, one number for each caption."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

Sample = dict[str, Any]


class Varied(Dataset):
    """Some samples of a data set, changed as they are read.

    Args:
        data: a data set of dicts.
        change: called with a sample; gives another.
        indices: which samples, in this order; None for all.
    """

    def __init__(self, data: Any, change: Callable[[Sample], Sample], indices: Sequence[int] | None = None):
        self.data, self.change = data, change
        self.indices = range(len(data)) if indices is None else indices

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, place: int) -> Sample:
        return self.change(self.data[self.indices[place]])

    def set_epoch(self, epoch: int) -> None:
        """Tell the data set which epoch it is."""
        self.data.set_epoch(epoch)

    @property
    def split(self) -> str | None:
        """Of the data set, if it says so."""
        return getattr(self.data, "split", None)


def with_shuffled_frames(sample: Sample) -> Sample:
    """The frames of the clip in an order drawn from torch's own generator, which the loop seeds for every sample.

    So training sees a clip in another order every epoch, and validation always in the same.
    """
    frames = sample["clip"].shape[-3]
    return sample | {"clip": sample["clip"][..., torch.randperm(frames), :, :]}


def with_caption_number(numbers: dict[str, int]) -> Callable[[Sample], Sample]:
    """`index` becomes the number of the caption: clips with one caption match each other's, and are no wrong pairs."""

    def change(sample: Sample) -> Sample:
        return sample | {"index": numbers.setdefault(sample["caption"], len(numbers))}

    return change


def first_of_each(labels: Sequence[Any], count: int) -> list[int]:
    """The places of the first `count` samples of every label, in order.

    Raises:
        ValueError: a label has fewer.
    """
    places: dict[Any, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    for label, found in sorted(places.items()):
        if len(found) < count:
            raise ValueError(f"labels_per_class: expected at most {len(found)}, which class {label} has, got {count}")
    return sorted(place for found in places.values() for place in found[:count])
