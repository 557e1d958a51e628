"""The causal depthwise convolution and its gradients as CPU kernels.

    p_t = bias + Σ_j w_j x_{t − width + 1 + j}        y_t = silu(p_t), or p_t

Each channel has its own filter of `width` taps; the inputs before the first token are the initial state. As in the
scan, a block of channels fills a vector, a team of blocks of one batch element is an item of work, and an item reads
its tokens tile by tile. A tile of inputs begins with the width − 1 tokens before it.
"""

from typing import NamedTuple

import numpy as np

from vmamba_kernels.kernel_compilation import kernel, part
from vmamba_kernels.machine import flush_denormals, restore_denormals, take_number
from vmamba_kernels.numba_tiles import ask_for_tile, read_lanes, read_tile, write_lanes, write_tile
from vmamba_kernels.vector_intrinsics import constant, fma
from vmamba_kernels.vector_math import sigmoid
from vmamba_kernels.vector_memory import load, store


class Convolution(NamedTuple):
    """The inputs of a convolution, in its reading direction; what is absent is zero."""

    x: np.ndarray  # (batch, dim, length)
    weight: np.ndarray  # (dim, width)
    bias: np.ndarray  # (dim,)
    initial: np.ndarray  # (batch, dim, width − 1)
    silu: bool
    team: int  # blocks of channels in a team


class ConvolutionGradients(NamedTuple):
    """What comes in, and what the kernel fills; the sums over the batch are finished by the caller."""

    y: np.ndarray  # in: (batch, dim, length)
    x: np.ndarray  # out: (batch, dim, length)
    weight: np.ndarray  # out: (batch, dim, width)
    bias: np.ndarray  # out: (batch, dim)
    initial: np.ndarray  # out: (batch, dim, width − 1)


# Rows of a thread's array `tiles`: the inputs with those before them, p or y, and, backwards, the gradients of p and x.
INPUT, OUTPUT, GRAD_OUTPUT, GRAD_INPUT = range(4)
CONVOLUTION_TILES = 4


@kernel
def convolve(conv, y, items, counter, tiles, taps):
    """Fill y. All threads call this with the same counter and a workspace of their own.

    tiles: (CONVOLUTION_TILES, team, width − 1 + tokens in a tile, LANES).
    taps: (team, width + 1, LANES).
    """
    mode = flush_denormals()
    before = conv.weight.shape[1] - 1
    length, lanes = tiles.shape[2] - before, tiles.shape[3]
    item = take_number(counter)
    while item < items:
        b, first, blocks = place_of_item(item, conv.x.shape[1], lanes, conv.team)
        for k in range(blocks):
            channel, channels = channels_of_block(conv.x.shape[1], first, lanes, k)
            read_taps(conv, taps[k], channel, channels)
            read_tile(tiles[INPUT, k], conv.initial, b, channel, channels, 0, before)
        for start in range(0, y.shape[2], length):
            steps = min(length, y.shape[2] - start)
            for k in range(blocks):
                channel, channels = channels_of_block(conv.x.shape[1], first, lanes, k)
                inputs, outputs = tiles[INPUT, k], tiles[OUTPUT, k]
                ask_for_tile(conv.x, b, channel, start + length, length)
                read_tile(inputs[before:], conv.x, b, channel, channels, start, steps)
                filter_tile(outputs, inputs, taps[k], steps)
                if conv.silu:
                    for t in range(steps):
                        p = load(outputs, (t,))
                        store(outputs, (t,), p * sigmoid(p))
                write_tile(y, outputs, b, channel, channels, start, steps)
                for i in range(before):
                    store(inputs, (i,), load(inputs, (steps + i,)))
        item = take_number(counter)
    restore_denormals(mode)


