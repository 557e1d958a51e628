"""Our measure of element contradiction: its bounds, its three landmarks, and the definition written out."""

import pytest
import torch
from agreement import random_clip, small_model
from hypothesis import given, settings
from hypothesis import strategies as st
from small_transformers import shaken

from vmamba_edu.analysis import Decay, contradiction, contradiction_of, decay_of
from vmamba_edu.analysis.contradictions import alike_by_median, shares_of
from vmamba_edu.analysis.hidden_state import input_of_mixer


def drawn(seed: int, length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    kept, alike = torch.rand(2, 3, length, length, generator=generator, dtype=torch.float64)
    return kept, alike


@given(st.integers(0, 2**20), st.integers(2, 7), st.sampled_from(["forward", "backward"]))
@settings(max_examples=40)
def test_it_is_what_it_says_and_stays_in_bounds(seed, length, direction):
    kept, alike = drawn(seed, length)
    found = contradiction(kept, alike, direction=direction)
    pairs = [(i, j) for i in range(length) for j in range(length) if (j < i if direction == "forward" else j > i)]
    for axis in range(3):
        r = torch.tensor([kept[axis, i, j] for i, j in pairs])
        s = torch.tensor([alike[axis, i, j] for i, j in pairs])
        ours, others = (s * r).sum() / s.sum(), ((1 - s) * r).sum() / (1 - s).sum()
        assert found.kept_alike[axis].item() == pytest.approx(ours.item(), rel=1e-6)
        assert found.kept_unlike[axis].item() == pytest.approx(others.item(), rel=1e-6)
        assert found.value[axis].item() == pytest.approx((1 - ours.item() + others.item()) / 2, rel=1e-6)
    assert (found.value >= 0).all()
    assert (found.value <= 1).all()


def test_the_landmarks():
    alike = (torch.rand(6, 6, generator=torch.Generator().manual_seed(0)) > 0.5).double()
    assert contradiction(alike, alike).value == 0  # what attention could do
    assert contradiction(1 - alike, alike).value == 1
    assert contradiction(torch.ones(6, 6).double(), alike).value == 0.5  # nothing is forgotten
    assert contradiction(torch.zeros(6, 6).double(), alike).value == 0.5  # everything is
    assert contradiction(torch.rand(6, 6), torch.ones(6, 6)).value == 0  # all pairs are of one kind


def test_recency_contradicts_a_content_that_comes_back():
    """Tokens of two kinds in the order a a b b a a b b: what is near is only half of what is alike."""
    decay = Decay(torch.full((1, 1, 16), 0.5).double(), torch.tensor([[-1.0]]).double())
    near = torch.arange(16)[:, None] // 8 == torch.arange(16) // 8  # alike are the tokens of one half
    back = torch.arange(16)[:, None] % 8 == torch.arange(16) % 8  # alike is what was said eight tokens ago
    shares = shares_of(decay)[0, 0, 0]
    assert contradiction(shares, near.double()).value < 0.45 < 0.5 < contradiction(shares, back.double()).value


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("scan_order", ["spatial_first", "temporal_first"])
def test_of_a_model_it_is_that_of_its_decay(direction, scan_order):
    model = shaken(small_model(scan_order=scan_order)).double()
    clip = random_clip(model)
    found = contradiction_of(model, clip, 1, channels=[4, 0], direction=direction)
    assert found.value.shape == (2, 2, 4)
    tokens = input_of_mixer(model, clip, 1)
    if scan_order == "temporal_first":
        tokens = tokens[:, [0, 1, 5, 2, 6, 3, 7, 4, 8]]  # [cls], and 2 frames of 2 × 2 patches place by place
    decay = decay_of(model, clip, 1, channels=[4], direction=direction)
    expected = contradiction(shares_of(decay)[:, 0], alike_by_median(tokens)[:, None], direction=direction)
    torch.testing.assert_close(found.value[:, 0], expected.value)
    single = contradiction_of(model, clip, 1, channels=[0], direction=direction)
    torch.testing.assert_close(found.value[:, 1:], single.value)
    assert ((found.value > 0) & (found.value < 1)).all()


def test_half_of_all_pairs_are_alike():
    model = shaken(small_model()).double()
    tokens = input_of_mixer(model, random_clip(model), 0)
    alike = alike_by_median(tokens)
    torch.testing.assert_close(alike, alike.mT)
    assert (alike.tril(-1).sum((1, 2)) == 9 * 8 // 2 // 2).all()
    assert alike_by_median(tokens[:, :1]).shape == (2, 1, 1)


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match=r"kept, alike: expected .* got \(3, 4\) and \(3, 4\)"):
        contradiction(torch.zeros(3, 4), torch.zeros(3, 4))
    with pytest.raises(ValueError, match=r"kept: expected numbers in \[0, 1\], got 0 to 2"):
        contradiction(torch.tensor([[0.0, 0], [2, 0]]), torch.zeros(2, 2))
    with pytest.raises(ValueError, match=r"alike: expected numbers in \[0, 1\], got -1 to 0"):
        contradiction(torch.zeros(2, 2), torch.tensor([[0.0, 0], [-1, 0]]))
