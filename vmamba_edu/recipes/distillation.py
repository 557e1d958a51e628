"""Self-distillation of models for clips: a larger VideoMamba learns beside a smaller, trained one.

    loss = cross entropy(logits, labels) + weight · mean over tokens of |student − teacher|²

Both last feature maps, normed, have length 1 at every token; the student's goes through a norm and a linear map to the
teacher's width first. These two are the objective's own, and are thrown away with it: what is trained is the plain
classifier. The released code has them in a model for pictures (`vmamba_edu.models.self_distillation`), with weight 1.

Source: VideoMamba (arXiv 2403.06977) §3.2, "Self-Distillation"; videomamba/image_sm/engine_distill.py.
"""

from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from vmamba_edu.models.backbone import Backbone
from vmamba_edu.models.initialisation import initialise_linear_
from vmamba_edu.models.normalisation import make_norm
from vmamba_edu.training.objectives import alignment_loss, classification_loss
from vmamba_edu.training.objectives.batches import take, take_pixels
from vmamba_edu.training.objectives.supervised import accuracy, check_smoothing


class GuidedClassification(nn.Module):
    """Classify, and let tokens point where a teacher's do. It learns with the model: it has the map between them.

    Args:
        student: what it will be called with; any model made of mixers (`Backbone`), in training a plain classifier.
        teacher: trained, of as many tokens; asked in evaluation mode and without gradient, and no part of this module.
        weight: of the guidance; the published one is 1.
        guidance_until: the step from which on there is none; None guides to the end. Guidance that has ended is 0.
        label_smoothing: of hard labels.

    Raises:
        ValueError: a value cannot be, or the two have different tokens.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        *,
        weight: float = 1.0,
        guidance_until: int | None = None,
        label_smoothing: float = 0.0,
    ):
        super().__init__()
        check_smoothing(label_smoothing)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not weight > 0:
            raise ValueError(f"weight: expected a number above 0, got {weight!r}")
        until = guidance_until
        if until is not None and (isinstance(until, bool) or not isinstance(until, int) or until < 0):
            raise ValueError(f"guidance_until: expected a step of at least 0, got {until!r}")
        self.weight, self.guidance_until, self.label_smoothing = weight, guidance_until, label_smoothing
        mine, theirs = _tokens_of("name", student), _tokens_of("teacher", teacher)
        if mine != theirs:
            expected = "(time, height, width) tokens and [cls] position as the student's"
            raise ValueError(f"teacher: expected {expected}, {mine}, got {theirs}")
        student_config: Any = student.config
        teacher_config: Any = teacher.config
        dim = student_config.embed_dim
        head = nn.Sequential(make_norm(student_config.norm, dim), nn.Linear(dim, teacher_config.embed_dim))
        initialise_linear_(head)
        self.to_teacher = head
        # A method, not a module: the teacher's parameters are none of this module's.
        self._ask: Callable[[Tensor], Tensor] = cast(Backbone, teacher.eval().requires_grad_(False)).forward_features

    def forward(self, model: Any, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        """The parts of the loss of a batch with `clip`, `label` and, if guidance ends, `step`."""
        clip, label = take_pixels(model, batch), take(batch, "label")
        tokens = model.forward_features(clip)
        logits = model.head(model.pool(tokens))
        classification = classification_loss(logits, label, self.label_smoothing)
        parts = {"loss": classification, "classification": classification.detach(), "distillation": torch.zeros(())}
        if self.guidance_until is None or int(take(batch, "step")) < self.guidance_until:
            with torch.no_grad():
                target = self._ask(clip)
            guidance = alignment_loss(self.to_teacher(tokens), target, "l2", normalise=True)
            parts |= {"loss": classification + self.weight * guidance, "distillation": guidance.detach()}
        return parts | {"accuracy": accuracy(logits, label)}


def _tokens_of(name: str, model: nn.Module) -> tuple:
    """What two feature maps must share to be compared token by token."""
    if not isinstance(model, Backbone):
        raise ValueError(f"{name}: expected a VideoMamba that classifies, got {type(model).__name__}")
    return *model.config.grid, model.config.cls_position
