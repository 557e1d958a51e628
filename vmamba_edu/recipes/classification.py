"""Saying what a video shows."""

import os
from dataclasses import dataclass

import torch
from torch import Tensor
from tqdm.auto import tqdm

from vmamba_edu.recipes.build import kind_of
from vmamba_edu.recipes.evaluation import logits_of
from vmamba_edu.recipes.frames import Frames
from vmamba_edu.recipes.trained import Trained
from vmamba_edu.video.reader import read_clip
from vmamba_edu.video.recipes import test_transform
from vmamba_edu.video.samplers import SparseSampler
from vmamba_edu.video.views import merge_views


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
        logits.append(logits_of(trained, clips))
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


def _require_classifier(trained: Trained) -> None:
    kind = kind_of(trained.recipe)
    if kind == "model of video and text":
        raise ValueError("checkpoint: expected a model that classifies, got one of video and text; use retrieve")
    if kind != "classifier":
        advice = "train one that starts from it: start_from in [model]"
        raise ValueError(f"checkpoint: expected a model that classifies, got a {kind}; {advice}")
