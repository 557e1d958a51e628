"""Scan as a tree: each step against pairs that are composed by hand, counts against the loop, every control."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vmamba_edu import panels
from vmamba_edu.panels.computed.scan_tree_steps import MOST, SCANS, State, as_typed, compute, numbers, usual_pairs
from vmamba_edu.panels.parts.scan_tree_drawing import short, table, traces

two_to_32_pairs = st.lists(st.tuples(st.floats(-1.5, 1.5), st.floats(-2, 2)), min_size=2, max_size=32)


def recurrence(a, b) -> list[float]:
    h, path = 0.0, []
    for one_a, one_b in zip(a, b, strict=True):
        h = one_a * h + one_b
        path.append(h)
    return path


@given(two_to_32_pairs, st.sampled_from(list(SCANS)))
@settings(max_examples=40)
def test_at_the_last_step_both_hold_the_recurrence(pairs, scan):
    a, b = (tuple(one) for one in zip(*pairs, strict=True))
    last = compute(State(scan, a, b)).last_step
    view = compute(State(scan, a, b, last))
    expected = recurrence(a, b)
    assert view.tree.is_finished
    assert view.loop.is_finished
    # 32 steps of float64 with factors up to 1.5 and another order of summing
    for found in (view.tree.b[: len(a)], view.loop.b, view.h):
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * 1.5**32)


@pytest.mark.parametrize("length", [2, 3, 8, 13, 32])
def test_after_k_levels_of_hillis_and_steele_a_place_holds_the_last_two_to_the_k_pairs(length):
    a, b = (one[:length] for one in usual_pairs())
    for step in range(math.ceil(math.log2(length)) + 1):
        view = compute(State("hillis_steele", a, b, step))
        for t in range(length):
            first = max(0, t + 1 - 2**step)
            assert view.tree.a[t] == pytest.approx(math.prod(a[first : t + 1]), rel=1e-12)
            assert view.tree.b[t] == pytest.approx(recurrence(a[first : t + 1], b[first : t + 1])[-1], rel=1e-12)


@pytest.mark.parametrize(("scan", "length", "depth", "work"), [("hillis_steele", 8, 3, 17), ("blelloch", 8, 7, 22)])
def test_depth_and_work_grow_to_the_known_counts(scan, length, depth, work):
    """Hillis and Steele: 7 + 6 + 4. Blelloch: 4 + 2 + 1 up, 1 + 2 + 4 down, 8 at the end."""
    a, b = (one[:length] for one in usual_pairs())
    made = 0
    for step in range(8):
        view = compute(State(scan, a, b, step))
        assert view.tree.done == min(step, depth)
        made += view.tree.at_once if step <= depth else 0
        assert view.tree.combinations == made
        assert (view.loop.done, view.loop.combinations) == (min(step, 7), min(step, 7))
    assert made == view.tree.trace.work == work


def test_before_the_first_step_the_pairs_stand_there_filled_up_where_the_tree_needs_it():
    view = compute(State("blelloch", (0.5, 0.25, 2.0), (1.0, 2.0, 3.0)))
    assert view.tree.a.tolist() == [0.5, 0.25, 2.0, 1.0]
    assert view.tree.b.tolist() == [1.0, 2.0, 3.0, 0.0]
    assert (view.tree.combinations, view.tree.at_once, view.tree.phase) == (0, 0, "start")


def test_the_table_has_every_pair_of_both_and_nothing_where_the_loop_has_no_place():
    view = compute(State("blelloch", (0.5, 0.25, 2.0), (1.0, 2.0, 3.0), 1))
    assert table(view.tree, view.loop)["text"] == [
        [".5", ".12", "2", "2"],
        ["1", "2.25", "3", "3"],
        [".5", ".12", "2", ""],
        ["1", "2.25", "3", ""],
    ]


def test_lines_join_what_is_combined():
    """Of four pairs Hillis and Steele's first level joins 0-1, 1-2, 2-3; the loop's first step only 0-1."""
    view = compute(State("hillis_steele", (1.0,) * 4, (1.0,) * 4, 1))
    for progress, joined in ((view.tree, {(0, 1), (1, 2), (2, 3)}), (view.loop, {(0, 1)})):
        *_, now, places = traces(progress)
        ends = zip(now["x"][::3], now["x"][1::3], strict=True)
        assert {(start, end) for start, end in ends if start != end} == joined
        assert places["y"] == [1] * 4


@pytest.fixture
def panel():
    return panels.scan_tree()


def test_slider_and_player_reach_to_the_last_step(panel):
    for length in (5, 32, 2):
        panel.controls["length"].value = length
        assert panel.controls["step"].max == panel.player.play.max == panel.view.last_step


def test_a_shorter_scan_is_seen_at_its_end(panel):
    panel.controls["step"].value = 7
    panel.controls["length"].value = 3
    assert panel.state.step == panel.view.last_step == 5
    assert panel.controls["step"].value == 5


def test_your_own_pairs_come_as_they_are_and_what_is_missing_is_made_up():
    panel = panels.scan_tree(a=[0.1, 0.2, 0.3], b=np.array([1.0, 2.0, 3.0]))
    assert (panel.state.a, panel.state.b) == ((0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    half = panels.scan_tree(b=[1.0] * 5)
    assert half.state.a == usual_pairs()[0][:5]
    panel.controls["own_a"].value = "1; 0.5, 0.5 -1"
    assert panel.state.a == (1.0, 0.5, 0.5, -1.0)
    assert panel.state.b == (1.0, 2.0, 3.0, usual_pairs()[1][3])
    assert panel.controls["own_a"].value == "1, 0.5, 0.5, -1"


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("1, x", "a, b: expected numbers between commas, such as 0.9, 1, -0.5, got &#x27;1, x&#x27;"),
        ("1", "a, b: expected 2 to 32 pairs, got 1"),
        ("1, inf", "a, b: expected finite numbers"),
    ],
)
def test_what_cannot_be_typed_gets_a_sentence_and_the_view_stays(panel, typed, said):
    before, state = repr(panel.canvas.to_dict()), panel.state
    panel.controls["own_b"].value = typed
    assert said in panel.caption.value
    assert panel.state == state
    assert repr(panel.canvas.to_dict()) == before
    assert panel.controls["own_b"].value == state.own_b


def test_the_sentence_has_the_numbers(panel):
    panel.show(step=3)
    words = panel.sentence()
    assert "Blelloch on 8 pairs, step 3: sums walk up to the root, one combination." in words
    assert "It has made 7 of 22 combinations in 3 of 7 steps, the loop beside it 3 of 7 in 3 of 7." in words
    assert f"h = {recurrence(panel.state.a, panel.state.b)[-1]:.4g}" in words
    panel.show(step=7)
    assert "step 7: finished (each place adds its own pair, 8 combinations at once)" in panel.sentence()


def test_the_copied_code_reproduces_the_view(panel):
    panel.controls["own_a"].value = "0.1, 0.30000000000000004, 1e-7"
    panel.controls["step"].value = 2
    *lines, call = panel.code().splitlines()
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    assert eval(call, scope).state == panel.state


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=5))
def test_numbers_are_typed_and_read_without_loss(values):
    assert numbers(as_typed(values)) == tuple(values)


@given(st.floats(-1e90, 1e90))
def test_a_short_number_is_near_and_fits(value):
    text = short(value, 2)
    assert len(text) <= 7
    # Down to one digit, 1.5e5 becoming 2e5.
    assert float(text) == pytest.approx(value, rel=0.34)


def test_a_page_plays_the_steps(panel, tmp_path):
    page = panel.to_html(tmp_path / "tree.html", progress=False).read_text("utf-8")
    assert "step 7: finished" in page
    assert panel.at("length", 3).state.length == 3
    assert panel.state.length == 8


def test_what_stays_in_a_saved_notebook_is_small_and_has_words():
    for length in (2, 8, MOST):
        panel = panels.scan_tree(length=length, step=1)
        data, _ = panel._repr_mimebundle_()
        assert data["text/plain"] == panel.sentence()
        assert 1000 < len(data["image/png"]) < 40_000


def test_what_cannot_be_is_named():
    pair = (1.0, 1.0)
    with pytest.raises(ValueError, match="scan: expected one of 'hillis_steele', 'blelloch', got 'tree'"):
        compute(State("tree"))
    with pytest.raises(ValueError, match="a, b: expected as many of one as of the other, got 3 and 2"):
        panels.scan_tree(a=(1.0, 1.0, 1.0), b=pair)
    with pytest.raises(ValueError, match="a, b: expected 2 to 32 pairs, got 33"):
        compute(State("blelloch", (1.0,) * 33, (1.0,) * 33))
    with pytest.raises(ValueError, match="length: expected 2 to 32 pairs, got 1"):
        panels.scan_tree(length=1)
    for step in (-1, 4):
        with pytest.raises(ValueError, match=f"step: expected 0 to 3, got {step}"):
            compute(State("blelloch", pair, pair, step))
