"""The selective scan as a fused CPU kernel: one pass over its inputs, the states in registers.

For every channel d and state n, with Δ' = softplus(Δ + bias):

    h_t = exp(Δ'_t A) h_{t−1} + Δ'_t u_t B_t        y_t = (Σ_n C_t h_t + D u_t) silu(z_t)

How the work is cut. A *block* of channels is as many as a vector has lanes; a *team* is a few neighbouring blocks of
one group; a team of one batch element is an item of work, and threads take items until none is left. An item reads its
tokens tile by tile and keeps everything else in the first cache: for each tile and block it prepares Δ' and x = Δ' u,
carries STATES states at a time through the tile, adds what they contribute to y, applies the gate and writes y. The
slow functions (softplus, gate) have loops of their own, so that their latencies overlap instead of adding up. Where
neighbouring channels lie side by side in memory, inputs and y need no tile of their own: they are one as they lie.

Index names: b batch element, g group, k block within the team, s group of STATES states, t token within the tile.
"""

from typing import NamedTuple

import numpy as np

from vmamba_kernels.kernel_arguments import arguments_at
from vmamba_kernels.kernel_compilation import inlined_part, kernel, part
from vmamba_kernels.machine import flush_denormals, restore_denormals, take_number
from vmamba_kernels.numba_tiles import (
    copy_block,
    is_tile,
    prefetch_token,
    read_block,
    read_lanes,
    read_tile,
    write_block,
    write_tile,
)
from vmamba_kernels.thread_team import on_team
from vmamba_kernels.vector_intrinsics import STATES, absolute, add_products, constant, fma, repeat, where_less
from vmamba_kernels.vector_math import (
    LARGEST_OCTAVES,
    grown,
    growth_from,
    nearest_mark,
    rate_in_octaves,
    silu,
    softplus,
)
from vmamba_kernels.vector_memory import load, load_block, spread, store


class Scan(NamedTuple):
    """The inputs of a scan, in its reading direction; what is absent is zero."""

    u: np.ndarray  # (batch, dim, length), as delta and z
    delta: np.ndarray
    A: np.ndarray  # (dim, state)
    B: (
        np.ndarray
    )  # (batch, groups of B, length, state, padded to a multiple of STATES), or (1, 1, dim, state) if constant
    C: np.ndarray  # likewise, with as many groups as it likes
    D: np.ndarray  # (dim,), as bias
    z: np.ndarray  # u again, and not read, if gated is false
    bias: np.ndarray
    initial: np.ndarray  # (batch, dim, state)
    B_constant: bool
    C_constant: bool
    softplus: bool
    gated: bool
    exclude_self: bool
    groups: int  # of channels that share both B and C
    team: int  # blocks of channels in a team


# What a thread's array `blocks` holds for each block of channels and group of states ...
RATE, RATE_TAIL, LONGEST_STEP, STATE, OWN_B, OWN_C, SKIP, SHIFT = range(8)
FORWARD_BLOCKS = 8

# ... and its array `tile` for one of them. STEP is Δ' as the states take it, DELTA is Δ' as it is.
DELTA, U, X, Y, STEP = range(5)
FORWARD_TILES = 5


class Outputs(NamedTuple):
    """What a scan fills, in its reading direction."""

    y: np.ndarray  # (batch, dim, length)
    last: np.ndarray  # (batch, dim, state)
    saved: np.ndarray  # see numba_cpu.saved_shape: the state before every tile; with no batch at all if nobody wants it
    added: bool  # to what y holds already


@kernel
def scan_forward(threads, thread, places, layout):
    """Fill the outputs. See `on_team` for threads and thread; `arguments_at` knows what all threads are told."""
    on_team(forward_share, threads, thread, arguments_at(places, layout))


@part
def forward_share(thread, scans, outputs, items, counter, tile, blocks):
    """What one thread does: take items until none is left.

    scans, outputs: a tuple of one, or of two directions whose outputs add up: then both are an item of work.
    tile: (threads, FORWARD_TILES, tokens in a tile, LANES): each thread has a workspace of its own.
    blocks: (threads, FORWARD_BLOCKS, team, groups of states, STATES × LANES).
    """
    mode = flush_denormals()
    item = take_number(counter)
    while item < items:
        for i in range(len(scans)):
            scan_item(scans[i], outputs[i], item, tile[thread], blocks[thread])
        item = take_number(counter)
    restore_denormals(mode)


