"""Self-distillation: a large model for pictures learns beside a smaller, trained one, which keeps it from overfitting.

Student and teacher are the classifier for pictures, and return (logits, features): the features of all tokens, [cls]
among them, each of length 1. The teacher's are its normed tokens. The student's go through a norm and a linear map to
the teacher's width before: `distill_head`, which is thrown away in the end. So the student's tokens are normed twice,
by `norm_f` and by the head's own norm; so it was released.

    loss = cross entropy(logits, labels) + mean over batch and tokens of |student - teacher|²

Source: VideoMamba (arXiv 2403.06977), "Self-Distillation"; `VisionMamba` of
videomamba/image_sm/models/videomamba_distill.py, and videomamba/image_sm/engine_distill.py. In mixed precision the
released engine swaps two casts: the teacher runs in float16 where bfloat16 is asked for, and in bfloat16 otherwise.
Here a teacher keeps the dtype it is in.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, Literal, NamedTuple, no_type_check

from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.configuration import VideoMambaImageConfig, check_choice, check_integer
from vmamba_edu.models.initialisation import initialise_linear_
from vmamba_edu.models.normalisation import make_norm
from vmamba_edu.models.published_keywords import Translation, renamed
from vmamba_edu.models.videomamba_image import VideoMambaImage


@no_type_check  # for checkers at run time: __post_init__ checks every value, and its messages say more
@dataclass(frozen=True)
class VideoMambaDistillationConfig(VideoMambaImageConfig):
    """Everything that decides the shape of a student or a teacher of self-distillation.

    Args:
        role: "student" has a `distill_head`; "teacher" has none, and the parameters of the plain classifier.
        teacher_dim: of a student: channels of the teacher's tokens.
        The others: as for `VideoMambaImageConfig`. The released class has no `stride`.

    The published names are read too: model_type (role) and teacher_embed_dim (teacher_dim).
    """

    role: Literal["student", "teacher"] = "student"
    teacher_dim: int = 384

    published: ClassVar[Mapping[str, Translation]] = MappingProxyType(
        {
            "model_type": renamed("role"),
            "teacher_embed_dim": renamed("teacher_dim"),
            **VideoMambaImageConfig.published,
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("role", self.role, ("student", "teacher"))
        check_integer("teacher_dim", self.teacher_dim, least=1)


class Distilled(NamedTuple):
    """What a student and a teacher return."""

    logits: Float[Tensor, "batch classes"]
    features: Float[Tensor, "batch length teacher_dim"]
    """Of every token, [cls] among them as it stands; each has length 1."""


class VideoMambaDistillation(VideoMambaImage):
    """The classifier for pictures as a student, or as the teacher, of self-distillation.

        student = create_model("videomamba_distill_middle", teacher_dim=384)
        teacher = create_model("videomamba_distill_small", role="teacher").eval().requires_grad_(False)

    Its parameters have the released names: those of `VideoMambaImage` and, in a student, `distill_head`.
    """

    config: VideoMambaDistillationConfig

    def __init__(self, config: VideoMambaDistillationConfig):
        super().__init__(config)
        if config.role == "student":
            to_teacher = nn.Linear(config.embed_dim, config.teacher_dim)
            self.distill_head = nn.Sequential(make_norm(config.norm, config.embed_dim), to_teacher)
            initialise_linear_(self.distill_head)

    def forward(self, image: Tensor) -> Distilled:  # type: ignore[override]
        """Logits, and the features of all tokens. Arguments and errors as those of `VideoMambaImage`."""
        tokens = self.forward_features(image)
        features = self.distill_head(tokens) if self.config.role == "student" else tokens
        return Distilled(self.head(self.pool(tokens)), features / features.norm(dim=-1, keepdim=True))


def without_distillation_head(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights of a distilled student for a plain `VideoMambaImage`, which loads them strictly."""
    return {name: value for name, value in state_dict.items() if "distill_head" not in name}
