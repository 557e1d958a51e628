"""What the kernel tests share: engines, drawn arguments of a scan, and comparison by the largest magnitude."""

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import strategies as st
from torch import Tensor
from vmamba_kernels import engines

ENGINES = ("reference", "associative", "numba", "triton")
CONV_ENGINES = ("reference", "numba", "triton")
LAYOUTS = ("constant", "shared", "grouped")


def needs(engine: str) -> str:
    """The engine's name, or a skip that says why it cannot run here."""
    found = engines()[engine]
    if not found.available:
        pytest.skip(f"{engine}: {found.reason}")
    return engine


def draw_scan(
    batch: int = 2,
    dim: int = 3,
    length: int = 9,
    state: int = 4,
    *,
    groups: int = 1,
    B_layout: str = "shared",
    C_layout: str = "shared",
    optional: tuple[str, ...] = ("D", "z", "delta_bias", "initial_state"),
    seed: int = 0,
    dtype: torch.dtype = torch.float64,
) -> dict[str, Tensor]:
    """The tensor arguments of a well-behaved scan by name, from a seed."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    shapes = {"constant": (dim, state), "shared": (batch, state, length), "grouped": (batch, groups, state, length)}
    arguments = {
        "u": normal(batch, dim, length),
        "delta": 0.5 * normal(batch, dim, length),
        "A": -torch.exp(normal(dim, state)),
        "B": normal(*shapes[B_layout]),
        "C": normal(*shapes[C_layout]),
        "D": normal(dim),
        "z": normal(batch, dim, length),
        "delta_bias": 0.3 * normal(dim),
        "initial_state": normal(batch, dim, state),
    }
    for name in ("D", "z", "delta_bias", "initial_state"):
        if name not in optional:
            del arguments[name]
    state_dtype = torch.promote_types(dtype, torch.float32)
    keeps = ("A", "D", "delta_bias", "initial_state")
    return {name: x.to(state_dtype if name in keeps else dtype) for name, x in arguments.items()}


@st.composite
def scan_arguments(draw: st.DrawFn, max_length: int = 40, max_dim: int = 20, max_state: int = 20) -> dict[str, Any]:
    """A scan and its options: sizes from 1 and no multiples of anything, every layout, any optional one absent."""
    groups = draw(st.integers(1, 3))
    layouts = st.sampled_from(LAYOUTS)
    present = draw(st.sets(st.sampled_from(["D", "z", "delta_bias", "initial_state"])))
    arguments: dict[str, Any] = draw_scan(
        draw(st.integers(1, 3)),
        groups * draw(st.integers(1, max(1, max_dim // groups))),
        draw(st.integers(1, max_length)),
        draw(st.integers(1, max_state)),
        groups=groups,
        B_layout=draw(layouts),
        C_layout=draw(layouts),
        optional=tuple(present),
        seed=draw(st.integers(0, 2**20)),
    )
    arguments["delta_softplus"] = draw(st.booleans())
    if not arguments["delta_softplus"]:  # a step is positive, or the system explodes
        arguments["delta"] = arguments["delta"].abs() + 0.01
        arguments.pop("delta_bias", None)
    arguments |= {"reverse": draw(st.booleans()), "exclude_self": draw(st.booleans())}
    return arguments


def cast(arguments: Mapping[str, Any], dtype: torch.dtype) -> dict[str, Any]:
    """The same arguments with every tensor in `dtype`."""
    return {name: x.to(dtype) if isinstance(x, Tensor) else x for name, x in arguments.items()}


def relative_error(ours: Tensor, truth: Tensor) -> float:
    """The largest difference as a part of the largest magnitude."""
    ours, truth = ours.detach(), truth.detach()
    if truth.numel() == 0:
        return 0.0
    scale = truth.double().abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    return float((ours.double() - truth.double()).abs().max() / scale)
