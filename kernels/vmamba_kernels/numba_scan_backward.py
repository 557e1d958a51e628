"""The gradients of the selective scan as a fused CPU kernel: nothing of size (batch, dim, length, state) is ever
stored.

With g the gradient of y before the gate, and G_t the gradient of the state h_t, the chain rule runs against the time:

    G_t = C_t g_t + exp(Δ'_{t+1} A) G_{t+1}
    dC_t = Σ_d g_t h_t        dB_t = Σ_d G_t x_t        dx_t = Σ_n G_t B_t        x = Δ' u
    dΔ'_t = u_t dx_t + Σ_n A F_t        dA = Σ_t Δ'_t F_t        F_t = G_t exp(Δ'_t A) h_{t−1}

The states h are needed in the reverse of the order in which they arise. So the forward scan saves the state before
every tile, and an item walks the tiles from the last to the first: within a tile it computes the states again, keeps
them in the cache, and walks back.

With `exclude_self`, the own term x_t B_t does not reach y_t: B and x see only what comes from later tokens, G_t − C_t
g_t, and C sees the state without it, exp(Δ' A) h_{t−1}.

dB and dC are sums over channels. Each team writes sums of its own, and numba_sums.py adds them in a fixed order; so it
goes with the batch elements for dA, dD and the gradient of the bias. The result does not depend on the number of
threads. Sums over tokens are taken tile by tile first, and then over the tiles: of thousands of numbers added to one
total, each would lose the digits that the total no longer holds.
"""

from typing import NamedTuple

import numpy as np

from vmamba_kernels.kernel_arguments import arguments_at
from vmamba_kernels.kernel_compilation import inlined_part, kernel, part
from vmamba_kernels.machine import flush_denormals, restore_denormals, take_number
from vmamba_kernels.numba_scan import (
    DELTA,
    FORWARD_BLOCKS,
    FORWARD_TILES,
    OWN_B,
    OWN_C,
    RATE,
    RATE_TAIL,
    SKIP,
    STEP,
    U,
    X,
    Y,
    begin_tile,
    blocks_in,
    channels_of_block,
    number_of_block,
    place_in_map,
    place_of_item,
    prepare_rates,
)
from vmamba_kernels.numba_tiles import (
    clear_block,
    is_tile,
    prefetch_block,
    prefetch_token,
    read_block,
    read_tile,
    write_block,
    write_lanes,
    write_tile,
)
from vmamba_kernels.thread_team import on_team
from vmamba_kernels.vector_intrinsics import STATES, add_products, constant, fma, lane_sums, repeat
from vmamba_kernels.vector_math import grown, growth_from, nearest_mark, sigmoid, softplus_slope
from vmamba_kernels.vector_memory import load, load_block, load_states, spread, store


class Gradients(NamedTuple):
    """What comes in, and what the kernel fills. The sums over channels, teams or batch are finished by the caller."""

    y: np.ndarray  # in: (batch, dim, length)
    last: np.ndarray  # in: (batch, dim, state)
    u: np.ndarray  # out: (batch, dim, length), as delta and z
    delta: np.ndarray
    z: np.ndarray  # u again, and not written, if the scan is not gated
    A: np.ndarray  # out: (batch, dim, state)
    B: np.ndarray  # out: (batch, groups · teams, length, state), or as A if B is constant; C likewise
    C: np.ndarray
    D: np.ndarray  # out: (batch, dim), as bias
    bias: np.ndarray
    initial: np.ndarray  # out: (batch, dim, state)


class Maps(NamedTuple):
    """B and C of a group of channels, and what a team leaves for their gradients: (length, padded states)."""

    B: np.ndarray
    C: np.ndarray
    grad_B: np.ndarray
    grad_C: np.ndarray


# Further rows of `blocks`, beside those of the forward scan: A itself, the gradients that gather along the sequence,
# and the gradient of the state, G, that travels from tile to tile.
SYSTEM, GRAD_A, GRAD_OWN_B, GRAD_OWN_C, GRAD_STATE = range(FORWARD_BLOCKS, FORWARD_BLOCKS + 5)
BACKWARD_BLOCKS = FORWARD_BLOCKS + 5

# Further rows of `tile`: g, what z's gradient is y times, dx, and Σ A F.
GRAD_Y, GRAD_GATE, GRAD_X, GRAD_DECAY = range(FORWARD_TILES, FORWARD_TILES + 4)
BACKWARD_TILES = FORWARD_TILES + 4

# Rows of `path`, what one group of states leaves in each token of a tile: exp(Δ' A) h, and w.
CARRIED, GROWTH = range(2)
PATHS = 2

