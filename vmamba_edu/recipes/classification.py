"""Saying what a video shows, and how often that is right."""

import os
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from vmamba_edu.recipes.build import needs_captions
from vmamba_edu.recipes.data import Frames, make_split
from vmamba_edu.recipes.trained import Trained
from vmamba_edu.training.data_order import Loading, in_order
from vmamba_edu.video.reader import read_clip
from vmamba_edu.video.recipes import test_transform
from vmamba_edu.video.samplers import SparseSampler
from vmamba_edu.video.views import MergedViews, merge_views


@dataclass(frozen=True)
class Prediction:
    """A class, and how probable the model finds it, from 0 to 1."""

    name: str
    probability: float


def classify(
    trained: Trained,
    path: str | os.PathLike[str],
    *,
    num_chunks: int = 4,
    num_crops: int = 3,
    top: int = 5,
    classes: list[str] | None = None,
    progress: bool = True,
) -> list[Prediction]:
    """The likeliest classes of a video, the likeliest first: the mean probability over views, as published.

    Args:
        trained: a model that classifies.
        path: of the video.
        num_chunks, num_crops: views in time and in space; 4 × 3 is what Kinetics-400 is tested with.
        top: how many classes.
        classes: their names; by default those that the checkpoint knows.

    Raises:
        ValueError: the model does not classify, or has another number of classes than are named.
        VideoReadError: the video cannot be read.
    """
    _require_classifier(trained)
    names = trained.classes if classes is None else classes
    logits: list[Tensor] = []
    chunks: list[int] = []
    crops: list[int] = []
    for chunk in tqdm(range(num_chunks), desc="views", disable=not progress, leave=False):
        clips = view_clips(path, trained.frames, chunk, num_chunks, num_crops)
        logits.append(_logits(trained, clips))
        chunks += [chunk] * num_crops
        crops += range(num_crops)
    merged = merge_views([str(path)] * len(chunks), torch.cat(logits), [0] * len(chunks), chunks, crops)
    probabilities = merged.probabilities[0]
    if len(probabilities) != len(names):
        raise ValueError(f"classes: expected {len(probabilities)} names, one for each output, got {len(names)}")
    best = probabilities.topk(min(top, len(names)))
    return [Prediction(names[i], p) for p, i in zip(best.values.tolist(), best.indices.tolist(), strict=True)]


def view_clips(path: str | os.PathLike[str], frames: Frames, chunk: int, num_chunks: int, num_crops: int) -> Tensor:
    """One clip of a video in all its crops, (num_crops, 3, time, size, size), normalised."""
    sampler = SparseSampler(frames.num_frames)
    clip = read_clip(path, lambda total: sampler.indices("test", total, chunk=chunk, num_chunks=num_chunks))
    transform = test_transform(frames.size)
    return torch.stack([transform(clip.frames, crop=crop, num_crops=num_crops) for crop in range(num_crops)])


def evaluate(
    trained: Trained,
    split: str = "validation",
    *,
    num_chunks: int = 1,
    num_crops: int = 1,
    batch_size: int = 32,
    progress: bool = True,
) -> MergedViews:
    """Classify a split of the recipe's data; its top1 and top5 are shares from 0 to 1.

    Raises:
        ValueError: the model does not classify, or the recipe has no such split.
    """
    _require_classifier(trained)
    data = make_split(trained.recipe, split, trained.frames, (num_chunks, num_crops))
    places = in_order(len(data), batch_size)  # type: ignore[arg-type]
    logits: list[Tensor] = []
    paths: list[str] = []
    labels: list[int] = []
    chunks: list[int] = []
    crops: list[int] = []
    for batch in tqdm(Loading(data, 0).load(places), desc=split, disable=not progress, leave=False):
        logits.append(_logits(trained, batch["clip"]))
        size = len(batch["clip"])
        paths += batch["path"]
        labels += batch["label"].tolist()
        chunks += batch["chunk"].tolist() if "chunk" in batch else [0] * size
        crops += batch["crop"].tolist() if "crop" in batch else [0] * size
    return merge_views(paths, torch.cat(logits), labels, chunks, crops)


@torch.no_grad()
def _logits(trained: Trained, clips: Tensor) -> Tensor:
    return trained.model(clips.to(trained.device)).float().cpu()


def _require_classifier(trained: Trained) -> None:
    if needs_captions(trained.recipe):
        raise ValueError("checkpoint: expected a model that classifies, got one of video and text; use retrieve")
