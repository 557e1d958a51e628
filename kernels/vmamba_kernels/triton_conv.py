"""The depthwise causal convolution as Triton kernels, and their launches.

    y_t = silu(bias + Σ_k weight_k x_{t - width + 1 + k}), reading from the end if reversed

There is nothing to this operator but memory traffic: each program loads a tile of tokens and its shifted neighbours,
which come out of the cache, and stores the result. The gradient of a token collects from the width outputs that saw it;
with SiLU these are computed again from a window of 2 width - 1 inputs. Tokens outside the sequence are those of
initial_state, where it is given, and have gradients too. Sums for weight and bias are partial, one row a program, and
added in a fixed order.
"""

# mypy: disable-error-code="no-untyped-def"

from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from vmamba_kernels.triton_launch import INTERPRETED, Tile, add_partial_sums, check_device, token_view, view
from vmamba_kernels.triton_tiles import View, at_tile, load_tile, place, put, sigmoid

TILES = [Tile(8, 8, 1)] if INTERPRETED else [Tile(16, 64, 4), Tile(32, 64, 4), Tile(64, 32, 4), Tile(128, 16, 4)]
GRADIENT_TILE = Tile(8, 8, 1) if INTERPRETED else Tile(32, 64, 8)


class Convolution(NamedTuple):
    x: View
    weight: View
    bias: View
    initial: View


class ConvolutionGradient(NamedTuple):
    grad_y: View
    x: View
    initial: View
    weight: View  # partial sums: a row for each sequence and time block
    bias: View


@triton.jit
def load_input(c, batch, source, length, d, own, REVERSE: tl.constexpr, WIDTH: tl.constexpr, WORK: tl.constexpr):
    """The inputs at some tokens, (time, channel): from x, or from initial_state, which stands at the end read first."""
    inside = (source >= 0) & (source < length)
    value = load_tile(c.x, batch, source, d, inside[:, None] & own[None, :], WORK)
    if c.initial.data is not None:
        index = source - length if REVERSE else source + (WIDTH - 1)
        given = (index >= 0) & (index < WIDTH - 1)
        value += load_tile(c.initial, batch, index, d, given[:, None] & own[None, :], WORK)
    return value


@triton.jit
def load_channels(v, k, d, own):
    """weight_k or bias, (1, channel)."""
    offsets = d * v.channel
    if v.time is not None:
        offsets += k * v.time
    return tl.load(v.data + offsets, own, other=0.0)[None, :]


