"""The causal depthwise convolution as a CPU kernel; its gradients stand in numba_conv_backward.py.

    p_t = bias + Σ_i w_i x_{t − i}        y_t = silu(p_t), or p_t        w_i = weight[:, width − 1 − i]

Nothing recurs here, so a vector may lie along whichever axis is contiguous in memory: across channels, LANES of them at
one token, as the models keep them, or along the tokens, LANES of them in one channel. The vector of the tokens before
is then another row of memory, or the same row shifted by one number; either way it is one load, and the arithmetic is
the same. What a *strand* is differs: LANES channels walked token by token, or one channel walked LANES tokens at a
time. An item of work is a stretch of tokens in a few strands.

Where a vector or its window would reach beyond the tensor, at the first tokens, the last ones or the last channels, the
numbers go one by one through a small array, the edge. Reading backwards only turns round where the past lies.
"""

from typing import NamedTuple

import numpy as np

from vmamba_kernels.kernel_arguments import arguments_at
from vmamba_kernels.kernel_compilation import inlined_part, kernel, part
from vmamba_kernels.machine import flush_denormals, restore_denormals, take_number
from vmamba_kernels.thread_team import on_team
from vmamba_kernels.vector_intrinsics import constant, fma
from vmamba_kernels.vector_math import silu
from vmamba_kernels.vector_memory import load, prefetch, store

WIDEST = 4  # taps
AHEAD = 4  # tokens


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
def convolve(threads, thread, places, layout):
    """Fill y, laid out as x. See `on_team` for threads and thread; `arguments_at` knows what all threads are told."""
    on_team(convolve_share, threads, thread, arguments_at(places, layout))


@part
def convolve_share(thread, conv, y, items, counter, taps, edge):
    """What one thread does: take items until none is left.

    taps: (threads, strands, WIDEST + 1, LANES): each thread has a workspace of its own.
    edge: (threads, 2 · WIDEST · LANES).
    """
    mode = flush_denormals()
    taps, edge = taps[thread], edge[thread]
    channels, tokens = vector_shape(conv, taps.shape[2])
    item, held = take_number(counter), -1
    while item < items:
        b, _, first, end, start, stop = place_of_item(conv, item, channels)
        if first != held:
            read_taps(conv, taps, first, end, channels)
            held = first
        filter_item(conv, y, taps, edge, b, first, end, start, stop, channels, tokens)
        item = take_number(counter)
    restore_denormals(mode)


@part
def filter_item(conv, y, taps, edge, b, first, end, start, stop, channels, tokens):
    """Fill the vectors of an item: those that are whole, then those at an edge."""
    begin, ragged = whole_tokens(conv, start, stop, tokens)
    whole = whole_channels(first, end, channels)
    filter_whole(conv, y, taps, b, first, whole, begin, ragged)
    for t in range(start, stop, tokens):
        for channel in range(whole if begin <= t < ragged else first, end, channels):
            read_edge(edge, conv, b, channel, t, channels, tokens)
            p = filtered(window_of_edge(edge, conv, channels), taps[(channel - first) // channels])
            store(edge, (0,), silu(p) if conv.silu else p)
            write_vector(y, edge, b, channel, t, channels, tokens)


@part
def filter_whole(conv, y, taps, b, first, end, start, stop):
    """Fill vectors that lie in y, with windows that lie in x; each case a loop of its own, with nothing to decide."""
    if conv.along and conv.silu:
        filter_along(True, conv, y, taps, b, first, end, start, stop)
    elif conv.along:
        filter_along(False, conv, y, taps, b, first, end, start, stop)
    elif conv.silu:
        filter_across(True, conv, y, taps, b, first, end, start, stop)
    else:
        filter_across(False, conv, y, taps, b, first, end, start, stop)


@inlined_part
def filter_along(activated, conv, y, taps, b, first, end, start, stop):
    """Channel by channel, vectors of tokens."""
    for channel in range(first, end):
        for t in range(start, stop, taps.shape[2]):
            p = filtered(read_window(conv, b, channel, t), taps[0])
            store(y, (b, channel, t), silu(p) if activated else p)


@inlined_part
def filter_across(activated, conv, y, taps, b, first, end, start, stop):
    """Token by token, vectors of channels.

    With silu so many instructions lie between two loads that a processor sees few of them ahead: memory is asked early.
    """
    channels = taps.shape[2]
    for t in range(start, stop):
        for k in range((end - first) // channels):
            channel = first + k * channels
            if activated:
                prefetch(conv.x, (b, channel, t + AHEAD))
            p = filtered(read_window(conv, b, channel, t), taps[k])
            store(y, (b, channel, t), silu(p) if activated else p)


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
def whole_tokens(conv, start, stop, tokens):
    """Of vectors at tokens start, start + tokens, … < stop, those at begin ≤ t < end lie in x, as do their windows."""
    length, before = conv.x.shape[2], conv.weight.shape[1] - 1
    first, last = (0, length - tokens - before) if conv.reverse else (before, length - tokens)
    begin = start + max(0, -(-(first - start) // tokens)) * tokens
    return begin, max(begin, min(stop, last + 1))


@part
def whole_channels(first, end, channels):
    """Where the channels end of those strands that are as wide as a vector."""
    return first + (end - first) // channels * channels


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
    """The tokens of a vector's window one after the other, from x or the initial state, and zeros where neither is."""
    length, before = conv.x.shape[2], conv.weight.shape[1] - 1
    first, count = t if conv.reverse else t - before, tokens + before
    initial = first - length if conv.reverse else first + before  # counted in the initial state
    clear(edge, channels * tokens)
    read_numbers(edge, conv.x[b], channel, first, first + count, channels)
    read_numbers(edge, conv.initial[b], channel, initial, initial + count, channels)


@part
def read_numbers(edge, source, channel, start, stop, channels):
    """edge[(t − start) · channels + lane] = source[channel + lane, t] for start ≤ t < stop, where the source has it."""
    for t in range(max(start, 0), min(stop, source.shape[1])):
        for lane in range(min(channels, source.shape[0] - channel)):
            edge[(t - start) * channels + lane] = source[channel + lane, t]


@part
def clear(edge, lanes):
    """Zeros in the whole edge, vector by vector."""
    for i in range(0, edge.shape[0], lanes):
        store(edge, (i,), constant(load(edge, (i,)), 0.0, 0.0))


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
