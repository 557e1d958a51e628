"""What a teacher of frames says of a clip, and how a clip is brought before it.

A teacher is an image model. It is asked for each frame by itself, and its answers are put together as the tokens of a
clip are, so that a student of clips can be compared token by token.

Source: `VisionTransformer.forward` (videomamba/video_sm/models/clip.py);
videomamba/video_sm/engines/engine_for_pretraining_videomamba.py.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, reduce
from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Teaching:
    """What a teacher says of a batch of clips.

    Attributes:
        features: (layers, batch, tokens, dim), from shallow to deep; tokens frame by frame, [cls] first if the teacher
            was made to return it: the mean of the frames' own.
        attention: (batch, time, height · width): in the last block, how much each patch is looked at by the [cls] of
            its frame, the mean over heads. With what [cls] keeps for itself a frame sums to 1. None if it was not asked
            for.
    """

    features: Float[Tensor, "layers batch tokens dim"]
    attention: Float[Tensor, "batch time hw"] | None


def clip_tokens(
    tokens: Float[Tensor, "frames tokens dim"], batch: int, with_cls: bool
) -> Float[Tensor, "batch clip_tokens dim"]:
    """The tokens of a clip from those of its frames, which have [cls] first each: the clip has their mean, or none.

    Args:
        tokens: (batch · time, 1 + height · width, dim).
        batch: how many clips these are.
        with_cls: whether to put the mean [cls] first.
    """
    patches = rearrange(tokens[:, 1:], "(b t) hw dim -> b (t hw) dim", b=batch)
    if not with_cls:
        return patches
    return torch.cat([reduce(tokens[:, :1], "(b t) 1 dim -> b 1 dim", "mean", b=batch), patches], dim=1)


def cls_attention(weights: Float[Tensor, "frames heads queries keys"], batch: int) -> Float[Tensor, "batch time hw"]:
    """How much each patch is looked at by its frame's [cls], query and key 0: the mean over heads."""
    return rearrange(weights[:, :, 0, 1:].mean(1), "(b t) hw -> b t hw", b=batch)


def frames_of(clip: Float[Tensor, "batch 3 time height width"], size: tuple[int, int]) -> Tensor:
    """The frames one by one, (batch · time, 3, height, width), resized (bicubic) if the teacher has another size."""
    frames = rearrange(clip, "b c t h w -> (b t) c h w")
    if frames.shape[-2:] == size:
        return frames
    return F.interpolate(frames, size=size, mode="bicubic", align_corners=False)
