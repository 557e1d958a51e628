"""The public operators: arguments are checked, defaults filled in, an engine chosen."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Literal, overload

import torch
from torch import Tensor

from vmamba_kernels import custom_ops
from vmamba_kernels.arguments import as_dtype, check_conv, check_direction, check_scan
from vmamba_kernels.direction import in_groups
from vmamba_kernels.dispatch import will_be_differentiated
from vmamba_kernels.engines import choose, load

FAST = ("numba", "triton")
TENSORS = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state")
DIRECTION_ARGUMENTS = frozenset([*TENSORS, "delta_softplus", "exclude_self"])


@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = ...,
    z: Tensor | None = ...,
    delta_bias: Tensor | None = ...,
    delta_softplus: bool = ...,
    return_last_state: Literal[False] = ...,
    *,
    initial_state: Tensor | None = ...,
    reverse: bool = ...,
    exclude_self: bool = ...,
    backend: str = ...,
) -> Tensor: ...


@overload
def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = ...,
    z: Tensor | None = ...,
    delta_bias: Tensor | None = ...,
    delta_softplus: bool = ...,
    return_last_state: Literal[True] = ...,
    *,
    initial_state: Tensor | None = ...,
    reverse: bool = ...,
    exclude_self: bool = ...,
    backend: str = ...,
) -> tuple[Tensor, Tensor]: ...


def selective_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None = None,
    z: Tensor | None = None,
    delta_bias: Tensor | None = None,
    delta_softplus: bool = False,
    return_last_state: bool = False,
    *,
    initial_state: Tensor | None = None,
    reverse: bool = False,
    exclude_self: bool = False,
    backend: str = "auto",
) -> Tensor | tuple[Tensor, Tensor]:
    """Scan a sequence with a state space whose step, input map and output map change with every token.

    For each channel d and state n, with Δ' = softplus(Δ + bias) or Δ + bias:
    h_t = exp(Δ'_t A) h_{t-1} + Δ'_t B_t u_t and y_t = (Σ_n C_t h_t + D u_t) · silu(z_t).

    Args:
        u: input, (batch, dim, length).
        delta: step size Δ, (batch, dim, length); before bias and softplus if those are asked for.
        A: (dim, state), negative for a system that forgets.
        B, C: input and output map, each (dim, state), (batch, state, length) or (batch, groups, state, length), where
            group g serves the channels d with d // (dim / groups) = g.
        D: skip weight, (dim,).
        z: gate, (batch, dim, length).
        delta_bias: (dim,), added to delta before softplus.
        delta_softplus: whether Δ' = softplus(Δ + bias), which is the identity above 20.
        return_last_state: whether to return (y, last_state) instead of y.
        initial_state: the state before the first token read, (batch, dim, state); zero if not given.
        reverse: read from the last token to the first. The initial state then stands after the last token, and the last
            state is the one after token 0.
        exclude_self: read out h_t - Δ'_t B_t u_t, what the state held of the *other* tokens, at every t. The last state
            keeps its own term, so that the scan of a whole is still the scans of its parts with the state handed on.
        backend: "auto", or the name of an engine: see `engines()`.

    u, delta, B, C and z share one dtype; A, D, delta_bias and states are float32 or float64. Nothing is computed below
    float32, and in float64 if any argument is float64. Differentiable in every tensor argument and in both outputs;
    autocast does not change the dtypes.

    Returns:
        y: (batch, dim, length) in the dtype of u; with `return_last_state` also the state at the end of the reading
        direction, (batch, dim, state), float32 or float64, before D and z.

    Raises:
        TypeError: an argument is not a tensor, or of a dtype that does not fit.
        ValueError: a shape or a device does not fit, or there is no such backend.
        RuntimeError: the backend asked for cannot run here.

    Source: Mamba (arXiv 2312.00752) §3.2 and algorithm 2; the first ten arguments stand in the order of the published
    `selective_scan_fn` (mamba_ssm/ops/selective_scan_interface.py).
    """
    tensors = _canonical(u, delta, A, B, C, D, z, delta_bias, initial_state)
    engine = choose(backend, "selective_scan", u.device)
    options = (delta_softplus, reverse, exclude_self)
    if engine in FAST:
        y, last_state, _ = custom_ops.selective_scan(*tensors, *options, engine, will_be_differentiated(tensors))
    else:
        with _in_its_own_precision(u.device):
            y, last_state = load(engine).selective_scan(*in_groups(tensors), *options)
    return (y, last_state) if return_last_state else y


def causal_conv1d(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    activation: str | None = None,
    *,
    initial_state: Tensor | None = None,
    reverse: bool = False,
    backend: str = "auto",
) -> Tensor:
    """Convolve each channel with its own short filter, looking only at the token itself and those before it.

    Args:
        x: (batch, dim, length).
        weight: (dim, width), width 2 to 4; the last column weighs the token itself, as in torch's Conv1d.
        bias: (dim,).
        activation: None or "silu" (also called "swish").
        initial_state: the width - 1 inputs before the first token, (batch, dim, width - 1); zero if not given.
        reverse: read from the last token to the first: the output looks at the token itself and those after it. The
            initial state then holds the inputs after the last token, in the order of the tokens.
        backend: "auto", or the name of an engine other than "associative".

    Nothing is computed below float32, and in float64 if any argument is float64. Differentiable in every tensor
    argument.

    Returns:
        y: (batch, dim, length) in the dtype of x.

    Raises:
        TypeError: an argument is not a floating-point tensor.
        ValueError: a shape, a device or the activation does not fit, or there is no such backend.
        RuntimeError: the backend asked for cannot run here.

    Source: Mamba (arXiv 2312.00752) figure 3; the published causal_conv1d_fn
    (causal_conv1d/causal_conv1d_interface.py).
    """
    dtype = check_conv(x, weight, bias, activation, initial_state)
    engine = choose(backend, "causal_conv1d", x.device)
    bias, initial_state = (None if t is None else as_dtype(t, dtype) for t in (bias, initial_state))
    arguments = (x, as_dtype(weight, dtype), bias, initial_state, activation is not None, reverse)

    if engine in FAST:
        return custom_ops.causal_conv1d(*arguments, engine)
    with _in_its_own_precision(x.device):
        return load(engine).causal_conv1d(*arguments)


def bidirectional_scan(forward: Mapping[str, Any], backward: Mapping[str, Any], *, backend: str = "auto") -> Tensor:
    """The sum of one scan that reads from the first token and one that reads from the last.

    Args:
        forward, backward: the arguments of `selective_scan` for each direction by name, except return_last_state,
            reverse and backend. Both in the order of the tokens: nothing is flipped by the caller.
        backend: "auto", or the name of an engine.

    Returns:
        y: (batch, dim, length) in the dtype of u.

    Raises:
        TypeError, ValueError, RuntimeError: as `selective_scan`; also where the two directions differ in shape or dtype
        of u.

    Source: VideoMamba (arXiv 2403.06977) §3.2, the bidirectional block of Vision Mamba without its flips.
    """
    check_direction("forward", forward, DIRECTION_ARGUMENTS)
    check_direction("backward", backward, DIRECTION_ARGUMENTS)
    engine = choose(backend, "bidirectional_scan", forward["u"].device)
    if forward["u"].shape != backward["u"].shape or forward["u"].dtype != backward["u"].dtype:
        ours, theirs = (f"{tuple(side['u'].shape)} {side['u'].dtype}" for side in (forward, backward))
        raise ValueError(f"backward: expected u of the shape and dtype of the forward direction, {ours}, got {theirs}")
    sides: tuple[Mapping[str, Any], ...] = (forward, backward)
    ahead, back = (_canonical(*[side.get(name) for name in TENSORS]) for side in sides)  # type: ignore[arg-type]
    if engine not in FAST or ahead[2].dtype != back[2].dtype:
        return selective_scan(**forward, backend=engine) + selective_scan(**backward, reverse=True, backend=engine)
    tensors = (*ahead, *back)
    options = [side.get(name, False) for name in ("delta_softplus", "exclude_self") for side in sides]
    y, *_ = custom_ops.bidirectional_scan(*tensors, *options, engine, will_be_differentiated(tensors))
    return y


def _canonical(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None, Tensor | None]:
    """What an engine is given: checked; parameters and states in the work dtype."""
    dtype = check_scan(u, delta, A, B, C, D, z, delta_bias, initial_state)
    D, delta_bias, initial_state = (None if x is None else as_dtype(x, dtype) for x in (D, delta_bias, initial_state))
    return u, delta, as_dtype(A, dtype), B, C, D, z, delta_bias, initial_state


def _in_its_own_precision(device: torch.device) -> AbstractContextManager:
    """Autocast switched off, where there is such a thing."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()
