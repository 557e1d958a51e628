"""The bill of VideoMamba and VideoMambaPro, for clips and pictures, in closed formulas.

L tokens · D dim · E = expand · D inner dim · N state size · R rank of Δ. Source of the layers: `mixer`, `backbone`.
"""

import math
from collections import Counter
from dataclasses import replace

import torch
from vmamba_kernels.numba_cpu import saved_shape

from vmamba_edu.analysis.bill import Bill, Item, embedding, linear, norm
from vmamba_edu.analysis.counted_cost import scan_flops
from vmamba_edu.models.configuration import MambaConfig
from vmamba_edu.models.pro_mixer import MASKED
from vmamba_edu.models.videomamba_pro import VideoMambaProConfig
from vmamba_edu.scan_orders import Reading, scan_plan


def mamba_bill(config: MambaConfig, batch: int) -> Bill:
    """Everything in a model of this configuration."""
    (time, height, width), dim = config.grid, config.embed_dim
    patches = batch * time * height * width
    tokens = patches + batch
    is_clip = hasattr(config, "num_frames")
    box = 3 * getattr(config, "tubelet_size", 1) * config.patch_size**2
    # A clip is cut into boxes, which is a copy; a picture goes through a convolution, which keeps the picture itself.
    bill = linear("patch_embed", patches, box, dim, kept=box if is_clip else 0)
    bill += embedding(2 + height * width + (time if is_clip else 0), dim)
    block = block_bill(config, batch, tokens // batch)
    bill += block * config.depth + norm(tokens, dim, kind=config.norm)
    bill += Bill(kept=_by_checkpointing(config, block.kept, tokens))
    if any(reading.order == "temporal_first" for reading in readings(config)):
        bill += Bill(kept=2 * 2 * tokens // batch)  # two permutations of 8-byte integers
    if not config.num_classes:
        return bill
    of_head = tokens * dim if config.pool == "cls" else batch * dim  # [cls] is a view of all tokens: they stay
    return bill + linear("head", batch, dim, config.num_classes) + Bill(kept=of_head)


def block_bill(config: MambaConfig, batch: int, length: int) -> Bill:
    """One block: norm and mixer."""
    tokens, dim, inner = batch * length, config.embed_dim, config.expand * config.embed_dim
    plan = readings(config)
    copies = len({reading.order for reading in plan})  # of what in_proj made: one for each order
    bill = norm(tokens, dim, kind=config.norm) + linear("in_proj", tokens, dim, 2 * inner, bias=False, kept=dim)
    bill += Bill(kept=copies * tokens * 2 * inner)
    seen: set[str] = set()
    for reading in plan:
        bill += reading_bill(config, batch, length, reading, own=reading.direction not in seen)
        seen.add(reading.direction)
    bill += linear("out_proj", tokens, inner, dim, bias=False, kept=inner)
    return bill + _extras(config, tokens)


def reading_bill(config: MambaConfig, batch: int, length: int, reading: Reading, own: bool) -> Bill:
    """One reading of the tokens: convolution, Δ, B, C and scan. `own`: the first with these parameters."""
    tokens, inner, state = batch * length, config.expand * config.embed_dim, config.d_state
    rank = rank_of(config)
    bill = linear("conv1d", tokens, config.d_conv, inner, kept=inner)  # u
    bill += linear("x_proj", tokens, inner, rank + 2 * state, bias=False, kept=rank + 2 * state)
    bill += linear("dt_proj", tokens, rank, inner, kept=inner)  # Δ before the bias
    bill += Bill((Item("scan", inner * state + inner, scan_flops(tokens, inner, state)),), 2 * inner * state)  # exp, -
    bill += Bill(kept=saved_states(batch, length, inner, state))
    if isinstance(config, VideoMambaProConfig):
        masked = reading.direction == "backward" and config.variant in MASKED
        bill += Bill(kept=masked * tokens * state)  # C without its first token is a copy; the initial state is a view
        if reading.direction == "backward" and config.variant == "released_v1":  # all but A_log is the other's
            return _without_parameters(bill) + Bill((Item("scan", own * inner * state, 0),))
    return bill if own else _without_parameters(bill)


def saved_states(batch: int, length: int, inner: int, state: int) -> int:
    """How many numbers the Numba engine saves for the backward: the states before every tile of tokens, padded."""
    u, A, B = (torch.empty(s, device="meta") for s in ((batch, inner, length), (inner, state), (batch, state, length)))
    return math.prod(saved_shape(u, u, A, B, B, None, None, None, None, False, False, False))


def _without_parameters(bill: Bill) -> Bill:
    """The same computation with parameters that are already counted."""
    return replace(bill, items=tuple(item._replace(parameters=0) for item in bill.items))


def readings(config: MambaConfig) -> list[Reading]:
    """What every block of this configuration reads."""
    one_way = not config.bidirectional or getattr(config, "variant", "") == "released_none"
    plan = scan_plan(getattr(config, "scan_order", "spatial_first"))
    return [reading for reading in plan if reading.direction == "forward" or not one_way]


def rank_of(config: MambaConfig) -> int:
    """R, with "auto" worked out."""
    return math.ceil(config.embed_dim / 16) if config.dt_rank == "auto" else config.dt_rank


def mamba_peak(config: MambaConfig, batch: int) -> int:
    """Numbers alive at the worst moment of a forward pass without gradients: inside a block, or where a clip is cut up.

    In a block, when both directions have been scanned, there are: hidden, residual, their sum and its norm (4 D); what
    in_proj made (2 E), once more for another order; u, Δ, and what x_proj made of both (2 (2 E + R + 2 N)); and one
    output (E), to which the second direction adds.
    """
    time, height, width = config.grid
    patches, inner = time * height * width, config.expand * config.embed_dim
    orders = Counter(reading.order for reading in readings(config))
    at_once = max(orders.values())
    of_reading = 2 * inner + rank_of(config) + 2 * config.d_state
    in_block = 4 * config.embed_dim + 2 * inner * len(orders) + at_once * of_reading + inner
    box = 3 * getattr(config, "tubelet_size", 1) * config.patch_size**2
    return batch * max((patches + 1) * in_block, patches * (box + config.embed_dim))


def _by_checkpointing(config: MambaConfig, of_block: int, tokens: int) -> int:
    """What checkpointed blocks keep more, a negative number: hidden and residual instead of all that they compute.

    One of them at a time computes it again in the backward pass, when the blocks after it have given theirs back.
    """
    some = config.checkpoint_blocks
    if not some:
        return 0
    pairs = (2 * some - 1) * tokens * config.embed_dim  # the first block has no residual yet
    again = of_block if some == config.depth else 0
    return pairs + again - some * of_block


def _extras(config: MambaConfig, tokens: int) -> Bill:
    if getattr(config, "init_layer_scale", None) is None:
        return Bill()
    return Bill((Item("gamma", config.embed_dim, 0),), tokens * config.embed_dim)
