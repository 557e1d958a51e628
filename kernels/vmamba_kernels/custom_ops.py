"""The fast engines as torch custom operators, so that autograd, torch.compile and fake tensors know them.

Every operator is positional. The scan always returns y, the last state, and what its backward may start from. Its
backward is an operator of its own, without a derivative: differentiating twice raises instead of being silently wrong
(the reference and associative engines can be differentiated again). An operator cannot return None: the gradient of an
argument that was not given is an empty tensor on its way out, and None again before autograd sees it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vmamba_kernels.engines import load

SAVES = ("numba",)
"""Engines whose backward starts from states that the forward has met."""


@torch.library.custom_op("vmamba::selective_scan", mutates_args=())
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    delta_softplus: bool,
    reverse: bool,
    exclude_self: bool,
    engine: str,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """y (batch, dim, length) and the last state (batch, dim, state) of a scan by the engine of that name.

    The third output is for the backward: with `save`, states along the sequence, if the engine keeps any; else empty.
    """
    arguments = (u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, reverse, exclude_self)
    if save and engine in SAVES:
        return load(engine).scan_and_save(*arguments)
    return *load(engine).scan_forward(*arguments), A.new_empty(0)


@selective_scan.register_fake
def _(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    delta_softplus: bool,
    reverse: bool,
    exclude_self: bool,
    engine: str,
    save: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    arguments = (u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, reverse, exclude_self)
    shape = load(engine).saved_shape(*arguments) if save and engine in SAVES else (0,)
    return torch.empty_like(u), A.new_empty(u.shape[0], *A.shape), A.new_empty(shape)


@torch.library.custom_op("vmamba::selective_scan_backward", mutates_args=())
def selective_scan_backward(
    grad_y: Tensor,
    grad_last_state: Tensor | None,
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    delta_softplus: bool,
    reverse: bool,
    exclude_self: bool,
    engine: str,
    saved: Tensor,
) -> list[Tensor]:
    """The nine gradients of a scan, in the order of its tensor arguments."""
    arguments = (u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, reverse, exclude_self)
    more = {"saved": saved} if engine in SAVES and saved.numel() else {}
    return _none_as_empty(load(engine).scan_backward(grad_y, grad_last_state, *arguments, **more), u)


@selective_scan_backward.register_fake
def _(grad_y: Tensor, grad_last_state: Tensor | None, *inputs: Any) -> list[Tensor]:
    return _fake_gradients(inputs[:9], grad_y)


def _save_scan(ctx: Any, inputs: tuple, output: tuple) -> None:
    *tensors, delta_softplus, reverse, exclude_self, engine, _ = inputs
    ctx.save_for_backward(*tensors, output[2])
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)  # or else zeros would be made for an output without gradient, large or not
    ctx.options = (delta_softplus, reverse, exclude_self, engine)


def _scan_gradients(ctx: Any, grad_y: Tensor | None, grad_last_state: Tensor | None, _: None) -> tuple:
    *tensors, saved = ctx.saved_tensors
    if grad_y is None:
        grad_y = torch.zeros_like(tensors[0])
    gradients = selective_scan_backward(grad_y, grad_last_state, *tensors, *ctx.options, saved)
    return *_empty_as_none(gradients, tensors), None, None, None, None, None


selective_scan.register_autograd(_scan_gradients, setup_context=_save_scan)


# Both directions of a block in one launch. An operator takes no list with gaps: of the nine tensors of each direction
# those that there are come in one list, and `given` says which of the eighteen they are.


@torch.library.custom_op("vmamba::bidirectional_scan", mutates_args=())
def bidirectional_scan(
    tensors: list[Tensor], given: list[bool], options: list[bool], engine: str, save: bool
) -> tuple[Tensor, list[Tensor]]:
    """y (batch, dim, length), the sum of both readings. `options` are softplus and exclude_self of each direction.

    The second output is for the backward, as the third of `selective_scan`: of each direction, or nothing.
    """
    arguments = (*_with_gaps(tensors, given), *options)
    if engine in SAVES:
        return load(engine).bidirectional_forward(*arguments, save=save)
    return load(engine).bidirectional_forward(*arguments), []


@bidirectional_scan.register_fake
def _(
    tensors: list[Tensor], given: list[bool], options: list[bool], engine: str, save: bool
) -> tuple[Tensor, list[Tensor]]:
    y, A = torch.empty_like(tensors[0]), tensors[2]
    if not save or engine not in SAVES:
        return y, []
    shapes = load(engine).saved_shapes_of_pair(*_with_gaps(tensors, given), *options)
    return y, [A.new_empty(shape) for shape in shapes]


@torch.library.custom_op("vmamba::bidirectional_scan_backward", mutates_args=())
def bidirectional_scan_backward(
    grad_y: Tensor, tensors: list[Tensor], given: list[bool], options: list[bool], engine: str, saved: list[Tensor]
) -> list[Tensor]:
    """The gradients of those tensors."""
    more = {"saved": saved} if engine in SAVES and saved else {}
    gradients = load(engine).bidirectional_backward(grad_y, *_with_gaps(tensors, given), *options, **more)
    return [gradient for gradient in gradients if gradient is not None]


@bidirectional_scan_backward.register_fake
def _(
    grad_y: Tensor, tensors: list[Tensor], given: list[bool], options: list[bool], engine: str, saved: list[Tensor]
) -> list[Tensor]:
    arguments = _with_gaps(tensors, given)
    gradients = [*_fake_gradients(arguments[:9], grad_y), *_fake_gradients(arguments[9:], grad_y)]
    return [gradient for gradient, there in zip(gradients, given, strict=True) if there]


def _save_bidirectional(ctx: Any, inputs: tuple, output: tuple) -> None:
    tensors, given, options, engine, _ = inputs
    _, saved = output
    ctx.save_for_backward(*tensors, *saved)
    ctx.mark_non_differentiable(*saved)
    ctx.set_materialize_grads(False)
    ctx.options, ctx.count = (given, options, engine), len(tensors)


def _bidirectional_gradients(ctx: Any, grad_y: Tensor | None, _: Any) -> tuple:
    kept = list(ctx.saved_tensors)
    tensors, saved = kept[: ctx.count], kept[ctx.count :]
    if grad_y is None:
        grad_y = torch.zeros_like(tensors[0])
    return bidirectional_scan_backward(grad_y, tensors, *ctx.options, saved), None, None, None, None


bidirectional_scan.register_autograd(_bidirectional_gradients, setup_context=_save_bidirectional)


def _with_gaps(tensors: Sequence[Tensor], given: Sequence[bool]) -> list[Tensor | None]:
    present = iter(tensors)
    return [next(present) if there else None for there in given]


@torch.library.custom_op("vmamba::causal_conv1d", mutates_args=())
def causal_conv1d(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None, silu: bool, reverse: bool, engine: str
) -> Tensor:
    """y (batch, dim, length) of a depthwise causal convolution by the engine of that name."""
    return load(engine).conv_forward(x, weight, bias, initial_state, silu, reverse)


@causal_conv1d.register_fake
def _(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None, silu: bool, reverse: bool, engine: str
) -> Tensor:
    return torch.empty_like(x)


@torch.library.custom_op("vmamba::causal_conv1d_backward", mutates_args=())
def causal_conv1d_backward(
    grad_y: Tensor,
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    initial_state: Tensor | None,
    silu: bool,
    reverse: bool,
    engine: str,
) -> list[Tensor]:
    """The gradients of a causal convolution with respect to x, weight, bias and initial_state."""
    return _none_as_empty(load(engine).conv_backward(grad_y, x, weight, bias, initial_state, silu, reverse), x)


@causal_conv1d_backward.register_fake
def _(grad_y: Tensor, *inputs: Any) -> list[Tensor]:
    return _fake_gradients(inputs[:4], grad_y)


def _save_conv(ctx: Any, inputs: tuple, output: Tensor) -> None:
    *tensors, silu, reverse, engine = inputs
    ctx.save_for_backward(*tensors)
    ctx.options = (silu, reverse, engine)


def _conv_gradients(ctx: Any, grad_y: Tensor) -> tuple:
    inputs = ctx.saved_tensors  # asked for once: gradient checkpointing hands out what it computed anew one time only
    gradients = causal_conv1d_backward(grad_y, *inputs, *ctx.options)
    return *_empty_as_none(gradients, inputs), None, None, None


causal_conv1d.register_autograd(_conv_gradients, setup_context=_save_conv)


def _none_as_empty(gradients: Sequence[Tensor | None], like: Tensor) -> list[Tensor]:
    return [like.new_empty(0) if gradient is None else gradient for gradient in gradients]


def _empty_as_none(gradients: Sequence[Tensor], inputs: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [None if x is None else gradient for gradient, x in zip(gradients, inputs, strict=True)]


def _fake_gradients(inputs: Sequence[Tensor | None], like: Tensor) -> list[Tensor]:
    """Gradients lie in memory as their tensors do if those run along time; parameters' and states' are contiguous."""
    *others, initial_state = inputs
    gradients = [like.new_empty(0) if x is None else _fake_gradient(x) for x in others]
    return [*gradients, like.new_empty(0) if initial_state is None else initial_state.new_empty(initial_state.shape)]


def _fake_gradient(x: Tensor) -> Tensor:
    return torch.empty_like(x) if x.dim() > 2 else x.new_empty(x.shape)
