"""What is measured when a training is over: on the test split, which nothing was chosen by."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vmamba_edu.training.data_order import Loading, Samples, in_order
from vmamba_edu.training.randomness import seeded
from vmamba_edu.video.digit_scene import MOTIONS, PAIRS

BATCH = 50
CLIPS_FOR_THE_GRADIENT = 48

# The class that a motion played backwards is of.
REVERSED = torch.tensor([next(MOTIONS.index(b if m == a else a) for a, b in PAIRS if m in (a, b)) for m in MOTIONS])


def batches(data: Samples) -> Iterator[dict[str, Any]]:
    """All samples in order."""
    yield from Loading(data, 0).load(in_order(len(data), BATCH))


def shuffled(clips: Tensor, index: Tensor) -> Tensor:
    """The frames of every clip in an order drawn from its index."""
    orders = [torch.randperm(clips.shape[2], generator=torch.Generator().manual_seed(int(i))) for i in index]
    return torch.stack([clip[:, order] for clip, order in zip(clips, orders, strict=True)])


def classify(model: nn.Module, data: Samples, change: Callable[[Tensor, Tensor], Tensor] | None = None) -> Tensor:
    """What a classifier says of every clip of a split, as it is or changed: class numbers."""
    said = []
    with torch.no_grad():
        for batch in batches(data):
            clips = batch["clip"] if change is None else change(batch["clip"], batch["index"])
            logits = model(clips)
            said.append((logits.logits if hasattr(logits, "logits") else logits).argmax(1))
    return torch.cat(said)


def labels_of(data: Samples) -> Tensor:
    return torch.tensor([data.label(index) for index in range(len(data))])


def share(right: Tensor) -> float:
    """How many of them, from 0 to 1."""
    return round(float(right.double().mean()), 4)


def measure_motions(model: nn.Module, data: Samples) -> dict[str, Any]:
    """How a classifier of motions does on clips as they are, with their frames shuffled, and played backwards.

    A shuffled clip has no motion left, and its frames still tell which pair of opposite motions it shows: whoever knows
    that much and no more is right half of the time (`within_pair` is near 0.5). Played backwards, a clip shows the
    opposite motion: who sees motion says so (`swapped`), and so does who looks at the first frame alone: nine of the
    twelve motions begin as no other does. Who does that is still right when the first frame stands still (`frozen`).
    """
    model.eval()
    labels = labels_of(data)
    said = classify(model, data)
    mixed = classify(model, data, shuffled)
    backwards = classify(model, data, lambda clips, index: clips.flip(2))
    stopped = classify(model, data, lambda clips, index: clips[:, :, :1].expand_as(clips))
    opposite = REVERSED[labels]
    knows_pair = (mixed == labels) | (mixed == opposite)
    return {
        "test": {
            "accuracy": share(said == labels),
            "pair": share((said == labels) | (said == opposite)),
            "by_class": {motion: share(said[labels == i] == i) for i, motion in enumerate(MOTIONS)},
        },
        "shuffled": {
            "accuracy": share(mixed == labels),
            "pair": share(knows_pair),
            "within_pair": share(mixed[knows_pair] == labels[knows_pair]) if knows_pair.any() else None,
        },
        "frozen": {"accuracy": share(stopped == labels)},
        "reversed": {"accuracy": share(backwards == labels), "swapped": share(backwards == opposite)},
    }


def measure_classes(model: nn.Module, data: Samples) -> dict[str, Any]:
    """How often a classifier is right, whatever the classes are."""
    model.eval()
    return {"test": {"accuracy": share(classify(model, data) == labels_of(data))}}


def gradient_by_frame(model: nn.Module, data: Samples) -> list[float]:
    """How strongly each frame moves the loss: the norm of its gradient, a mean over clips, relative to the largest.

    A frame whose share is nothing cannot teach: whatever is seen there changes no weight.
    """
    model.eval()
    total = torch.zeros(())
    weights = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in weights:
        parameter.requires_grad_(False)
    with seeded(0):
        for batch in Loading(data, 0).load(in_order(min(CLIPS_FOR_THE_GRADIENT, len(data)), 16)):
            clips = batch["clip"].requires_grad_(True)
            logits = model(clips)
            logits = logits.logits if hasattr(logits, "logits") else logits
            (gradient,) = torch.autograd.grad(F.cross_entropy(logits, batch["label"], reduction="sum"), clips)
            total = total + gradient.double().square().sum((1, 3, 4)).sqrt().sum(0)
    for parameter in weights:
        parameter.requires_grad_(True)
    return [float(f"{value:.3g}") for value in (total / total.max().clamp_min(1e-300)).tolist()]
