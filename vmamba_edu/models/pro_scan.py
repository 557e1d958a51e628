"""The two scans of VideoMambaPro, as thin compositions of the one operator.

Both start from h_{-1} = u_0: the first input read, the same for every state. The released code calls that the elemental
residual connection. The masked one also leaves every token's own term out of its read-out, so that the two directions
of a block do not count it twice.

Source: VideoMambaPro (arXiv 2406.19006) §4; `selective_scan_ref` and `selective_scan_ref_sub`
(mamba/mamba_ssm/ops/selective_scan_interface.py of hotfinda/VideoMambaPro).
"""

from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor
from vmamba_kernels import selective_scan


def residual_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *, reverse: bool = False, **options: Any
) -> tuple[Tensor, Tensor]:
    """The selective scan that starts from its first input.

    Args:
        u, delta, A, B, C: as for `vmamba_kernels.selective_scan`; u is (batch, dim, length).
        reverse: read from the last token, which then is the first input.
        options: D, z, delta_bias, delta_softplus and backend.

    Returns:
        y: (batch, dim, length).
        last_state: (batch, dim, state).
    """
    start = first_input(u, A, reverse)
    return selective_scan(u, delta, A, B, C, return_last_state=True, initial_state=start, reverse=reverse, **options)


def masked_scan(
    u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *, reverse: bool = False, **options: Any
) -> tuple[Tensor, Tensor]:
    """The same with the diagonal masked: no token reads its own term, and the first one read reads nothing at all.

    The released code zeroes the first read-out as a whole, the residual start included, and returns the last state
    without the last token's own term. With a C that has groups it forgets the mask; here the mask holds for every
    layout of C.

    Args, returns: as `residual_scan`.
    """
    start = first_input(u, A, reverse)
    hidden = hide_first(_with_length(C, u), reverse)
    y, last_state = selective_scan(
        u,
        delta,
        A,
        B,
        hidden,
        return_last_state=True,
        initial_state=start,
        reverse=reverse,
        exclude_self=True,
        **options,
    )
    if u.shape[-1] == 1:
        return y, torch.zeros_like(last_state)
    return y, last_state - _own_term(u, delta, B, 0 if reverse else -1, options).to(last_state.dtype)


def first_input(u: Tensor, A: Tensor, reverse: bool = False) -> Tensor:
    """The first input read, for every state alike: (batch, dim, state), in the dtype of A. The scans start from it."""
    first = u[..., -1 if reverse else 0].to(A.dtype)
    return repeat(first, "batch dim -> batch dim state", state=A.shape[1])


def hide_first(C: Tensor, reverse: bool = False) -> Tensor:
    """The output map with zeros for the first token read, (batch, state, length) or (batch, groups, state, length).

    A scan with this map reads nothing there: neither the token's own term nor the start, which is its input as well.
    """
    nothing = torch.zeros_like(C[..., :1])
    return torch.cat([C[..., :-1], nothing] if reverse else [nothing, C[..., 1:]], dim=-1)


def _with_length(C: Tensor, u: Tensor) -> Tensor:
    """C for every token; a constant one, which each channel has for itself, as one group a channel."""
    if C.dim() > 2:
        return C
    return repeat(C, "dim state -> batch dim state length", batch=u.shape[0], length=u.shape[-1]).to(u.dtype)


def _own_term(u: Tensor, delta: Tensor, B: Tensor, token: int, options: dict[str, Any]) -> Tensor:
    """Δ' B u of one token, (batch, dim, state), for every layout of B."""
    step = delta[..., token]
    if options.get("delta_bias") is not None:
        step = step + options["delta_bias"]
    if options.get("delta_softplus"):
        step = F.softplus(step)
    if B.dim() == 2:
        B_t = B
    elif B.dim() == 3:
        B_t = rearrange(B[..., token], "batch state -> batch 1 state")
    else:
        B_t = B[..., token].repeat_interleave(u.shape[1] // B.shape[1], dim=1)
    return (step * u[..., token])[..., None] * B_t
