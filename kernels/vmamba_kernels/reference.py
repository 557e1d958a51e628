"""The selective scan and the causal convolution as they are written on paper: the specification of every other engine.

For every channel d and state n, one token t after the other:

    Δ'_t = softplus(Δ_t + bias)                        the step (softplus and bias if asked for)
    h_t  = exp(Δ'_t A) h_{t-1} + Δ'_t B_t u_t          the state: exact exponential for A, Euler's rule for B
    y_t  = (Σ_n C_t h_t + D u_t) · silu(z_t)           the read-out, the skip and the gate

Nothing here is fast and nothing is clever. It is plain differentiable torch, any number of times, in float32 or
float64.

Sources: Mamba (arXiv 2312.00752) algorithm 2; VideoMamba's `selective_scan_ref`
(mamba_ssm/ops/selective_scan_interface.py).
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def step_size(delta: Tensor, delta_bias: Tensor | None, delta_softplus: bool) -> Tensor:
    """Δ' of shape (batch, dim, length), strictly positive if `delta_softplus`."""
    if delta_bias is not None:
        delta = delta + delta_bias[:, None]
    return F.softplus(delta, threshold=20.0) if delta_softplus else delta


def per_channel(map_: Tensor, dim: int, length: int) -> Tensor:
    """Either layout of a map as (batch or 1, dim or 1, state, length): channel d reads group d // (dim / groups)."""
    if map_.dim() == 2:
        return map_[None, :, :, None].expand(1, -1, -1, length)
    return map_ if map_.shape[1] == 1 else map_.repeat_interleave(dim // map_.shape[1], dim=1)


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    delta_softplus: bool,
    reverse: bool,
    exclude_self: bool,
) -> tuple[Tensor, Tensor]:
    """The recurrence, token by token. Arguments as `interface.selective_scan` hands them on; gives (y, last_state)."""
    batch, dim, length = u.shape
    out_dtype, dtype = u.dtype, A.dtype
    u, delta, B, C = (x.to(dtype) for x in (u, delta, B, C))
    step = step_size(delta, delta_bias, delta_softplus)
    B, C = per_channel(B, dim, length), per_channel(C, dim, length)

    h = u.new_zeros(batch, dim, A.shape[1]) if initial_state is None else initial_state
    read_out = []
    for t in reversed(range(length)) if reverse else range(length):
        step_t = step[:, :, t, None]
        own = step_t * B[..., t] * u[:, :, t, None]
        decayed = torch.exp(step_t * A) * h
        h = decayed + own
        read_out.append(((decayed if exclude_self else h) * C[..., t]).sum(-1))
    y = torch.stack(read_out[::-1] if reverse else read_out, dim=-1)

    return skip_and_gate(y, u, D, z).to(out_dtype), h.clone() if h is initial_state else h


def skip_and_gate(y: Tensor, u: Tensor, D: Tensor | None, z: Tensor | None) -> Tensor:
    """(y + D u) · silu(z), each if given; all of shape (batch, dim, length)."""
    if D is not None:
        y = y + D[:, None] * u
    return y if z is None else y * F.silu(z.to(y.dtype))


def causal_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None, silu: bool, reverse: bool
) -> Tensor:
    """Each output weighs its own input and the width - 1 before it in the reading direction; then SiLU if asked for.

    `initial_state` keeps the order of the tokens: it stands before the first one or, in reverse, after the last one.
    """
    out_dtype, dtype = x.dtype, weight.dtype
    width = weight.shape[1]
    x = x.to(dtype)
    beyond = x.new_zeros(*x.shape[:2], width - 1) if initial_state is None else initial_state
    seen = torch.cat([x, beyond] if reverse else [beyond, x], dim=-1)
    taps = weight.flip(-1) if reverse else weight
    y = (seen.unfold(-1, width, 1) * taps[:, None]).sum(-1)
    if bias is not None:
        y = y + bias[:, None]
    return (F.silu(y) if silu else y).to(out_dtype)
