"""The orders in which a (time, height, width) grid of tokens can be read, and plans of reading it several times.

A scan is one-dimensional and a clip is not: somebody has to decide which token comes next. An order is a permutation of
the token indices, written frame by frame, row by row: `order[i]` is the token that is read i-th. A plan is what one
block does with the clip: a few readings, each an order and a direction, whose outputs are added.

Source: VideoMamba (arXiv 2403.06977) §3.2 and figure 4. The released code has the spatial-first plan only.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from einops import rearrange
from jaxtyping import Float, Int64
from torch import Tensor

Grid = tuple[int, int, int]
"""How many tokens a clip has in time, height and width."""

OrderName = Literal["spatial_first", "temporal_first"]
Direction = Literal["forward", "backward"]


def spatial_first(grid: Grid) -> Int64[Tensor, " length"]:
    """Read a frame row by row, then the next frame: the order in which the tokens are stored."""
    return _indices(grid).flatten()


def temporal_first(grid: Grid) -> Int64[Tensor, " length"]:
    """Read one position through all frames, then the next position."""
    return rearrange(_indices(grid), "t h w -> (h w t)")


def inverse(order: Int64[Tensor, " length"]) -> Int64[Tensor, " length"]:
    """The permutation that undoes `order`: `tokens[order][inverse(order)]` is `tokens`."""
    return torch.argsort(order)


def with_cls(order: Int64[Tensor, " length"]) -> Int64[Tensor, " length_and_cls"]:
    """The same order for a sequence in which one more token, [cls], stands first and stays first."""
    return torch.cat([order.new_zeros(1), order + 1])


ORDERS: dict[str, Callable[[Grid], Tensor]] = {"spatial_first": spatial_first, "temporal_first": temporal_first}


@dataclass(frozen=True)
class Reading:
    """One pass over the tokens: in which order, and from which end."""

    order: OrderName
    direction: Direction

    def path(self, grid: Grid) -> Int64[Tensor, " length"]:
        """The token indices one after the other as this reading meets them."""
        order = ORDERS[self.order](grid)
        return order.flip(0) if self.direction == "backward" else order


# The paper says of the spatiotemporal plans only that v1 does half of the readings and v2 all of them, at twice the
# cost. Which half is our reading of it: forward in space, backward in time. V2 uses the same weights for both orders.
PLANS = {
    "spatial_first": (Reading("spatial_first", "forward"), Reading("spatial_first", "backward")),
    "temporal_first": (Reading("temporal_first", "forward"), Reading("temporal_first", "backward")),
    "spatiotemporal_v1": (Reading("spatial_first", "forward"), Reading("temporal_first", "backward")),
    "spatiotemporal_v2": (
        Reading("spatial_first", "forward"),
        Reading("spatial_first", "backward"),
        Reading("temporal_first", "forward"),
        Reading("temporal_first", "backward"),
    ),
}


def scan_plan(name: str) -> tuple[Reading, ...]:
    """The readings of the plan of that name: a block does them all and adds the outputs before its output projection.

    Raises:
        ValueError: there is no such plan; the message lists those that exist.
    """
    if name not in PLANS:
        raise ValueError(f"name: expected one of {', '.join(map(repr, PLANS))}, got {name!r}")
    return PLANS[name]


def neighbour_distances(path: Int64[Tensor, " length"], grid: Grid) -> dict[str, Float[Tensor, " pairs"]]:
    """How many steps of the reading lie between tokens that touch in the clip.

    Returns:
        For "time", "height" and "width": the distance along the path of each pair of tokens that are neighbours on that
        axis (empty for an axis with one token).
    """
    position = inverse(path).reshape(grid).float()
    return {axis: position.diff(dim=number).abs().flatten() for number, axis in enumerate(("time", "height", "width"))}


def _indices(grid: Grid) -> Int64[Tensor, "time height width"]:
    if len(grid) != 3 or min(grid) < 1:
        raise ValueError(f"grid: expected (time, height, width), each at least 1, got {tuple(grid)}")
    return torch.arange(grid[0] * grid[1] * grid[2]).reshape(grid)
