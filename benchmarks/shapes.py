"""What is measured: the scans and convolutions of VideoMamba's three sizes, with inputs as the model makes them."""

import math
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

PATCHES = 196  # of 16 × 16 pixels, in a frame of 224 × 224
DIMS = {"Ti": 384, "S": 768, "M": 1152}  # channels of the scan: twice the model's own width

Layout = Literal["model", "contiguous"]


@dataclass(frozen=True)
class Shape:
    """One scan of one model: `state` numbers for each of `dim` channels, over `length` tokens, `batch` times."""

    model: str
    dim: int
    frames: int
    batch: int
    length: int
    state: int = 16

    @property
    def key(self) -> str:
        """What `--shapes` matches: Ti-8-1 is VideoMamba-Ti, 8 frames, batch 1."""
        return f"{self.model}-{self.frames}-{self.batch}"

    @property
    def tokens(self) -> int:
        """Elements of u."""
        return self.batch * self.dim * self.length

    @property
    def updates(self) -> int:
        """Updates of a state: elements of the (batch, dim, length, state) tensor that nobody should write."""
        return self.tokens * self.state


def shapes(batches: tuple[int, ...] = (1, 4)) -> list[Shape]:
    """Ti, S and M at 8 and 64 frames, the smallest first."""
    found = [
        Shape(model, dim, frames, batch, frames * PATCHES + 1)
        for frames in (8, 64)
        for model, dim in DIMS.items()
        for batch in batches
    ]
    return sorted(found, key=lambda shape: shape.updates)


def draw_scan(shape: Shape, layout: Layout = "model", device: str = "cpu", seed: int = 0) -> dict[str, Any]:
    """The arguments of `selective_scan`, and `grad_y`, in the memory layout of the model or contiguous.

    The model keeps (batch, length, dim) in memory, z as half of what in_proj gives, B and C as slices of what x_proj
    gives, and hands over transposed views. Δ is spread as at the published start, 0.001 to 0.1. A is near -1 … -16 but
    not there: at exactly those numbers a kernel could raise one exponential to its powers instead of taking sixteen.
    """
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, device=device)

    batch, length, dim, state = shape.batch, shape.length, shape.dim, shape.state
    rank = math.ceil(dim / 32)
    _, z = normal(batch, length, 2 * dim).chunk(2, dim=-1)
    _, B, C = normal(batch, length, rank + 2 * state).split([rank, state, state], dim=-1)
    step = torch.exp(torch.rand(dim, generator=generator, device=device) * math.log(100.0) + math.log(1e-3))
    arguments = {
        "u": normal(batch, length, dim).transpose(1, 2),
        "delta": 0.5 * normal(batch, length, dim).transpose(1, 2),
        "A": -torch.arange(1.0, state + 1, device=device) * torch.exp(0.1 * normal(dim, state)),
        "B": B.transpose(1, 2),
        "C": C.transpose(1, 2),
        "D": 1.0 + 0.1 * normal(dim),
        "z": z.transpose(1, 2),
        "delta_bias": step + torch.log(-torch.expm1(-step)),  # softplus of it is the step
        "grad_y": normal(batch, length, dim).transpose(1, 2),
    }
    return _laid_out(arguments, layout) | {"delta_softplus": True}


def draw_conv(shape: Shape, layout: Layout = "model", device: str = "cpu", seed: int = 0) -> dict[str, Any]:
    """The arguments of `causal_conv1d`, width 4 with bias and SiLU, and `grad_y`; x is the other half of in_proj."""
    generator = torch.Generator(device).manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, device=device)

    x, _ = normal(shape.batch, shape.length, 2 * shape.dim).chunk(2, dim=-1)
    arguments = {
        "x": x.transpose(1, 2),
        "weight": 0.5 * normal(shape.dim, 4),
        "bias": 0.1 * normal(shape.dim),
        "grad_y": normal(shape.batch, shape.length, shape.dim).transpose(1, 2),
    }
    return _laid_out(arguments, layout) | {"activation": "silu"}


def _laid_out(arguments: dict[str, Tensor], layout: Layout) -> dict[str, Any]:
    return {name: x.contiguous() for name, x in arguments.items()} if layout == "contiguous" else dict(arguments)
