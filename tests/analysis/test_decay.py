"""How much of a token remains: against the product written out, and against a scan that was fed one token."""

import math

import pytest
import torch
from agreement import random_clip, small_model
from hypothesis import given, settings
from hypothesis import strategies as st
from scans import draw_scan
from small_transformers import shaken
from vmamba_kernels import selective_scan

from vmamba_edu.analysis import Decay, block_scan_arguments, decay_of, decay_of_arguments


def drawn(length: int = 12, seed: int = 0, direction: str = "forward") -> Decay:
    generator = torch.Generator().manual_seed(seed)
    step = torch.rand(2, 3, length, generator=generator, dtype=torch.float64) + 0.05
    A = -torch.exp(torch.randn(3, 4, generator=generator, dtype=torch.float64))
    return Decay(step, A, direction)


@given(st.integers(1, 20), st.integers(0, 2**20), st.sampled_from(["forward", "backward"]), st.data())
@settings(max_examples=40)
def test_what_remains_is_the_product_of_all_A_bar(length, seed, direction, data):
    decay = drawn(length, seed, direction)
    token = data.draw(st.integers(0, length - 1))
    A_bar = torch.exp(decay.step[:, :, None] * decay.A[:, :, None])
    remaining, reaching = decay.remaining(token), decay.reaching(token)
    for other in range(length):
        first, last = (token, other) if direction == "forward" else (other, token)
        between = slice(first + 1, last + 1) if direction == "forward" else slice(first, last)
        expected = A_bar[..., between].prod(-1) if first <= last else torch.zeros(2, 3, 4, dtype=torch.float64)
        torch.testing.assert_close(remaining[..., other], expected, rtol=1e-12, atol=0)
        first, last = (other, token) if direction == "forward" else (token, other)
        between = slice(first + 1, last + 1) if direction == "forward" else slice(first, last)
        expected = A_bar[..., between].prod(-1) if first <= last else torch.zeros(2, 3, 4, dtype=torch.float64)
        torch.testing.assert_close(reaching[..., other], expected, rtol=1e-12, atol=0)


def test_a_scan_that_is_fed_one_token_shows_it():
    """With one state, B = C = 1 and a single token that puts 1 into it, the output is the share that remains."""
    decay = drawn()
    u = torch.zeros_like(decay.step)
    u[..., 3] = 1 / decay.step[..., 3]
    ones = torch.ones(3, 1, dtype=torch.float64)
    y = selective_scan(u, decay.step, decay.A[:, :1], ones, ones, backend="reference")
    torch.testing.assert_close(y, decay.remaining(3)[:, :, 0], rtol=1e-12, atol=1e-15)


@given(st.floats(0.01, 2), st.floats(-20, -0.01), st.sampled_from(["forward", "backward"]))
@settings(max_examples=40)
def test_with_constant_steps_half_is_gone_after_one_half_life(step, A, direction):
    steps = torch.full((1, 1, 50), step, dtype=torch.float64)
    decay = Decay(steps, torch.tensor([[A]], dtype=torch.float64), direction)
    tokens = math.log(2) / (step * -A)
    assert torch.allclose(decay.half_life(), torch.full((1, 1, 1, 50), tokens, dtype=torch.float64))
    measured = decay.measured_half_life()[0, 0, 0]
    for token in range(50):
        later = 49 - token if direction == "forward" else token
        if abs(later - tokens) > 1e-6:
            expected = tokens if tokens < later else math.inf
            assert measured[token].item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_measured_half_life_is_where_the_share_passes_one_half(direction):
    decay = drawn(30, direction=direction)
    measured = decay.measured_half_life()
    assert measured.isfinite().any()
    assert measured.isinf().any()
    for token in (0, 7, 29):
        share = decay.remaining(token)
        whole = measured[..., token]
        for tokens, shares in zip(whole.flatten().tolist(), share.flatten(0, 2), strict=True):
            onwards = shares[token:] if direction == "forward" else shares[: token + 1].flip(0)
            assert (onwards[math.ceil(tokens) :] <= 0.5).all() if tokens < math.inf else (onwards > 0.5).all()
            assert tokens == math.inf or (onwards[: math.floor(tokens)] > 0.5).all()


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_the_mean_by_distance_is_that_of_all_pairs(direction):
    decay = drawn(8, direction=direction)
    means = decay.by_distance()
    shares = torch.stack([decay.remaining(token) for token in range(8)], dim=-2)  # (…, token, later)
    for distance in range(8):
        offset = distance if direction == "forward" else -distance
        expected = shares.diagonal(offset, -2, -1).mean((0, -1))
        torch.testing.assert_close(means[..., distance], expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(decay.by_distance(3), means[..., :4])


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_a_block_decays_by_its_own_steps(direction):
    model = shaken(small_model()).double()
    clip = random_clip(model)
    decay = decay_of(model, clip, 1, channels=[5, 0], direction=direction)
    a = block_scan_arguments(model, clip, 1, direction=direction)
    assert decay.step.shape == (2, 2, 9)
    step = torch.nn.functional.softplus(a["delta"] + a["delta_bias"][:, None])
    torch.testing.assert_close(decay.step, step[:, [5, 0]], rtol=1e-12, atol=0)
    torch.testing.assert_close(decay.A, a["A"][[5, 0]])
    assert decay.direction == direction
    assert decay_of(model, clip, 0).A.shape[0] == 32


def test_the_arguments_of_a_scan_of_ones_own_will_do():
    a = draw_scan(2, 3, 9, optional=("delta_bias",)) | {"delta_softplus": True}
    step = torch.nn.functional.softplus(a["delta"] + a["delta_bias"][:, None])
    torch.testing.assert_close(decay_of_arguments(a).step, step)
    plain = draw_scan(2, 3, 9, optional=())
    plain["delta"] = plain["delta"].abs()
    torch.testing.assert_close(decay_of_arguments(plain, channels=[1]).step, plain["delta"][:, [1]])
    with pytest.raises(ValueError, match="channel: expected 'mean' or some of 0 to 2"):
        decay_of_arguments(plain, channels=[3])


def test_nothing_decays_without_a_rate():
    decay = Decay(torch.ones(1, 1, 4), torch.zeros(1, 1))
    assert (decay.half_life() == math.inf).all()
    assert (decay.measured_half_life() == math.inf).all()
    assert (decay.by_distance() == 1).all()


def test_what_cannot_be_is_named():
    step, A = torch.ones(1, 2, 4), -torch.ones(2, 3)
    with pytest.raises(ValueError, match=r"step, A: expected .*got \(1, 2, 4\) and \(3, 3\)"):
        Decay(step, -torch.ones(3, 3))
    with pytest.raises(ValueError, match="step: expected no negative number"):
        Decay(-step, A)
    with pytest.raises(ValueError, match="A: expected no positive number"):
        Decay(step, -A)
    with pytest.raises(ValueError, match="direction: expected 'forward' or 'backward', got 'up'"):
        Decay(step, A, "up")
    decay = Decay(step, A)
    with pytest.raises(ValueError, match="token: expected 0 to 3, got 4"):
        decay.remaining(4)
    with pytest.raises(ValueError, match="token: expected 0 to 3, got -1"):
        decay.reaching(-1)
    with pytest.raises(ValueError, match="furthest: expected 0 to 3, got 4"):
        decay.by_distance(4)
