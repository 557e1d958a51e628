"""The numba engine: scans and convolutions on the CPU, fused, vectorised and multi-threaded.

This file brings the arguments into the form that the kernels read (views wherever possible), cuts the work into items,
and finishes what is left to add when the kernels return; numba_cpu_conv.py does the same for the convolution. What the
kernels do stands in numba_scan.py, numba_scan_backward.py, numba_conv.py and numba_conv_backward.py; what they are
written with in vector_intrinsics.py, vector_memory.py, vector_math.py and numba_tiles.py; how they are compiled and
started in kernel_compilation.py, kernel_launch.py and thread_team.py.

Arguments come from custom_ops.py, validated. Reading backwards is a view with negative strides, so the kernels do not
know of it. Half-precision inputs are widened first: nothing is computed below float32.
"""

from collections.abc import Sequence
from math import lcm
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from vmamba_kernels import numba_scan, numba_scan_backward, numba_sums
from vmamba_kernels.arguments import as_dtype
from vmamba_kernels.direction import Direction, both_directions
from vmamba_kernels.kernel_launch import (
    empty,
    lanes,
    launch,
    new,
    new_like,
    small,
    sum_over_first,
    view,
    view_or_zeros,
    zeros,
)
from vmamba_kernels.machine import TARGET
from vmamba_kernels.numba_cpu_conv import conv_backward, conv_forward

__all__ = [
    "bidirectional_and_save",
    "bidirectional_backward",
    "bidirectional_forward",
    "conv_backward",
    "conv_forward",
    "saved_shape",
    "saved_shapes_of_pair",
    "scan_and_save",
    "scan_backward",
    "scan_forward",
]

# Sizes found by measurement. They decide the speed, and the order in which the gradients are added up: so the backward
# must not ask how many threads there are.
SCAN_TILE = 64  # tokens
FORWARD_ITEMS_A_THREAD, BACKWARD_ITEMS = 2, 8  # items of work, if there are as many blocks of channels
LARGEST_TEAM = 16  # blocks of channels


