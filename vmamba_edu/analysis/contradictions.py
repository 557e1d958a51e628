"""Element contradiction: one Ā serves pairs of tokens that are alike and pairs that are not. The measure is our own.

Attention gives every pair of tokens a weight of its own: it can keep what is like the query and drop what is not. A
scan cannot. What remains of token j at token i is Π_{k=j+1..i} Ā_k, and each Ā_k stands in the product of *every* pair
that has k on its way: of those that are alike and should be kept, and of those that are not.

The measure asks how far that product tells the two kinds apart. Let s_ij in [0, 1] say how alike a pair is and r_ij in
[0, 1] what remains of j at i. Then

    kept_alike = Σ s_ij r_ij / Σ s_ij        kept_unlike = Σ (1 - s_ij) r_ij / Σ (1 - s_ij)
    contradiction = (1 - (kept_alike - kept_unlike)) / 2

over all pairs of different tokens j read before i. It is 0 if all that is alike is kept and all else is gone, 1/2 if
both are kept to the same degree (so also if everything is kept, or nothing), and up to 1 if what is unlike is kept
instead. Where all pairs are of one kind nothing can contradict, and it is 0.

It says how well decay alone serves content, no more: B and C, which can tell tokens apart as well, are left out.
VideoMambaPro (arXiv 2406.19006, §3) argues of element contradiction; its own equations were not at hand, and neither
they nor its code gave this measure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor

from vmamba_edu.analysis.decay import Decay, decay_of_arguments
from vmamba_edu.analysis.hidden_state import block_scan, input_of_mixer
from vmamba_edu.models.backbone import Backbone
from vmamba_edu.scan_orders import Direction


@dataclass(frozen=True, eq=False)
class Contradiction:
    """What is kept of pairs that are alike and of those that are not, and what follows.

    Args:
        kept_alike, kept_unlike: the mean share that remains, each in [0, 1].
        value: the measure, in [0, 1]; 1/2 if decay does not tell the two kinds of pairs apart.
    """

    kept_alike: Float[Tensor, "*axes"]
    kept_unlike: Float[Tensor, "*axes"]
    value: Float[Tensor, "*axes"]


@no_type_check  # for checkers at run time: the shapes are checked below, and the message says more
def contradiction(kept: Tensor, alike: Tensor, *, direction: Direction = "forward") -> Contradiction:
    """The measure for any weights of pairs.

    Args:
        kept: (*axes, length, length), at [i, j] what remains of token j at token i, in [0, 1]: of a scan the product of
            all Ā between them; of an attention its weights, each row divided by its largest.
        alike: (*axes, length, length) or what broadcasts to it, in [0, 1]: how alike the two tokens are.
        direction: which of the pairs are counted: those with j before i, or with j after i.

    Returns:
        Three numbers for each of the leading axes.

    Raises:
        ValueError: the shapes do not fit, or a value is not in [0, 1].
    """
    if kept.dim() < 2 or kept.shape[-1] != kept.shape[-2] or alike.shape[-2:] != kept.shape[-2:]:
        expected = "(…, length, length) of both"
        raise ValueError(f"kept, alike: expected {expected}, got {tuple(kept.shape)} and {tuple(alike.shape)}")
    for name, x in (("kept", kept), ("alike", alike)):
        if x.numel() and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"{name}: expected numbers in [0, 1], got {x.min().item():g} to {x.max().item():g}")
    ones = torch.ones_like(kept[..., :, :])
    counted = ones.tril(-1) if direction == "forward" else ones.triu(1)
    kept_alike, all_alike = _mean(kept, counted * alike)
    kept_unlike, all_unlike = _mean(kept, counted * (1 - alike))
    value = (1 - (kept_alike - kept_unlike)) / 2
    one_kind = (all_alike == 0) | (all_unlike == 0)
    return Contradiction(kept_alike, kept_unlike, value.masked_fill(one_kind, 0.0))


@torch.no_grad()
def contradiction_of(
    model: Backbone, clip: Tensor, block: int, *, channels: Sequence[int], direction: Direction = "forward"
) -> Contradiction:
    """The measure for the states of some channels of a block, (batch, channels, state) each.

    Args:
        model: a VideoMamba or VideoMambaPro; is run as it stands.
        clip: as for the model.
        block: which block, from 0. Tokens are compared as its mixer is given them, see `alike_by_median`.
        channels: which inner channels. Each needs length · length numbers a state at once.
        direction: which scan of the block.

    Raises:
        ValueError: there is no such block, channel or direction, or the clip does not fit.
    """
    scan = block_scan(model, clip, block, direction=direction)
    tokens = input_of_mixer(model, clip, block)
    if scan.order is not None:
        tokens = tokens.index_select(1, scan.order.there)
    alike = alike_by_median(tokens)
    found = []
    for channel in channels:  # one at a time: the matrix of shares is the largest thing here
        decay = decay_of_arguments(scan.arguments, channels=[channel], direction=direction)
        found.append(contradiction(shares_of(decay)[:, 0], alike[:, None], direction=direction))
    return Contradiction(*(torch.stack([getattr(c, name) for c in found], dim=1) for name in _FIELDS))


_FIELDS = ("kept_alike", "kept_unlike", "value")


def alike_by_median(tokens: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length length"]:
    """1 for pairs whose cosine is above the median of all pairs of the sample, else 0: half of them are alike."""
    normed = torch.nn.functional.normalize(tokens, dim=-1)
    cosine = normed @ normed.mT
    length = tokens.shape[1]
    pairs = torch.ones(length, length, dtype=torch.bool, device=tokens.device).tril(-1)
    if length == 1:
        return torch.ones_like(cosine)
    median = cosine[:, pairs].median(dim=1).values
    return (cosine > median[:, None, None]).to(cosine.dtype)


def shares_of(decay: Decay) -> Float[Tensor, "batch channels state length length"]:
    """What remains of token j at token i, at [i, j]; 0 where j is not read yet."""
    length = decay.step.shape[-1]
    return torch.stack([decay.reaching(token) for token in range(length)], dim=-2)


def _mean(kept: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The weighted mean over all pairs, 0 if there are none; and the sum of the weights."""
    total = weights.sum((-2, -1))
    mean = (kept * weights).sum((-2, -1)) / total.clamp_min(torch.finfo(kept.dtype).tiny)
    return mean, total
