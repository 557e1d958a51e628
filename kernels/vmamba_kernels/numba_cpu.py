"""The numba engine: scans and convolutions on the CPU, fused, vectorised and multi-threaded.

This file brings the arguments into the form that the kernels read (views wherever possible), cuts the work into items,
and finishes what is left to add when the kernels return. What they do stands in numba_scan.py, numba_scan_backward.py
and numba_conv.py; what they are written with in vector_intrinsics.py, vector_memory.py, vector_math.py and
numba_tiles.py; how they are compiled and started in kernel_compilation.py and kernel_launch.py.

Arguments come from custom_ops.py, validated. Reading backwards is a view with negative strides, so the kernels do not
know of it. Half-precision inputs are widened first: nothing is computed below float32.
"""

from collections.abc import Sequence
from math import lcm
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vmamba_kernels import numba_conv, numba_scan, numba_scan_backward, numba_sums
from vmamba_kernels.kernel_launch import empty, lanes, launch, view, view_or_zeros
from vmamba_kernels.machine import TARGET

# Sizes found by measurement. They decide the speed, and the order in which the gradients are added up.
SCAN_TILE, CONVOLUTION_TILE = 64, 32  # tokens
ITEMS_WANTED = 8  # as many items of work at least, if there are as many blocks of channels
LARGEST_TEAM = 4  # blocks of channels


