"""The clip's side of a video-text model: a masked student whose tokens are read by text, and what is pooled of them.

    clip ─ masked student ─ tokens without [cls], for fusion
                          ├ pool ─ norm: one vector for each frame, or for the clip, for comparison
                          └ decoders: what the student says of the teacher's features, for alignment

A clip of one frame is a picture: it is told no time.

Source: `PretrainVideoMamba` (videomamba/video_mm/models/backbones/videomamba/videomamba.py).
"""

from dataclasses import dataclass
from typing import Literal, no_type_check

import torch
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor

from vmamba_edu.models.configuration import check_choice
from vmamba_edu.models.masked_student import Encoded, MaskedStudent
from vmamba_edu.models.masked_student_configuration import MaskedStudentConfig
from vmamba_edu.models.normalisation import LayerNorm
from vmamba_edu.models.published_keywords import check_bool


@no_type_check  # for checkers at run time: __post_init__ checks every value, and its messages say more
@dataclass(frozen=True)
class VisionTowerConfig(MaskedStudentConfig):
    """Everything that decides the shape of a vision tower.

    Args:
        summary: what is pooled: "cls", "cls+mean" (their sum) or "mean".
        keep_temporal: whether the mean is that of each frame, so that a clip has as many vectors as frames.
        The others: as for `MaskedStudentConfig`.
    """

    drop_path_rate: float = 0.25
    num_frames: int = 8
    summary: Literal["cls", "cls+mean", "mean"] = "cls+mean"
    keep_temporal: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice("summary", self.summary, ("cls", "cls+mean", "mean"))
        check_bool("keep_temporal", self.keep_temporal)


@dataclass(frozen=True, eq=False)
class Seen:
    """What a tower makes of a batch of clips.

    Attributes:
        tokens: (batch, visible, dim), without [cls], normed.
        pooled: (batch, frames, dim), or one vector instead of frames.
        encoded: from which `VisionTower.decode` tells the student's features.
    """

    tokens: Float[Tensor, "batch visible dim"]
    pooled: Float[Tensor, "batch frames dim"]
    encoded: Encoded


class VisionTower(MaskedStudent):
    """A masked student that pools. `see` gives all that text needs; called like a student it is one."""

    config: VisionTowerConfig

    def __init__(self, config: VisionTowerConfig):
        super().__init__(config)
        self.pool_norm = LayerNorm(config.embed_dim)

    def times(self, time: int) -> Float[Tensor, "1 time dim"]:
        """The embedding of every step in time; of a picture, which has none, zeros."""
        is_picture = time == 1 and self.config.tubelet_size == 1
        return torch.zeros_like(self.temporal_pos_embedding[:, :1]) if is_picture else super().times(time)

    def see(self, clip: Tensor, mask: Tensor | None = None, keep_temporal: bool | None = None) -> Seen:
        """Tokens and pooled vectors of clips.

        Args:
            clip, mask: as for `MaskedStudent`.
            keep_temporal: instead of the configuration's. With a mask every frame must keep equally many tokens.

        Raises:
            ValueError, TypeError: as for `MaskedStudent`; or frames are to be kept, and keep different numbers of
                tokens.
        """
        encoded = self.encode(clip, mask)
        is_cls = encoded.kept == self.cls_index(encoded.length - 1)
        cls, tokens = (
            rearrange(encoded.tokens[which], "(b n) dim -> b n dim", b=len(clip)) for which in (is_cls, ~is_cls)
        )
        frames = self.config.grid_of(*clip.shape[2:])[0]
        keep = self.config.keep_temporal if keep_temporal is None else keep_temporal
        if keep and mask is not None:
            _check_even(mask, encoded.length, frames)
        pooled = self._summarise(cls, tokens, frames if keep else 1)
        return Seen(tokens, self.pool_norm(pooled), encoded)

    def _summarise(self, cls: Tensor, tokens: Tensor, steps: int) -> Tensor:
        """(batch, steps, dim); [cls] alone is one vector however many steps there are."""
        if self.config.summary == "cls":
            return cls
        mean = reduce(tokens, "b (t n) dim -> b t dim", "mean", t=steps)
        return mean if self.config.summary == "mean" else cls + mean


def _check_even(mask: Tensor, length: int, frames: int) -> None:
    """Raise unless a mask, with or without a column for [cls], leaves equally many tokens in every frame."""
    patches = mask if mask.shape[1] == length - 1 else mask[:, 1:]
    visible = rearrange(~patches, "b (t n) -> (b t) n", t=frames).sum(1)
    if bool((visible != visible[0]).any()):
        raise ValueError(
            "mask: expected equally many visible tokens in every frame, to pool them frame by frame, got "
            f"{sorted(set(visible.tolist()))}; use a mask that does ('tube', 'frame_row', 'attention'), or "
            "keep_temporal=False"
        )
