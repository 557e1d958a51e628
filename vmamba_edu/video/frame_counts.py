"""Small helpers that every sampler shares: counts that are counts, and random whole numbers between bounds."""

import torch
from jaxtyping import Int64
from torch import Tensor


def check_counts(**counts: int) -> None:
    """Raise unless every count is an int of at least 1; the message names the argument."""
    for name, count in counts.items():
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"{name} must be an int, but got {count!r} ({type(count).__name__}); count whole frames")
        if count < 1:
            raise ValueError(f"{name} must be at least 1, but got {count}; ask for one frame or more")


def check_view(name: str, view: int, num_views: int) -> None:
    """Raise unless `view` counts from 0 to num_views - 1."""
    if isinstance(view, bool) or not isinstance(view, int):
        raise TypeError(f"{name} must be an int, but got {view!r} ({type(view).__name__}); views count from 0")
    if not 0 <= view < num_views:
        raise ValueError(f"{name} must be from 0 to {num_views - 1}, but got {view}; there are {num_views} of them")


def whole_numbers(
    low: Int64[Tensor, " time"], high: Int64[Tensor, " time"], generator: torch.Generator
) -> Int64[Tensor, " time"]:
    """Draw one whole number uniformly from low to high, both included, in every place."""
    chance = torch.rand(low.shape, generator=generator, dtype=torch.float64)
    return torch.minimum(low + (chance * (high - low + 1)).long(), high)  # a double just below 1 may round up


def steps(num_frames: int) -> torch.Tensor:
    """0, 1, ..., num_frames - 1 in double precision, in which the published code (NumPy) computes."""
    return torch.arange(num_frames, dtype=torch.float64)
