"""The causal depthwise convolution as a CPU kernel; its gradients stand in numba_conv_backward.py.

    p_t = bias + Σ_i w_i x_{t − i}        y_t = silu(p_t), or p_t        w_i = weight[:, width − 1 − i]

Nothing recurs here, so a vector may lie along whichever axis is contiguous in memory: across channels, LANES of them at
one token, as the models keep them, or along the tokens, LANES of them in one channel. The vector of the tokens before
is then another row of memory, or the same row shifted by one number; either way it is one load, and both layouts are
the same loop. What a *strand* is differs: LANES channels walked token by token, or one channel walked LANES tokens at a
time. An item of work is a stretch of tokens in a few strands.

Where a vector or its window would reach beyond the tensor, at the first tokens, the last ones or the last channels, the
numbers go one by one through a small array, the edge. Reading backwards only turns round where the past lies.
"""

from typing import NamedTuple

import numpy as np

from vmamba_kernels.kernel_compilation import inlined_part, kernel, part
from vmamba_kernels.machine import flush_denormals, restore_denormals, take_number
from vmamba_kernels.thread_team import on_team
from vmamba_kernels.vector_intrinsics import constant, fma
from vmamba_kernels.vector_math import sigmoid
from vmamba_kernels.vector_memory import load, store

WIDEST = 4  # taps


class Convolution(NamedTuple):
    """The inputs of a convolution; what is absent is zero."""

    x: np.ndarray  # (batch, dim, length), channels or tokens contiguous
    weight: np.ndarray  # (dim, width)
    bias: np.ndarray  # (dim,)
    initial: np.ndarray  # (batch, dim, width − 1)
    silu: bool
    reverse: bool
    along: bool  # whether vectors lie along the tokens, else across channels
    tokens: int  # in an item: a multiple of LANES
    strands: int  # in an item: 1 if vectors lie along the tokens


@kernel
def convolve(threads, thread, conv, y, items, counter, taps, edge):
    """Fill y, laid out as x. See `on_team` for threads and thread; each has a workspace of its own.

    taps: (threads, strands, WIDEST + 1, LANES).
    edge: (threads, 2 · WIDEST · LANES).
    """
    on_team(convolve_share, threads, thread, (conv, y, items, counter, taps, edge))


