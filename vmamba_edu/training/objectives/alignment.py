"""How far a student's features are from a teacher's: three distances.

Source: VideoMamba (arXiv 2403.06977) §3.3, after Unmasked Teacher (arXiv 2303.16058) §3.1;
videomamba/video_sm/engines/engine_for_pretraining_videomamba.py and `UTALoss`
(videomamba/video_mm/models/criterions.py).
"""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from vmamba_edu.models.precision import at_least_float32

KINDS = ("l2", "mse", "smooth_l1")


def alignment_loss(
    student: Float[Tensor, "*tokens dim"],
    teacher: Float[Tensor, "*tokens dim"],
    kind: str = "l2",
    normalise: bool = False,
) -> Float[Tensor, ""]:
    """The mean distance of the student's features from the teacher's.

    Args:
        student, teacher: of one shape, the channels last; the teacher gets no gradient. Compared in at least float32.
        kind: "l2" is 2 − 2 ⟨s, t⟩, the squared distance of unit vectors, averaged over tokens. "mse" is the squared
            difference and "smooth_l1" Huber's with β = 1, averaged over channels as well: for unit vectors mse is l2
            divided by the number of channels.
        normalise: whether to divide both by their length first; "l2" is no distance otherwise, unless both come
            normalised, as masked students and their teachers do.

    Raises:
        ValueError: there is no such kind, or the shapes differ.
    """
    check_kind(kind)
    if student.shape != teacher.shape:
        raise ValueError(
            f"teacher: expected features {tuple(student.shape)} as the student's, got {tuple(teacher.shape)}"
        )
    student = at_least_float32(student)
    teacher = teacher.detach().to(student.dtype)
    if normalise:
        student, teacher = unit(student), unit(teacher)
    if kind == "l2":
        return (2 - 2 * (student * teacher).sum(-1)).mean()
    return F.mse_loss(student, teacher) if kind == "mse" else F.smooth_l1_loss(student, teacher)


def unit(x: Float[Tensor, "*tokens dim"]) -> Float[Tensor, "*tokens dim"]:
    """x / |x| over the channels, without an epsilon, as published."""
    return x / x.norm(dim=-1, keepdim=True)


def check_kind(kind: object) -> None:
    """Raise unless there is such a distance.

    Raises:
        ValueError: there is none.
    """
    if kind not in KINDS:
        raise ValueError(f"kind: expected {', '.join(map(repr, KINDS))}, got {kind!r}")
