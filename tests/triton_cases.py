"""What the tests of the Triton engine share, interpreted or on a GPU: drawn arguments, a plain loop, comparison.

The engine is called as the custom operators call it: positional, validated, B and C with their group axis.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

# Relative to the largest magnitude. float32 may lose a few roundings; the half types are rounded once, on the way out
# (the interpreter does not round to bfloat16 but cuts off, which costs a bit more).
FORWARD = {torch.float64: 1e-13, torch.float32: 2e-6, torch.bfloat16: 2**-7, torch.float16: 2**-11}
GRADIENT = {torch.float64: 1e-12, torch.float32: 2e-5, torch.bfloat16: 2**-7, torch.float16: 2**-10}

LAYOUTS: dict[str, Callable[[Tensor], Tensor]] = {
    "length contiguous": lambda x: x.contiguous(),
    "channels contiguous": lambda x: x.mT.contiguous().mT,
    "sliced": lambda x: torch.stack([x, x + 1, x - 1], dim=-1)[..., 0],
    "last axes swapped in memory": lambda x: x.movedim(0, -1).contiguous().movedim(-1, 0),
}


@dataclass(frozen=True)
class Case:
    """A scan to try. B and C are "constant", or have this number of groups."""

    batch: int = 2
    dim: int = 5
    length: int = 11
    state: int = 3
    B: int | str = 1
    C: int | str = 1
    optional: tuple[str, ...] = ("D", "z", "delta_bias", "initial_state")
    softplus: bool = True
    reverse: bool = False
    exclude_self: bool = False
    dtype: torch.dtype = torch.float32
    layout: str = "length contiguous"
    seed: int = 0

    @property
    def options(self) -> tuple[bool, bool, bool]:
        return self.softplus, self.reverse, self.exclude_self

    def tensors(self, device: str = "cpu") -> list[Tensor | None]:
        """The nine tensors of a scan; what is read along time lies in memory as layout says."""
        generator = torch.Generator().manual_seed(self.seed)
        work = torch.promote_types(self.dtype, torch.float32)

        def normal(*shape: int, dtype: torch.dtype = self.dtype) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)

        def input_map(groups: int | str) -> Tensor:
            if groups == "constant":
                return normal(self.dim, self.state)
            return normal(self.batch, groups, self.state, self.length)

        tokens = (self.batch, self.dim, self.length)
        u, z = normal(*tokens), normal(*tokens)
        delta = normal(*tokens) if self.softplus else normal(*tokens).abs()
        given = {
            "D": normal(self.dim, dtype=work),
            "z": z,
            "delta_bias": normal(self.dim, dtype=work) if self.softplus else normal(self.dim, dtype=work).abs(),
            "initial_state": normal(self.batch, self.dim, self.state, dtype=work),
        }
        D, z, bias, initial = (given[name] if name in self.optional else None for name in given)
        A = -normal(self.dim, self.state, dtype=work).exp()
        place = LAYOUTS[self.layout]
        tensors = [u, delta, A, input_map(self.B), input_map(self.C), D, z, bias, initial]
        moved = [x if x is None or x.dim() < 3 else place(x) for x in tensors]
        return [None if x is None else x.to(device) for x in moved]


def loop_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
    softplus: bool,
    reverse: bool,
    exclude_self: bool,
) -> tuple[Tensor, Tensor]:
    """The definition, one token after the other, in the dtype of its arguments."""
    (batch, dim, length), state = u.shape, A.shape[1]

    def each_channel(tensor: Tensor) -> Tensor:
        if tensor.dim() == 2:
            return tensor[None, :, :, None].expand(batch, dim, state, length)
        return tensor.repeat_interleave(dim // tensor.shape[1], dim=1)

    B, C = each_channel(B), each_channel(C)
    step = delta if delta_bias is None else delta + delta_bias[:, None]
    step = F.softplus(step) if softplus else step
    h = u.new_zeros(batch, dim, state) if initial_state is None else initial_state
    outputs = {}
    for t in reversed(range(length)) if reverse else range(length):
        past = torch.exp(step[:, :, t, None] * A) * h
        h = past + (step[:, :, t] * u[:, :, t])[..., None] * B[..., t]
        outputs[t] = (C[..., t] * (past if exclude_self else h)).sum(-1)
    y = torch.stack([outputs[t] for t in range(length)], dim=-1)
    y = y if D is None else y + D[:, None] * u
    return (y if z is None else y * F.silu(z)), h


def loop_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, initial_state: Tensor | None, silu: bool, reverse: bool
) -> Tensor:
    """The definition of the causal convolution as a correlation with zeros, or given inputs, before the first."""
    width = weight.shape[1]
    before = x.new_zeros(*x.shape[:2], width - 1) if initial_state is None else initial_state
    seen = torch.cat([x, before], -1).flip(-1) if reverse else torch.cat([before, x], -1)
    y = F.conv1d(seen, weight[:, None], bias, groups=x.shape[1])
    y = y.flip(-1) if reverse else y
    return F.silu(y) if silu else y


def truth(function: Callable[..., Any], tensors: list[Tensor | None], *options: bool) -> tuple[list, list]:
    """Outputs of a loop in float64 on the CPU, and the leaves to differentiate by, None where there is no tensor."""
    leaves = [None if x is None else x.detach().cpu().double().requires_grad_() for x in tensors]
    outputs = function(*leaves, *options)
    return [outputs] if isinstance(outputs, Tensor) else list(outputs), leaves


def gradients(outputs: list[Tensor], leaves: list[Tensor | None], weights: list[Tensor | None]) -> list[Tensor | None]:
    """Of the weighted sum of the outputs; an output whose weight is None does not count."""
    pairs = [
        (output * weight.cpu().double()).sum()
        for output, weight in zip(outputs, weights, strict=True)
        if weight is not None
    ]
    found = iter(torch.autograd.grad(sum(pairs), [x for x in leaves if x is not None], allow_unused=True))
    return [None if x is None else next(found) for x in leaves]


def relative_error(actual: Tensor, expected: Tensor | None) -> float:
    """The largest difference against the largest magnitude; an expected gradient of None is zero."""
    actual = actual.detach().cpu().double()
    expected = torch.zeros_like(actual) if expected is None else expected.detach()
    assert actual.shape == expected.shape
    assert not (actual.isnan() | expected.isnan()).any()
    scale = expected.abs().max().item() if expected.numel() else 0.0
    return (actual - expected).abs().max().item() / (scale or 1.0) if actual.numel() else 0.0


def assert_gradients(actual: tuple, expected: list, tensors: list[Tensor | None], tolerance: float, names: str) -> None:
    """Each in the shape and dtype of its tensor, close to what is expected, and None for what was not given."""
    for name, gradient, wanted, tensor in zip(names.split(), actual, expected, tensors, strict=True):
        if tensor is None:
            assert gradient is None, name
            continue
        assert (gradient.shape, gradient.dtype) == (tensor.shape, tensor.dtype), name
        assert relative_error(gradient, wanted) <= tolerance, name


SCAN_NAMES = "u delta A B C D z delta_bias initial_state"
CONV_NAMES = "x weight bias initial_state"


def check_scan(engine: Any, case: Case, device: str = "cpu") -> None:
    """Forward and backward of the engine against the loop."""
    tensors = case.tensors(device)
    y, last = engine.scan_forward(*tensors, *case.options)
    expected, leaves = truth(loop_scan, tensors, *case.options)
    assert (y.dtype, last.dtype) == (case.dtype, tensors[2].dtype)
    assert relative_error(y, expected[0]) <= FORWARD[case.dtype]
    assert relative_error(last, expected[1]) <= FORWARD[last.dtype]

    generator = torch.Generator().manual_seed(case.seed + 1)
    grad_y = torch.randn(y.shape, generator=generator).to(y.dtype).to(device)
    grad_last = torch.randn(last.shape, generator=generator).to(last.dtype).to(device)
    actual = engine.scan_backward(grad_y, grad_last, *tensors, *case.options)
    wanted = gradients(expected, leaves, [grad_y, grad_last])
    assert_gradients(actual, wanted, tensors, GRADIENT[case.dtype], SCAN_NAMES)


def check_conv(
    engine: Any,
    shape: tuple[int, int, int],
    width: int,
    given: tuple[bool, bool],
    silu: bool,
    reverse: bool,
    dtype: torch.dtype = torch.float32,
    layout: str = "length contiguous",
    device: str = "cpu",
) -> None:
    """Forward and backward of the engine's convolution against torch's own, in float64. given: bias, initial_state."""
    generator = torch.Generator().manual_seed(width)
    work = torch.promote_types(dtype, torch.float32)

    def normal(*sizes: int, dtype: torch.dtype = work) -> Tensor:
        return torch.randn(*sizes, generator=generator, dtype=torch.float64).to(dtype).to(device)

    batch, dim, _ = shape
    x = LAYOUTS[layout](normal(*shape, dtype=dtype))
    bias = normal(dim) if given[0] else None
    initial = normal(batch, dim, width - 1) if given[1] else None
    tensors = [x, normal(dim, width), bias, initial]
    y = engine.conv_forward(*tensors, silu, reverse)
    expected, leaves = truth(loop_conv, tensors, silu, reverse)
    assert y.dtype == dtype
    assert relative_error(y, expected[0]) <= FORWARD[dtype]
    grad_y = normal(*shape, dtype=dtype)
    actual = engine.conv_backward(grad_y, *tensors, silu, reverse)
    assert_gradients(actual, gradients(expected, leaves, [grad_y]), tensors, GRADIENT[dtype], CONV_NAMES)
