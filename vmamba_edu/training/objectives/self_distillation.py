"""Self-distillation: a small, well-trained VideoMamba guides the features of a larger one that would overfit alone.

Source: VideoMamba (arXiv 2403.06977) §3.2, "self-distillation"; videomamba/image_sm/engine_distill.py.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vmamba_edu.training.objectives.alignment import alignment_loss
from vmamba_edu.training.objectives.batches import take, take_pixels
from vmamba_edu.training.objectives.supervised import accuracy, check_smoothing, classification_loss


@dataclass(frozen=True, eq=False)
class SelfDistillation:
    """Classify, and let the student's tokens point where the teacher's do: cross entropy + mean(2 − 2 cos).

    The model, and the teacher, return (logits, features), the features (batch, tokens, dim) of unit length: see
    `vmamba_edu.models.self_distillation`. Both parts have weight 1.

    Args:
        teacher: runs in evaluation mode and without gradient. It is no part of the student: keep its weights out of the
            optimiser, as they are kept out of the student's checkpoints.
        guidance_until: the step (`batch["step"]`, which the loop counts) from which on there is no guidance: the
            teacher is weaker than what the student can become, and the paper's early stopping lets go of it. None
            guides to the end. Guidance that has ended is reported as 0. Validation counts no steps: there it never
            ends, so measure with `Supervised` what does not depend on the teacher.
        label_smoothing: as for `Supervised`.

    Raises:
        ValueError: guidance_until is neither None nor an integer of at least 0.
    """

    teacher: nn.Module
    guidance_until: int | None = None
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        check_smoothing(self.label_smoothing)
        until = self.guidance_until
        if until is not None and (isinstance(until, bool) or not isinstance(until, int) or until < 0):
            raise ValueError(f"guidance_until: expected None or a step of at least 0, got {until!r}")

    def __call__(self, model: nn.Module, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        clip, label = take_pixels(model, batch), take(batch, "label")
        logits, features = model(clip)
        classification = classification_loss(logits, label, self.label_smoothing)
        guidance = self._guidance(clip, features) if self.guides(batch) else torch.zeros_like(classification)
        parts = {"classification": classification.detach(), "distillation": guidance.detach()}
        return {"loss": classification + guidance, **parts, "accuracy": accuracy(logits, label)}

    def guides(self, batch: Mapping[str, Any]) -> bool:
        """Whether the teacher still has a say at this step."""
        return self.guidance_until is None or int(take(batch, "step")) < self.guidance_until

    def _guidance(self, clip: Tensor, features: Tensor) -> Tensor:
        with torch.no_grad():
            _, target = self.teacher.eval()(clip)
        return alignment_loss(features, target, "l2")