@part
def place_of_item(item, dim, groups, channels_in_team):
    """Where a work item lies: batch element, group, number among its teams, and the channels first ≤ d < end."""
    channels_in_group = dim // groups
    teams_in_group = -(-channels_in_group // channels_in_team)
    b, team = divmod(item, groups * teams_in_group)
    g, place = divmod(team, teams_in_group)
    first = g * channels_in_group + place * channels_in_team
    return b, g, team, first, min(first + channels_in_team, (g + 1) * channels_in_group)


@part
def scan_item(scan, outputs, item, tile, blocks):
    """Scan the channels of an item, from their first token to their last."""
    lanes, length = tile.shape[2], tile.shape[1]
    y, last, saved = outputs.y, outputs.last, outputs.saved
    blocks = blocks[:, :, : -(-scan.A.shape[1] // STATES)]
    b, g, _, first, end = place_of_item(item, scan.u.shape[1], scan.groups, scan.team * lanes)
    first_block = number_of_block(first, g, scan.u.shape[1] // scan.groups, lanes)
    B, C = scan.B[place_in_map(scan.B, b, g, scan.groups)], scan.C[place_in_map(scan.C, b, g, scan.groups)]
    for k in range(blocks_in(first, end, lanes)):
        channel, channels = channels_of_block(first, end, lanes, k)
        prepare_rates(scan, blocks[:, k], channel, channels)
        read_block(blocks[STATE, k], scan.initial[b], channel, channels)
    touched = y, scan.delta, scan.u, scan.z
    for start in range(0, y.shape[2], length):
        steps = min(length, y.shape[2] - start)
        for k in range(blocks_in(first, end, lanes)):
            channel, channels = channels_of_block(first, end, lanes, k)
            if saved.shape[0] > 0:
                copy_block(saved[b, start // length, first_block + k], blocks[STATE, k])
            begin_tile(scan.delta, scan.u, scan.softplus, tile, blocks[:, k], b, channel, channels, start, steps)
            for s in range(blocks.shape[2]):
                ahead = needed_next(touched, b, first, end, k, start, length, lanes, s)
                carry_states(scan, blocks[:, k, s], B, C, tile, ahead, s, start, steps)
            finish_tile(scan, outputs, tile, b, channel, channels, start, steps)
    for k in range(blocks_in(first, end, lanes)):
        channel, channels = channels_of_block(first, end, lanes, k)
        write_block(last[b], blocks[STATE, k], channel, channels)


@part
def needed_next(touched, b, first, end, k, start, length, lanes, s):
    """What memory may fetch ahead, one tensor for each group of states: room for y, then the next inputs."""
    channel = first + k * lanes
    if s > 0:
        channel += lanes
        if channel >= end:
            channel, start = first, start + length
    return touched[min(s, 3)], b, channel, start


@part
def place_in_map(B_or_C, b, g, groups):
    """Where the array of B or C lies that a group of channels reads: (length, state), or (dim, state) if constant."""
    return b if B_or_C.shape[0] > 1 else 0, g * B_or_C.shape[1] // groups


@part
def blocks_in(first, end, lanes):
    return (end - first + lanes - 1) // lanes


@part
def number_of_block(channel, g, channels_in_group, lanes):
    """The number of the block that begins with this channel of group g, counted over all groups."""
    return g * blocks_in(0, channels_in_group, lanes) + (channel - g * channels_in_group) // lanes


@part
def channels_of_block(first, end, lanes, k):
    """First channel and number of channels of block k of a team."""
    channel = first + k * lanes
    return channel, min(lanes, end - channel)


@part
def prepare_rates(scan, block, channel, channels):
    """What does not change along the sequence: rates of decay, D and the bias, and B and C where they are constant."""
    read_block(block[RATE], scan.A, channel, channels)
    lanes = block.shape[2] // STATES
    fastest = constant(load(block, (RATE, 0)), 0.0, 0.0)
    for s in range(block.shape[1]):
        rate, tail = rate_in_octaves(load_block(block, (RATE, s)))
        store(block, (RATE, s), rate)
        store(block, (RATE_TAIL, s), tail)
        for n in range(STATES):
            speed = absolute(load(block, (RATE, s, n * lanes)))
            fastest = where_less(fastest, speed, speed, fastest)
    store(block, (LONGEST_STEP, 0), LARGEST_OCTAVES / fastest)  # longer ones leave nothing either, of any state
    read_lanes(block[SKIP, 0], scan.D, channel, channels, lanes)
    read_lanes(block[SHIFT, 0], scan.bias, channel, channels, lanes)
    if scan.B_constant:
        read_block(block[OWN_B], scan.B[0, 0], channel, channels)
    if scan.C_constant:
        read_block(block[OWN_C], scan.C[0, 0], channel, channels)


@inlined_part
def begin_tile(delta, u, use_softplus, tile, block, b, channel, channels, start, steps):
    """All that a tile needs before its states, from u and Δ where they lie, if they lie as a tile does."""
    lanes = tile.shape[2]
    own_delta, own_u = tile[DELTA], tile[U]
    if is_tile(delta, channels, lanes):
        own_delta = delta[b, channel : channel + lanes, start:].T
    else:
        read_tile(own_delta, delta, b, channel, channels, start, steps)
    if is_tile(u, channels, lanes):
        own_u = u[b, channel : channel + lanes, start:].T
    else:
        read_tile(own_u, u, b, channel, channels, start, steps)
    prepare_steps(own_delta, own_u, tile, block, steps, use_softplus)


@part
def prepare_steps(delta, u, tile, block, steps, use_softplus):
    """From Δ and u: Δ', x = Δ' u, and the part of y that skips the states, D u. Δ may stand where Δ' will."""
    skip, shift, longest = load(block, (SKIP, 0)), load(block, (SHIFT, 0)), load(block, (LONGEST_STEP, 0))
    for t in range(steps):
        step, own_u = load(delta, (t,)) + shift, load(u, (t,))
        if use_softplus:
            step = softplus(step)
        store(tile, (DELTA, t), step)
        store(tile, (STEP, t), where_less(longest, step, longest, step))
        store(tile, (X, t), step * own_u)
        store(tile, (Y, t), skip * own_u)


@inlined_part
def carry_states(scan, block, B, C, tile, ahead, s, start, steps):
    """`advance`, compiled separately for the two usual cases, where maps vary, and for the rest."""
    if scan.B_constant or scan.C_constant:
        advance(scan.B_constant, scan.C_constant, scan.exclude_self, block, B, C, tile, ahead, s, start, steps)
    elif scan.exclude_self:
        advance(False, False, True, block, B, C, tile, ahead, s, start, steps)
    else:
        advance(False, False, False, block, B, C, tile, ahead, s, start, steps)


@inlined_part
def advance(B_constant, C_constant, exclude_self, block, B, C, tile, ahead, s, start, steps):
    """Carry STATES states of a block of channels through a tile, adding Σ C h to y.

    With every token, memory is asked for one of what is needed next, `ahead`. Asked for all at once, it could not take
    so many orders, and everything would wait.
    """
    rate, tail = load_block(block, (RATE,)), load_block(block, (RATE_TAIL,))
    h = load_block(block, (STATE,))
    for t in range(steps):
        prefetch_token(ahead, t)
        step = repeat(load(tile, (STEP, t)))
        mark = nearest_mark(step, rate)
        carried = grown(h, mark, growth_from(mark, step, rate, tail))  # exp(Δ' A) h
        B_t = load_block(block, (OWN_B,)) if B_constant else spread(B, (start + t, s * STATES))
        h = fma(repeat(load(tile, (X, t))), B_t, carried)
        C_t = load_block(block, (OWN_C,)) if C_constant else spread(C, (start + t, s * STATES))
        store(tile, (Y, t), add_products(load(tile, (Y, t)), carried if exclude_self else h, C_t))
    store(block, (STATE,), h)


@inlined_part
def finish_tile(scan, outputs, tile, b, channel, channels, start, steps):
    """The gate, and y written where it belongs; u is no longer needed, and z takes its place."""
    lanes = tile.shape[2]
    z = tile[U]
    if scan.gated:
        if is_tile(scan.z, channels, lanes):
            z = scan.z[b, channel : channel + lanes, start:].T
        else:
            read_tile(z, scan.z, b, channel, channels, start, steps)
        if is_tile(outputs.y, channels, lanes) and not outputs.added:
            apply_gate(outputs.y[b, channel : channel + lanes, start:].T, z, tile, steps)
            return
        apply_gate(tile[Y], z, tile, steps)
    if outputs.added:
        read_tile(tile[U], outputs.y, b, channel, channels, start, steps)
        for t in range(steps):
            store(tile, (Y, t), load(tile, (U, t)) + load(tile, (Y, t)))
    write_tile(outputs.y, tile[Y], b, channel, channels, start, steps)


@part
def apply_gate(y, z, tile, steps):
    """y = (Σ C h + D u) silu(z)."""
    for t in range(steps):
        store(y, (t,), load(tile, (Y, t)) * silu(load(z, (t,))))
