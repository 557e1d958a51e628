"""The numba engine: scans and convolutions on the CPU, fused, vectorised and multi-threaded.

This file brings the arguments into the form that the kernels read (views wherever possible), cuts the work into items,
and finishes what is left to add when the kernels return; numba_cpu_conv.py does the same for the convolution. What the
kernels do stands in numba_scan.py, numba_scan_backward.py, numba_conv.py and numba_conv_backward.py; what they are
written with in vector_intrinsics.py, vector_memory.py, vector_math.py and numba_tiles.py; how they are compiled and
started in kernel_compilation.py, kernel_arguments.py, kernel_launch.py and thread_team.py.

Arguments come from custom_ops.py, validated. Half-precision inputs are widened first: nothing is computed below
float32. All else that has to be thought about depends on shapes, strides and options alone: the functions whose names
end in `work` do it once for all calls alike, with arrays that have these and no numbers. Reading backwards is a view
with negative strides, so the kernels do not know of it.
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
    Work,
    lanes,
    launch,
    new,
    new_like,
    or_zeros,
    plain,
    sum_over_first,
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

TENSORS = 9  # of a direction, before its options


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
    u, work = directions[0].u, directions[0].A.dtype
    y = new_like(u, work)
    last = [new(work, u.shape[0], *d.A.shape) for d in directions]
    saved = [new(work, *shape) for shape in _saved_shapes(directions)] if save else []
    tensors = [*_in_memory(directions), y, *last, *saved]
    items = FORWARD_ITEMS_A_THREAD * torch.get_num_threads()
    launch(numba_scan.scan_forward, _forward_work, work, tensors, _options(directions), items)
    return as_dtype(y, u.dtype), last, saved


def _forward_work(arrays: list[Any], options: tuple, items: int) -> Work:
    directions, y, *others = _directions(arrays, options)
    last, saved = others[: len(options)], others[len(options) :]
    cut = Cut.of(directions, items)
    outputs = tuple(
        numba_scan.Outputs(
            y=_as_read(y, d), last=last[i], saved=saved[i] if saved else zeros(y.dtype, 0, 0, 0, 0, 0), added=i > 0
        )
        for i, d in enumerate(directions)
    )
    workspace = [
        (numba_scan.FORWARD_TILES, SCAN_TILE, lanes(y.dtype)),
        (numba_scan.FORWARD_BLOCKS, cut.team, *_groups_of_states(directions)),
    ]
    return Work((tuple(_scan(d, cut) for d in directions), outputs), cut.items, cut.updates, workspace)


def _backward(
    grad_y: Tensor,
    grad_last: Sequence[Tensor | None],
    directions: list[Direction],
    saved: list[Tensor] | None,
) -> tuple[Tensor | None, ...]:
    if saved is None:
        *_, saved = _forward(directions, save=True)
    work = directions[0].A.dtype
    teams = Cut.of(directions, BACKWARD_ITEMS).teams
    gradients = [_Gradients(d, teams) for d in directions]
    incoming = [plain(gradient, work) for gradient in (grad_y, *grad_last)]
    tensors = [*_in_memory(directions), *incoming, *saved, *(x for g in gradients for x in g.parts)]
    launch(numba_scan_backward.scan_backward, _backward_work, work, tensors, _options(directions))
    return tuple(gradient for g in gradients for gradient in g.finished())


def _backward_work(arrays: list[Any], options: tuple) -> Work:
    directions, grad_y, *others = _directions(arrays, options)
    count, cut = len(options), Cut.of(directions, BACKWARD_ITEMS)
    last, saved, parts = others[:count], others[count : 2 * count], others[2 * count :]
    each = len(_Parts._fields)
    gradients = [_Parts(*parts[i * each : (i + 1) * each]) for i in range(count)]
    places = tuple(
        numba_scan_backward.Gradients(
            y=_as_read(grad_y, d),
            last=or_zeros(last[i], grad_y.dtype, *d.u.shape[:1], *d.A.shape),
            u=_as_read(g.u, d),
            delta=_as_read(g.delta, d),
            z=_as_read(g.u if d.z is None else g.z, d),
            A=g.A,
            B=g.B if d.B.ndim == 2 else g.by_team[0],
            C=g.C if d.C.ndim == 2 else g.by_team[-1],
            D=g.D,
            bias=g.bias,
            initial=g.initial,
        )
        for i, (d, g) in enumerate(zip(directions, gradients, strict=True))
    )
    states = _groups_of_states(directions)
    workspace = [
        (numba_scan_backward.BACKWARD_TILES, SCAN_TILE, lanes(grad_y.dtype)),
        (numba_scan_backward.BACKWARD_BLOCKS, cut.team, *states),
        (numba_scan_backward.PATHS, SCAN_TILE, states[1]),
        (numba_scan_backward.SUMS, cut.team, lanes(grad_y.dtype)),
    ]
    scans = tuple(_scan(d, cut) for d in directions)
    return Work((scans, tuple(saved), places), count * cut.items, cut.updates, workspace)


class _Parts(NamedTuple):
    """What the kernel leaves of one direction: gradients, or sums of them that are not finished."""

    u: Any  # (batch, dim, length), as delta and z
    delta: Any
    z: Any  # None if there is no gate
    A: Any  # (batch, dim, state)
    B: Any  # (1, batch, dim, state) if B is constant, else None; C likewise
    C: Any
    D: Any  # (batch, dim), as bias
    bias: Any
    initial: Any  # (batch, dim, state)
    by_team: Any  # (maps that vary, batch, teams, length, padded states)


class _Gradients:
    """Where the kernel leaves the gradients of one direction, and what is left to do afterwards."""

    def __init__(self, d: Direction, teams: int):
        work = d.A.dtype
        batch, dim, length = d.u.shape
        self.direction, self.teams = d, teams
        self.varying = [m for m in (d.B, d.C) if m.ndim > 2]
        self.parts = _Parts(
            u=new_like(d.u, work),
            delta=new_like(d.delta, work),
            z=None if d.z is None else new_like(d.z, work),
            A=new(work, batch, *d.A.shape),
            B=new(work, 1, batch, *d.A.shape) if d.B.ndim == 2 else None,
            C=new(work, 1, batch, *d.A.shape) if d.C.ndim == 2 else None,
            D=new(work, batch, dim),
            bias=new(work, batch, dim),
            initial=new(work, batch, *d.A.shape),
            by_team=new(work, len(self.varying), batch, teams, length, _padded(d.A.shape[1])),
        )

    def finished(self) -> tuple[Tensor | None, ...]:
        """In the order of the arguments; None where that is None."""
        d, parts = self.direction, self.parts
        self._add_teams()
        return (
            as_dtype(parts.u, d.u.dtype),
            as_dtype(parts.delta, d.delta.dtype),
            sum_over_first(parts.A),
            self._gradient_of_map(d.B, parts.B, 0),
            self._gradient_of_map(d.C, parts.C, -1),
            None if d.D is None else sum_over_first(parts.D),
            None if d.z is None else as_dtype(parts.z, d.z.dtype),
            None if d.delta_bias is None else sum_over_first(parts.bias),
            None if d.initial_state is None else parts.initial,
        )

    def _add_teams(self) -> None:
        """Leave the sum over the teams of each group of channels in the place of the first of them."""
        if self.varying:
            terms = tuple(self.teams // _groups(m) for m in self.varying)
            by_team = self.parts.by_team
            launch(numba_sums.add_teams, _adding_work, by_team.dtype, [by_team], terms)

    def _gradient_of_map(self, B_or_C: Tensor, constant: Tensor | None, place: int) -> Tensor:
        """The gradient of B or C: what the teams, or the batch elements if it is constant, have found together."""
        if constant is not None:
            return as_dtype(sum_over_first(constant[0]), B_or_C.dtype)
        gradient = new_like(B_or_C, self.direction.A.dtype)
        into = _in_groups(_as_read(gradient.numpy(), self.direction))
        total = self.parts.by_team.numpy()[place, :, :: self.teams // into.shape[1], :, : into.shape[2]]
        into[...] = total.swapaxes(2, 3)
        return as_dtype(gradient, B_or_C.dtype)


def _adding_work(arrays: list[Any], terms: tuple[int, ...]) -> Work:
    (by_team,) = arrays
    maps, batch, teams, length, states = by_team.shape
    parts = by_team.reshape(maps, batch, teams, length * states)
    items = maps * batch * -(-length * states // numba_sums.SLAB)
    worth = 4 * parts.size  # the other threads are awake: they have just worked on the scan
    return Work((parts, np.array(terms, np.int64), lanes(parts.dtype)), items, worth)


# The scan's arguments: as tensors in memory, and as its kernels read them.


def _in_memory(directions: Sequence[Direction]) -> list[Tensor | None]:
    """The nine tensors of each direction, as numbers of one type."""
    found: list[Tensor | None] = []
    for d in directions:
        tensors: Any = d[:TENSORS]
        u, delta, A, B, C, *others = [plain(x, d.A.dtype) for x in tensors]
        found += [u, delta, A, _fitted(B), _fitted(C), *others]
    return found


def _fitted(B_or_C: Tensor) -> Tensor:
    """B or C, if it varies, with states side by side in memory that fill whole groups; else a copy padded with zeros.

    The models keep it so.
    """
    if B_or_C.ndim == 2 or (B_or_C.stride(-2) == 1 and B_or_C.shape[-2] == _padded(B_or_C.shape[-2])):
        return B_or_C
    by_token = B_or_C.detach().transpose(-1, -2)
    states = by_token.shape[-1]
    copy = new(by_token.dtype, *by_token.shape[:-1], _padded(states))
    copy[..., :states] = by_token
    copy[..., states:] = 0
    return copy.transpose(-1, -2)


def _options(directions: Sequence[Direction]) -> tuple:
    """What is left of directions when their tensors have gone."""
    return tuple([d[TENSORS:] for d in directions])


def _directions(arrays: list[Any], options: tuple) -> list[Any]:
    """The directions again, made of arrays, in a list; then the arrays that are no direction's."""
    of_directions = len(options) * TENSORS
    starts = range(0, of_directions, TENSORS)
    directions = [Direction(*arrays[i : i + TENSORS], *flags) for i, flags in zip(starts, options, strict=True)]
    return [directions, *arrays[of_directions:]]


