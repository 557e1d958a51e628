"""The gradients of the causal depthwise convolution as a CPU kernel.

With g_t the gradient of p_t, which is that of y_t times the slope of silu at p_t:

    dx_t = Σ_i w_i g_{t + i}        dw_i = Σ_t g_t x_{t − i}        dbias = Σ_t g_t

An item of work goes through its stretch of tokens strand by strand (see numba_conv.py): first forwards for p, g and the
sums over tokens, then once more for dx. The sums over stretches are taken by the caller, in a fixed order.
"""

from typing import NamedTuple

import numpy as np

from vmamba_kernels.kernel_arguments import arguments_at
from vmamba_kernels.kernel_compilation import inlined_part, kernel, part
from vmamba_kernels.machine import flush_denormals, restore_denormals, take_number
from vmamba_kernels.numba_conv import (
    WIDEST,
    clear,
    filtered,
    past,
    place_of_item,
    read_edge,
    read_numbers,
    read_taps,
    read_window,
    vector_shape,
    whole_tokens,
    window_of_edge,
    write_vector,
)
from vmamba_kernels.thread_team import on_team
from vmamba_kernels.vector_intrinsics import constant, fma, lane_sums
from vmamba_kernels.vector_math import sigmoid
from vmamba_kernels.vector_memory import load, store


class ConvolutionGradients(NamedTuple):
    """What comes in, and what the kernel fills; the sums over stretches are finished by the caller."""

    y: np.ndarray  # in: (batch, dim, length), laid out as x
    x: np.ndarray  # out: (batch, dim, length), laid out as x
    taps: np.ndarray  # out: (batch · stretches of tokens, WIDEST + 1, dim), of each w_i and then of the bias
    initial: np.ndarray  # out: (batch, dim, width − 1)


@kernel
def convolve_backward(threads, thread, places, layout):
    """Fill the gradients. See `on_team` for threads and thread; `arguments_at` knows what all threads are told."""
    on_team(convolve_backward_share, threads, thread, arguments_at(places, layout))


@part
def convolve_backward_share(thread, conv, grad, items, counter, taps, edge, path):
    """What one thread does: take items until none is left, and go through them strand by strand.

    Workspace as in `convolve_share`, and
    path: (threads, tokens in an item + 2 · WIDEST, with LANES numbers each if vectors lie across channels).
    """
    mode = flush_denormals()
    taps, edge, path = taps[thread], edge[thread], path[thread]
    channels, tokens = vector_shape(conv, taps.shape[2])
    item, held = take_number(counter), -1
    while item < items:
        b, stretch, first, end, start, stop = place_of_item(conv, item, channels)
        stop = start + -(-(stop - start) // tokens) * tokens
        if first != held:
            read_taps(conv, taps, first, end, channels)
            held = first
        for k in range(-(-(end - first) // channels)):
            channel = first + k * channels
            begin = undo_activation(conv, grad, taps[k], edge, path, b, stretch, channel, start, stop, channels, tokens)
            for t in range(start, stop, tokens):
                gradient = gradient_of_input(conv, taps[k], path, t - begin, channels)
                if channel + channels <= conv.x.shape[1] and t + tokens <= conv.x.shape[2]:
                    store(grad.x, (b, channel, t), gradient)
                else:
                    store(edge, (0,), gradient)
                    write_vector(grad.x, edge, b, channel, t, channels, tokens)
            finish_initial(conv, grad, path, b, channel, start, stop, begin, channels)
        item = take_number(counter)
    restore_denormals(mode)


@part
def undo_activation(conv, grad, taps, edge, path, b, stretch, channel, start, stop, channels, tokens):
    """Write the gradients of p to `path`, and the sums for the taps and the bias where they belong.

    Tokens reach the p of those that are read a little later, so `path` has these too: more than the stretch on one
    side. Returned is the token with which it begins.
    """
    later = -(-(conv.weight.shape[1] - 1) // tokens) * tokens
    begin, end = (start - later, stop) if conv.reverse else (start, stop + later)
    w0 = w1 = w2 = w3 = bias = constant(load(taps, (0,)), 0.0, 0.0)
    whole, ragged = whole_tokens(conv, begin, end, tokens)
    if channel + channels > conv.x.shape[1]:
        ragged = whole
    for t in range(begin, end, tokens):
        if whole <= t < ragged:
            x0, x1, x2, x3 = read_window(conv, b, channel, t)
            g = load(grad.y, (b, channel, t))
        else:
            read_gradient(edge, grad.y, b, channel, t, channels, tokens)
            g = load(edge, (0,))
            read_edge(edge, conv, b, channel, t, channels, tokens)
            x0, x1, x2, x3 = window_of_edge(edge, conv, channels)
        if conv.silu:
            p = filtered((x0, x1, x2, x3), taps)
            gate = sigmoid(p)
            g = g * gate * fma(p, 1.0 - gate, 1.0)
        store(path, ((t - begin) * channels,), g)
        if start <= t < stop:
            w0, w1, w2, w3 = fma(g, x0, w0), fma(g, x1, w1), fma(g, x2, w2), fma(g, x3, w3)
            bias = bias + g
    write_sum(grad.taps[stretch, 0], edge, w0, channel, channels)
    write_sum(grad.taps[stretch, 1], edge, w1, channel, channels)
    write_sum(grad.taps[stretch, 2], edge, w2, channel, channels)
    write_sum(grad.taps[stretch, 3], edge, w3, channel, channels)
    write_sum(grad.taps[stretch, WIDEST], edge, bias, channel, channels)
    return begin


@inlined_part
def gradient_of_input(conv, taps, path, t, channels):
    """The gradient of x_t is Σ_i w_i times that of p_{t + i}."""
    width, here, later = conv.weight.shape[1], t * channels, -past(conv) * channels
    total = load(taps, (0,)) * load(path, (here,))
    total = fma(load(taps, (1,)), load(path, (here + later,)), total)
    if width > 2:
        total = fma(load(taps, (2,)), load(path, (here + 2 * later,)), total)
    if width > 3:
        total = fma(load(taps, (3,)), load(path, (here + 3 * later,)), total)
    return total


@part
def write_sum(target, edge, total, channel, channels):
    """The gradient of a tap: a number for each lane where those are channels, and their sum where they are tokens."""
    if channels == 1:
        store(target, (channel,), lane_sums(total))
    elif channel + channels <= target.shape[0]:
        store(target, (channel,), total)
    else:
        store(edge, (0,), total)
        for lane in range(target.shape[0] - channel):
            target[channel + lane] = edge[lane]


@part
def finish_initial(conv, grad, path, b, channel, start, stop, begin, channels):
    """The gradients of the inputs before the first token read, if that is in the stretch."""
    width, length, later = conv.weight.shape[1], conv.x.shape[2], -past(conv)
    if stop < length if conv.reverse else start > 0:
        return
    for lane in range(min(channels, conv.x.shape[1] - channel)):
        for i in range(width - 1):
            t = length + i if conv.reverse else i - (width - 1)
            total = 0.0
            for tap in range(1, width):
                reached = t + tap * later
                if 0 <= reached < length:
                    w = conv.weight[channel + lane, width - 1 - tap]
                    total += w * path[(reached - begin) * channels + lane]
            grad.initial[b, channel + lane, i] = total


@part
def read_gradient(edge, grad_y, b, channel, t, channels, tokens):
    """The vector at grad_y[b, channel, t], with zeros where there is nothing."""
    clear(edge, channels * tokens)
    read_numbers(edge, grad_y[b], channel, t, t + tokens, channels)
