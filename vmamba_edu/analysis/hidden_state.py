"""The hidden state h: what a channel still holds of the tokens it has read."""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor
from vmamba_kernels import selective_scan

from vmamba_edu.models.backbone import Backbone
from vmamba_edu.models.mixer import Mixer, ScanArguments
from vmamba_edu.models.precision import at_least_float32
from vmamba_edu.models.token_order import TokenOrder, reorder
from vmamba_edu.scan_orders import Direction, OrderName, Reading, scan_plan


class BlockScan(NamedTuple):
    """One reading of a block.

    Args:
        arguments: of `vmamba_kernels.selective_scan`, with the tokens in the order of this reading.
        reading: in which order and direction the tokens are read.
        order: that order, None if it is the one in which tokens are stored.
    """

    arguments: ScanArguments
    reading: Reading
    order: TokenOrder | None

    def as_stored(self, x: Float[Tensor, "*axes length"]) -> Float[Tensor, "*axes length"]:
        """The same with the tokens, the last axis, as they are stored."""
        return x if self.order is None else x.index_select(-1, self.order.back)


@torch.no_grad()
def hidden_states(
    model: Backbone,
    clip: Tensor,
    block: int,
    *,
    channels: Sequence[int] | None = None,
    direction: Direction = "forward",
    order: OrderName | None = None,
) -> Float[Tensor, "batch length channels state"]:
    """The state of one block's scan after every token of a clip.

    Args:
        model: is run as it stands: call `model.eval()` first to have no drop path.
        clip: as for the model.
        block: which block, from 0.
        channels: which inner channels, 0 to expand · embed_dim - 1; all if not given. The memory that is needed grows
            with their number.
        direction: which scan of the block; the backward one has read the *later* tokens. Both are given in the order of
            the tokens.
        order: which order, for a block that reads in two; the first of its plan if not given.

    Returns:
        h: (batch, length, channels, state) with the tokens as they are stored, [cls] where the model has it, in at
            least float32.

    Raises:
        ValueError: there is no such block, channel or reading, or the clip does not fit.

    The scan's output is silu(z) · (Σ_n C_n h_n + D u), with C, D, u and z of `block_scan_arguments`. VideoMambaPro's
    states start from the first input; where it masks, its output reads them without the token's own Δ B u.
    """
    scan = block_scan(model, clip, block, direction=direction, order=order)
    chosen = _choose(channels, scan.arguments["u"].shape[1])
    backend = model.block(block).mixer.backend
    h = states_of(scan.arguments, chosen, reverse=direction == "backward", backend=backend)
    return h if scan.order is None else h.index_select(1, scan.order.back)


def block_scan_arguments(
    model: Backbone, clip: Tensor, block: int, *, direction: Direction = "forward", order: OrderName | None = None
) -> ScanArguments:
    """u, Δ, A, B, C, D and z of one block's scan on a clip: what `Mixer.scan_arguments` makes of it.

    The tokens stand in the order in which this scan reads them: as they are stored, unless it is temporal-first.

    Raises:
        ValueError: there is no such block or reading, or the clip does not fit.
    """
    return block_scan(model, clip, block, direction=direction, order=order).arguments


@torch.no_grad()
def block_scan(
    model: Backbone, clip: Tensor, block: int, *, direction: Direction = "forward", order: OrderName | None = None
) -> BlockScan:
    """One reading of a block on a clip; arguments and errors as `block_scan_arguments`."""
    mixer = model.block(block).mixer
    reading = next((r for r in readings_of(mixer) if r.direction == direction and order in (r.order, None)), None)
    if reading is None:
        known = " or ".join(f"({r.direction!r}, {r.order!r})" for r in readings_of(mixer))
        raise ValueError(f"direction, order: expected {known}, got ({direction!r}, {order!r})")
    tokens = mixer.in_proj(input_of_mixer(model, clip, block))
    temporal = model.reading_order(clip) if reading.order == "temporal_first" else None
    if temporal is not None:
        tokens = reorder(tokens, temporal.there)
    return BlockScan(mixer.scan_arguments(tokens, direction), reading, temporal)


def readings_of(mixer: Mixer) -> list[Reading]:
    """What a mixer reads: the readings of its plan that it has parameters for."""
    return [reading for reading in scan_plan(mixer.scan_order) if reading.direction in mixer.directions]


def input_of_mixer(model: Backbone, clip: Tensor, block: int) -> Float[Tensor, "batch length dim"]:
    """The normed tokens that one block's mixer is given."""
    hidden, residual, order = model.embed(clip), None, model.reading_order(clip)
    for index in range(block):
        hidden, residual = model.run_block(index, hidden, residual, order)
    chosen = model.block(block)
    return chosen.norm(chosen.accumulate(hidden, residual))


def states_of(
    arguments: ScanArguments, channels: Sequence[int], *, reverse: bool = False, backend: str = "auto"
) -> Float[Tensor, "batch length channels state"]:
    """The states of chosen channels of a scan, by scanning them one by one.

    A state hears of no other state, so state n of channel d is itself a scan: one with a single state, decay A[d, n],
    input map B[n], and C = 1 to read it out. Laid side by side, state by state, they are one call.
    """
    index = torch.tensor(channels, device=arguments["A"].device)
    A = arguments["A"][index]
    start: Tensor | None = cast(dict[str, Any], arguments).get("initial_state")  # VideoMambaPro has one
    states = A.shape[1]
    u, delta, B = (at_least_float32(arguments[name]) for name in ("u", "delta", "B"))
    h = selective_scan(
        repeat(u[:, index], "batch channels length -> batch (states channels) length", states=states),
        repeat(delta[:, index], "batch channels length -> batch (states channels) length", states=states),
        rearrange(A, "channels states -> (states channels) 1"),
        rearrange(B, "batch states length -> batch states 1 length"),  # group n serves all the channels of state n
        u.new_ones(states * len(index), 1),
        delta_bias=repeat(arguments["delta_bias"][index], "channels -> (states channels)", states=states),
        delta_softplus=arguments["delta_softplus"],
        initial_state=None if start is None else rearrange(start[:, index], "b channels n -> b (n channels) 1"),
        reverse=reverse,
        backend=backend,
    )
    return rearrange(h, "batch (states channels) length -> batch length channels states", states=states)


def _choose(channels: Sequence[int] | None, inner_dim: int) -> Sequence[int]:
    if channels is None:
        return range(inner_dim)
    if not channels or not all(channel in range(inner_dim) for channel in channels):
        raise ValueError(f"channels: expected some of 0 to {inner_dim - 1}, got {list(channels)}")
    return channels
