"""The numba engine's convolution: its arguments in the form that the kernels read, see numba_cpu.py."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from vmamba_kernels import numba_conv, numba_conv_backward
from vmamba_kernels.arguments import as_dtype
from vmamba_kernels.kernel_launch import Work, lanes, launch, new, new_like, or_zeros, plain, sum_over_first

# Sizes found by measurement. They decide the speed, and the order in which the gradients are added up.
FORWARD_ITEM, BACKWARD_ITEM = (64, 96), (32, 32)  # tokens, and strands across channels
LONGEST_STRETCH = 2048  # of a strand along the tokens


def conv_forward(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None, silu: bool, reverse: bool
) -> Tensor:
    """y (batch, dim, length), laid out in memory as x is."""
    work = torch.promote_types(weight.dtype, torch.float32)
    y = new_like(x, work)
    along = _along_tokens(y)
    into = _laid_out(y, along)
    tensors = [*_in_memory(x, weight, bias, initial_state, along, work), into]
    launch(numba_conv.convolve, _forward_work, work, tensors, silu, reverse, *_item(along, FORWARD_ITEM))
    return as_dtype(y if into is y else y.copy_(into), x.dtype)


def _forward_work(arrays: list[Any], *options: Any) -> Work:
    *given, y = arrays
    conv = _convolution(*given, *options)
    return Work((conv, y), _items(conv), 4 * y.size, _workspace(conv)[:2])


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
    along = _along_tokens(grad_x)
    into = _laid_out(grad_x, along)
    item = _item(along, BACKWARD_ITEM)
    taps = new(work, _stretches(x, item[1]), numba_conv.WIDEST + 1, x.shape[1])
    grad_initial = new(work, *x.shape[:2], width - 1)
    tensors = _in_memory(x, weight, bias, initial_state, along, work)
    tensors += [plain(_laid_out(grad_y, along), work), into, taps, grad_initial]
    launch(numba_conv_backward.convolve_backward, _backward_work, work, tensors, silu, reverse, *item)
    total = sum_over_first(taps).numpy()
    grad_weight = torch.from_numpy(np.ascontiguousarray(total[:width][::-1].T))
    return (
        as_dtype(grad_x if into is grad_x else grad_x.copy_(into), x.dtype),
        as_dtype(grad_weight, weight.dtype),
        None if bias is None else as_dtype(torch.from_numpy(total[numba_conv.WIDEST].copy()), bias.dtype),
        None if initial_state is None else as_dtype(grad_initial, initial_state.dtype),
    )


def _backward_work(arrays: list[Any], *options: Any) -> Work:
    conv = _convolution(*arrays[:4], *options)
    gradients = numba_conv_backward.ConvolutionGradients(*arrays[4:])
    return Work((conv, gradients), _items(conv), 8 * conv.x.size, _workspace(conv))


def _along_tokens(like: Tensor) -> bool:
    """Whether vectors should lie along the tokens, as they do in memory."""
    return like.stride(1) != 1 or like.shape[1] == 1


def _laid_out(x: Tensor, along: bool) -> Tensor:
    """The tensor, with tokens or channels next to each other; a copy if they are not."""
    axis = 2 if along else 1
    if x.stride(axis) == 1 or x.shape[axis] == 1:
        return x
    return x.contiguous() if along else x.transpose(1, 2).contiguous().transpose(1, 2)


def _in_memory(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None, along: bool, work: torch.dtype
) -> list[Tensor | None]:
    """The tensors of a convolution as numbers of one type, x laid out for its vectors."""
    return [plain(_laid_out(x, along), work), *(plain(t, work) for t in (weight, bias, initial_state))]


def _item(along: bool, across: tuple[int, int]) -> tuple[bool, int, int]:
    """How vectors lie, and the tokens and strands of an item of work."""
    return (True, LONGEST_STRETCH, 1) if along else (False, *across)


def _convolution(
    x: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray | None,
    initial_state: np.ndarray | None,
    silu: bool,
    reverse: bool,
    along: bool,
    tokens: int,
    strands: int,
) -> numba_conv.Convolution:
    batch, dim, _ = x.shape
    return numba_conv.Convolution(
        x=x,
        weight=weight,
        bias=or_zeros(bias, x.dtype, dim),
        initial=or_zeros(initial_state, x.dtype, batch, dim, weight.shape[1] - 1),
        silu=silu,
        reverse=reverse,
        along=along,
        tokens=tokens,
        strands=strands,
    )


def _stretches(x: Tensor | np.ndarray, tokens: int) -> int:
    """Stretches of so many tokens in the whole batch."""
    return x.shape[0] * -(-x.shape[2] // tokens)


def _items(conv: numba_conv.Convolution) -> int:
    """Of work: every stretch is divided among its channels."""
    channels = 1 if conv.along else conv.strands * lanes(conv.x.dtype)
    return _stretches(conv.x, conv.tokens) * -(-conv.x.shape[1] // channels)


def _workspace(conv: numba_conv.Convolution) -> list[tuple[int, ...]]:
    """The shapes of taps, edge and path."""
    widest, vector = numba_conv.WIDEST, lanes(conv.x.dtype)
    path = (conv.tokens + 2 * widest + vector) * (1 if conv.along else vector)
    return [(conv.strands, widest + 1, vector), (2 * widest * vector,), (-(-path // vector) * vector,)]
