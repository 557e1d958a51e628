"""Masked language modelling (MLM): words of a caption are hidden, and the clip must say what they were.

Source: `MLMLoss` (videomamba/video_mm/models/criterions.py); BERT (arXiv 1810.04805) §3.1, task 1, with half of the
words instead of 15 %.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int64
from torch import Tensor

NOT_ASKED = -100  # a label that cross entropy passes over


def corrupt_tokens(
    ids: Int64[Tensor, "batch length"],
    *,
    pad: int,
    cls: int,
    mask: int,
    vocab_size: int,
    probability: float = 0.5,
    generator: torch.Generator | None = None,
) -> tuple[Int64[Tensor, "batch length"], Int64[Tensor, "batch length"]]:
    """Choose tokens to ask for, and hide most of them.

    Every token but [PAD] and [CLS] is chosen with the probability given; [SEP] may be, as published. Of those chosen
    80 % become [MASK], 10 % any token of the vocabulary, 10 % stay.

    Returns:
        The corrupted ids, and the labels: the true id where a token was chosen, -100 elsewhere.

    Raises:
        ValueError: the probability is not from 0 to 1.
    """
    if not 0 <= probability <= 1:
        raise ValueError(f"probability: expected a number from 0 to 1, got {probability!r}")

    device = ids.device if generator is None else generator.device

    def draw(p: float) -> Tensor:
        return (torch.rand(ids.shape, generator=generator, device=device) < p).to(ids.device)

    chosen = draw(probability) & (ids != pad) & (ids != cls)
    hidden = chosen & draw(0.8)
    replaced = chosen & ~hidden & draw(0.5)
    anything = torch.randint(vocab_size, ids.shape, generator=generator, device=device).to(ids.device)
    corrupted = torch.where(replaced, anything, ids.masked_fill(hidden, mask))
    return corrupted, ids.masked_fill(~chosen, NOT_ASKED)


def masked_language_loss(
    logits: Float[Tensor, "batch length vocabulary"], labels: Int64[Tensor, "batch length"]
) -> Float[Tensor, ""]:
    """Mean cross entropy over the tokens that were chosen (label not -100).

    Where none was chosen the loss is 0; the published mean over nothing is NaN, and would end the run.
    """
    asked = labels != NOT_ASKED
    total = F.cross_entropy(logits[asked], labels[asked], reduction="sum")
    return total / asked.sum().clamp_min(1)
