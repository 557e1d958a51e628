"""The hidden state h: what a channel still holds of the tokens it has read."""

from collections.abc import Sequence

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor
from vmamba_kernels import selective_scan

from vmamba_edu.models.mixer import ScanArguments
from vmamba_edu.models.precision import at_least_float32
from vmamba_edu.models.videomamba import VideoMamba
from vmamba_edu.scan_orders import Direction


@torch.no_grad()
def hidden_states(
    model: VideoMamba,
    clip: Tensor,
    block: int,
    *,
    channels: Sequence[int] | None = None,
    direction: Direction = "forward",
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

    Returns:
        h: (batch, length, channels, state) with [cls] at token 0, in at least float32.

    Raises:
        ValueError: there is no such block, channel or direction, or the clip does not fit.

    The scan's output is silu(z) · (Σ_n C_n h_n + D u), with C, D, u and z of `block_scan_arguments`.
    """
    arguments = block_scan_arguments(model, clip, block, direction=direction)
    chosen = _choose(channels, arguments["u"].shape[1])
    return states_of(arguments, chosen, reverse=direction == "backward", backend=model.block(block).mixer.backend)


@torch.no_grad()
def block_scan_arguments(
    model: VideoMamba, clip: Tensor, block: int, *, direction: Direction = "forward"
) -> ScanArguments:
    """u, Δ, A, B, C, D and z of one block's scan on a clip: what `Mixer.scan_arguments` makes of it.

    Raises:
        ValueError: there is no such block or direction, or the clip does not fit.
    """
    chosen = model.block(block)
    hidden, residual = model.embed(clip), None
    for index in range(block):
        hidden, residual = model.block(index)(hidden, residual)
    x = chosen.norm(chosen.accumulate(hidden, residual))
    return chosen.mixer.scan_arguments(chosen.mixer.in_proj(x), direction)


def states_of(
    arguments: ScanArguments, channels: Sequence[int], *, reverse: bool = False, backend: str = "auto"
) -> Float[Tensor, "batch length channels state"]:
    """The states of chosen channels of a scan, by scanning them one by one.

    A state hears of no other state, so state n of channel d is itself a scan: one with a single state, decay A[d, n],
    input map B[n], and C = 1 to read it out. Laid side by side, state by state, they are one call.
    """
    index = torch.tensor(channels, device=arguments["A"].device)
    A = arguments["A"][index]
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