@part
def convolve_share(thread, conv, y, items, counter, taps, edge):
    """What one thread does: take items until none is left."""
    mode = flush_denormals()
    taps, edge = taps[thread], edge[thread]
    channels, tokens = vector_shape(conv, taps.shape[2])
    item, held = take_number(counter), -1
    while item < items:
        b, _, first, end, start, stop = place_of_item(conv, item, channels)
        if first != held:
            read_taps(conv, taps, first, end, channels)
            held = first
        if conv.along:
            for channel in range(first, end):
                filter_run(conv, y, taps, edge, b, channel, start, -(-(stop - start) // tokens), channels, tokens)
        else:
            for t in range(start, stop):
                filter_run(conv, y, taps, edge, b, first, t, -(-(end - first) // channels), channels, tokens)
        item = take_number(counter)
    restore_denormals(mode)


@part
def filter_run(conv, y, taps, edge, b, channel, t, count, channels, tokens):
    """Fill `count` vectors of y that follow each other in memory: strands of one token, or tokens of one strand."""
    more_channels, more_tokens = (0, tokens) if conv.along else (channels, 0)
    begin, end = inside(conv, channel, t, count, channels, tokens, more_channels, more_tokens)
    for i in range(begin, end):
        here, now = channel + i * more_channels, t + i * more_tokens
        p = filtered(read_window(conv, b, here, now), taps[0 if conv.along else i])
        store(y, (b, here, now), p * sigmoid(p) if conv.silu else p)
    for i in range(count):
        if not begin <= i < end:
            here, now = channel + i * more_channels, t + i * more_tokens
            read_edge(edge, conv, b, here, now, channels, tokens)
            p = filtered(window_of_edge(edge, conv, channels), taps[0 if conv.along else i])
            store(edge, (0,), p * sigmoid(p) if conv.silu else p)
            write_vector(y, edge, b, here, now, channels, tokens)


# Where things lie.


@part
def vector_shape(conv, lanes):
    """Channels and tokens in a vector."""
    return (1, lanes) if conv.along else (lanes, 1)


@part
def place_of_item(conv, item, channels):
    """Batch element, number of the stretch in all the batch, channels first ≤ d < end, tokens start ≤ t < stop."""
    _, dim, length = conv.x.shape
    channels_in_item = channels * conv.strands
    stretches = -(-length // conv.tokens)
    place, stretch = divmod(item, stretches * conv.x.shape[0])
    b, first, start = stretch // stretches, place * channels_in_item, stretch % stretches * conv.tokens
    return b, stretch, first, min(first + channels_in_item, dim), start, min(start + conv.tokens, length)


@part
def past(conv):
    """The step to the token read before."""
    return 1 if conv.reverse else -1


@part
def inside(conv, channel, t, count, channels, tokens, more_channels, more_tokens):
    """Of vectors 0 ≤ i < count, at (channel + i more_channels, t + i more_tokens), those begin ≤ i < end that lie in x.

    With their windows, the tokens read before them.
    """
    _, dim, length = conv.x.shape
    before = conv.weight.shape[1] - 1
    first, last = (0, length - tokens - before) if conv.reverse else (before, length - tokens)
    begin, end = 0, count
    if more_tokens > 0:
        begin = max(0, -(-(first - t) // more_tokens))
        end = min(end, (last - t) // more_tokens + 1)
    elif not first <= t <= last:
        end = 0
    if more_channels > 0:
        end = min(end, (dim - channels - channel) // more_channels + 1)
    elif channel + channels > dim:
        end = 0
    return begin, max(begin, end)


# The filter.


@part
def read_taps(conv, taps, first, end, channels):
    """For each strand a vector for each tap, the token's own first; zeros up to WIDEST; and then the bias."""
    width = conv.weight.shape[1]
    for k in range(-(-(end - first) // channels)):
        channel, zero = first + k * channels, constant(load(taps, (0, 0)), 0.0, 0.0)
        for i in range(WIDEST + 1):
            store(taps, (k, i), zero)
        for i in range(width):
            write_tap(taps[k, i], conv.weight[:, width - 1 - i], channel, channels, end)
        write_tap(taps[k, WIDEST], conv.bias, channel, channels, end)


@part
def write_tap(tap, source, channel, channels, end):
    """The number of each channel in its lane, or of the only channel in all lanes."""
    if channels == 1:
        store(tap, (0,), constant(load(tap, (0,)), 0.0, 0.0) + source[channel])
    else:
        for lane in range(min(channels, end - channel)):
            tap[lane] = source[channel + lane]


@inlined_part
def read_window(conv, b, channel, t):
    """The vectors at x_t, x_{t−1}, …, as many as the filter is wide, and zeros."""
    width, step = conv.weight.shape[1], past(conv)
    x0 = load(conv.x, (b, channel, t))
    x2 = x3 = constant(x0, 0.0, 0.0)
    if width > 2:
        x2 = load(conv.x, (b, channel, t + 2 * step))
    if width > 3:
        x3 = load(conv.x, (b, channel, t + 3 * step))
    return x0, load(conv.x, (b, channel, t + step)), x2, x3


@inlined_part
def filtered(window, taps):
    """p."""
    p = fma(load(taps, (0,)), window[0], load(taps, (WIDEST,)))
    p = fma(load(taps, (1,)), window[1], p)
    p = fma(load(taps, (2,)), window[2], p)
    return fma(load(taps, (3,)), window[3], p)


# The edge: vectors of which a part, or a part of their window, does not exist.


@part
def read_edge(edge, conv, b, channel, t, channels, tokens):
    """The tokens of a vector's window one after the other, from x, from the initial state, or zeros."""
    before = conv.weight.shape[1] - 1
    first = t if conv.reverse else t - before
    for i in range(tokens + before):
        for lane in range(channels):
            edge[i * channels + lane] = input_at(conv, b, channel + lane, first + i)


@part
def input_at(conv, b, d, t):
    """x_t, the initial state where t lies before the first token read, 0 where there is nothing."""
    _, dim, length = conv.x.shape
    before = conv.weight.shape[1] - 1
    i = t - length if conv.reverse else t + before
    if d < dim and 0 <= t < length:
        return conv.x[b, d, t]
    return conv.initial[b, d, i] if d < dim and 0 <= i < before else 0.0


@inlined_part
def window_of_edge(edge, conv, channels):
    """What `read_window` reads, from the edge."""
    width, step = conv.weight.shape[1], past(conv) * channels
    i = 0 if conv.reverse else (width - 1) * channels
    x0 = load(edge, (i,))
    x2 = x3 = constant(x0, 0.0, 0.0)
    if width > 2:
        x2 = load(edge, (i + 2 * step,))
    if width > 3:
        x3 = load(edge, (i + 3 * step,))
    return x0, load(edge, (i + step,)), x2, x3


@part
def write_vector(target, edge, b, channel, t, channels, tokens):
    """target[b, channel, t] = the vector at the beginning of the edge, as much of it as there is room for."""
    for i in range(min(tokens, target.shape[2] - t)):
        for lane in range(min(channels, target.shape[1] - channel)):
            target[b, channel + lane, t + i] = edge[i + lane]