SUM_D, SUM_BIAS = range(2)
SUMS = 2


@kernel
def scan_backward(threads, thread, places, layout):
    """Fill the gradients. See `on_team` for threads and thread; `arguments_at` knows what all threads are told."""
    on_team(backward_share, threads, thread, arguments_at(places, layout))


@part
def backward_share(thread, scans, saved, grads, items, counter, tile, blocks, path, sums):
    """What one thread does: take items until none is left.

    scans, saved, grads: tuples of one or two directions; each has items of its own, one direction's after the other's.
    saved: as `scan_forward` fills it, with tiles of as many tokens.
    tile: (threads, BACKWARD_TILES, tokens in a tile, LANES): each thread has a workspace of its own.
    blocks: (threads, BACKWARD_BLOCKS, team, groups of states, STATES × LANES).
    path: (threads, PATHS, tokens in a tile, STATES × LANES).
    sums: (threads, SUMS, team, LANES).
    """
    mode = flush_denormals()
    item = take_number(counter)
    while item < items:
        i, place = divmod(item, items // len(scans))
        scan, grad, block = scans[i], grads[i], blocks[thread][:, :, : -(-scans[i].A.shape[1] // STATES)]
        b, g, team, first, end = place_of_item(place, scan.u.shape[1], scan.groups, scan.team * tile.shape[3])
        begin_item(scan, grad, block, sums[thread], b, first, end)
        walk_back(scan, saved[i], grad, tile[thread], block, path[thread], sums[thread], b, g, team, first, end)
        finish_item(scan, grad, block, sums[thread], b, first, end)
        item = take_number(counter)
    restore_denormals(mode)


@part
def begin_item(scan, grad, blocks, sums, b, first, end):
    """What does not change along the sequence, and the sums at their start."""
    lanes = sums.shape[2]
    for k in range(blocks_in(first, end, lanes)):
        channel, channels = channels_of_block(first, end, lanes, k)
        for row in (GRAD_A, GRAD_OWN_B, GRAD_OWN_C):
            clear_block(blocks[row, k])
        for row in range(SUMS):
            for i in range(lanes):
                sums[row, k, i] = 0
        prepare_rates(scan, blocks[:, k], channel, channels)
        read_block(blocks[SYSTEM, k], scan.A, channel, channels)
        read_block(blocks[GRAD_STATE, k], grad.last[b], channel, channels)


@part
def walk_back(scan, saved, grad, tile, blocks, path, sums, b, g, team, first, end):
    """From the last tile to the first: the states of the tile once more, and the gradients against them.

    The two ends of a tile are handed single arrays: a tuple of arrays is copied at every call, all that is in it.
    """
    lanes, length = tile.shape[2], tile.shape[1]
    first_block = number_of_block(first, g, scan.u.shape[1] // scan.groups, lanes)
    maps = Maps(
        B=scan.B[place_in_map(scan.B, b, g, scan.groups)],
        C=scan.C[place_in_map(scan.C, b, g, scan.groups)],
        grad_B=grad.B[(0, 0) if scan.B_constant else (b, team)],
        grad_C=grad.C[(0, 0) if scan.C_constant else (b, team)],
    )
    inputs, results = (scan.delta, scan.u, grad.y, scan.z), (grad.delta, grad.u, grad.z)
    for c in range(saved.shape[1] - 1, -1, -1):
        start = c * length
        steps = min(length, scan.u.shape[2] - start)
        for k in range(blocks_in(first, end, lanes)):
            channel, channels = channels_of_block(first, end, lanes, k)
            prepare_tile(
                scan.delta, scan.u, scan.z, grad.y, scan.softplus, scan.gated,
                tile, blocks[:, k], b, channel, channels, start, steps,
            )  # fmt: skip
            next_c, next_k = (c, k + 1) if channel + lanes < end else (c - 1, 0)
            for s in range(blocks.shape[2]):
                prefetch_block(saved, (b, next_c, first_block + next_k, s))
                needed = inputs[min(s, 3)], b, first + next_k * lanes, next_c * length
                written = results[min(s, 2)], b, channel, start
                block, states = blocks[:, k, s], saved[b, c, first_block + k, s]
                return_states(scan, block, states, maps, k > 0, tile, path, needed, written, s, start, steps)
            finish_tile(
                scan.u, grad.u, grad.delta, grad.z, scan.softplus, scan.gated,
                tile, blocks[:, k], sums[:, k], b, channel, channels, start, steps,
            )  # fmt: skip


@part
def prepare_tile(delta, u, z, grad_y, use_softplus, gated, tile, block, b, channel, channels, start, steps):
    """All that a tile needs before its states: as in the forward scan, and what the gate does to the gradient of y."""
    lanes = tile.shape[2]
    begin_tile(delta, u, use_softplus, tile, block, b, channel, channels, start, steps)
    zero = constant(load(tile, (GRAD_X, 0)), 0.0, 0.0)
    for t in range(steps):
        store(tile, (GRAD_X, t), zero)
        store(tile, (GRAD_DECAY, t), zero)
    if not gated:
        read_tile(tile[GRAD_Y], grad_y, b, channel, channels, start, steps)
        return
    own_y, own_z = tile[GRAD_Y], tile[GRAD_GATE]
    if is_tile(grad_y, channels, lanes):
        own_y = grad_y[b, channel : channel + lanes, start:].T
    else:
        read_tile(own_y, grad_y, b, channel, channels, start, steps)
    if is_tile(z, channels, lanes):
        own_z = z[b, channel : channel + lanes, start:].T
    else:
        read_tile(own_z, z, b, channel, channels, start, steps)
    for t in range(steps):
        z_t, grad_t = load(own_z, (t,)), load(own_y, (t,))
        gate = sigmoid(z_t)
        store(tile, (GRAD_GATE, t), grad_t * gate * fma(z_t, 1.0 - gate, 1.0))
        store(tile, (GRAD_Y, t), grad_t * z_t * gate)


@inlined_part
def return_states(scan, block, saved, maps, added, tile, path, needed, written, s, start, steps):
    """`retrace` and `go_back`, compiled separately for the two usual cases, where maps vary, and for the rest."""
    constant_B, constant_C, without_self = scan.B_constant, scan.C_constant, scan.exclude_self
    if constant_B or constant_C:
        retrace(constant_B, constant_C, without_self, block, saved, maps, tile, path, needed, s, start, steps)
        go_back(constant_B, constant_C, without_self, block, maps, added, tile, path, written, s, start, steps)
    elif without_self:
        retrace(False, False, True, block, saved, maps, tile, path, needed, s, start, steps)
        go_back(False, False, True, block, maps, added, tile, path, written, s, start, steps)
    else:
        retrace(False, False, False, block, saved, maps, tile, path, needed, s, start, steps)
        go_back(False, False, False, block, maps, added, tile, path, written, s, start, steps)


@inlined_part
def retrace(B_constant, C_constant, exclude_self, block, saved, maps, tile, path, needed, s, start, steps):
    """Carry STATES states through the tile as `advance` does, keeping exp(Δ' A) h and w of every token."""
    rate, tail = load_block(block, (RATE,)), load_block(block, (RATE_TAIL,))
    h = load_block(saved, (0,))
    for t in range(steps):
        prefetch_token(needed, t)
        step = repeat(load(tile, (STEP, t)))
        mark = nearest_mark(step, rate)
        w = growth_from(mark, step, rate, tail)
        carried = grown(h, mark, w)
        B_t = load_block(block, (OWN_B,)) if B_constant else spread(maps.B, (start + t, s * STATES))
        C_t = load_block(block, (OWN_C,)) if C_constant else spread(maps.C, (start + t, s * STATES))
        h = fma(repeat(load(tile, (X, t))), B_t, carried)
        store(tile, (Y, t), add_products(load(tile, (Y, t)), carried if exclude_self else h, C_t))
        store(path, (CARRIED, t), carried)
        store(path, (GROWTH, t), w)


@inlined_part
def go_back(B_constant, C_constant, exclude_self, block, maps, added, tile, path, written, s, start, steps):
    """Carry the gradient G of STATES states back through the tile, adding to every gradient that it meets.

    Those of B and C are sums over channels: this block's are added to what the blocks before it have left, if `added`.
    """
    rate, A = load_block(block, (RATE,)), load_block(block, (SYSTEM,))
    G = load_block(block, (GRAD_STATE,))
    grad_A = grad_own_B = grad_own_C = constant(G, 0.0, 0.0)
    for t in range(steps - 1, -1, -1):
        prefetch_token(written, t)
        step, x = repeat(load(tile, (STEP, t))), repeat(load(tile, (X, t)))
        grad_y = repeat(load(tile, (GRAD_Y, t)))
        carried = load_block(path, (CARRIED, t))
        B_t = load_block(block, (OWN_B,)) if B_constant else spread(maps.B, (start + t, s * STATES))
        C_t = load_block(block, (OWN_C,)) if C_constant else spread(maps.C, (start + t, s * STATES))
        later, G = G, fma(C_t, grad_y, G)
        grad_own = later if exclude_self else G
        seen = carried if exclude_self else fma(x, B_t, carried)
        if B_constant:
            grad_own_B = fma(grad_own, x, grad_own_B)
        else:
            add_lane_sums(maps.grad_B, (start + t, s * STATES), grad_own * x, added)
        if C_constant:
            grad_own_C = fma(grad_y, seen, grad_own_C)
        else:
            add_lane_sums(maps.grad_C, (start + t, s * STATES), grad_y * seen, added)
        F = G * carried
        store(tile, (GRAD_X, t), add_products(load(tile, (GRAD_X, t)), grad_own, B_t))
        store(tile, (GRAD_DECAY, t), add_products(load(tile, (GRAD_DECAY, t)), F, A))
        grad_A = fma(step, F, grad_A)
        G = grown(G, nearest_mark(step, rate), load_block(path, (GROWTH, t)))
    store(block, (GRAD_STATE,), G)
    store(block, (GRAD_A,), load_block(block, (GRAD_A,)) + grad_A)
    store(block, (GRAD_OWN_B,), load_block(block, (GRAD_OWN_B,)) + grad_own_B)
    store(block, (GRAD_OWN_C,), load_block(block, (GRAD_OWN_C,)) + grad_own_C)


@inlined_part
def add_lane_sums(sums, index, block, added):
    """sums[index + n] = the sum of the lanes of state n of a block, added to what stands there already or not."""
    own = lane_sums(block)
    store(sums, index, load_states(sums, index) + own if added else own)


@part
def finish_tile(
    u, grad_u, grad_delta, grad_z, use_softplus, gated, tile, block, sums, b, channel, channels, start, steps
):
    """The gradients of u, Δ and z from what the states have left in the tile."""
    lanes = tile.shape[2]
    own_u, to_u, to_delta, to_z = tile[U], tile[U], tile[DELTA], tile[Y]
    if is_tile(u, channels, lanes):
        own_u = u[b, channel : channel + lanes, start:].T
    in_place = is_tile(grad_u, channels, lanes) and is_tile(grad_delta, channels, lanes)
    in_place = in_place and is_tile(grad_z, channels, lanes)
    if in_place:
        to_u = grad_u[b, channel : channel + lanes, start:].T
        to_delta = grad_delta[b, channel : channel + lanes, start:].T
        if gated:
            to_z = grad_z[b, channel : channel + lanes, start:].T
    skip = load(block, (SKIP, 0))
    sum_D = sum_bias = constant(skip, 0.0, 0.0)
    for t in range(steps):
        u_t, step = load(own_u, (t,)), load(tile, (DELTA, t))
        grad_y, grad_x = load(tile, (GRAD_Y, t)), load(tile, (GRAD_X, t))
        grad_step = fma(u_t, grad_x, load(tile, (GRAD_DECAY, t)))
        if use_softplus:
            grad_step = grad_step * softplus_slope(step)
        sum_D = fma(grad_y, u_t, sum_D)
        sum_bias = sum_bias + grad_step
        store(to_u, (t,), fma(grad_x, step, grad_y * skip))
        store(to_delta, (t,), grad_step)
        store(to_z, (t,), load(tile, (Y, t)) * load(tile, (GRAD_GATE, t)))
    store(sums, (SUM_D,), load(sums, (SUM_D,)) + sum_D)
    store(sums, (SUM_BIAS,), load(sums, (SUM_BIAS,)) + sum_bias)
    if not in_place:
        write_tile(grad_u, to_u, b, channel, channels, start, steps)
        write_tile(grad_delta, to_delta, b, channel, channels, start, steps)
        if gated:
            write_tile(grad_z, to_z, b, channel, channels, start, steps)


@part
def finish_item(scan, grad, blocks, sums, b, first, end):
    """Write the gradients that gathered along the sequence."""
    lanes = sums.shape[2]
    for k in range(blocks_in(first, end, lanes)):
        channel, channels = channels_of_block(first, end, lanes, k)
        write_lanes(grad.D[b], sums[SUM_D, k], channel, channels)
        write_lanes(grad.bias[b], sums[SUM_BIAS, k], channel, channels)
        write_block(grad.A[b], blocks[GRAD_A, k], channel, channels)
        write_block(grad.initial[b], blocks[GRAD_STATE, k], channel, channels)
        if scan.B_constant:
            write_block(grad.B[0, b], blocks[GRAD_OWN_B, k], channel, channels)
        if scan.C_constant:
            write_block(grad.C[0, b], blocks[GRAD_OWN_C, k], channel, channels)
