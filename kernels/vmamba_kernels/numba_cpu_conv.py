"""The numba engine's convolution: its arguments in the form that the kernels read, see numba_cpu.py."""

import numpy as np
import torch
from torch import Tensor

from vmamba_kernels import numba_conv, numba_conv_backward
from vmamba_kernels.arguments import as_dtype
from vmamba_kernels.kernel_launch import empty, lanes, launch, new, new_like, sum_over_first, view, view_or_zeros

# Sizes found by measurement. They decide the speed, and the order in which the gradients are added up.
FORWARD_ITEM, BACKWARD_ITEM = (64, 96), (32, 32)  # tokens, and strands across channels
LONGEST_STRETCH = 2048  # of a strand along the tokens


def conv_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None, silu: bool, reverse: bool
) -> Tensor:
    """y (batch, dim, length), laid out in memory as x is."""
    y = new_like(x, torch.promote_types(weight.dtype, torch.float32))
    along = _along_tokens(y)
    conv = _convolution(x, weight, bias, initial_state, silu, reverse, along, FORWARD_ITEM)
    into = _laid_out(y, along)
    shapes = _convolution_workspace(conv, y.dtype)[:2]
    places = (conv, into.numpy())
    launch(numba_conv.convolve, places, y.dtype, _stretches(conv) * _places(conv, y.dtype), 4 * x.numel(), shapes)
    return as_dtype(y if into is y else y.copy_(into), x.dtype)


def conv_backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    silu: bool,
    reverse: bool,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """The gradients of x, weight, bias and initial_state; None where that is None."""
    work, width = torch.promote_types(weight.dtype, torch.float32), weight.shape[1]
    grad_x = new_like(x, work)
    grad_initial = new(work, *x.shape[:2], width - 1)
    along = _along_tokens(grad_x)
    conv = _convolution(x, weight, bias, initial_state, silu, reverse, along, BACKWARD_ITEM)
    into = _laid_out(grad_x, along)
    grad = numba_conv_backward.ConvolutionGradients(
        y=view(_laid_out(grad_y, along), work),
        x=into.numpy(),
        taps=empty(work, _stretches(conv), numba_conv.WIDEST + 1, x.shape[1]),
        initial=grad_initial.numpy(),
    )
    items = _stretches(conv) * _places(conv, work)
    launch(
        numba_conv_backward.convolve_backward,
        (conv, grad),
        work,
        items,
        8 * x.numel(),
        _convolution_workspace(conv, work),
    )
    taps = sum_over_first(grad.taps).numpy()
    grad_weight = torch.from_numpy(np.ascontiguousarray(taps[:width][::-1].T))
    return (
        as_dtype(grad_x if into is grad_x else grad_x.copy_(into), x.dtype),
        as_dtype(grad_weight, weight.dtype),
        None if bias is None else as_dtype(torch.from_numpy(taps[numba_conv.WIDEST].copy()), bias.dtype),
        None if initial_state is None else as_dtype(grad_initial, initial_state.dtype),
    )


def _along_tokens(like: Tensor) -> bool:
    """Whether vectors should lie along the tokens, as they do in memory."""
    return like.stride(1) != 1 or like.shape[1] == 1


def _laid_out(x: Tensor, along: bool) -> Tensor:
    """The tensor, with tokens or channels next to each other; a copy if they are not."""
    axis = 2 if along else 1
    if x.stride(axis) == 1 or x.shape[axis] == 1:
        return x
    return x.contiguous() if along else x.transpose(1, 2).contiguous().transpose(1, 2)


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    silu: bool,
    reverse: bool,
    along: bool,
    item: tuple[int, int],
) -> numba_conv.Convolution:
    work = torch.promote_types(weight.dtype, torch.float32)
    batch, dim, _ = x.shape
    return numba_conv.Convolution(
        x=view(_laid_out(x, along), work),
        weight=view(weight, work),
        bias=view_or_zeros(bias, work, dim),
        initial=view_or_zeros(initial_state, work, batch, dim, weight.shape[1] - 1),
        silu=silu,
        reverse=reverse,
        along=along,
        tokens=LONGEST_STRETCH if along else item[0],
        strands=1 if along else item[1],
    )


def _stretches(conv: numba_conv.Convolution) -> int:
    """Stretches of tokens in the whole batch."""
    return conv.x.shape[0] * -(-conv.x.shape[2] // conv.tokens)


def _places(conv: numba_conv.Convolution, work: torch.dtype) -> int:
    """Items among which a stretch is divided."""
    return -(-conv.x.shape[1] // (1 if conv.along else conv.strands * lanes(work)))


def _convolution_workspace(conv: numba_conv.Convolution, work: torch.dtype) -> list[tuple[int, ...]]:
    """The shapes of taps, edge and path."""
    widest, vector = numba_conv.WIDEST, lanes(work)
    path = (conv.tokens + 2 * widest + vector) * (1 if conv.along else vector)
    return [(conv.strands, widest + 1, vector), (2 * widest * vector,), (-(-path // vector) * vector,)]
