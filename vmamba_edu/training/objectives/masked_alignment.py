"""Masked pre-training: from the few tokens it sees, a student tells what a teacher thinks of them.

The teacher sees the whole clip, frame by frame; the student sees what the mask leaves, all of it at once, and has to
say for each token it sees, and for [cls], what the teacher's features there are. No pixels are rebuilt.

Source: VideoMamba (arXiv 2403.06977) §3.3; Unmasked Teacher (arXiv 2303.16058) §3.1;
videomamba/video_sm/engines/engine_for_pretraining_videomamba.py.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from vmamba_edu.masking import NAMES, check_ratio, make_mask
from vmamba_edu.models.masked_student import MaskedStudent, kept_tokens
from vmamba_edu.models.teaching import Teaching
from vmamba_edu.training.objectives.alignment import alignment_loss, check_kind
from vmamba_edu.training.objectives.batches import take


def visible_features(
    features: Float[Tensor, "layers batch tokens_and_cls dim"],
    mask: Bool[Tensor, "batch tokens"],
    cls_index: int = 0,
) -> Float[Tensor, "layers batch visible_and_cls dim"]:
    """The teacher's features of [cls] and of the tokens that the mask leaves to the student, in the student's order.

    Args:
        features: (layers, batch, 1 + tokens, dim), [cls] first.
        mask: (batch, tokens), True for what is dropped.
        cls_index: where [cls] stands in the student's sequence.

    Raises:
        ValueError: the teacher has other tokens than the mask, or no [cls] first.
    """
    batch, patches = mask.shape
    if features.shape[2] != patches + 1:
        raise ValueError(
            f"features: expected {patches + 1} tokens of the teacher, [cls] first and one for each of the student's, "
            f"got {features.shape[2]}; teacher and student need the same grid of patches"
        )
    place = torch.arange(1, patches + 1, device=mask.device)
    place = torch.cat([place[:cls_index], place.new_zeros(1), place[cls_index:]])
    kept = place[kept_tokens(mask, batch, patches + 1, cls_index)].to(features.device)
    return torch.take_along_dim(features, kept[None, :, :, None], dim=2)


def ask(teacher: Callable[[Tensor], Teaching], clip: Tensor) -> Teaching:
    """What the teacher says of a clip, in evaluation mode and without gradient."""
    if isinstance(teacher, nn.Module):
        teacher.eval()
    with torch.no_grad():
        return teacher(clip)


@dataclass(frozen=True, eq=False)
class MaskedAlignment:
    """Align a masked student with a teacher: needs `clip`, and a model called as `student(clip, mask)`.

    The student returns (layers, batch, visible tokens and [cls], dim), as many layers as the teacher, from shallow to
    deep: a `vmamba_edu.models.masked_student.MaskedStudent` does. The teacher returns a `Teaching`; see
    `vmamba_edu.models.clip_teacher` and `digit_teacher`. Defaults are those of the published run.

    Args:
        teacher: is asked for the whole clip, in evaluation mode and without gradient.
        mask: "random", "tube", "clip_row", "frame_row" or "attention".
        mask_ratio: the share of tokens that the student does not see, see `vmamba_edu.masking`.
        distance: "l2", "mse" or "smooth_l1", see `alignment_loss`.
        clip_loss_ratio: the weight of the loss.
        generator: what masks are drawn from; None stands for torch's own, whose state checkpoints keep.

    Raises:
        ValueError: a value cannot be.
    """

    teacher: Callable[[Tensor], Teaching]
    mask: str = "attention"
    mask_ratio: float = 0.8
    distance: str = "l2"
    clip_loss_ratio: float = 1.0
    generator: torch.Generator | None = None

    def __post_init__(self) -> None:
        if self.mask not in NAMES:
            raise ValueError(f"mask: expected one of {', '.join(map(repr, NAMES))}, got {self.mask!r}")
        check_ratio(self.mask_ratio)
        check_kind(self.distance)

    def __call__(self, model: MaskedStudent, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        clip = take(batch, "clip")
        teaching = ask(self.teacher, clip)
        mask = self.draw(model.config.grid_of(*clip.shape[2:]), teaching).to(clip.device)
        target = visible_features(teaching.features, mask, model.cls_index(mask.shape[1]))
        alignment = alignment_loss(model(clip, mask), target, self.distance)
        return {"loss": self.clip_loss_ratio * alignment, "alignment": alignment.detach()}

    def draw(self, grid: tuple[int, int, int], teaching: Teaching) -> Bool[Tensor, "batch tokens"]:
        """A mask for each clip that was taught."""
        attention = teaching.attention if self.mask == "attention" else None
        batch = teaching.features.shape[1]
        return make_mask(self.mask, grid, self.mask_ratio, batch, attention=attention, generator=self.generator)
