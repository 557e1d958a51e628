"""The same recurrence as a parallel prefix scan, in plain torch.

h_t = a_t h_{t-1} + b_t composes: doing (a_0, b_0) and then (a_1, b_1) is doing (a_1 a_0, a_1 b_0 + b_1) once. That rule
is associative, so the tokens can be combined in a tree of depth log₂ L instead of one after the other (Blelloch, 1990).
The price is memory: a and b stand written out as (batch, dim, state, length), which the recurrence itself never needs.

Differentiable any number of times, in float32 or float64.
"""

import torch
from torch import Tensor

from vmamba_kernels.reference import per_channel, skip_and_gate, step_size


def linear_recurrence(a: Tensor, b: Tensor) -> Tensor:
    """All h_t of h_t = a_t h_{t-1} + b_t from h_{-1} = 0, along the last axis: 2 L combinations in 2 log₂ L rounds."""
    length = b.shape[-1]
    if length == 1:
        return b
    first_a, second_a = a[..., 0 : length - 1 : 2], a[..., 1::2]
    first_b, second_b = b[..., 0 : length - 1 : 2], b[..., 1::2]
    odd = linear_recurrence(second_a * first_a, second_a * first_b + second_b)  # h_1, h_3, h_5 …: whole pairs
    even = a[..., 2::2] * odd[..., : (length - 1) // 2] + b[..., 2::2]  # h_2, h_4 …: one step past a pair
    even = torch.cat([b[..., :1], even], dim=-1)
    pairs = torch.stack([even[..., : length // 2], odd], dim=-1).flatten(-2)
    return pairs if length % 2 == 0 else torch.cat([pairs, even[..., -1:]], dim=-1)


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
    """The scan as a tree. Arguments as `interface.selective_scan` hands them on; returns (y, last_state)."""
    _, dim, length = u.shape
    out_dtype, dtype = u.dtype, A.dtype
    u, delta, B, C = (x.to(dtype) for x in (u, delta, B, C))
    step = step_size(delta, delta_bias, delta_softplus)
    A_bar = torch.exp(step[:, :, None] * A[:, :, None])
    own = (step * u)[:, :, None] * per_channel(B, dim, length)

    if reverse:
        A_bar, own = A_bar.flip(-1), own.flip(-1)
    entering = own
    if initial_state is not None:
        entering = torch.cat([own[..., :1] + A_bar[..., :1] * initial_state[..., None], own[..., 1:]], dim=-1)
    h = linear_recurrence(A_bar, entering)
    last_state = h[..., -1].clone()
    if exclude_self:
        h = h - own
    if reverse:
        h = h.flip(-1)

    y = (h * per_channel(C, dim, length)).sum(2)
    return skip_and_gate(y, u, D, z).to(out_dtype), last_state