class Cut(NamedTuple):
    """How scans are cut, all directions in the same way: what belongs to the same channels is one item of work."""

    groups: int  # of channels that share every B and C
    team: int  # blocks in a team
    teams: int  # in all groups
    items: int  # teams in all batch elements
    updates: int  # of a state, in all directions

    @classmethod
    def of(cls, directions: Sequence[Direction], items: int) -> "Cut":
        """Into so many items, if there are enough blocks.

        Many blocks in a team are read in longer pieces of memory, and few leave more items to share out.
        """
        batch, dim, length = directions[0].u.shape
        groups, blocks = _blocks(directions)
        team = max(1, min(LARGEST_TEAM, batch * groups * blocks // items))
        teams = groups * -(-blocks // team)
        updates = batch * dim * length * sum([d.A.shape[1] for d in directions])
        return cls(groups, team, teams, batch * teams, updates)


def scan_forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    """y (batch, dim, length), laid out in memory as u is, and the last state. The arguments are those of Direction."""
    y, (last,), _ = _forward([Direction(*arguments)], save=False)
    return y, last


def scan_and_save(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """y and the last state, as `scan_forward`, and the states that `scan_backward` starts from."""
    y, (last,), (saved,) = _forward([Direction(*arguments)], save=True)
    return y, last, saved


def scan_backward(
    grad_y: Tensor, grad_last_state: Tensor | None, *arguments: Any, saved: Tensor | None = None
) -> tuple[Tensor | None, ...]:
    """The gradients of u, delta, A, B, C, D, z, delta_bias and initial_state; None where that is None.

    saved: what `scan_and_save` returned for the same arguments; computed again if it is not given.
    """
    return _backward(grad_y, [grad_last_state], [Direction(*arguments)], None if saved is None else [saved])


def bidirectional_forward(*arguments: Any) -> Tensor:
    """The sum of a forward and a reversed scan.

    The arguments are nine tensors of each direction, softplus of each, exclude_self of each.
    """
    return _forward(both_directions(arguments), save=False)[0]


def bidirectional_and_save(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """`bidirectional_forward`, and of each direction what `bidirectional_backward` starts from."""
    y, _, (saved, saved_reversed) = _forward(both_directions(arguments), save=True)
    return y, saved, saved_reversed


def bidirectional_backward(
    grad_y: Tensor, *arguments: Any, saved: list[Tensor] | None = None
) -> tuple[Tensor | None, ...]:
    """The eighteen gradients of `bidirectional_forward`, None where there is no tensor."""
    return _backward(grad_y, [None, None], both_directions(arguments), saved)


def saved_shape(*arguments: Any) -> tuple[int, ...]:
    """Of what `scan_and_save` saves."""
    return _saved_shapes([Direction(*arguments)])[0]


def saved_shapes_of_pair(*arguments: Any) -> list[tuple[int, ...]]:
    """Of what `bidirectional_and_save` saves."""
    return _saved_shapes(both_directions(arguments))


def _saved_shapes(directions: Sequence[Direction]) -> list[tuple[int, ...]]:
    """The shapes of the states before every tile: a quarter of the size of u for 16 states."""
    groups, blocks = _blocks(directions)
    return [(d.u.shape[0], -(-d.u.shape[2] // SCAN_TILE), groups * blocks, *_groups_of_states([d])) for d in directions]


def _forward(directions: list[Direction], save: bool) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """The sum of the outputs, and for each direction its last state and its saved states, if they are wanted."""
    first, work = directions[0], directions[0].A.dtype
    cut = Cut.of(directions, FORWARD_ITEMS_A_THREAD * torch.get_num_threads())
    scans = tuple(_scan(d, cut) for d in directions)
    y = new_like(first.u, work)
    last = [new(work, d.u.shape[0], *d.A.shape) for d in directions]
    saved = [new(work, *shape) for shape in _saved_shapes(directions)] if save else []
    places = [s.numpy() for s in saved] or [zeros(work, 0, 0, 0, 0, 0)] * len(directions)
    outputs = tuple(
        numba_scan.Outputs(view(y, work, d.reverse), last[i].numpy(), places[i], added=i > 0)
        for i, d in enumerate(directions)
    )
    shapes = [
        (numba_scan.FORWARD_TILES, SCAN_TILE, lanes(work)),
        (numba_scan.FORWARD_BLOCKS, cut.team, *_groups_of_states(directions)),
    ]
    launch(numba_scan.scan_forward, (scans, outputs), work, cut.items, cut.updates, shapes)
    return as_dtype(y, first.u.dtype), last, saved


def _backward(
    grad_y: Tensor,
    grad_last: Sequence[Tensor | None],
    directions: list[Direction],
    saved: list[Tensor] | None,
) -> tuple[Tensor | None, ...]:
    if saved is None:
        *_, saved = _forward(directions, save=True)
    work = directions[0].A.dtype
    cut = Cut.of(directions, BACKWARD_ITEMS)
    scans = tuple(_scan(d, cut) for d in directions)
    gradients = [_Gradients(d, cut, grad_y, last) for d, last in zip(directions, grad_last, strict=True)]
    states = _groups_of_states(directions)
    shapes = [
        (numba_scan_backward.BACKWARD_TILES, SCAN_TILE, lanes(work)),
        (numba_scan_backward.BACKWARD_BLOCKS, cut.team, *states),
        (numba_scan_backward.PATHS, SCAN_TILE, states[1]),
        (numba_scan_backward.SUMS, cut.team, lanes(work)),
    ]
    arguments = scans, tuple(s.numpy() for s in saved), tuple(g.places for g in gradients)
    items = len(directions) * cut.items
    launch(numba_scan_backward.scan_backward, arguments, work, items, cut.updates, shapes)
    return tuple(gradient for g in gradients for gradient in g.finished())


class _Gradients:
    """Where the kernel leaves the gradients of one direction, and what is left to do afterwards."""

    def __init__(self, d: Direction, cut: Cut, grad_y: Tensor, grad_last: Tensor | None):
        work = d.A.dtype
        batch, dim, _ = d.u.shape
        self.direction, self.u, self.delta = d, new_like(d.u, work), new_like(d.delta, work)
        self.z = self.u if d.z is None else new_like(d.z, work)
        self.initial = new(work, batch, *d.A.shape)
        self.varying = [m for m in (d.B, d.C) if m.dim() > 2]
        self.teams = cut.teams
        self.by_team = empty(work, len(self.varying), batch, self.teams, d.u.shape[2], _padded(d.A.shape[1]))
        self.places = numba_scan_backward.Gradients(
            y=view(grad_y, work, d.reverse),
            last=view_or_zeros(grad_last, work, batch, *d.A.shape),
            u=view(self.u, work, d.reverse),
            delta=view(self.delta, work, d.reverse),
            z=view(self.z, work, d.reverse),
            A=small(work, batch, *d.A.shape),
            B=self.by_team[0] if d.B.dim() > 2 else small(work, 1, batch, *d.A.shape),
            C=self.by_team[-1] if d.C.dim() > 2 else small(work, 1, batch, *d.A.shape),
            D=small(work, batch, dim),
            bias=small(work, batch, dim),
            initial=self.initial.numpy(),
        )

    def finished(self) -> tuple[Tensor | None, ...]:
        """In the order of the arguments; None where that is None."""
        d, sums = self.direction, self.places
        self._add_teams()
        return (
            as_dtype(self.u, d.u.dtype),
            as_dtype(self.delta, d.delta.dtype),
            sum_over_first(sums.A),
            self._gradient_of_map(d.B, sums.B),
            self._gradient_of_map(d.C, sums.C),
            None if d.D is None else sum_over_first(sums.D),
            None if d.z is None else as_dtype(self.z, d.z.dtype),
            None if d.delta_bias is None else sum_over_first(sums.bias),
            None if d.initial_state is None else self.initial,
        )

    def _add_teams(self) -> None:
        """Leave the sum over the teams of each group of channels in the place of the first of them."""
        work, (maps, batch, teams, length, states) = self.direction.A.dtype, self.by_team.shape
        if maps:
            parts = self.by_team.reshape(maps, batch, teams, length * states)
            terms = np.array([teams // _groups(m) for m in self.varying], np.int64)
            items = maps * batch * -(-parts.shape[3] // numba_sums.SLAB)
            worth = 4 * parts.size  # the other threads are awake: they have just worked on the scan
            launch(numba_sums.add_teams, (parts, terms, lanes(work)), work, items, worth)

    def _gradient_of_map(self, B_or_C: Tensor, parts: np.ndarray) -> Tensor:
        """The gradient of B or C: what the teams, or the batch elements if it is constant, have found together."""
        if B_or_C.dim() == 2:
            return as_dtype(sum_over_first(parts[0]), B_or_C.dtype)
        gradient = new_like(B_or_C, self.direction.A.dtype)
        place = _in_groups(view(gradient, gradient.dtype, self.direction.reverse))
        total = parts[:, :: self.teams // place.shape[1], :, : place.shape[2]]
        place[...] = total.swapaxes(2, 3)
        return as_dtype(gradient, B_or_C.dtype)


# The scan's arguments, as its kernels read them.


def _scan(d: Direction, cut: Cut) -> numba_scan.Scan:
    work = d.A.dtype
    batch, dim, _ = d.u.shape
    u = view(d.u, work, d.reverse)
    return numba_scan.Scan(
        u=u,
        delta=view(d.delta, work, d.reverse),
        A=view(d.A, work),
        B=_map(d.B, work, d.reverse),
        C=_map(d.C, work, d.reverse),
        D=view_or_zeros(d.D, work, dim),
        z=u if d.z is None else view(d.z, work, d.reverse),
        bias=view_or_zeros(d.delta_bias, work, dim),
        initial=view_or_zeros(d.initial_state, work, batch, *d.A.shape),
        B_constant=d.B.dim() == 2,
        C_constant=d.C.dim() == 2,
        softplus=d.delta_softplus,
        gated=d.z is not None,
        exclude_self=d.exclude_self,
        groups=cut.groups,
        team=cut.team,
    )


def _blocks(directions: Sequence[Direction]) -> tuple[int, int]:
    """Groups of channels that share every B and C, and the blocks of channels in each."""
    groups = lcm(*[_groups(m) for d in directions for m in (d.B, d.C)])
    return groups, -(-directions[0].u.shape[1] // (groups * lanes(directions[0].A.dtype)))


def _groups(B_or_C: Tensor) -> int:
    """Groups of channels that share this one of the two."""
    return B_or_C.shape[1] if B_or_C.dim() == 4 else 1


def _in_groups(varying_map: np.ndarray) -> np.ndarray:
    """B or C as (batch, groups, state, length)."""
    return varying_map if varying_map.ndim == 4 else varying_map[:, None]


def _groups_of_states(directions: Sequence[Direction]) -> tuple[int, int]:
    """The shape of a packed block of states: groups of TARGET.states, padded, and the numbers in one."""
    return max(-(-d.A.shape[1] // TARGET.states) for d in directions), TARGET.states * lanes(directions[0].A.dtype)


def _padded(states: int) -> int:
    return -(-states // TARGET.states) * TARGET.states


def _map(B_or_C: Tensor, work: torch.dtype, reverse: bool) -> np.ndarray:
    """B or C as (batch, groups, length, state), the states side by side, or as (1, 1, dim, state) if it is constant.

    The models keep it so in memory. If not, or if the states do not fill whole groups, this is a copy, padded with
    zeros.
    """
    if B_or_C.dim() == 2:
        return view(B_or_C, work)[None, None]
    by_token = _in_groups(view(B_or_C, work, reverse)).swapaxes(2, 3)
    batch, groups, length, states = by_token.shape
    if by_token.strides[3] == by_token.itemsize and states == _padded(states):
        return by_token
    copy = empty(work, batch, groups, length, _padded(states))
    copy[..., :states] = by_token
    copy[..., states:] = 0
    return copy
