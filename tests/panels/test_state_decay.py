"""State decay: shares against the product of all Ā, half-lives against the logarithm, every control, words and code."""

import math

import numpy as np
import pytest
import torch
from agreement import small_model
from hypothesis import given, settings
from hypothesis import strategies as st
from small_transformers import shaken, small_image_model

from vmamba_edu import panels
from vmamba_edu.analysis import decay_of
from vmamba_edu.panels.computed.decay_shares import WINDOW, Steps, histogram
from vmamba_edu.panels.computed.small_models import as_pixels
from vmamba_edu.panels.decay_panel import State, compute, steps_of_block


def drawn(length: int, seed: int = 0) -> Steps:
    generator = torch.Generator().manual_seed(seed)
    step = torch.rand(3, length, generator=generator, dtype=torch.float64) + 0.01
    return Steps(step, -torch.exp(torch.randn(3, 4, generator=generator, dtype=torch.float64)), "drawn")


@given(st.integers(1, 70), st.integers(0, 2**16), st.data())
@settings(max_examples=25)
def test_what_is_left_is_the_product_of_all_A_bar(length, seed, data):
    steps = drawn(length, seed)
    token, channel, n = (data.draw(st.integers(0, most)) for most in (length - 1, 2, 3))
    view = compute(State("clip", token=token, channel=channel, n=n + 1, measured=steps))
    step, A = steps.step[channel].tolist(), steps.A[channel, n].item()
    for share, delta in ((view.own, step), (view.even, [sum(step) / length] * length)):
        left = 1.0
        for i in range(length):
            left *= math.exp(A * delta[i]) if i > token else 1.0
            assert math.isnan(share[i]) if i < token else share[i] == pytest.approx(left, rel=1e-9)


@given(st.integers(1, 70), st.integers(0, 2**16), st.data())
@settings(max_examples=25)
def test_read_from_the_end_the_product_runs_the_other_way(length, seed, data):
    steps, token = drawn(length, seed), data.draw(st.integers(0, length - 1))
    view = compute(State("clip", token=token, measured=steps, direction="backward"))
    left, A = 1.0, steps.A[0, 0].item()
    for i in reversed(range(length)):
        left *= math.exp(A * steps.step[0, i].item()) if i < token else 1.0
        assert math.isnan(view.own[i]) if i > token else view.own[i] == pytest.approx(left, rel=1e-9)
    for column, j in enumerate(view.window):
        whole = compute(State("clip", token=j, measured=steps, direction="backward"))
        expected = whole.own[view.window[0] : view.window[-1] + 1]
        np.testing.assert_allclose(view.matrix_own[:, column], expected, rtol=1e-9)


def test_a_backward_scan_has_a_step_of_its_own():
    clip = torch.randint(0, 255, (2, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = shaken(small_model())
    decay = decay_of(model, as_pixels(clip, model), 1, direction="backward")
    steps = steps_of_block(clip, model, block=1, direction="backward")
    torch.testing.assert_close(steps.step, decay.step[0])
    panel = panels.state_decay(clip, model, block=1, channel=4, n=2, token=6, direction="backward")
    expected = decay.remaining(6)[0, 4, 1, :7].numpy()
    np.testing.assert_allclose(panel.view.own[:7], expected, rtol=1e-5)  # float32
    assert (panel.view.delta != panels.state_decay(clip, model, block=1, channel=4).view.delta).any()
    assert "read from the end" in panel.sentence()


@given(st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50))
def test_a_histogram_counts_every_number_once_at_its_place(values):
    counted = histogram(np.array(values))
    assert counted.counts.sum() == len(values)
    assert counted.counts[0] == counted.counts[-1] == 0
    ratio = counted.places[1] / counted.places[0]
    assert ratio >= 1.1 - 1e-9
    for value in values:  # there is one within half an interval, and it is not empty
        near = np.abs(np.log(counted.places / value)) <= np.log(ratio) / 2 + 1e-9
        assert counted.counts[near].sum() > 0


def test_constant_steps_stand_in_one_place_of_the_histogram():
    view = compute(State("constant", delta=0.3))
    assert (view.deltas.counts > 0).sum() == 1
    assert view.deltas.places[view.deltas.counts.argmax()] == pytest.approx(0.3)
    assert view.lives.counts.sum() == 16


@pytest.mark.parametrize("token", [0, 40, 99])
def test_the_matrix_holds_the_share_of_each_token_at_each_later_one(token):
    steps = drawn(100)
    view = compute(State("clip", token=token, measured=steps))
    assert len(view.window) == WINDOW
    assert token in view.window
    for column, j in enumerate(view.window):
        whole = compute(State("clip", token=j, measured=steps))
        expected = whole.own[view.window[0] : view.window[-1] + 1]
        np.testing.assert_allclose(view.matrix_own[:, column], expected, rtol=1e-9)
        np.testing.assert_allclose(view.matrix_even[:, column], whole.even[view.window[0] : view.window[-1] + 1])


def test_half_lives_of_constant_steps_are_those_of_the_formula():
    view = compute(State("constant", delta=0.05, n=3))
    expected = math.log(2) / 0.05 / np.arange(1, 17)
    np.testing.assert_allclose(view.steps.half_lives[0], expected, rtol=1e-12)
    assert view.half_own == pytest.approx(expected[2], rel=1e-9)
    assert view.half_even == pytest.approx(expected[2], rel=1e-9)
    np.testing.assert_allclose(view.own, view.even, rtol=1e-12)  # nothing is selected


def test_random_steps_have_the_mean_that_was_asked_for_and_come_again():
    one, same, other = (compute(State("random", 0.2, length=20_000, seed=seed)).delta for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()
    assert one.mean() == pytest.approx(0.2, rel=0.05)  # of 20,000 draws with a deviation of 1.3 means


def test_a_block_is_looked_at_with_its_own_steps():
    clip = torch.randint(0, 255, (2, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    model = shaken(small_model())
    steps = steps_of_block(clip, model, block=1)
    decay = decay_of(model, as_pixels(clip, model), 1)
    torch.testing.assert_close(steps.step, decay.step[0])
    torch.testing.assert_close(steps.A, decay.A)
    view = compute(State("clip", token=2, channel=4, n=2, measured=steps))
    np.testing.assert_allclose(view.own[2:], decay.remaining(2)[0, 4, 1, 2:].numpy(), rtol=1e-5)  # float32
    panel = panels.state_decay(clip, model, block=1, channel=4, n=2, token=2)
    np.testing.assert_array_equal(panel.view.own, view.own)


def test_the_channel_that_is_shown_first_is_selective_and_forgets_within_the_sequence():
    step = torch.ones(4, 60, dtype=torch.float64) * torch.tensor([[0.05], [0.05], [1e-6], [9.0]])
    step[1:, ::2] *= torch.tensor([[2.0], [9.5], [9.0]])
    steps = Steps(step, -torch.ones(4, 2, dtype=torch.float64), "made")
    assert steps.most_selective == 1  # 2 never forgets, 3 at once, 0 does not change
    assert Steps(step[2:], -torch.ones(2, 2, dtype=torch.float64), "made").most_selective == 0


@pytest.fixture(scope="module")
def fresh() -> Steps:
    from vmamba_edu.panels.computed.small_models import default_clip

    return steps_of_block(default_clip())


def test_the_small_model_selects(fresh):
    """Otherwise the panel, opened without arguments, would have nothing to show."""
    view = compute(State("clip", token=20, channel=fresh.most_selective, measured=fresh))
    assert view.delta.max() > 3 * view.delta.min()
    assert np.nanmax(np.abs(view.own - view.even)) > 0.03


def test_the_mean_step_can_be_set_where_it_is_not_measured(fresh):
    panel = panels.state_decay(steps=fresh)
    assert panel.controls["delta"].disabled
    panel.controls["source"].value = "constant"
    assert not panel.controls["delta"].disabled
    panel.controls["delta"].value = 0.01
    assert panel.view.half_own == pytest.approx(math.log(2) / 0.01)


def test_other_steps_bring_token_channel_and_state_into_their_range(fresh):
    panel = panels.state_decay(steps=fresh, token=128, channel=30)
    panel.controls["source"].value = "random"
    assert (panel.state.token, panel.state.channel) == (127, 0)
    assert (panel.controls["token"].max, panel.controls["channel"].max, panel.controls["n"].max) == (127, 0, 16)
    panel.controls["n"].value = 16
    panel.controls["source"].value = "clip"
    assert (panel.state.n, panel.controls["n"].value) == (8, 8)


def test_the_sentence_has_the_numbers(fresh):
    words = panels.state_decay(steps=fresh, source="constant", delta=0.1, token=5, n=2).sentence()
    assert "Token 5 in state n = 2 of channel 0 (A = -2), with a constant Δ of 0.1" in words
    assert f"gone after {math.log(2) / 0.2:.3g} tokens" in words
    assert f"20 tokens later {math.exp(-4):.1%}" in words
    last = panels.state_decay(steps=fresh, source="constant", token=127).sentence()
    assert "gone after more tokens than follow" in last
    assert "0 tokens later 100.0%" in last


def test_one_token_can_be_read():
    view = compute(State("random", length=1))
    assert view.own.tolist() == [1.0]
    assert view.half_own == math.inf
    assert panels.state_decay(steps=drawn(1)).view.matrix_own.shape == (1, 1)


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match="token: expected 0 to 127, got 128"):
        compute(State(token=128))
    with pytest.raises(ValueError, match="n: expected 1 to 16, got 0"):
        compute(State(n=0))
    with pytest.raises(ValueError, match="channel: expected 0 to 0, got 1"):
        compute(State(channel=1))
    with pytest.raises(ValueError, match="source: expected one of 'constant', 'random', 'clip', got 'tap'"):
        compute(State("tap"))
    with pytest.raises(ValueError, match="source: 'clip' needs the steps of a block"):
        compute(State("clip"))
    with pytest.raises(ValueError, match="delta: expected a number above 0, at most 100, got 0"):
        compute(State(delta=0))
    with pytest.raises(ValueError, match="A: expected no positive number"):
        Steps(torch.ones(1, 3), torch.ones(1, 2), "wrong")
    clip = torch.zeros(2, 16, 16, 3, dtype=torch.uint8)
    with pytest.raises(ValueError, match="block: expected 0 to 1, got 5"):
        panels.state_decay(clip, small_model(), block=5)
    with pytest.raises(ValueError, match="model: expected one whose blocks scan"):
        panels.state_decay(clip, small_image_model())
