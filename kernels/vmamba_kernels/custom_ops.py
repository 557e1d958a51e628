"""The fast engines as operators of torch, so that autograd, torch.compile and fake tensors know them.

The scan always returns y, the last state, and what its backward may start from. A backward is an operator of its own,
without a derivative: differentiating twice raises instead of being silently wrong (the reference and associative
engines can be differentiated again). An operator cannot return None: the gradient of an argument that was not given is
an empty tensor on its way out, and None again before autograd sees it.

B and C come here as the caller has them. An engine that wants them in groups does that itself, where autograd does not
look.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from vmamba_kernels.dispatch import Operator
from vmamba_kernels.engines import load

SAVES = ("numba",)
"""Engines whose backward starts from states that the forward has met."""

TENSORS = "Tensor u{0}, Tensor delta{0}, Tensor A{0}, Tensor B{0}, Tensor C{0}, Tensor? D{0}, Tensor? z{0}, \
Tensor? delta_bias{0}, Tensor? initial_state{0}"
ONE = TENSORS.format("")
OPTIONS = "bool delta_softplus, bool reverse, bool exclude_self"
BOTH = f"{TENSORS.format('')}, {TENSORS.format('_reversed')}"
OPTIONS_OF_BOTH = "bool delta_softplus, bool delta_softplus_reversed, bool exclude_self, bool exclude_self_reversed"


def _tensors(count: int) -> str:
    """So many results, as a schema spells them."""
    return f"({', '.join(['Tensor'] * count)})"


# The scan. Its arguments are those of Direction, in direction.py, with B and C in any layout.


def _scan(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """y (batch, dim, length) and the last state (batch, dim, state) of a scan by the engine of that name.

    The third output is for the backward: with `save`, states along the sequence, if the engine keeps any; else empty.
    """
    *of_scan, engine, save = arguments
    if save and engine in SAVES:
        return load(engine).scan_and_save(*of_scan)
    y, last_state = load(engine).scan_forward(*of_scan)
    return y, last_state, last_state.new_empty(0)


def _fake_scan(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    *of_scan, engine, save = arguments
    u, _, A, *_ = of_scan
    shape = load(engine).saved_shape(*of_scan) if save and engine in SAVES else (0,)
    return torch.empty_like(u), A.new_empty(u.shape[0], *A.shape), A.new_empty(shape)


def _scan_backward(grad_y: Tensor, grad_last_state: Tensor | None, *arguments: Any) -> tuple[Tensor, ...]:
    """The nine gradients of a scan, in the order of its tensor arguments."""
    *of_scan, engine, saved = arguments
    more = {"saved": saved} if engine in SAVES and saved.numel() else {}
    return _none_as_empty(load(engine).scan_backward(grad_y, grad_last_state, *of_scan, **more), grad_y)


def _fake_scan_backward(grad_y: Tensor, grad_last_state: Tensor | None, *inputs: Any) -> tuple[Tensor, ...]:
    return _fake_gradients(inputs[:9], grad_y)


selective_scan_backward = Operator(
    "selective_scan_backward",
    f"(Tensor grad_y, Tensor? grad_last_state, {ONE}, {OPTIONS}, str engine, Tensor saved) -> {_tensors(9)}",
    _scan_backward,
    _fake_scan_backward,
)


def _save_scan(ctx: Any, inputs: tuple, output: tuple) -> None:
    *tensors, delta_softplus, reverse, exclude_self, engine, _ = inputs
    ctx.save_for_backward(*tensors, output[2])
    ctx.mark_non_differentiable(output[2])
    ctx.set_materialize_grads(False)  # or else zeros would be made for an output without gradient, large or not
    ctx.options = (delta_softplus, reverse, exclude_self, engine)


def _scan_gradients(ctx: Any, grad_y: Tensor | None, grad_last_state: Tensor | None, _: None) -> tuple:
    *tensors, saved = ctx.saved_tensors  # asked for once: gradient checkpointing hands out what it computed anew once
    if grad_y is None:
        grad_y = torch.zeros_like(tensors[0])
    gradients = selective_scan_backward(grad_y, grad_last_state, *tensors, *ctx.options, saved)
    return *_empty_as_none(gradients, tensors), None, None, None, None, None


selective_scan = Operator(
    "selective_scan",
    f"({ONE}, {OPTIONS}, str engine, bool save) -> (Tensor, Tensor, Tensor)",
    _scan,
    _fake_scan,
    _save_scan,
    _scan_gradients,
)


# Both directions of a block in one launch: nine tensors of each, then their options.


def _both_scans(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    """y (batch, dim, length), the sum of both readings, and of each direction what its backward starts from, if any."""
    *of_scans, engine, save = arguments
    if save and engine in SAVES:
        return load(engine).bidirectional_and_save(*of_scans)
    y = load(engine).bidirectional_forward(*of_scans)
    return y, y.new_empty(0), y.new_empty(0)


def _fake_both_scans(*arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
    *of_scans, engine, save = arguments
    u, _, A, *_ = of_scans
    shapes = load(engine).saved_shapes_of_pair(*of_scans) if save and engine in SAVES else [(0,), (0,)]
    return torch.empty_like(u), A.new_empty(shapes[0]), A.new_empty(shapes[1])


def _both_scans_backward(grad_y: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """The eighteen gradients."""
    *of_scans, engine, saved, saved_reversed = arguments
    more = {"saved": [saved, saved_reversed]} if engine in SAVES and saved.numel() else {}
    return _none_as_empty(load(engine).bidirectional_backward(grad_y, *of_scans, **more), grad_y)


def _fake_both_scans_backward(grad_y: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    return *_fake_gradients(inputs[:9], grad_y), *_fake_gradients(inputs[9:18], grad_y)


bidirectional_scan_backward = Operator(
    "bidirectional_scan_backward",
    f"(Tensor grad_y, {BOTH}, {OPTIONS_OF_BOTH}, str engine, Tensor saved, Tensor saved_reversed) -> {_tensors(18)}",
    _both_scans_backward,
    _fake_both_scans_backward,
)


def _save_both_scans(ctx: Any, inputs: tuple, output: tuple) -> None:
    ctx.save_for_backward(*inputs[:18], *output[1:])
    ctx.mark_non_differentiable(*output[1:])
    ctx.set_materialize_grads(False)
    ctx.options = inputs[18:-1]


def _gradients_of_both_scans(ctx: Any, grad_y: Tensor | None, *_: None) -> tuple:
    *tensors, saved, saved_reversed = ctx.saved_tensors
    if grad_y is None:
        grad_y = torch.zeros_like(tensors[0])
    gradients = bidirectional_scan_backward(grad_y, *tensors, *ctx.options, saved, saved_reversed)
    return *_empty_as_none(gradients, tensors), None, None, None, None, None, None


bidirectional_scan = Operator(
    "bidirectional_scan",
    f"({BOTH}, {OPTIONS_OF_BOTH}, str engine, bool save) -> (Tensor, Tensor, Tensor)",
    _both_scans,
    _fake_both_scans,
    _save_both_scans,
    _gradients_of_both_scans,
)


# The convolution.

CONVOLUTION = "Tensor x, Tensor weight, Tensor? bias, Tensor? initial_state, bool silu, bool reverse, str engine"


def _conv(*arguments: Any) -> Tensor:
    """y (batch, dim, length) of a depthwise causal convolution by the engine of that name."""
    *of_conv, engine = arguments
    return load(engine).conv_forward(*of_conv)


def _fake_conv(x: Tensor, *others: Any) -> Tensor:
    return torch.empty_like(x)


def _conv_backward(grad_y: Tensor, *arguments: Any) -> tuple[Tensor, ...]:
    """The gradients of a causal convolution with respect to x, weight, bias and initial_state."""
    *of_conv, engine = arguments
    return _none_as_empty(load(engine).conv_backward(grad_y, *of_conv), grad_y)


def _fake_conv_backward(grad_y: Tensor, *inputs: Any) -> tuple[Tensor, ...]:
    return _fake_gradients(inputs[:4], grad_y)


causal_conv1d_backward = Operator(
    "causal_conv1d_backward", f"(Tensor grad_y, {CONVOLUTION}) -> {_tensors(4)}", _conv_backward, _fake_conv_backward
)


def _save_conv(ctx: Any, inputs: tuple, output: Tensor) -> None:
    ctx.save_for_backward(*inputs[:4])
    ctx.options = inputs[4:]


def _conv_gradients(ctx: Any, grad_y: Tensor) -> tuple:
    inputs = ctx.saved_tensors
    gradients = causal_conv1d_backward(grad_y, *inputs, *ctx.options)
    return *_empty_as_none(gradients, inputs), None, None, None


causal_conv1d = Operator("causal_conv1d", f"({CONVOLUTION}) -> Tensor", _conv, _fake_conv, _save_conv, _conv_gradients)


# Gradients as autograd wants them.


def _none_as_empty(gradients: Sequence[Tensor | None], like: Tensor) -> tuple[Tensor, ...]:
    return tuple(like.new_empty(0) if gradient is None else gradient for gradient in gradients)


def _empty_as_none(gradients: Sequence[Tensor], inputs: Sequence[Tensor | None]) -> list[Tensor | None]:
    return [None if x is None else gradient for gradient, x in zip(gradients, inputs, strict=True)]


def _fake_gradients(inputs: Sequence[Tensor | None], like: Tensor) -> tuple[Tensor, ...]:
    """Gradients lie in memory as their tensors do if those run along time; parameters' and states' are contiguous."""
    *others, initial_state = inputs
    gradients = [like.new_empty(0) if x is None else _fake_gradient(x) for x in others]
    return *gradients, like.new_empty(0) if initial_state is None else initial_state.new_empty(initial_state.shape)


def _fake_gradient(x: Tensor) -> Tensor:
    return torch.empty_like(x) if x.dim() > 2 else x.new_empty(x.shape)