def _scan(d: Any, cut: Cut) -> numba_scan.Scan:
    batch, dim, _ = d.u.shape
    u, work = _as_read(d.u, d), d.u.dtype
    return numba_scan.Scan(
        u=u,
        delta=_as_read(d.delta, d),
        A=d.A,
        B=_map(d.B, d),
        C=_map(d.C, d),
        D=or_zeros(d.D, work, dim),
        z=u if d.z is None else _as_read(d.z, d),
        bias=or_zeros(d.delta_bias, work, dim),
        initial=or_zeros(d.initial_state, work, batch, *d.A.shape),
        B_constant=d.B.ndim == 2,
        C_constant=d.C.ndim == 2,
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
    return B_or_C.shape[1] if B_or_C.ndim == 4 else 1


def _in_groups(varying_map: np.ndarray) -> np.ndarray:
    """B or C as (batch, groups, state, length)."""
    return varying_map if varying_map.ndim == 4 else varying_map[:, None]


def _groups_of_states(directions: Sequence[Direction]) -> tuple[int, int]:
    """The shape of a packed block of states: groups of TARGET.states, padded, and the numbers in one."""
    return max(-(-d.A.shape[1] // TARGET.states) for d in directions), TARGET.states * lanes(directions[0].A.dtype)


def _padded(states: int) -> int:
    return -(-states // TARGET.states) * TARGET.states


def _as_read(array: np.ndarray, d: Direction) -> np.ndarray:
    """Tokens, the last axis, in the order in which they are read."""
    return array[..., ::-1] if d.reverse else array


def _map(B_or_C: np.ndarray, d: Direction) -> np.ndarray:
    """B or C as (batch, groups, length, state), the states side by side, or as (1, 1, dim, state) if it is constant."""
    if B_or_C.ndim == 2:
        return B_or_C[None, None]
    return _in_groups(_as_read(B_or_C, d)).swapaxes(2, 3)
