"""Position embeddings for clips and pictures of another size than a model was made for.

Positions in space are a picture of their own, one colour a channel, and are resized as one: bicubic. Positions in time
are resized linearly. In both the corners are those of the pixels' outer edges (`align_corners=False`) and nothing is
smoothed before it is made smaller. At the size that was there already, the very same tensor comes back.

Source: VideoMamba's fine-tuning from a checkpoint of another size (videomamba/video_sm/run_class_finetuning.py). There
it happens once, when weights are loaded; here also whenever a model is given a clip of another size.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor

from vmamba_edu.models.precision import at_least_float32

Size = tuple[int, int]
"""(height, width) of a frame in tokens."""


def interpolate_positions(
    pos_embed: Float[Tensor, "1 old_rows dim"], old_hw: Size, new_hw: Size
) -> Float[Tensor, "1 new_rows dim"]:
    """Position embeddings for frames of another size. Row 0, that of [cls], stays as it is.

    Args:
        pos_embed: row 0 for [cls], then those of the patches row by row.
        old_hw, new_hw: height and width in patches, before and after.

    Returns:
        (1, 1 + height · width after, dim) in the dtype of `pos_embed`; computed in at least float32.

    Raises:
        ValueError: `pos_embed` has not the rows that `old_hw` says, or a side is below 1.
    """
    _check_rows("pos_embed", pos_embed, 1 + old_hw[0] * old_hw[1], f"old_hw = {old_hw}")
    if min(new_hw) < 1:
        raise ValueError(f"new_hw: expected (height, width), each at least 1, got {new_hw}")
    if old_hw == new_hw:
        return pos_embed
    picture = rearrange(at_least_float32(pos_embed[:, 1:]), "1 (h w) dim -> 1 dim h w", h=old_hw[0])
    resized = F.interpolate(picture, size=new_hw, mode="bicubic", align_corners=False)
    patches = rearrange(resized, "1 dim h w -> 1 (h w) dim").to(pos_embed.dtype)
    return torch.cat([pos_embed[:, :1], patches], dim=1)


def interpolate_times(
    temporal_pos_embedding: Float[Tensor, "1 old_time dim"], new_length: int
) -> Float[Tensor, "1 new_time dim"]:
    """Embeddings of the steps in time for clips of another length.

    Args:
        temporal_pos_embedding: one row a step; a step is a frame, or a tubelet of frames.
        new_length: how many steps there are to be.

    Returns:
        (1, new_length, dim) in the dtype of `temporal_pos_embedding`; computed in at least float32.

    Raises:
        ValueError: `new_length` is below 1.
    """
    if new_length < 1:
        raise ValueError(f"new_length: expected at least 1, got {new_length}")
    if temporal_pos_embedding.shape[1] == new_length:
        return temporal_pos_embedding
    line = rearrange(at_least_float32(temporal_pos_embedding), "1 time dim -> 1 dim time")
    resized = F.interpolate(line, size=new_length, mode="linear", align_corners=False)
    return rearrange(resized, "1 dim time -> 1 time dim").to(temporal_pos_embedding.dtype)


def _check_rows(name: str, embedding: Tensor, rows: int, why: str) -> None:
    if embedding.dim() != 3 or embedding.shape[:2] != (1, rows):
        raise ValueError(f"{name}: expected (1, {rows}, dim) for {why}, got {tuple(embedding.shape)}")