def scan_forward(
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
    """y (batch, dim, length), laid out in memory as u is, and the last state (batch, dim, state)."""
    arguments = (u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, reverse, exclude_self)
    return _scan_forward(arguments, torch.empty(0, *saved_shape(u, A, B, C)[1:], dtype=A.dtype))


def scan_and_save(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """y and the last state, as `scan_forward`, and the states that `scan_backward` starts from; its arguments."""
    u, _, A, B, C, *_ = arguments
    saved = torch.empty(saved_shape(u, A, B, C), dtype=A.dtype)
    return *_scan_forward(arguments, saved), saved


def saved_shape(u: Tensor, A: Tensor, B: Tensor, C: Tensor) -> tuple[int, ...]:
    """The shape of the states before every tile: a quarter of the size of u for 16 states."""
    groups = _groups(B, C)
    blocks = groups * -(-u.shape[1] // (groups * lanes(A.dtype)))
    return u.shape[0], -(-u.shape[2] // SCAN_TILE), blocks, *_groups_of_states(A)


def _scan_forward(arguments: Sequence[Any], saved: Tensor) -> tuple[Tensor, Tensor]:
    u, _, A, *_, reverse, _ = arguments
    work, states = A.dtype, _groups_of_states(A)
    scan = _scan(*arguments)
    y = torch.empty_like(u, dtype=work)
    last = torch.empty(u.shape[0], *A.shape, dtype=work)
    shapes = [
        (numba_scan.FORWARD_TILES, scan.team, SCAN_TILE, lanes(work)),
        (numba_scan.FORWARD_BLOCKS, scan.team, *states),
    ]
    places = (scan, view(y, work, reverse), last.numpy(), saved.numpy())
    launch(numba_scan.scan_forward, places, work, _items(scan, work), u.numel() * A.shape[1], shapes)
    return y.to(u.dtype), last


def scan_backward(
    grad_y: Tensor,
    grad_last_state: Tensor | None,
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
    saved: Tensor | None = None,
) -> tuple[Tensor | None, ...]:
    """The gradients of u, delta, A, B, C, D, z, delta_bias and initial_state; None where that is None.

    saved: what `scan_and_save` returned for the same arguments; computed again if it is not given.
    """
    work, states = A.dtype, _groups_of_states(A)
    batch, dim, _ = u.shape
    if saved is None:
        *_, saved = scan_and_save(
            u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, reverse, exclude_self
        )
    scan = _scan(u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, reverse, exclude_self)
    grad_u, grad_delta = torch.empty_like(u, dtype=work), torch.empty_like(delta, dtype=work)
    grad_z = grad_u if z is None else torch.empty_like(z, dtype=work)
    grad_initial = torch.empty(batch, *A.shape, dtype=work)
    grad = numba_scan_backward.Gradients(
        y=view(grad_y, work, reverse),
        last=view_or_zeros(grad_last_state, work, batch, *A.shape),
        u=view(grad_u, work, reverse),
        delta=view(grad_delta, work, reverse),
        z=view(grad_z, work, reverse),
        A=empty(work, batch, *A.shape),
        B=_sums_by_team(scan, B, work),
        C=_sums_by_team(scan, C, work),
        D=empty(work, batch, dim),
        bias=empty(work, batch, dim),
        initial=grad_initial.numpy(),
    )
    shapes = [
        (numba_scan_backward.BACKWARD_TILES, scan.team, SCAN_TILE, lanes(work)),
        (numba_scan_backward.BACKWARD_BLOCKS, scan.team, *states),
        (numba_scan_backward.PATHS, SCAN_TILE, states[1]),
        (numba_scan_backward.SUMS, scan.team, lanes(work)),
    ]
    launch(
        numba_scan_backward.scan_backward,
        (scan, saved.numpy(), grad),
        work,
        _items(scan, work),
        u.numel() * A.shape[1],
        shapes,
    )
    return (
        grad_u.to(u.dtype),
        grad_delta.to(delta.dtype),
        _sum_over_batch(grad.A),
        _gradient_of_map(B, grad.B, work, reverse),
        _gradient_of_map(C, grad.C, work, reverse),
        None if D is None else _sum_over_batch(grad.D),
        None if z is None else grad_z.to(z.dtype),
        None if delta_bias is None else _sum_over_batch(grad.bias),
        None if initial_state is None else grad_initial,
    )


def conv_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None, silu: bool, reverse: bool
) -> Tensor:
    """y (batch, dim, length), laid out in memory as x is."""
    work = torch.promote_types(weight.dtype, torch.float32)
    conv = _convolution(x, weight, bias, initial_state, silu, reverse, work)
    y = torch.empty_like(x, dtype=work)
    arguments, (items, shapes) = (conv, view(y, work, reverse)), _convolution_work(conv, work)
    launch(numba_conv.convolve, arguments, work, items, x.numel() * weight.shape[1], shapes)
    return y.to(x.dtype)


def conv_backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    silu: bool,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The gradients of x, weight, bias and initial_state; None where that is None."""
    work = torch.promote_types(weight.dtype, torch.float32)
    conv = _convolution(x, weight, bias, initial_state, silu, reverse, work)
    grad_x, grad_initial = torch.empty_like(x, dtype=work), torch.empty(conv.initial.shape, dtype=work)
    grad = numba_conv.ConvolutionGradients(
        y=view(grad_y, work, reverse),
        x=view(grad_x, work, reverse),
        weight=empty(work, x.shape[0], *weight.shape),
        bias=empty(work, *x.shape[:2]),
        initial=view(grad_initial, work, reverse),
    )
    items, shapes = _convolution_work(conv, work)
    shapes = [*shapes, shapes[-1]]  # the gradients of the taps take the room of the taps
    launch(numba_conv.convolve_backward, (conv, grad), work, items, 2 * x.numel() * weight.shape[1], shapes)
    return (
        grad_x.to(x.dtype),
        _sum_over_batch(grad.weight).to(weight.dtype),
        None if bias is None else _sum_over_batch(grad.bias).to(bias.dtype),
        None if initial_state is None else grad_initial.to(initial_state.dtype),
    )


# The scan's arguments, as its kernels read them.


def _scan(u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, reverse, exclude_self) -> numba_scan.Scan:
    work = A.dtype
    batch, dim, _ = u.shape
    groups = _groups(B, C)
    u_view = view(u, work, reverse)
    return numba_scan.Scan(
        u=u_view,
        delta=view(delta, work, reverse),
        A=view(A, work),
        B=_map(B, work, reverse),
        C=_map(C, work, reverse),
        D=view_or_zeros(D, work, dim),
        z=u_view if z is None else view(z, work, reverse),
        bias=view_or_zeros(delta_bias, work, dim),
        initial=view_or_zeros(initial_state, work, batch, *A.shape),
        B_constant=B.dim() == 2,
        C_constant=C.dim() == 2,
        softplus=delta_softplus,
        gated=z is not None,
        exclude_self=exclude_self,
        groups=groups,
        team=_team(batch * groups * -(-dim // (groups * lanes(work)))),
    )


def _groups(B: Tensor, C: Tensor) -> int:
    """Groups of channels that share both B and C."""
    return lcm(*(m.shape[1] for m in (B, C) if m.dim() == 4))


def _team(blocks: int) -> int:
    """Blocks in a team: many are read in longer pieces of memory, and few leave more items to share out."""
    return max(1, min(LARGEST_TEAM, blocks // ITEMS_WANTED))


def _items(scan: numba_scan.Scan, work: torch.dtype) -> int:
    return scan.u.shape[0] * scan.groups * _teams(scan, work)


def _teams(scan: numba_scan.Scan, work: torch.dtype) -> int:
    """Teams in a group of channels."""
    return -(-scan.u.shape[1] // (scan.groups * scan.team * lanes(work)))


def _groups_of_states(A: Tensor) -> tuple[int, int]:
    """The shape of a packed block of states: groups of TARGET.states, padded, and the numbers in one."""
    return -(-A.shape[1] // TARGET.states), TARGET.states * lanes(A.dtype)


def _padded(states: int) -> int:
    return -(-states // TARGET.states) * TARGET.states


def _map(B_or_C: Tensor, work: torch.dtype, reverse: bool) -> np.ndarray:
    """B or C as (batch, groups, length, state), the states side by side, or as (1, 1, dim, state) if it is constant.

    The models keep it so in memory. If not, or if the states do not fill whole groups, this is a copy, padded with
    zeros.
    """
    if B_or_C.dim() == 2:
        return view(B_or_C, work)[None, None]
    by_token = view(B_or_C, work, reverse).swapaxes(2, 3)
    batch, groups, length, states = by_token.shape
    if by_token.strides[3] == by_token.itemsize and states == _padded(states):
        return by_token
    copy = empty(work, batch, groups, length, _padded(states))
    copy[..., :states] = by_token
    copy[..., states:] = 0
    return copy


def _sums_by_team(scan: numba_scan.Scan, B_or_C: Tensor, work: torch.dtype) -> np.ndarray:
    """Room for the gradient of B or C as each team writes it: see numba_scan_backward.Gradients."""
    if B_or_C.dim() == 2:
        return empty(work, 1, scan.u.shape[0], *B_or_C.shape)
    batch, _, states, length = B_or_C.shape
    return empty(work, batch, scan.groups * _teams(scan, work), length, _padded(states))


def _gradient_of_map(B_or_C: Tensor, parts: np.ndarray, work: torch.dtype, reverse: bool) -> Tensor:
    """The gradient of B or C: the parts of the teams, or of the batch elements if it is constant, added up."""
    if B_or_C.dim() == 2:
        return _sum_over_batch(parts[0]).to(B_or_C.dtype)
    batch, groups, states, length = B_or_C.shape
    by_team = parts.reshape(batch * groups, -1 if parts.size else 0, length * parts.shape[3])
    slabs = -(-by_team.shape[2] // numba_sums.SLAB)
    launch(numba_sums.add_teams, (by_team, lanes(work)), work, batch * groups * slabs, by_team.size)
    total = by_team[:, :1].reshape(batch, groups, length, parts.shape[3])[..., :states]
    gradient = torch.empty_like(B_or_C, dtype=work)
    view(gradient, work, reverse)[...] = total.swapaxes(2, 3)
    return gradient.to(B_or_C.dtype)


def _sum_over_batch(parts: np.ndarray) -> Tensor:
    """The sum over the first axis, from the first element to the last."""
    return torch.from_numpy(np.add.reduce(parts, axis=0))


# The convolution's arguments.


def _convolution(x, weight, bias, initial_state, silu, reverse, work) -> numba_conv.Convolution:
    batch, dim, _ = x.shape
    return numba_conv.Convolution(
        x=view(x, work, reverse),
        weight=view(weight, work),
        bias=view_or_zeros(bias, work, dim),
        initial=view_or_zeros(initial_state, work, batch, dim, weight.shape[1] - 1, reverse=reverse),
        silu=silu,
        team=_team(batch * -(-dim // lanes(work))),
    )


def _convolution_work(conv: numba_conv.Convolution, work: torch.dtype) -> tuple[int, list[tuple[int, ...]]]:
    """The number of items, and the shapes of the workspace: the tiles and the taps."""
    batch, dim, _ = conv.x.shape
    width = conv.weight.shape[1]
    tiles = (numba_conv.CONVOLUTION_TILES, conv.team, width - 1 + CONVOLUTION_TILE, lanes(work))
    return batch * -(-dim // (conv.team * lanes(work))), [tiles, (conv.team, width + 1, lanes(work))]
