"""Implied attention: a scan written as the matrix that it multiplies its input by.

Unrolling h_t = Ā_t h_{t-1} + Δ_t B_t u_t from h_{-1} = 0 gives, for each channel d, y = M_d u with

    M_d[i, j] = Σ_n C_i[n] · (Π_{k=j+1..i} Ā_k[d, n]) · Δ_j[d] B_j[n]   for j ≤ i, and 0 for tokens not yet read.

So a scan is an attention whose weight between two tokens falls with all that was read between them. It differs from
softmax attention in three ways that a picture does not show: weights may be negative, a row does not sum to 1, and
every channel has a matrix of its own. The matrix is that of the scan alone: the projections, the convolution, the skip
D and the gate stay outside. What the scan returns is silu(z) ⊙ ((M_d + D_d I) u), where u is already convolved, so each
column of M stands for a token and the few neighbours that the convolution mixed into it.

Source: VideoMamba (arXiv 2403.06977) eq. 3 unrolled; VideoMambaPro (arXiv 2406.19006) §3 reads it as attention. No
published file computes it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from typing import get_args

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor
from vmamba_kernels.reference import per_channel, step_size

from vmamba_edu.models.mixer import ScanArguments
from vmamba_edu.scan_orders import Direction

Channel = int | Sequence[int] | str  # of strings "mean" alone
System = tuple[Tensor, Tensor, Tensor, Tensor]  # step (batch, channels, length), A (channels, state), entering, C

PIECE = 32  # rows that are computed together; cost is L · PIECE for the matrix's diagonal, L² / PIECE for its factors
NUMBERS = 2**20  # that an intermediate may have: channels are taken a few at a time


@torch.no_grad()
def scan_matrix(
    arguments: ScanArguments,
    *,
    channel: Channel = "mean",
    rows: Sequence[int] | None = None,
    direction: Direction = "forward",
    residual: bool = False,
    masked: bool = False,
) -> Float[Tensor, "batch heads rows length"]:
    """M of one scan: how much of each token's input u is in the scan's output at each of `rows`.

    Args:
        arguments: as for `vmamba_kernels.selective_scan`, in the order of the tokens, any layout of B and C; u, D and z
            do not enter.
        channel: an inner channel, several of them (a head for each), or "mean": the mean of all matrices, one head.
            Positive and negative weights cancel in a mean.
        rows: which output tokens, in any order; all if not given. One row costs L · N numbers a channel, not L².
        direction: "forward" has a lower triangular matrix, "backward" an upper triangular one.
        residual: the scan starts from its first input, h_{-1} = u_0 (VideoMambaPro): the column of the first token read
            has Σ_n C_i[n] Π_{k=0..i} Ā_k[n] on top.
        masked: no token reads itself (VideoMambaPro): the diagonal is zero. For the first token read that is its whole
            row, the residual start included, as in the released code.

    Returns:
        M: (batch, heads, rows, length), in at least float32.

    Raises:
        ValueError: there is no such channel, row or direction.

    Products of Ā are computed as exp(A · ΣΔ), with sums taken from the row backwards: nothing is divided by a number
    that may have underflowed, and long products do not lose what is near.
    """
    check_direction(direction)
    u, A = arguments["u"], arguments["A"]
    length, channels = u.shape[-1], chosen_channels(channel, u.shape[1])
    wanted = chosen_rows(rows, length)
    if direction == "backward":
        wanted = [length - 1 - row for row in wanted]
    matrix = u.new_zeros(len(u), 1 if channel == "mean" else len(channels), len(wanted), length, dtype=work_dtype(u, A))
    at_once = max(1, NUMBERS // (len(u) * A.shape[1] * max(length, PIECE**2)))
    for first in range(0, len(channels), at_once):
        system = _system(arguments, channels[first : first + at_once], direction, residual)
        for at, columns, weights in _pieces(system, wanted, masked, mean=channel == "mean"):
            if channel == "mean":
                matrix[:, :, at, columns] += weights / len(channels)
            else:
                matrix[:, first : first + at_once, at, columns] = weights
    return matrix.flip(-1) if direction == "backward" else matrix


def _system(arguments: ScanArguments, channels: Sequence[int], direction: Direction, residual: bool) -> System:
    """The scan of a few channels, turned so that it reads forwards."""
    u, A, bias = arguments["u"], arguments["A"], arguments.get("delta_bias")
    dtype, index = work_dtype(u, A), torch.tensor(channels, device=u.device)
    bias = None if bias is None else bias[index].to(dtype)
    step = step_size(arguments["delta"][:, index].to(dtype), bias, bool(arguments.get("delta_softplus")))
    B, C = (_map_of(x.to(dtype), index, *u.shape[1:]) for x in (arguments["B"], arguments["C"]))
    if direction == "backward":
        step, B, C = step.flip(-1), B.flip(-1), C.flip(-1)
    A = A[index].to(dtype)
    entering = step[:, :, None] * B  # what a token with u = 1 puts into each state
    if residual:
        entering[..., 0] += torch.exp(step[..., :1] * A)  # h_{-1} = u_0 has decayed once when token 0 is read
    return step, A, entering, C.expand(len(u), -1, -1, -1)


def _map_of(x: Tensor, index: Tensor, dim: int, length: int) -> Tensor:
    """B or C of some channels in any layout: (batch or 1, channels or 1, state, length)."""
    x = per_channel(x[:, None] if x.dim() == 3 else x, dim, length)
    return x if x.shape[1] == 1 else x[:, index]


def _pieces(system: System, rows: Sequence[int], masked: bool, mean: bool) -> Iterator[tuple[list[int], slice, Tensor]]:
    """The matrix of a few channels, PIECE tokens at a time: (numbers of the rows, columns, weights).

    Up to the start of its piece a row's weights are products of two factors of size N, one that depends on the row and
    one on the column; the decay in each is at most 1. Within the piece they are written out.
    """
    step, A, entering, C = system
    combine = _combine(mean)
    for start in range(0, step.shape[-1], PIECE):
        at = [number for number, row in enumerate(rows) if start <= row < start + PIECE]
        if not at:
            continue
        mine = torch.tensor([rows[number] for number in at], device=step.device)
        if start:
            passed = step[..., start : start + PIECE].cumsum(-1)[..., mine - start]
            read_out = C[..., mine] * decay_over(A, passed)
            held = entering[..., :start] * decay_over(A, steps_after(step[..., :start]))
            yield at, slice(0, start), combine(read_out, held)
        stop = min(start + PIECE, step.shape[-1])
        read = torch.arange(start, stop, device=step.device) <= mine[:, None]  # (rows, columns)
        between = steps_after(step[:, :, None, start:stop] * read)
        shown = read.clone()
        if masked:
            shown &= torch.arange(start, stop, device=step.device) != mine[:, None]
        weights = C[..., mine, None] * decay_over(A, between) * entering[..., None, start:stop] * shown
        weights = weights.sum(2)
        yield at, slice(start, stop), weights.sum(1, keepdim=True) if mean else weights


def decay_over(A: Float[Tensor, "channels state"], passed: Tensor) -> Tensor:
    """exp(A · passed): (batch, channels, *) → (batch, channels, state, *)."""
    exponent = A.reshape(*A.shape, *[1] * (passed.dim() - 2)) * passed[:, :, None]
    # What is below the smallest normal number is zero: processors compute with denormal numbers many times slower.
    return torch.exp(exponent.masked_fill_(exponent < math.log(torch.finfo(exponent.dtype).tiny), -math.inf))


def _combine(mean: bool) -> Callable[[Tensor, Tensor], Tensor]:
    if mean:  # over channels and states at once, in one matrix product
        return lambda read_out, held: einsum(read_out, held, "b c n row, b c n column -> b row column")[:, None]
    return lambda read_out, held: einsum(read_out, held, "b c n row, b c n column -> b c row column")


def steps_after(step: Float[Tensor, "*batch length"]) -> Float[Tensor, "*batch length"]:
    """Σ_{k>j} Δ_k for every j: summed from the end, so that short sums keep all their digits."""
    later = torch.cat([step[..., 1:], torch.zeros_like(step[..., :1])], dim=-1)
    return later.flip(-1).cumsum(-1).flip(-1)


def work_dtype(*tensors: Tensor) -> torch.dtype:
    """The widest dtype among them, at least float32."""
    return reduce(torch.promote_types, (x.dtype for x in tensors), torch.float32)


def check_direction(direction: object) -> None:
    """Raise unless it is the name of a direction.

    Raises:
        ValueError: it is not.
    """
    if direction not in get_args(Direction):
        raise ValueError(f"direction: expected 'forward' or 'backward', got {direction!r}")


def chosen_channels(channel: Channel, inner_dim: int) -> list[int]:
    """The channels by number.

    Raises:
        ValueError: there is no such channel.
    """
    if isinstance(channel, str):
        if channel != "mean":
            raise ValueError(f"channel: expected 'mean', a number or several, got {channel!r}")
        return list(range(inner_dim))
    channels = [channel] if isinstance(channel, int) else list(channel)
    if not channels or not all(number in range(inner_dim) for number in channels):
        raise ValueError(f"channel: expected 'mean' or some of 0 to {inner_dim - 1}, got {channel!r}")
    return channels


def chosen_rows(rows: Sequence[int] | None, length: int) -> list[int]:
    """The rows by number.

    Raises:
        ValueError: there is no such row.
    """
    if rows is None:
        return list(range(length))
    if not len(rows) or not all(row in range(length) for row in rows):
        raise ValueError(f"rows: expected some of 0 to {length - 1}, got {list(rows)}")
    return list(rows)