@kernel
def convolve_backward(conv, grad, items, counter, tiles, taps, sums):
    """Fill the gradients, from the last tile to the first. Workspace as in `convolve`; sums is shaped like taps."""
    mode = flush_denormals()
    before = conv.weight.shape[1] - 1
    length, lanes = tiles.shape[2] - before, tiles.shape[3]
    item = take_number(counter)
    while item < items:
        b, first, blocks = place_of_item(item, conv.x.shape[1], lanes, conv.team)
        for k in range(blocks):
            channel, channels = channels_of_block(conv.x.shape[1], first, lanes, k)
            read_taps(conv, taps[k], channel, channels)
            clear_rows(sums[k])
            clear_rows(tiles[GRAD_OUTPUT, k])  # nothing comes from tokens after the last
        for start in range((conv.x.shape[2] - 1) // length * length, -1, -length):
            steps = min(length, conv.x.shape[2] - start)
            for k in range(blocks):
                channel, channels = channels_of_block(conv.x.shape[1], first, lanes, k)
                inputs, outputs = tiles[INPUT, k], tiles[OUTPUT, k]
                grad_outputs, grad_inputs = tiles[GRAD_OUTPUT, k], tiles[GRAD_INPUT, k]
                ask_for_tile(conv.x, b, channel, start - length, length)
                ask_for_tile(grad.y, b, channel, start - length, length)
                if start == 0:
                    read_tile(inputs, conv.initial, b, channel, channels, 0, before)
                else:
                    read_tile(inputs, conv.x, b, channel, channels, start - before, before)
                read_tile(inputs[before:], conv.x, b, channel, channels, start, steps)
                for i in range(before):  # the first tokens of the later tile follow this tile
                    store(grad_outputs, (steps + i,), load(grad_outputs, (i,)))
                read_tile(grad_outputs, grad.y, b, channel, channels, start, steps)
                if conv.silu:
                    filter_tile(outputs, inputs, taps[k], steps)
                    undo_silu(grad_outputs, outputs, steps)
                gather_taps(sums[k], grad_outputs, inputs, steps)
                filter_back(grad_inputs, grad_outputs, taps[k], steps)
                write_tile(grad.x, grad_inputs, b, channel, channels, start, steps)
        for k in range(blocks):
            channel, channels = channels_of_block(conv.x.shape[1], first, lanes, k)
            finish_block(grad, tiles[GRAD_OUTPUT, k], tiles[GRAD_INPUT, k], taps[k], sums[k], b, channel, channels)
        item = take_number(counter)
    restore_denormals(mode)


@part
def place_of_item(item, dim, lanes, blocks_in_team):
    """Batch element, first channel, and number of blocks of a work item."""
    channels_in_team = blocks_in_team * lanes
    b, team = divmod(item, -(-dim // channels_in_team))
    first = team * channels_in_team
    return b, first, min(blocks_in_team, -(-(dim - first) // lanes))


@part
def channels_of_block(dim, first, lanes, k):
    """First channel and number of channels of block k of a team."""
    channel = first + k * lanes
    return channel, min(lanes, dim - channel)


@part
def read_taps(conv, taps, channel, channels):
    """The filters of a block of channels, a vector for each tap, and then the bias."""
    for j in range(conv.weight.shape[1]):
        read_lanes(taps[j], conv.weight[:, j], channel, channels)
    read_lanes(taps[conv.weight.shape[1]], conv.bias, channel, channels)


@part
def clear_rows(rows):
    zero = constant(load(rows, (0,)), 0.0, 0.0)
    for i in range(rows.shape[0]):
        store(rows, (i,), zero)


@part
def filter_tile(outputs, inputs, taps, steps):
    """p_t = bias + Σ_j w_j x_{t − width + 1 + j}; row j of the inputs lies width − 1 − j tokens before the tile."""
    width = taps.shape[0] - 1
    for t in range(steps):
        p = load(taps, (width,))
        for j in range(width):
            p = fma(load(taps, (j,)), load(inputs, (t + j,)), p)
        store(outputs, (t,), p)


@part
def filter_back(grad_inputs, grad_outputs, taps, steps):
    """The gradient of x_t is Σ_j w_j times that of p_{t + width − 1 − j}."""
    width = taps.shape[0] - 1
    for t in range(steps):
        total = constant(load(taps, (0,)), 0.0, 0.0)
        for j in range(width):
            total = fma(load(taps, (j,)), load(grad_outputs, (t + width - 1 - j,)), total)
        store(grad_inputs, (t,), total)


@part
def undo_silu(grad_outputs, outputs, steps):
    """From the gradient of y to that of p."""
    for t in range(steps):
        p = load(outputs, (t,))
        gate = sigmoid(p)
        store(grad_outputs, (t,), load(grad_outputs, (t,)) * gate * fma(p, 1.0 - gate, 1.0))


@part
def gather_taps(sums, grad_outputs, inputs, steps):
    """Add to the gradients of the taps, Σ_t x_{t − width + 1 + j} times that of p_t, and of the bias, their sum.

    The tile has totals of its own first: see numba_scan_backward.py.
    """
    width = sums.shape[0] - 1
    for j in range(width):
        total = constant(load(sums, (j,)), 0.0, 0.0)
        for t in range(steps):
            total = fma(load(grad_outputs, (t,)), load(inputs, (t + j,)), total)
        store(sums, (j,), load(sums, (j,)) + total)
    total = constant(load(sums, (width,)), 0.0, 0.0)
    for t in range(steps):
        total = total + load(grad_outputs, (t,))
    store(sums, (width,), load(sums, (width,)) + total)


@part
def finish_block(grad, grad_outputs, grad_inputs, taps, sums, b, channel, channels):
    """Write the gradients of the taps and of the bias, and those of the inputs before the first."""
    width = taps.shape[0] - 1
    for j in range(width):
        write_lanes(grad.weight[b, :, j], sums[j], channel, channels)
    write_lanes(grad.bias[b], sums[width], channel, channels)
    for i in range(width - 1):
        total = constant(load(taps, (0,)), 0.0, 0.0)
        for j in range(i + 1):
            total = fma(load(taps, (j,)), load(grad_outputs, (i - j,)), total)
        store(grad_inputs, (i,), total)
    write_tile(grad.initial, grad_inputs, b, channel, channels, 0, width - 1)
