"""Test with several views of each video, and merge what a model says about them.

A view is a clip in time (chunk) and a square in space (crop). VideoMamba (arXiv 2403.06977) tests with segments × crops
of them: 4 × 3 on Kinetics-400, Breakfast and LVU, 2 × 3 on SSv2, 10 × 3 on COIN (its datasets and scripts, and
engines/engine_for_finetuning.py for the merging).
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Float32, Shaped, UInt8
from torch import Tensor

from vmamba_edu.video.frame_counts import check_counts, check_view
from vmamba_edu.video.resizing import resize_short_side


@dataclass(frozen=True)
class View:
    """Which video (its place in the list), which clip of it, and which crop."""

    video: int
    chunk: int
    crop: int


def all_views(num_videos: int, num_chunks: int, num_crops: int) -> list[View]:
    """All views of all videos in the published order: the outer loop over chunks, then crops, then videos."""
    check_counts(num_videos=num_videos, num_chunks=num_chunks, num_crops=num_crops)
    return [
        View(video, chunk, crop)
        for chunk in range(num_chunks)
        for crop in range(num_crops)
        for video in range(num_videos)
    ]


def crop_start(long_side: int, size: int, crop: int = 0, num_crops: int = 1) -> int:
    """Where crop `crop` of `num_crops` begins on the long side: floor(crop (long - size) / (num_crops - 1)).

    A single crop is the middle one. All lengths in pixels.
    """
    check_counts(num_crops=num_crops)
    check_view("crop", crop, num_crops)
    room = long_side - size
    return int(room / 2) if num_crops == 1 else int(crop * (room / (num_crops - 1)))


def view_crop(
    frames: UInt8[Tensor, "time height width 3"], size: int, crop: int = 0, num_crops: int = 1
) -> UInt8[Tensor, "time size size 3"]:
    """Resize the short side to `size` (bilinear) and cut a square out along the long side, the same in all frames."""
    frames = resize_short_side(frames, size)
    height, width = frames.shape[1:3]
    start = crop_start(max(height, width), size, crop, num_crops)
    return frames[:, start : start + size] if height >= width else frames[:, :, start : start + size]


def published_video_id(path: str) -> str:
    """The name under which the published tests merge views: the base name up to its first dot.

    So videos of one name in different folders are merged into one, as are "a.1.mp4" and "a.2.mp4". We merge by the
    whole path (`merge_views(paths, ...)`), which keeps them apart; give these names to reproduce published figures.
    """
    return path.split("/")[-1].split(".")[0]


@dataclass(frozen=True, eq=False)
class MergedViews:
    """What the views of each video say together.

    Attributes:
        videos: their names, in the order in which they first came.
        probabilities: (video, class) float32, the mean over views of each view's softmax.
        labels: (video,) int64.
        top1, top5: the share of videos, from 0 to 1, whose label is the likeliest class, or among the five likeliest.
    """

    videos: list[Hashable]
    probabilities: Float32[Tensor, "video classes"]
    labels: Shaped[Tensor, " video"]
    top1: float
    top5: float


def merge_views(
    videos: Sequence[Hashable],
    logits: Float[Tensor, "view classes"],
    labels: Sequence[int] | Tensor,
    chunks: Sequence[int] | Tensor,
    crops: Sequence[int] | Tensor,
) -> MergedViews:
    """Average each video's views as published: softmax in float32 first, then the mean of the probabilities.

    A view that comes twice (a distributed sampler fills up with repeats) is counted once, the first time.

    Args:
        videos: which video each view shows; a path keeps equal names in different folders apart, see
            `published_video_id`.
        logits: (view, classes), what the model says of each view, before softmax.
        labels: class number of each view's video.
        chunks, crops: which clip and which crop each view is.

    Raises:
        ValueError: the lengths differ, there is no view, or a video comes with two labels; the message names it.
    """
    groups = _distinct_views(videos, len(logits), chunks, crops)
    truth = _one_label_each(videos, [int(label) for label in labels])
    probabilities = logits.float().softmax(dim=-1)
    means = torch.stack([probabilities[rows].mean(dim=0) for rows in groups.values()])
    best = means.topk(min(5, means.shape[1])).indices
    hits = best == truth[:, None].to(best.device)
    top1, top5 = (float(hits[:, :count].any(dim=1).double().mean()) for count in (1, 5))
    return MergedViews(list(groups), means, truth, top1, top5)


def merge_scalars(
    videos: Sequence[Hashable],
    values: Float[Tensor, " view"],
    targets: Sequence[int | float] | Tensor,
    chunks: Sequence[int] | Tensor,
    crops: Sequence[int] | Tensor,
) -> tuple[dict[Hashable, float], float]:
    """Average the views' values of each video, and give the mean squared error over videos (LVU's regression tasks).

    Args and errors as `merge_views`, with a value in place of logits and a target in place of a label.

    Returns:
        The mean value of each video, and the mean over videos of the squared difference from its target.
    """
    groups = _distinct_views(videos, len(values), chunks, crops)
    truth = _one_label_each(videos, [float(target) for target in targets])
    means = {video: float(values[rows].double().mean()) for video, rows in groups.items()}
    errors = torch.tensor(list(means.values()), dtype=torch.float64) - truth
    return means, float(errors.square().mean())


def _distinct_views(
    videos: Sequence[Hashable], count: int, chunks: Sequence[int] | Tensor, crops: Sequence[int] | Tensor
) -> dict[Hashable, list[int]]:
    """The rows that belong to each video, without repeats."""
    lengths = {"videos": len(videos), "chunks": len(chunks), "crops": len(crops)}
    for name, length in lengths.items():
        if length != count or not count:
            raise ValueError(f"{name} must have one entry a view, {count} of them and at least 1, but has {length}")
    groups: dict[Hashable, list[int]] = {}
    seen = set()
    for row, view in enumerate(zip(videos, map(int, chunks), map(int, crops), strict=True)):
        if view not in seen:
            seen.add(view)
            groups.setdefault(view[0], []).append(row)
    return groups


def _one_label_each(videos: Sequence[Hashable], labels: list) -> Tensor:
    """The label of each video, in the order in which they first come."""
    if len(labels) != len(videos):
        raise ValueError(f"labels must have one entry a view, {len(videos)}, but has {len(labels)}; give its video's")
    truth: dict[Hashable, int | float] = {}
    for video, label in zip(videos, labels, strict=True):
        if truth.setdefault(video, label) != label:
            raise ValueError(f"labels: the views of {video!r} have different labels; are these two videos of one name?")
    dtype = torch.float64 if isinstance(labels[0], float) else torch.int64
    return torch.tensor(list(truth.values()), dtype=dtype)
