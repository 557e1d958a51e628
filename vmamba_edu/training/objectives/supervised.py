"""Supervised classification: cross entropy with the labels, hard, smoothed or soft."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from vmamba_edu.training.objectives.batches import take, take_pixels


def classification_loss(
    logits: Float[Tensor, "batch classes"], label: Shaped[Tensor, "..."], label_smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Mean cross entropy between labels and softmax(logits).

    Args:
        logits: (batch, classes).
        label: (batch,) int64 classes, or (batch, classes) floating point: a distribution for each sample, as mixup and
            cutmix make them.
        label_smoothing: ε: a hard label becomes 1 − ε for its class plus ε / classes for every class. A soft label is
            taken as it is: mixup has smoothed it already, and the published recipes do not smooth it twice.

    Raises:
        ValueError: the label fits neither form.
    """
    if label.is_floating_point():
        if label.shape != logits.shape:
            raise ValueError(f"label: expected a distribution {tuple(logits.shape)}, got {tuple(label.shape)}")
        return F.cross_entropy(logits, label.to(logits.dtype))
    if label.shape != logits.shape[:1]:
        raise ValueError(f"label: expected ({len(logits)},) classes, got {tuple(label.shape)}")
    return F.cross_entropy(logits, label, label_smoothing=label_smoothing)


def accuracy(logits: Float[Tensor, "batch classes"], label: Shaped[Tensor, "..."]) -> Float[Tensor, ""]:
    """The share of samples whose largest logit is that of the label; of a soft label, of its largest entry."""
    truth = label.argmax(-1) if label.is_floating_point() else label
    return (logits.detach().argmax(-1) == truth).to(logits.dtype).mean()


def check_smoothing(smoothing: object) -> None:
    """Raise unless labels can be smoothed by that much.

    Raises:
        ValueError: it is not a number in [0, 1).
    """
    if not isinstance(smoothing, Real) or not 0 <= float(smoothing) < 1:
        raise ValueError(f"label_smoothing: expected a number in [0, 1), got {smoothing!r}")


@dataclass(frozen=True)
class Supervised:
    """Classify clips as they are labelled: needs `clip` and `label`, and a model that returns logits.

    Args:
        label_smoothing: of hard labels, from 0 to below 1; the published recipes take 0.1.

    Raises:
        ValueError: the smoothing cannot be.
    """

    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_smoothing(self.label_smoothing)

    def __call__(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        logits = model(take_pixels(model, batch))
        label = take(batch, "label")
        loss = classification_loss(logits, label, self.label_smoothing)
        return {"loss": loss, "accuracy": accuracy(logits, label)}
