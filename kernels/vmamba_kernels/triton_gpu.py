"""The Triton engine: allocates, decides how a sequence is cut, and launches the kernels of triton_scan and triton_conv.

Fused forward and backward for CUDA and ROCm devices; float16, bfloat16 and float32 inputs are computed in float32,
float64 in float64. While a gradient is computed the states before the chunks are stored, state / 8 numbers for each
element of u; nothing else is larger than an input. With TRITON_INTERPRET=1 in the environment before triton is
imported, the same kernels run, slowly, on CPU tensors. Arguments are validated by the callers.

The tuner chooses among tiles that add in the same order, so its choice does not show in the results. The gradient's
sums follow its tile, which is therefore fixed: gradients must not change with a tuner's mood.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

from vmamba_kernels.direction import Direction, both_directions, in_groups, out_of_groups
from vmamba_kernels.triton_conv import conv_backward, conv_forward
from vmamba_kernels.triton_launch import (
    BLOCK_N,
    INTERPRETED,
    Tile,
    add_partial_sums,
    availability,
    check_device,
    map_view,
    processors,
    state_view,
    token_view,
    view,
)
from vmamba_kernels.triton_scan import carry_kernel, gradient_kernel, scan_kernel
from vmamba_kernels.triton_tiles import Carry, Gradient, Scan, View, Walk

__all__ = [
    "availability",
    "bidirectional_backward",
    "bidirectional_forward",
    "conv_backward",
    "conv_forward",
    "scan_backward",
    "scan_forward",
]

MIN_SPAN = 8 if INTERPRETED else 32  # tokens in a segment, at least: a multiple of every BLOCK_L below
SCAN_TILES = [Tile(8, 64, 4), Tile(8, 64, 4, registers=128), Tile(16, 64, 4), Tile(8, 32, 2)]
if INTERPRETED:
    SCAN_TILES = [Tile(4, 8, 1)]
CARRY_TILE = Tile(4, 8, 1) if INTERPRETED else Tile(8, 32, 4)  # BLOCK_L counts segments here

tuned_scan_kernel = triton.autotune(
    [tile.config() for tile in SCAN_TILES],
    key=["tuning_key", "OPTIONS", "GROUPS"],
)(scan_kernel)


def gradient_tile(work: torch.dtype) -> Tile:
    """Two channels a thread halve the shuffles of the sums over channels; eight tokens of them fill the registers."""
    if INTERPRETED:
        return Tile(4, 8, 1)
    return Tile(4, 64, 4) if work == torch.float64 else Tile(8, 64, 4)


def _with_groups(d: Direction) -> Direction:
    """With B and C as (dim, state) or (batch, groups, state, length)."""
    B, C = in_groups(d[:9])[3:5]
    return d._replace(B=B, C=C)


def _options(d: Direction) -> tuple[bool, bool, bool, int]:
    return bool(d.delta_softplus), bool(d.exclude_self), bool(d.reverse), d.A.shape[1]


def _arrays(d: Direction) -> Scan:
    return Scan(
        u=token_view(d.u),
        delta=token_view(d.delta),
        A=view(d.A, "channel state"),
        B=map_view(d.B, d.u.shape[1]),
        C=map_view(d.C, d.u.shape[1]),
        D=view(d.D, "channel"),
        z=token_view(d.z),
        delta_bias=view(d.delta_bias, "channel"),
    )


def _states(d: Direction, *places: int) -> Tensor:
    """Memory for a state, (dim, state), at some places in every sequence; without places for one in each."""
    return d.A.new_empty(d.u.shape[0], *places, *d.A.shape)


@dataclass(frozen=True)
class Cut:
    """How a scan is spread over the device: segments of span tokens, and channel blocks that respect every group."""

    batch: int
    dim: int
    length: int
    groups: int
    segments: int
    span: int

    @classmethod
    def of(cls, directions: Sequence[Direction], tile: Tile) -> "Cut":
        u = directions[0].u
        batch, dim, length = u.shape
        groups = math.lcm(*(m.shape[1] for d in directions for m in (d.B, d.C) if m.dim() == 4))
        whole = cls(batch, dim, length, groups, segments=1, span=length)
        programs = batch * whole.blocks(tile.BLOCK_D) * len(directions)
        if programs >= processors(u.device):  # cutting costs a second walk over the tokens
            return whole
        wanted = triton.cdiv(4 * processors(u.device), programs)
        span = max(1, triton.cdiv(length, wanted * MIN_SPAN)) * MIN_SPAN
        return cls(batch, dim, length, groups, triton.cdiv(length, span), span)

    def blocks(self, block: int) -> int:
        return self.groups * triton.cdiv(self.dim // self.groups, block)

    def grid(self, options: tuple) -> Callable[[dict], tuple[int, int, int]]:
        return lambda meta: (self.batch * self.blocks(meta["BLOCK_D"]), self.segments, len(options))


# ---- the scan -------------------------------------------------------------------------------------------------------


def scan_forward(*arguments: Any) -> tuple[Tensor, Tensor]:
    """y, laid out in memory as u is, and the last state. The arguments are those of Direction, in this order."""
    return _forward([_with_groups(Direction(*arguments))])[0]


def bidirectional_forward(*arguments: Any) -> Tensor:
    """The sum of a forward and a reversed scan: nine tensors of each, softplus of each, exclude_self of each."""
    (y, _), (y_reversed, _) = _forward([_with_groups(d) for d in both_directions(arguments)])
    return y.add_(y_reversed)


def scan_backward(grad_y: Tensor, grad_last_state: Tensor | None, *arguments: Any) -> tuple:
    """The nine gradients of scan_forward, None where there is no tensor."""
    return _backward(grad_y, [grad_last_state], [Direction(*arguments)])


def bidirectional_backward(grad_y: Tensor, *arguments: Any) -> tuple:
    """The eighteen gradients of bidirectional_forward, None where there is no tensor."""
    return _backward(grad_y, [None, None], both_directions(arguments))


def _forward(directions: list[Direction]) -> list[tuple[Tensor, Tensor]]:
    check_device(directions[0].u)
    outputs = [(torch.empty_like(d.u), _states(d)) for d in directions]
    if directions[0].u.shape[0] == 0:
        return outputs
    cut = Cut.of(directions, SCAN_TILES[0])
    if cut.segments == 1:
        walks = [
            Walk(starts=state_view(d.initial_state), ends=state_view(last), y=token_view(y))
            for d, (y, last) in zip(directions, outputs, strict=True)
        ]
    else:
        chains = [Chain(d, cut, last) for d, (_, last) in zip(directions, outputs, strict=True)]
        _link(chains, cut)
        walks = [
            Walk(starts=state_view(c.states), ends=state_view(torch.empty_like(c.states)), y=token_view(y))
            for c, (y, _) in zip(chains, outputs, strict=True)
        ]
    _scan(directions, cut, walks)
    return outputs


class Chain:
    """What the segments of one direction hand on: first what each makes of zero, once linked what each starts with."""

    def __init__(self, d: Direction, cut: Cut, last: Tensor | None = None):
        self.direction = d
        self.states = _states(d, cut.segments)
        self.steps = view(d.A.new_empty(cut.batch, cut.segments, cut.dim), "batch segment channel")
        self.last = _states(d) if last is None else last
        self.heads: Tensor | None = None

    def add_gradient(self, grad_y: Tensor, grad_last: Tensor | None, grad_initial: Tensor) -> None:
        """Link G too, against the reading direction: from grad_last to grad_initial."""
        self.heads = torch.empty_like(self.states)
        self.grads = grad_y, grad_last, grad_initial

    def walk(self) -> Walk:
        walk = Walk(ends=state_view(self.states), steps=self.steps)
        if self.heads is None:
            return walk
        return walk._replace(grad_y=token_view(self.grads[0]), heads=state_view(self.heads))

    def carries(self) -> list[tuple[Carry, tuple[bool, int]]]:
        """What carry_kernel needs of each chain: its tensors, and (descending, state)."""
        d, A = self.direction, view(self.direction.A, "channel state")
        states = Carry(A, state_view(self.states), self.steps, state_view(d.initial_state), state_view(self.last))
        carries = [(states, (bool(d.reverse), d.A.shape[1]))]
        if self.heads is not None:
            heads = Carry(A, state_view(self.heads), self.steps, state_view(self.grads[1]), state_view(self.grads[2]))
            carries.append((heads, (not d.reverse, d.A.shape[1])))
        return carries


def _link(chains: list[Chain], cut: Cut, tile: Tile | None = None) -> None:
    """Walk over all segments at once, then over what they hand on."""
    _scan([c.direction for c in chains], cut, [c.walk() for c in chains], tile)
    carries, options = zip(*(carry for c in chains for carry in c.carries()), strict=True)
    state_blocks = triton.cdiv(max(state for _, state in options), BLOCK_N)
    grid = cut.batch * triton.cdiv(cut.dim, CARRY_TILE.BLOCK_D), state_blocks, len(carries)
    with torch.cuda.device_of(chains[0].states):
        carry_kernel[grid](carries, cut.segments, cut.dim, options, BLOCK_N=BLOCK_N, **CARRY_TILE.launch())


def _scan(directions: list[Direction], cut: Cut, walks: list[Walk], tile: Tile | None = None) -> None:
    """Launch scan_kernel with a given tile, or with the one that the tuner finds."""
    u = directions[0].u
    scans, options = tuple(map(_arrays, directions)), tuple(map(_options, directions))
    key = tuning_key(u, walks[0], cut)
    arguments = (scans, tuple(walks), cut.length, cut.dim, cut.span, key, options, cut.groups)
    with torch.cuda.device_of(u):
        if tile is None:
            tuned_scan_kernel[cut.grid(options)](*arguments, BLOCK_N=BLOCK_N, enable_fp_fusion=True)
        else:
            scan_kernel[cut.grid(options)](*arguments, BLOCK_N=BLOCK_N, **tile.launch())


def tuning_key(u: Tensor, walk: Walk, cut: Cut) -> int:
    """What the best tile depends on: programs (to a factor of four), element size, layout, and what the walk writes."""
    size = (cut.segments * cut.batch * cut.dim).bit_length() // 2
    return size * 100 + u.element_size() * 10 + 2 * (u.stride(2) == 1) + (walk.y.data is None)


# ---- its gradient ---------------------------------------------------------------------------------------------------


def _backward(grad_y: Tensor, grad_last: list[Tensor | None], given: list[Direction]) -> tuple:
    check_device(grad_y)
    if grad_y.shape[0] == 0:
        return tuple(None if x is None else x.new_zeros(x.shape) for d in given for x in d[:9])
    directions = [_with_groups(d) for d in given]
    tile = gradient_tile(directions[0].A.dtype)
    cut = Cut.of(directions, tile)
    grad_initial = [_states(d) for d in directions]
    starts: Sequence[Tensor | None] = [d.initial_state for d in directions]
    incoming: Sequence[Tensor | None] = grad_last
    heads = grad_initial
    if cut.segments > 1:
        chains = [Chain(d, cut) for d in directions]
        for chain, last, initial in zip(chains, grad_last, grad_initial, strict=True):
            chain.add_gradient(grad_y, last, initial)
        _link(chains, cut, tile)
        starts = [chain.states for chain in chains]
        incoming = [chain.heads for chain in chains]
        heads = [torch.empty_like(chain.states) for chain in chains]
    chunk_starts = _chunk_starts(directions, cut, starts, tile)
    shared = [PartialSums(d, cut, tile) for d in directions]
    whole = [[None if x is None else torch.empty_like(x) for x in (d.u, d.delta, d.z)] for d in directions]
    gradients = tuple(
        Gradient(
            token_view(grad_y),
            *map(state_view, (chunk_starts[i], incoming[i], heads[i])),
            *map(token_view, whole[i]),
            *shared[i].views,
        )
        for i in range(len(directions))
    )
    scans, options = tuple(map(_arrays, directions)), tuple(map(_options, directions))
    with torch.cuda.device_of(grad_y):
        gradient_kernel[cut.grid(options)](
            scans, gradients, cut.length, cut.dim, cut.span, options, cut.groups, BLOCK_N=BLOCK_N, **tile.launch()
        )
    results = []
    for i, d in enumerate(directions):
        du, ddelta, dz = whole[i]
        dA, dB, dC, dD, dbias = shared[i].totals()
        gradients_of_scan = du, ddelta, dA, dB, dC, dD, dz, dbias, None if d.initial_state is None else grad_initial[i]
        results += out_of_groups(gradients_of_scan, given[i][:9])
    return tuple(results)


def _chunk_starts(
    directions: list[Direction], cut: Cut, starts: Sequence[Tensor | None], tile: Tile
) -> Sequence[Tensor | None]:
    """The state before every chunk, from the state before every segment."""
    if cut.segments > 1 and cut.span == tile.BLOCK_L:
        return starts
    chunks = [_states(d, triton.cdiv(cut.length, tile.BLOCK_L)) for d in directions]
    walks = [
        Walk(starts=state_view(s), ends=state_view(_states(d, cut.segments)), chunk_starts=state_view(c))
        for d, s, c in zip(directions, starts, chunks, strict=True)
    ]
    _scan(directions, cut, walks, tile)
    return chunks


class PartialSums:
    """Where gradient_kernel leaves the gradients of A, B, C, D and delta_bias, and their sums."""

    def __init__(self, d: Direction, cut: Cut, tile: Tile):
        self.direction, self.cut, self.blocks = d, cut, cut.blocks(tile.BLOCK_D)
        self.A = _states(d, cut.segments)
        self.B, self.C = self._of_map(d.B), self._of_map(d.C)
        self.D, self.delta_bias = (
            None if x is None else d.A.new_empty(cut.batch, cut.segments, cut.dim) for x in (d.D, d.delta_bias)
        )

    def _of_map(self, tensor: Tensor) -> Tensor:
        d, cut = self.direction, self.cut
        if tensor.dim() == 2:
            return _states(d, cut.segments)
        return d.A.new_empty(cut.batch, self.blocks, cut.length, d.A.shape[1])

    @property
    def views(self) -> list[View]:
        maps = [
            state_view(partial) if tensor.dim() == 2 else view(partial, "batch group time state")
            for tensor, partial in ((self.direction.B, self.B), (self.direction.C, self.C))
        ]
        vectors = [view(x, "batch segment channel") for x in (self.D, self.delta_bias)]
        return [state_view(self.A), *maps, *vectors]

    def totals(self) -> list[Tensor | None]:
        d = self.direction
        pairs = ((d.A, self.A), (d.B, self.B), (d.C, self.C), (d.D, self.D), (d.delta_bias, self.delta_bias))
        return [None if x is None or sums is None else add_partial_sums(x, sums) for x, sums in pairs]
