"""What the tests of the numba engine share: the recurrence written out, drawn scans, and ways to lay a tensor in
memory.

The recurrence here is a loop over tokens of its own, so that the engine is not compared with a sibling's mistakes.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from torch import Tensor

NAMES = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "initial_state")
LAYOUTS = ("by channel", "by token", "sliced", "every second", "expanded batch", "expanded time", "expanded channels")


@dataclass(frozen=True)
class DrawnScan:
    """Positional arguments of an engine's scan_forward: nine tensors (or None) and three flags."""

    tensors: tuple[Tensor | None, ...]
    delta_softplus: bool
    reverse: bool
    exclude_self: bool

    @property
    def flags(self) -> tuple[bool, bool, bool]:
        return self.delta_softplus, self.reverse, self.exclude_self

    def with_tensors(self, **changes: Tensor) -> "DrawnScan":
        return replace(self, tensors=tuple(changes.get(n, x) for n, x in zip(NAMES, self.tensors, strict=True)))

    def cast(self, dtype: torch.dtype) -> "DrawnScan":
        return replace(self, tensors=tuple(None if x is None else x.to(dtype) for x in self.tensors))


def loop_scan(u, delta, A, B, C, D, z, delta_bias, initial_state, delta_softplus, reverse, exclude_self):
    """The recurrence as it is written on paper, token after token, differentiable, in the dtype of the arguments."""
    batch, dim, length = u.shape

    def per_channel(m: Tensor) -> Tensor:
        """(batch, dim, state, length)"""
        if m.dim() == 2:
            return m[None, :, :, None].expand(batch, dim, -1, length)
        return m[:, [d // (dim // m.shape[1]) for d in range(dim)]]

    B, C = per_channel(B), per_channel(C)
    step = delta if delta_bias is None else delta + delta_bias[None, :, None]
    if delta_softplus:
        step = F.softplus(step, threshold=20.0)
    h = u.new_zeros(batch, dim, A.shape[1]) if initial_state is None else initial_state
    outputs: list[Any] = [None] * length
    for t in range(length - 1, -1, -1) if reverse else range(length):
        carried = torch.exp(step[:, :, t, None] * A) * h
        h = carried + (step[:, :, t] * u[:, :, t])[:, :, None] * B[..., t]
        outputs[t] = ((carried if exclude_self else h) * C[..., t]).sum(-1)
    y = torch.stack(outputs, -1)
    if D is not None:
        y = y + D[None, :, None] * u
    return (y if z is None else y * F.silu(z)), h


def loop_gradients(scan: DrawnScan, grad_y: Tensor, grad_last: Tensor, dtype: torch.dtype) -> tuple[Tensor | None, ...]:
    """Nine gradients of sum(y grad_y) + sum(last grad_last), by autograd through the loop in `dtype`."""
    leaves = [None if x is None else x.detach().to(dtype).requires_grad_() for x in scan.tensors]
    outputs = loop_scan(*leaves, *scan.flags)
    given = [x for x in leaves if x is not None]
    gradients = iter(
        torch.autograd.grad(outputs, given, [grad_y.to(dtype), grad_last.to(dtype)], materialize_grads=True)
    )
    return tuple(None if x is None else next(gradients) for x in leaves)


def loop_conv(x, weight, bias, initial_state, silu, reverse):
    """The causal depthwise convolution, tap by tap."""
    width = weight.shape[1]
    before = x.new_zeros(*x.shape[:2], width - 1) if initial_state is None else initial_state
    padded = torch.cat((x, before) if reverse else (before, x), -1)
    taps = [(width - 1 - k if reverse else k, weight[:, k]) for k in range(width)]
    y = sum(tap[None, :, None] * padded[..., k : k + x.shape[2]] for k, tap in taps)
    if bias is not None:
        y = y + bias[None, :, None]
    return F.silu(y) if silu else y


def error(ours: Tensor, truth: Tensor) -> float:
    """The largest difference, as a part of the largest magnitude of the truth."""
    if truth.numel() == 0:
        return 0.0
    scale = truth.abs().max().double().clamp_min(1e-30)
    return float((ours.double() - truth.double()).abs().max() / scale)


def lay(x: Tensor, layout: str) -> Tensor:
    """The tensor elsewhere in memory, with the same values where the layout allows. Last axes: (dim, length)."""
    if layout == "by token":
        return x.transpose(-1, -2).contiguous().transpose(-1, -2)
    if layout == "sliced":  # as half of a projection: the neighbours are poison
        wide = torch.full((*x.shape[:-2], x.shape[-1], 2 * x.shape[-2] + 3), torch.nan, dtype=x.dtype)
        wide[..., 1 : x.shape[-2] + 1] = x.transpose(-1, -2)
        return wide[..., 1 : x.shape[-2] + 1].transpose(-1, -2)
    if layout == "every second":
        wide = torch.full((*x.shape[:-2], 2 * x.shape[-2], 2 * x.shape[-1]), torch.nan, dtype=x.dtype)
        wide[..., ::2, ::2] = x
        return wide[..., ::2, ::2]
    if layout == "expanded batch":
        return x[:1].expand_as(x)
    if layout == "expanded time":
        return x[..., :1].expand_as(x)
    if layout == "expanded channels":
        return x[..., :1, :].expand_as(x)
    return x.contiguous()


@st.composite
def scans(
    draw: st.DrawFn, max_dim: int = 37, max_length: int = 70, max_state: int = 64, extreme: bool = True
) -> DrawnScan:
    """A scan of any shape, layout and option, float64 with values that float32 can hold.

    With `extreme`, Δ lies between 1e-8 and 50 and A between −1e-4 and −1e4, so that states last for ever or not at all.
    """
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))
    groups_B, groups_C = draw(st.sampled_from([(1, 1), (1, 1), (1, 1), (2, 2), (1, 3), (2, 3), (0, 1), (1, 0), (0, 0)]))
    common = max(groups_B, 1) * max(groups_C, 1)
    batch, dim = draw(st.integers(1, 3)), common * draw(st.integers(1, max(1, max_dim // common)))
    length, states = draw(st.integers(1, max_length)), draw(st.integers(1, max_state))

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=random).double()

    def logarithmic(low: float, high: float, *shape: int) -> Tensor:
        """Between 10^low and 10^high."""
        return (10 ** (low + (high - low) * torch.rand(*shape, generator=random))).double()

    def laid(x: Tensor) -> Tensor:
        return lay(x, draw(st.sampled_from(LAYOUTS)))

    def mapped(groups: int) -> Tensor:
        return laid(normal(batch, groups, states, length)) if groups else normal(dim, states)

    softplus = draw(st.booleans())
    sequence = (batch, dim, length)
    delta = logarithmic(-8, 1.7, *sequence) if extreme else logarithmic(-3, 0, *sequence)
    if softplus:  # of −18 is 1.5e-8; above 20 it is the identity
        delta = torch.where(delta < 20, torch.log(torch.expm1(delta.clamp(max=20))), delta).float().double()
    tensors = (
        laid(normal(*sequence)),
        laid(delta),
        -logarithmic(-4, 4, dim, states) if extreme else -logarithmic(-2, 1, dim, states),
        mapped(groups_B),
        mapped(groups_C),
        normal(dim) if draw(st.booleans()) else None,
        laid(3 * normal(*sequence)) if draw(st.booleans()) else None,
        0.3 * normal(dim).abs() if draw(st.booleans()) else None,
        normal(batch, dim, states) if draw(st.booleans()) else None,
    )
    return DrawnScan(tensors, softplus, draw(st.booleans()), draw(st.booleans()))


def run_python(script: str, *, timeout: float = 300, **environment: str) -> str:
    """The output of a script in a process of its own, which must end well; it can import the helpers of this folder.

    Its lines are not counted as covered: counting doubles the time that compiling the kernels takes.
    """
    path = os.pathsep.join([str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    variables = {**inherited, "PYTHONPATH": path, **environment}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=timeout, env=variables, check=False
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout
