"""Decay and contradiction: products written out, the best of all possible Ā, reach by counting pairs, every control."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from agreement import small_model
from hypothesis import given, settings
from hypothesis import strategies as st
from small_transformers import shaken, small_clip_model

from vmamba_edu import panels
from vmamba_edu.analysis import decay_of, implied_attention
from vmamba_edu.panels.computed import how_far_back
from vmamba_edu.panels.computed.attention_of_models import SideBySide
from vmamba_edu.panels.computed.contradiction_pairs import State, View, best_A_bar, compute, products
from vmamba_edu.panels.computed.how_far_back import HowFarBack
from vmamba_edu.panels.computed.models_side_by_side import pixels_for

SEQUENCES = st.text("ab", min_size=2, max_size=9)


def frames(time: int, height: int, width: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 255, (time, height, width, 3), dtype=torch.uint8, generator=generator).numpy()


def pairs_of(cells: str) -> list[tuple[int, int, bool]]:
    """(i, j, whether alike) of all pairs with j before i."""
    return [(i, j, cells[i] == cells[j]) for i in range(len(cells)) for j in range(i)]


def contradiction_by_hand(cells: str, A_bar: Any) -> float:
    kept: dict[bool, list[float]] = {True: [], False: []}
    for i, j, alike in pairs_of(cells):
        kept[alike].append(float(np.prod(A_bar[j + 1 : i + 1])))
    if not kept[True] or not kept[False]:
        return 0.0
    return (1 - (np.mean(kept[True]) - np.mean(kept[False]))) / 2


@given(SEQUENCES, st.floats(0, 1), st.floats(0, 1), st.sampled_from(["one", "kinds"]))
@settings(max_examples=40)
def test_what_is_kept_is_the_product_over_the_way(cells, at_a, at_b, rule):
    view = compute(State(cells, rule, at_a, at_b, token=0))
    A_bar = [at_a if cell == "a" or rule == "one" else at_b for cell in cells]
    np.testing.assert_array_equal(view.A_bar, A_bar)
    for i, j, alike in pairs_of(cells):
        assert view.kept[i, j] == pytest.approx(np.prod(A_bar[j + 1 : i + 1]), rel=1e-12, abs=1e-300)
        assert view.kept[j, i] == 0
        assert view.alike[i, j] == alike
    assert (np.diag(view.kept) == 1).all()
    assert view.value == pytest.approx(contradiction_by_hand(cells, A_bar), abs=1e-12)
    assert view.least <= view.value + 1e-12


@given(st.text("ab", min_size=2, max_size=8), st.integers(0, 2**16))
@settings(max_examples=30)
def test_no_A_bar_contradicts_less_than_the_best(cells, seed):
    """All ways of cutting, and others drawn at random: the measure is linear in each Ā, so an end is as good."""
    best = compute(State(cells, "best", token=0))
    assert best.value == pytest.approx(best.least, abs=1e-12)
    every = [contradiction_by_hand(cells, (0, *rest)) for rest in itertools.product((0, 1), repeat=len(cells) - 1)]
    assert best.least == pytest.approx(min(every), abs=1e-12)
    for A_bar in np.random.default_rng(seed).random((20, len(cells))):
        assert contradiction_by_hand(cells, A_bar) >= best.least - 1e-12


def test_the_best_cuts_between_blocks_and_gives_up_where_kinds_take_turns():
    blocks, turns = (compute(State(cells, "best", token=0)) for cells in ("aaabbb", "abababab"))
    np.testing.assert_array_equal(blocks.A_bar, [0, 1, 1, 0, 1, 1])
    assert (blocks.least, blocks.pieces) == (0.0, 2)
    assert turns.least == pytest.approx(0.5)
    assert compute(State("aaaa", token=0)).value == 0  # nothing can contradict
    np.testing.assert_array_equal(best_A_bar(np.ones((3, 3), bool)), [0, 1, 1])
    np.testing.assert_array_equal(products(np.array([0.3])), [[1.0]])


@given(SEQUENCES)
@settings(max_examples=20)
def test_each_token_lies_on_the_way_of_the_pairs_around_it(cells):
    view = compute(State(cells, token=0))
    for k in range(len(cells)):
        over = [alike for i, j, alike in pairs_of(cells) if j < k <= i]
        assert view.alike_over[k] == sum(over)
        assert view.unlike_over[k] == len(over) - sum(over)


def reach_by_counting(matrix: np.ndarray, space: int) -> tuple[np.ndarray, np.ndarray]:
    found = []
    for part in (1, space):
        sums: dict[int, list[float]] = {}
        for i, j in itertools.product(range(len(matrix)), repeat=2):
            if j <= i:
                sums.setdefault(i // part - j // part, []).append(abs(matrix[i, j]))
        means = np.array([np.mean(sums[distance]) for distance in sorted(sums)])
        found.append(means / means.sum())
    return found[0], found[1]


def test_the_reach_of_a_scan_counts_all_its_pairs():
    model, clip = shaken(small_model()), frames(2, 16, 16)
    reach = HowFarBack(SideBySide({"it": model}, clip)).block(1)["it"]
    every = implied_attention(model, pixels_for(model, clip), 1, channel=range(32), direction="forward")
    matrix = every.weights[0, 0, :, 1:, 1:].abs().mean(0).double().numpy()
    by_tokens, by_frames = reach_by_counting(matrix, 4)
    np.testing.assert_allclose(reach.by_tokens, by_tokens, rtol=1e-4)  # float32
    np.testing.assert_allclose(reach.by_frames, by_frames, rtol=1e-4)
    decay = decay_of(model, pixels_for(model, clip), 1, channels=range(0, 32, 2)).by_distance(8)
    np.testing.assert_allclose(reach.left, np.quantile(decay.flatten(0, 1), [0.1, 0.5, 0.9], axis=0), rtol=1e-5)
    assert (reach.left[:, 0] == 1).all()
    assert (np.diff(reach.left) <= 0).all()  # historical decay


def test_the_reach_of_an_attention_counts_all_its_pairs():
    model, clip = small_clip_model("vivit_1_base_16x2"), frames(4, 16, 24)
    reach = HowFarBack(SideBySide({"it": model}, clip)).block(0)["it"]
    with torch.no_grad():
        weights = model.forward_features(pixels_for(model, clip), True)[1][0][0].weights
    by_tokens, by_frames = reach_by_counting(weights[0, 0].mean(0)[1:, 1:].double().numpy(), 6)
    np.testing.assert_allclose(reach.by_tokens, by_tokens, rtol=1e-4)
    np.testing.assert_allclose(reach.by_frames, by_frames, rtol=1e-4)
    assert reach.left is None
    assert reach.half == (int((by_tokens.cumsum() < 0.5).sum()), int((by_frames.cumsum() < 0.5).sum()))


def test_of_a_long_sequence_some_tokens_look_back(monkeypatch):
    monkeypatch.setattr(how_far_back, "MOST_ROWS", 3)
    models = SideBySide({"it": shaken(small_model())}, frames(2, 16, 16))
    reach = HowFarBack(models).block(0)["it"]
    assert reach.by_tokens.sum() == pytest.approx(1)
    assert reach.by_tokens.shape == (8,)


def test_a_block_is_looked_at_once():
    reach = HowFarBack(SideBySide({"it": small_model()}, frames(2, 16, 16)))
    assert not reach.knows(0)
    assert reach.block(0) is reach.block(0)
    assert reach.knows(0)
    with pytest.raises(ValueError, match="block: expected 0 to 1, got 2"):
        reach.block(2)


@pytest.fixture(scope="module")
def small() -> Any:
    clip, models = frames(2, 16, 16), {"scan": shaken(small_model())}
    return lambda **words: panels.contradiction(clip, models, **words)


def test_sliders_serve_the_rule_that_is_chosen(small):
    panel = small()
    assert (panel.controls["A_bar"].disabled, panel.controls["A_bar_b"].disabled) == (False, True)
    panel.controls["rule"].value = "kinds"
    assert (panel.controls["A_bar"].disabled, panel.controls["A_bar_b"].disabled) == (False, False)
    panel.controls["A_bar_b"].value = 0.1
    assert set(panel.view.A_bar) == {0.8, 0.1}
    assert panel.controls["A_bar"].description == "Ā at a"
    panel.controls["rule"].value = "best"
    assert (panel.controls["A_bar"].disabled, panel.controls["A_bar_b"].disabled) == (True, True)


def test_a_cell_toggles_and_says_what_it_is(small):
    panel = small(cells="aabb")
    assert [toggle.description for toggle in panel.cells.children] == ["a", "a", "b", "b"]
    panel.toggles[1].value = True
    assert panel.state.cells == panel.controls["cells"].value == "abbb"
    assert panel.toggles[1].description == "b"
    panel.toggles[3].value = False
    assert panel.state.cells == "abba"


def test_other_tokens_bring_cells_and_slider_along(small):
    panel = small(token=11)
    panel.controls["cells"].value = "abb"
    assert (panel.state.token, panel.controls["token"].max) == (2, 2)
    assert len(panel.cells.children) == 3
    panel.controls["cells"].value = "a" * 16
    assert (panel.controls["token"].max, len(panel.cells.children)) == (15, 16)
    assert panel.canvas.layout.xaxis4.ticktext[15] == "15<br>a"


@pytest.mark.parametrize("typed", ["abc", "a", "ab" * 9, ""])
def test_what_are_no_tokens_is_said_and_taken_back(small, typed):
    panel = small(cells="aabb")
    panel.controls["cells"].value = typed
    assert panel.state.cells == panel.controls["cells"].value == "aabb"
    assert "cells: expected 2 to 16 letters a or b" in panel.caption.value
    assert "The view stays as it was" in panel.caption.value


def test_the_sentence_has_the_numbers(small):
    panel = small(cells="aba", A_bar=0.5)
    words, reach = panel.sentence(), panel.view.reach["scan"]
    assert (
        "aba: One Ā = 0.50 for all. Token 2, a kind a, keeps on average 0.25 of the 1 alike and 0.50 of the 1" in words
    )
    assert "stands in the products of 1 pairs that are alike and of 1 that are not" in words
    assert "0.25 is kept of those alike, 0.50 of the others: contradiction 0.62" in words  # (1 - (1/4 - 1/2)) / 2 = 5/8
    assert f"scan has half of its |w| within {reach.half[0]} token" in words
    assert "Token 0 has nothing to look back to" in small(cells="aba", token=0).sentence()


def test_a_bare_arrangement_needs_no_models():
    view = compute(State("ab", token=1))
    assert isinstance(view, View)
    assert view.reach == {}


def test_what_cannot_be_is_named(small):
    for words, message in (
        ({"rule": "two"}, "rule: expected one of 'one', 'kinds', 'best', got 'two'"),
        ({"A_bar": 1.2}, r"A_bar: expected a number in \[0, 1\], got 1.2"),
        ({"A_bar_b": -0.1}, r"A_bar_b: expected a number in \[0, 1\], got -0.1"),
        ({"token": 12}, "token: expected 0 to 11, got 12"),
        ({"block": 2}, "block: expected 0 to 1, got 2"),
        ({"cells": "xy"}, "cells: expected 2 to 16 letters a or b, got 'xy'"),
    ):
        with pytest.raises(ValueError, match=message):
            small(**words)
    with pytest.raises(ValueError, match="clip: expected uint8 frames"):
        panels.contradiction(np.zeros((2, 16, 16)))
