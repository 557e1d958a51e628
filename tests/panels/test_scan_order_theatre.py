"""The scan-order theatre: compute against truth worked out by hand, every control, words and pictures."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmamba_edu import panels
from vmamba_edu.panels.scan_orders_panel import State, compute, tokens_of
from vmamba_edu.scan_orders import PLANS

GRID = (2, 2, 3)
SPATIAL = list(range(12))
TEMPORAL = [0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11]  # the two frames of place 0, then those of place 1, …
PATHS = {
    "spatial_first": [SPATIAL, SPATIAL[::-1]],
    "temporal_first": [TEMPORAL, TEMPORAL[::-1]],
    "spatiotemporal_v1": [SPATIAL, TEMPORAL[::-1]],
    "spatiotemporal_v2": [SPATIAL, SPATIAL[::-1], TEMPORAL, TEMPORAL[::-1]],
}


@pytest.mark.parametrize("plan", PLANS)
def test_every_plan_reads_what_was_worked_out_by_hand(plan: str) -> None:
    view = compute(State(GRID, plan, position=4))
    assert [one.path.tolist() for one in view.passes] == PATHS[plan]
    for one, path in zip(view.passes, PATHS[plan], strict=True):
        assert one.token == path[4]
        assert one.trail.tolist() == path[:5]
        assert [path[step] for step in one.rank] == SPATIAL


@given(st.tuples(st.integers(1, 4), st.integers(1, 4), st.integers(1, 4)), st.sampled_from(sorted(PLANS)), st.data())
def test_distances_are_those_of_the_tokens_on_the_path(grid: tuple[int, int, int], plan: str, data: Any) -> None:
    length = grid[0] * grid[1] * grid[2]
    view = compute(State(grid, plan, data.draw(st.integers(0, length - 1))))
    for one in view.passes:
        path = one.path.tolist()
        neighbour = {"time": (1, 0, 0), "height": (0, 1, 0), "width": (0, 0, 1)}
        for axis, steps in one.distances.items():
            other = np.ravel_multi_index(neighbour[axis], grid)
            assert steps == abs(path.index(int(other)) - path.index(0))


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_one_direction_can_be_seen_alone(direction: str) -> None:
    view = compute(State(GRID, "spatiotemporal_v2", directions=direction))
    assert {one.reading.direction for one in view.passes} == {direction}
    assert len(view.passes) == 2


@pytest.mark.parametrize("position", [-1, 12])
def test_a_position_outside_the_sequence_is_refused(position: int) -> None:
    with pytest.raises(ValueError, match=f"position: expected 0 to 11.*got {position}"):
        compute(State(GRID, position=position))


def test_the_grid_follows_from_the_clip() -> None:
    clip = torch.zeros(4, 32, 48, 3, dtype=torch.uint8)
    assert tokens_of(clip, patch_size=16) == (4, 2, 3)
    assert tokens_of(clip, patch_size=8, tubelet_size=2) == (2, 4, 6)
    with pytest.raises(ValueError, match="height by patch_size to divide without remainder, got 32 by 20"):
        tokens_of(clip, patch_size=20)


@pytest.fixture
def panel() -> panels.scan_orders:
    clip = torch.randint(0, 255, (2, 32, 48, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    return panels.scan_orders(clip, patch_size=16)


def test_the_play_button_moves_over_the_whole_sequence(panel: Any) -> None:
    assert (panel.player.play.min, panel.player.play.max) == (0, 11)
    panel.player.speed.value = 80
    assert panel.player.play.interval == 80


def test_the_sentence_says_where_every_reading_is(panel: Any) -> None:
    panel.show(plan="spatiotemporal_v1", position=4)
    words = panel.sentence()
    assert "2 × 2 × 3 tokens, step 5 of 12" in words
    assert "spatial-first forward reads frame 0, row 1, column 1" in words
    assert "temporal-first backward reads frame 1, row 1, column 0" in words
    assert "In spatial-first order the same place one frame on is 6 steps away" in words
    assert "In temporal-first order the same place one frame on is 1 step away" in words


def test_a_panel_that_does_not_exist_is_refused_with_those_that_do() -> None:
    with pytest.raises(AttributeError, match=r"no panel 'carousel'; there are .*scan_orders"):
        panels.carousel  # noqa: B018
