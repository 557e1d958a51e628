"""Laws of the scan orders: permutations with inverses, each following the axis that its name says."""

import pytest
import torch
from einops import rearrange
from hypothesis import given
from hypothesis import strategies as st

from vmamba_edu.scan_orders import (
    ORDERS,
    PLANS,
    Reading,
    inverse,
    neighbour_distances,
    scan_plan,
    spatial_first,
    temporal_first,
    with_cls,
)

grids = st.tuples(st.integers(1, 5), st.integers(1, 5), st.integers(1, 5))
orders = st.sampled_from(sorted(ORDERS))


@given(grids, orders)
def test_an_order_visits_every_token_once_and_its_inverse_undoes_it(grid: tuple[int, int, int], name: str) -> None:
    order = ORDERS[name](grid)
    tokens = torch.randn(order.numel(), 2)
    assert sorted(order.tolist()) == list(range(grid[0] * grid[1] * grid[2]))
    assert torch.equal(tokens[order][inverse(order)], tokens)
    assert torch.equal(tokens[inverse(order)][order], tokens)


@given(grids)
def test_orders_follow_the_axes_of_their_names(grid: tuple[int, int, int]) -> None:
    t, h, w = torch.meshgrid(*(torch.arange(n) for n in grid), indexing="ij")
    coordinates = torch.stack([t.flatten(), h.flatten(), w.flatten()], dim=-1)
    assert coordinates[spatial_first(grid)].tolist() == sorted(coordinates.tolist())
    assert coordinates[temporal_first(grid)].tolist() == sorted(coordinates.tolist(), key=lambda c: (c[1], c[2], c[0]))


@given(grids, orders)
def test_cls_stays_first(grid: tuple[int, int, int], name: str) -> None:
    order = ORDERS[name](grid)
    tokens = torch.randn(1 + order.numel(), 2)
    ordered = tokens[with_cls(order)]
    assert torch.equal(ordered[0], tokens[0])
    assert torch.equal(ordered[1:], tokens[1:][order])
    assert torch.equal(ordered[inverse(with_cls(order))], tokens)


@given(grids, orders)
def test_the_backward_reading_is_the_forward_one_from_the_end(grid: tuple[int, int, int], name: str) -> None:
    forward, backward = (Reading(name, direction).path(grid) for direction in ("forward", "backward"))
    assert forward.tolist() == backward.tolist()[::-1]


def test_plans_are_the_four_of_the_paper() -> None:
    everything = {Reading(order, direction) for order in ORDERS for direction in ("forward", "backward")}
    assert list(PLANS) == ["spatial_first", "temporal_first", "spatiotemporal_v1", "spatiotemporal_v2"]
    assert set(scan_plan("spatiotemporal_v2")) == everything
    assert scan_plan("spatiotemporal_v1") == (
        Reading("spatial_first", "forward"),
        Reading("temporal_first", "backward"),
    )
    for name in ORDERS:
        assert set(scan_plan(name)) == {Reading(name, "forward"), Reading(name, "backward")}


@given(grids, orders)
def test_neighbour_distances_are_constant_along_each_axis_of_the_grid(grid: tuple[int, int, int], name: str) -> None:
    time, height, width = grid
    expected = {
        "spatial_first": {"time": height * width, "height": width, "width": 1},
        "temporal_first": {"time": 1, "height": width * time, "width": time},
    }[name]
    distances = neighbour_distances(ORDERS[name](grid), grid)
    pairs = {
        "time": (time - 1) * height * width,
        "height": time * (height - 1) * width,
        "width": time * height * (width - 1),
    }
    for axis, steps in distances.items():
        assert steps.tolist() == [expected[axis]] * pairs[axis]


def test_a_frame_by_frame_embedding_is_already_spatial_first() -> None:
    embedded = torch.randn(2, 8, 3, 4, 5)  # (batch, dim, time, height, width) out of the patch embedding
    tokens = rearrange(embedded, "b d t h w -> b (t h w) d")
    assert torch.equal(tokens[:, spatial_first((3, 4, 5))], tokens)


@pytest.mark.parametrize("grid", [(0, 2, 2), (2, 2), (1, 2, -1)])
def test_a_grid_that_is_none_is_refused_by_name(grid: tuple[int, ...]) -> None:
    with pytest.raises((ValueError, TypeError), match="grid"):
        spatial_first(grid)


def test_an_unknown_plan_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"spatiotemporal_v2.*got 'diagonal'"):
        scan_plan("diagonal")
