"""Who hears whom in a block: the weights of an attention, or those that a scan implies, in one form.

For ViT, ViViT and TimeSformer the weights are what softmax made. For VideoMamba and VideoMambaPro they are the matrices
of `scan_matrix`. Compare them with care. A scan's weights may be negative and do not sum to 1. They belong to channels,
not heads. And the convolution before the scan, the gate and the skip after it are not in them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, cast

import torch
from einops import rearrange
from torch import Tensor, nn

from vmamba_edu.analysis.hidden_state import BlockScan, block_scan, readings_of
from vmamba_edu.analysis.scan_as_matrix import Channel, chosen_rows, scan_matrix
from vmamba_edu.models.attention import AttentionMap
from vmamba_edu.models.backbone import Backbone
from vmamba_edu.models.mixer import ScanArguments
from vmamba_edu.models.timesformer import TimeSformer
from vmamba_edu.models.vit import ViT
from vmamba_edu.models.vivit import ViViT
from vmamba_edu.models.vivit_blocks import FactorisedEncoder, frames_as_groups
from vmamba_edu.scan_orders import Direction


def attention_of(
    model: nn.Module,
    clip: Tensor,
    block: int,
    *,
    channel: Channel = "mean",
    rows: Sequence[int] | None = None,
    direction: Direction | Literal["both"] = "both",
) -> tuple[AttentionMap, ...]:
    """The attention maps of one block of any model here: one, or two where a block attends along time and in space.

    Args:
        model: is run as it stands: call `model.eval()` first to have no dropout and no drop path.
        clip: as for the model; an image for an image model.
        block: which block, from 0. In ViViT's model 2 the blocks of the first encoder come first, then those of the
            second.
        channel, direction: of a scan, see `implied_attention`; a transformer's heads all come.
        rows: which queries, numbered within a group of the map (all tokens, one frame, or one place); all if not given.

    Raises:
        ValueError: there is no such block, channel, row or direction, or the clip does not fit.
        TypeError: the model is none of ours.
    """
    if isinstance(model, Backbone):
        return (implied_attention(model, clip, block, channel=channel, rows=rows, direction=direction),)
    return _softmax_attention(model, clip, block, rows)


@torch.no_grad()
def implied_attention(
    model: Backbone,
    clip: Tensor,
    block: int,
    *,
    channel: Channel = "mean",
    rows: Sequence[int] | None = None,
    direction: Direction | Literal["both"] = "both",
) -> AttentionMap:
    """M of one block's scans on a clip, with queries and keys in the order of the tokens.

    Args:
        model: a VideoMamba or VideoMambaPro; is run as it stands.
        clip: as for the model; every sample of the batch gets its own matrix.
        block: which block, from 0.
        channel: an inner channel, several of them (a head for each), or "mean" over all.
        rows: which output tokens; all if not given. One row costs no length × length.
        direction: "forward", "backward", or "both": the sum over all that the block reads. Each reading has convolved
            its own u, so the sum shows who is heard but multiplies no single u. One reading does: its scan returns
            silu(z) ⊙ ((M + diag D) u), with u, D and z of `block_scan_arguments`.

    Returns:
        A map with weights (batch, 1, heads, rows, length). Unlike an attention's they may be negative, and a row need
        not sum to 1. `has_cls` is False where [cls] stands in the middle: it is token `model.cls_index(length - 1)`.

    Raises:
        ValueError: there is no such block, channel, row or direction, or the clip does not fit.
    """
    readings = [r for r in readings_of(model.block(block).mixer) if direction in (r.direction, "both")]
    if not readings:
        raise ValueError(f"direction: expected one in which block {block} reads, got {direction!r}")
    total: Tensor | None = None
    for reading in readings:
        scan = block_scan(model, clip, block, direction=reading.direction, order=reading.order)
        weights = _weights_of(scan, channel, rows)
        total = weights if total is None else total + weights
    weights = rearrange(cast(Tensor, total), "b heads q k -> b 1 heads q k")
    return AttentionMap("space-time", weights, has_cls=model.cls_index(weights.shape[-1] - 1) == 0)


def _weights_of(scan: BlockScan, channel: Channel, rows: Sequence[int] | None) -> Tensor:
    """M of one reading, rows and columns as the tokens are stored."""
    wanted = chosen_rows(rows, scan.arguments["u"].shape[-1])
    if scan.order is not None:
        wanted = scan.order.back[torch.tensor(wanted)].tolist()
    options = _options(scan.arguments)
    direction = scan.reading.direction
    return scan.as_stored(scan_matrix(scan.arguments, channel=channel, rows=wanted, direction=direction, **options))


def _options(arguments: ScanArguments) -> dict[str, bool]:
    """How VideoMambaPro's scans differ: `ProMixer` says so by two more arguments."""
    given: dict[str, Any] = dict(arguments)
    return {"residual": given.get("initial_state") is not None, "masked": bool(given.get("exclude_self"))}


def _softmax_attention(
    model: nn.Module, clip: Tensor, block: int, rows: Sequence[int] | None
) -> tuple[AttentionMap, ...]:
    """The maps of one block; the other blocks never write their weights down."""
    blocks = blocks_of(model)
    if block not in range(len(blocks)):
        raise ValueError(f"block: expected 0 to {len(blocks) - 1}, got {block}")
    found: list[AttentionMap] = []
    hooks = [
        blocks[block].register_forward_pre_hook(lambda _, given: (given[0], True)),  # (tokens, need_weights)
        blocks[block].register_forward_hook(lambda _, given, result: found.extend(result[1])),
    ]
    try:
        with torch.no_grad():
            model(clip)
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(_rows_of(_samples_first(one, len(clip)), rows) for one in found)


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The blocks of a transformer in the order in which they are numbered.

    Raises:
        TypeError: the model is none of ours.
    """
    if isinstance(model, TimeSformer):
        return list(model.blocks)
    if not isinstance(model, ViT | ViViT):
        known = "VideoMamba, VideoMambaPro, ViT, ViViT or TimeSformer"
        raise TypeError(f"model: expected a {known}, got {type(model).__name__}")
    if isinstance(model.encoder, FactorisedEncoder):
        return [*model.encoder.spatial.blocks, *model.encoder.temporal.blocks]
    return list(model.encoder.blocks)


def _samples_first(one: AttentionMap, batch: int) -> AttentionMap:
    """Frames that a block was given as samples of their own come back as groups of their clip."""
    return one if len(one.weights) == batch else frames_as_groups(one, batch)


def _rows_of(one: AttentionMap, rows: Sequence[int] | None) -> AttentionMap:
    if rows is None:
        return one
    return replace(one, weights=one.weights[..., chosen_rows(rows, one.weights.shape[-2]), :])
