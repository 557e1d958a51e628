"""The keywords of the student of masked pre-training."""

from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Real
from types import MappingProxyType
from typing import Any, ClassVar, Literal, no_type_check

from vmamba_edu.models.configuration import Config, VideoMambaConfig, check_choice, check_integer
from vmamba_edu.models.published_keywords import Translation, renamed, switched


@no_type_check  # for checkers at run time: __post_init__ checks every value, and its messages say more
@dataclass(frozen=True)
class MaskedStudentConfig(VideoMambaConfig):
    """Everything that decides the shape of a masked student. The defaults are those of the published pre-training.

    Args:
        teacher_dim: channels of what the teacher says.
        aligned_layers: how many of the student's layers are aligned, K.
        align_interval: blocks from one aligned layer to the next, from the last one down; i · interval is rounded down.
        align_norm: "l2": what the student says has length 1; "none": it is left as it is.
        align_last: what is aligned of the last block, "published" or "complete"; see `masked_student`.
        num_classes: 0, as the student has no head.
        The others: as for `VideoMambaConfig`.

    The published names are read too: clip_output_dim, clip_return_layer, clip_student_return_interval, clip_norm_type,
    and fused_add_norm, of which False is `align_last="complete"`. clip_decoder_embed_dim must be embed_dim.
    """

    num_classes: int = 0
    drop_path_rate: float = 0.4
    teacher_dim: int = 512
    aligned_layers: int = 1
    align_interval: float = 1
    align_norm: Literal["l2", "none"] = "l2"
    align_last: Literal["published", "complete"] = "published"

    published: ClassVar[Mapping[str, Translation]] = MappingProxyType(
        {
            "clip_output_dim": renamed("teacher_dim"),
            "clip_return_layer": renamed("aligned_layers"),
            "clip_student_return_interval": renamed("align_interval"),
            "clip_norm_type": renamed("align_norm"),
            "fused_add_norm": switched("fused_add_norm", "align_last", "published", "complete"),
            **VideoMambaConfig.published,
        }
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.num_classes:
            raise ValueError(f"num_classes: expected 0, as a masked student has no head, got {self.num_classes}")
        for name in ("teacher_dim", "aligned_layers"):
            check_integer(name, getattr(self, name), least=1)
        if not isinstance(self.align_interval, Real) or not self.align_interval >= 1:
            raise ValueError(f"align_interval: expected a number of at least 1, got {self.align_interval!r}")
        if self.aligned_blocks[0] < 0:
            layers = f"{self.aligned_layers} layers at an interval of {self.align_interval}"
            raise ValueError(f"aligned_layers: expected layers that depth = {self.depth} blocks have, got {layers}")
        check_choice("align_norm", self.align_norm, ("l2", "none"))
        check_choice("align_last", self.align_last, ("published", "complete"))

    @property
    def aligned_blocks(self) -> tuple[int, ...]:
        """Which blocks are aligned, from shallow to deep."""
        steps = reversed(range(self.aligned_layers))
        return tuple(self.depth - 1 - int(step * self.align_interval) for step in steps)

    def with_overrides(self: Config, **overrides: Any) -> Config:
        """As `VideoMambaConfig.with_overrides`.

        Raises:
            ValueError: also if clip_decoder_embed_dim, which the released code has apart, is not embed_dim.
        """
        width = overrides.pop("clip_decoder_embed_dim", None)
        config = VideoMambaConfig.with_overrides(self, **overrides)
        if width not in (None, config.embed_dim):
            raise ValueError(f"clip_decoder_embed_dim: expected embed_dim = {config.embed_dim}, got {width}")
        return config
