"""Video-text matching (VTM): having read a clip and a caption together, do they belong to each other?

The negatives are hard: the more alike a wrong pair looks to the contrast, the more often it is asked about.

Source: `VTC_VTM_Loss.vtm_loss` (videomamba/video_mm/models/criterions.py); ALBEF (arXiv 2107.07651) §3.2.
"""

import torch
import torch.nn.functional as F
from einops import repeat
from jaxtyping import Float, Int64
from torch import Tensor

MATCH = 1  # the class of pairs that belong together


def negative_weights(
    similarities: Float[Tensor, "batch candidates"], index: Int64[Tensor, " batch"], hard: bool = True
) -> Float[Tensor, "batch candidates"]:
    """How likely each candidate is to be drawn as a negative: 0 where the index is the same, else softmax of its row.

    Args:
        similarities: (batch, batch), divided by the temperature; rows are what negatives are drawn for.
        index: (batch,).
        hard: False makes all that are allowed equally likely.

    Raises:
        ValueError: some row has no candidate: every index in the batch is the same.
    """
    weights = similarities.detach().softmax(1) if hard else torch.ones_like(similarities)
    same = index[:, None] == index[None]
    if bool(same.all(1).any()):
        raise ValueError(f"index: expected at least two that differ, to draw negatives from, got {index.tolist()}")
    # A softmax can be 0 for all that is allowed, when the true pair outweighs everything: then any of them will do.
    weights = weights.masked_fill(same, 0)
    return torch.where(weights.sum(1, keepdim=True) > 0, weights, (~same).to(weights.dtype))


def draw_negatives(
    weights: Float[Tensor, "batch candidates"], generator: torch.Generator | None = None
) -> Int64[Tensor, " batch"]:
    """One candidate for each row, with probabilities proportional to the weights."""
    device = weights.device if generator is None else generator.device
    return torch.multinomial(weights.to(device), 1, generator=generator).squeeze(1).to(weights.device)


def matching_loss(logits: Float[Tensor, "pairs 2"]) -> Float[Tensor, ""]:
    """Cross entropy of pairs of which the first third match: [true; with a wrong clip; with a wrong caption].

    Class 1 is "match".

    Raises:
        ValueError: the number of pairs is no multiple of three.
    """
    if len(logits) % 3:
        raise ValueError(f"logits: expected three pairs for each caption, got {len(logits)} pairs")
    labels = torch.tensor([MATCH, 0, 0], device=logits.device)
    return F.cross_entropy(logits, repeat(labels, "kind -> (kind b)", b=len(logits) // 3))
