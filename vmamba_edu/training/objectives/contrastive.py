"""Video-text contrast (VTC): a clip is nearer to its own caption than to those of others, and the other way round.

Source: `get_sim` and `VTC_VTM_Loss.vtc_loss` (videomamba/video_mm/models/criterions.py); Unmasked Teacher
(arXiv 2303.16058) §3.2; the idea is that of CLIP (arXiv 2103.00020), figure 3.
"""

import torch
from einops import einsum
from jaxtyping import Float, Int64
from torch import Tensor

from vmamba_edu.models.precision import at_least_float32
from vmamba_edu.training.objectives.alignment import unit


def similarity(
    vision: Float[Tensor, "clips *frames dim"],
    text: Float[Tensor, "captions dim"],
    temperature: Float[Tensor, ""] | float = 1.0,
    over_frames: str = "mean",
) -> Float[Tensor, "clips captions"]:
    """cos(clip, caption) / temperature; of a clip of several vectors, the mean of its frames' cosines, or the largest.

    The cosine comes first and the mean after: a clip is as near as its frames are on average. Computed in at least
    float32; the published code goes down to float32 even from float64.

    Args:
        vision: (clips, dim) or (clips, frames, dim), projected, of any length.
        text: (captions, dim), projected.
        temperature: what the cosines are divided by.
        over_frames: "mean" or "max".

    Raises:
        ValueError: over_frames is neither.
    """
    if over_frames not in ("mean", "max"):
        raise ValueError(f"over_frames: expected 'mean' or 'max', got {over_frames!r}")
    if vision.dim() == 2:
        vision = vision[:, None]
    vision, text = at_least_float32(unit(vision)), at_least_float32(unit(text))
    with torch.autocast(vision.device.type, enabled=False):  # which would multiply in fewer bits
        cosine = einsum(vision, text, "v frames dim, t dim -> v frames t") / temperature
    return cosine.mean(1) if over_frames == "mean" else cosine.amax(1)


def match_targets(index: Int64[Tensor, " batch"]) -> Float[Tensor, "batch batch"]:
    """Row i spread evenly over the entries whose index is that of i: clips may share a caption."""
    same = (index[:, None] == index[None]).double()
    return same / same.sum(1, keepdim=True)


def contrastive_loss(similarities: Float[Tensor, "batch batch"], index: Int64[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Mean of two cross entropies: clips against captions and captions against clips.

    Args:
        similarities: (clips, captions), divided by the temperature; row and column i belong together.
        index: (batch,), equal where clip and caption match although row and column differ. The targets of both
            directions are `match_targets(index)`.
    """
    targets = match_targets(index).to(similarities.dtype)
    both = [-(targets * scores.log_softmax(1)).sum(1).mean() for scores in (similarities, similarities.mT)]
    return torch.stack(both).mean()