@triton.jit(do_not_specialize=["tuning_key"])
def conv_kernel(
    c, y, length, dim, tuning_key, REVERSE: tl.constexpr, SILU: tl.constexpr, WIDTH: tl.constexpr,
    BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Grid: (batch x channel blocks, time blocks)."""
    SIGN: tl.constexpr = -1 if REVERSE else 1
    WORK: tl.constexpr = c.weight.data.dtype.element_ty
    batch, _block, _first, d, own = place(dim, 1, BLOCK_D)
    token = tl.program_id(1).to(tl.int64) * BLOCK_L + tl.arange(0, BLOCK_L)
    out = tl.zeros((BLOCK_L, BLOCK_D), WORK)
    if c.bias.data is not None:
        out += load_channels(c.bias, 0, d, own)
    for k in tl.static_range(WIDTH):
        x = load_input(c, batch, token - SIGN * (WIDTH - 1 - k), length, d, own, REVERSE, WIDTH, WORK)
        out += x * load_channels(c.weight, k, d, own)
    if SILU:
        out *= sigmoid(out)
    tl.store(at_tile(y, batch, token, d), out.to(y.data.dtype.element_ty), (token < length)[:, None] & own[None, :])


@triton.jit
def conv_gradient_kernel(
    c, g, length, dim, REVERSE: tl.constexpr, SILU: tl.constexpr, WIDTH: tl.constexpr,
    BLOCK_L: tl.constexpr, BLOCK_D: tl.constexpr,
):  # fmt: skip
    """Grid: (batch x channel blocks, time blocks), over the inputs: the tokens and the width - 1 before the first."""
    SIGN: tl.constexpr = -1 if REVERSE else 1
    WORK: tl.constexpr = c.weight.data.dtype.element_ty
    batch, _block, _first, d, own = place(dim, 1, BLOCK_D)
    source = tl.program_id(1).to(tl.int64) * BLOCK_L + tl.arange(0, BLOCK_L)
    if not REVERSE:
        source -= WIDTH - 1
    x = load_input(c, batch, source, length, d, own, REVERSE, WIDTH, WORK)
    window = ()  # with SiLU: the inputs from width - 1 before to width - 1 after x, in reading order
    if SILU:
        for offset in tl.static_range(-(WIDTH - 1), WIDTH):
            seen = load_input(c, batch, source + SIGN * offset, length, d, own, REVERSE, WIDTH, WORK)
            window = put(window, seen, False)
    grad_x = tl.zeros((BLOCK_L, BLOCK_D), WORK)
    for later in tl.static_range(WIDTH):  # the output `later` tokens on saw x with this weight:
        token = source + SIGN * later
        inside = ((token >= 0) & (token < length))[:, None] & own[None, :]
        grad = load_tile(g.grad_y, batch, token, d, inside, WORK)
        if SILU:
            out = tl.zeros((BLOCK_L, BLOCK_D), WORK)
            if c.bias.data is not None:
                out += load_channels(c.bias, 0, d, own)
            for j in tl.static_range(WIDTH):
                out += window[later + j] * load_channels(c.weight, j, d, own)
            gate = sigmoid(out)
            grad *= gate * (1 + out * (1 - gate))
        grad_x += grad * load_channels(c.weight, WIDTH - 1 - later, d, own)
        weight = (
            g.weight.data
            + batch * g.weight.batch
            + tl.program_id(1) * g.weight.segment
            + d * g.weight.channel
            + (WIDTH - 1 - later)
        )
        tl.store(weight, tl.sum(grad * x, 0), own)
        if later == 0 and g.bias.data is not None:
            bias = g.bias.data + batch * g.bias.batch + tl.program_id(1) * g.bias.segment + d * g.bias.channel
            tl.store(bias, tl.sum(grad, 0), own)
    inside = ((source >= 0) & (source < length))[:, None] & own[None, :]
    tl.store(at_tile(g.x, batch, source, d), grad_x.to(g.x.data.dtype.element_ty), inside)
    if g.initial.data is not None:
        index = source - length if REVERSE else source + (WIDTH - 1)
        given = ((index >= 0) & (index < WIDTH - 1))[:, None] & own[None, :]
        tl.store(at_tile(g.initial, batch, index, d), grad_x, given)


tuned_conv_kernel = triton.autotune(
    [tile.config() for tile in TILES],
    key=["tuning_key", "REVERSE", "SILU", "WIDTH"],
)(conv_kernel)


def conv_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None, silu: bool, reverse: bool
) -> Tensor:
    """y (batch, dim, length) in the dtype of x, laid out in memory as x is."""
    check_device(x)
    y = torch.empty_like(x)
    if x.shape[0] == 0:
        return y
    batch, dim, length = x.shape

    def grid(meta: dict) -> tuple[int, int]:
        return batch * triton.cdiv(dim, meta["BLOCK_D"]), triton.cdiv(length, meta["BLOCK_L"])

    arguments = (_convolution(x, weight, bias, initial_state), token_view(y), length, dim)
    key = x.numel().bit_length() // 2 * 100 + x.element_size() * 10 + int(x.stride(2) == 1)
    with torch.cuda.device_of(x):
        tuned_conv_kernel[grid](*arguments, key, reverse, silu, weight.shape[1], enable_fp_fusion=True)
    return y


def conv_backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    silu: bool,
    reverse: bool,
) -> tuple[Tensor | None, ...]:
    """The gradients of x, weight, bias and initial_state; None where there is no tensor."""
    check_device(x)
    inputs = (x, weight, bias, initial_state)
    if x.shape[0] == 0:
        return tuple(None if tensor is None else tensor.new_zeros(tensor.shape) for tensor in inputs)
    batch, dim, length = x.shape
    tile, width = GRADIENT_TILE, weight.shape[1]
    blocks = triton.cdiv(length + width - 1, tile.BLOCK_L)
    dx = torch.empty_like(x)
    dinitial = None if initial_state is None else initial_state.new_empty(initial_state.shape)
    sums = [None if tensor is None else tensor.new_empty(batch, blocks, *tensor.shape) for tensor in (weight, bias)]
    gradient = ConvolutionGradient(
        token_view(grad_y),
        token_view(dx),
        token_view(dinitial),
        view(sums[0], "batch segment channel time"),
        view(sums[1], "batch segment channel"),
    )
    with torch.cuda.device_of(x):
        conv_gradient_kernel[batch * triton.cdiv(dim, tile.BLOCK_D), blocks](
            _convolution(*inputs), gradient, length, dim, reverse, silu, width, **tile.launch()
        )
    dweight, dbias = (
        None if tensor is None or partial is None else add_partial_sums(tensor, partial)
        for tensor, partial in zip((weight, bias), sums, strict=True)
    )
    return dx, dweight, dbias, dinitial


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None) -> Convolution:
    return Convolution(token_view(x), view(weight, "channel time"), view(bias, "channel"), token_view(initial_state))
