"""How good a trained model is on a split of its recipe's data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from tqdm.auto import tqdm

from vmamba_edu.recipes.build import kind_of
from vmamba_edu.recipes.data import Data, make_split, read_data
from vmamba_edu.recipes.digits import DigitsData
from vmamba_edu.recipes.prepare import rebuild_objective
from vmamba_edu.recipes.trained import Trained
from vmamba_edu.training.data_order import Loading, in_order
from vmamba_edu.training.objectives.batches import take_pixels
from vmamba_edu.training.steps import measure
from vmamba_edu.video.views import MergedViews, merge_views


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What was measured.

    Attributes:
        split: of which data.
        clips: how many videos, or clips.
        measured: numbers by name. Of a classifier "top1" and "top5", shares from 0 to 1. Of a model of video and text
            "dual.txt_r1", "fused.img_r10" and so on, in percent, see `retrieval_metrics`; "gallery", how many clips and
            captions are compared at a time, and "chance_r1", in percent; "all.txt_r1" and so on, where clips were
            compared with all "captions" that there are. Of a masked student the parts of its loss.
        views: of a classifier: what it said of every video.
    """

    split: str
    clips: int
    measured: Mapping[str, float]
    views: MergedViews | None = None

    def __getitem__(self, name: str) -> float:
        return self.measured[name]

    @property
    def top1(self) -> float:
        """Of a classifier: the share of videos, from 0 to 1, whose label is the likeliest class."""
        return self.measured["top1"]

    @property
    def top5(self) -> float:
        """Of a classifier: the share whose label is among the five likeliest."""
        return self.measured["top5"]

    @property
    def videos(self) -> list:
        """Of a classifier: the names of the videos, in order."""
        return [] if self.views is None else self.views.videos


def evaluate(
    trained: Trained,
    split: str = "validation",
    *,
    num_chunks: int = 1,
    num_crops: int = 1,
    batch_size: int = 32,
    overrides: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Evaluation:
    """Measure a model on a split of its recipe's data.

    Args:
        trained: the model.
        split: "train", "validation" or "test".
        num_chunks, num_crops: views of each video, for a classifier.
        batch_size: how many clips at once.
        overrides: what is to be otherwise than in the recipe, such as {"data.shuffle_frames": True}.
        progress: whether to show a bar.

    Raises:
        RecipeError: the recipe has no such split, or an override cannot be.
        ValueError: views are asked for that the model does not take.
    """
    recipe = trained.recipe.changed(overrides or {})
    kind, data = kind_of(recipe), read_data(recipe)
    if kind != "classifier" and (num_chunks, num_crops) != (1, 1):
        raise ValueError(f"views: expected one of each video for a {kind}, got {num_chunks} × {num_crops}")
    clips: Any = make_split(recipe, split, trained.frames, (num_chunks, num_crops))
    batches = tqdm(_batches(clips, batch_size), desc=split, disable=not progress, leave=False)
    if kind == "classifier":
        return _classify_all(trained, split, batches)
    if kind == "masked student":
        objective = rebuild_objective(recipe, trained.model, trained.tokeniser, str(trained.device))
        return Evaluation(split, len(clips), measure(trained.model, objective, batches))
    return _retrieve_all(trained, split, clips, data, batches)


def logits_of(trained: Trained, clips: Tensor) -> Tensor:
    """What a classifier says of a batch of clips, on the CPU in float32."""
    with torch.no_grad():
        return trained.model(take_pixels(trained.model, {"clip": clips.to(trained.device)})).float().cpu()


def _batches(clips: Any, batch_size: int) -> Any:
    return Loading(clips, 0).load(in_order(len(clips), batch_size))


def _classify_all(trained: Trained, split: str, batches: Any) -> Evaluation:
    logits: list[Tensor] = []
    paths: list[str] = []
    labels: list[int] = []
    chunks: list[int] = []
    crops: list[int] = []
    for batch in batches:
        logits.append(logits_of(trained, batch["clip"]))
        size = len(batch["clip"])
        paths += batch["path"]
        labels += batch["label"].tolist()
        chunks += batch["chunk"].tolist() if "chunk" in batch else [0] * size
        crops += batch["crop"].tolist() if "crop" in batch else [0] * size
    merged = merge_views(paths, torch.cat(logits), labels, chunks, crops)
    return Evaluation(split, len(merged.videos), {"top1": merged.top1, "top5": merged.top5}, merged)


def _retrieve_all(trained: Trained, split: str, clips: Dataset, data: Data, batches: Any) -> Evaluation:
    """Recall in galleries that have every caption once, the mean over the galleries.

    A clip has one right caption then, and a caption one right clip, and chance is 1 / the size of a gallery. Of Moving
    Digits a gallery is a round of all combinations that the split shows; clips that fill no whole round are left out.
    There every clip is compared with all captions that there are as well, those of training among them. Videos of a
    list are one gallery, clip i with its first caption, as published.
    """
    from vmamba_edu.training.retrieval import zero_shot_scores

    total = len(clips)  # type: ignore[arg-type]
    size = min(total, data.clips_a_round(split)) if isinstance(data, DigitsData) else total
    everything = list(data.caption_numbers) if isinstance(data, DigitsData) else []
    found: list[dict[str, float]] = []
    for captions, seen in _galleries(batches, size):
        scores = zero_shot_scores(trained.model, trained.tokeniser, [seen[:, None]], captions)  # type: ignore[arg-type]
        numbers = {f"{how}.{name}": x for how, recalls in scores.metrics().items() for name, x in recalls.items()}
        found.append(numbers | _recall_of_all(trained, seen, captions, everything))
    means = {name: round(sum(numbers[name] for numbers in found) / len(found), 2) for name in found[0]}
    counts = {"gallery": size, "chance_r1": round(100 / size, 2), "captions": len(everything)}
    return Evaluation(split, len(found) * size, means | counts)


def _recall_of_all(trained: Trained, seen: Tensor, captions: list[str], everything: list[str]) -> dict[str, float]:
    """How often a clip's caption is among the best of all, by dual scores, in percent."""
    from vmamba_edu.training.objectives import similarity
    from vmamba_edu.training.retrieval import best_ranks

    if not everything:
        return {}
    with torch.no_grad():
        ids, attends = (x.to(trained.device) for x in trained.tokeniser.encode(everything))
        scores = similarity(*trained.model(seen.to(trained.device), ids, attends)).cpu()
    truth = torch.tensor([[caption == other for other in everything] for caption in captions])
    ranks = best_ranks(scores, truth)
    return {f"all.txt_r{k}": 100 * (ranks < k).double().mean().item() for k in (1, 5, 10)}


def _galleries(batches: Any, size: int) -> Iterator[tuple[list[str], Tensor]]:
    """The captions and the clips of each whole gallery."""
    captions: list[str] = []
    clips: list[Tensor] = []
    for batch in batches:
        captions += batch["caption"]
        clips += batch["clip"]
        while len(captions) >= size:
            yield captions[:size], torch.stack(clips[:size])
            captions, clips = captions[size:], clips[size:]
