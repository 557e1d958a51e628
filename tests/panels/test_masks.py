"""The mask studio: what is left against the mask itself, taps against a loop, every control, words and code."""

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vmamba_edu import panels
from vmamba_edu.masking import NAMES, make_mask
from vmamba_edu.models.digit_teacher import digit_teacher
from vmamba_edu.panels.computed.masks_of_clips import WIDTH, State, attention_of_teacher, compute, taps
from vmamba_edu.panels.computed.small_models import default_clip
from vmamba_edu.video import clip_to_tensor

GRID = (3, 4, 5)
LOOKS = torch.rand(3, 20, generator=torch.Generator().manual_seed(0))


@given(
    st.sampled_from(NAMES),
    st.floats(0, 1),
    st.integers(0, 2**16),
)
@settings(max_examples=40)
def test_what_is_left_is_what_the_mask_does_not_drop(mask: str, ratio: float, seed: int) -> None:
    view = compute(State(GRID, mask, ratio, seed, LOOKS))
    generator = torch.Generator().manual_seed(seed)
    expected = make_mask(mask, GRID, ratio, attention=LOOKS[None], generator=generator)[0].tolist()
    left = [token for token, dropped in enumerate(expected) if not dropped]
    assert view.visible.tolist() == left
    assert view.by_frame.tolist() == [sum(20 * t <= token < 20 * t + 20 for token in left) for t in range(3)]
    runs = [list(range(first, first + length)) for first, length in view.runs.tolist()]
    assert [token for run in runs for token in run] == left
    assert all(one[-1] + 1 < other[0] for one, other in pairwise(runs))


@given(st.sets(st.integers(0, 30)))
def test_taps_see_what_a_loop_sees(tokens: set[int]) -> None:
    visible = np.array(sorted(tokens), dtype=int)
    seen = taps(visible)
    for at, token in enumerate(visible):
        for back in range(WIDTH):
            if at < back:
                assert np.isnan(seen[back, at])
            else:
                assert seen[back, at] == (visible[at - back] == token - back)


@pytest.mark.parametrize("mask", NAMES)
def test_the_share_of_whole_windows_is_that_of_the_taps(mask: str) -> None:
    """The library counts by runs, the taps one by one; and one draw is what the mean of many is made of."""
    from vmamba_edu.masking import unbroken_windows

    view = compute(State(GRID, mask, 0.5, 3, LOOKS))
    share = float(unbroken_windows(torch.as_tensor(view.dropped)[None], WIDTH)[0])
    assert view.whole.mean() == pytest.approx(share)
    assert set(view.shares) == set(NAMES)
    masks = make_mask(
        mask, GRID, 0.5, 16, attention=LOOKS.expand(16, -1, -1), generator=torch.Generator().manual_seed(0)
    )
    whole = [~(taps(np.flatnonzero(~one.numpy())) == 0).any(axis=0) for one in masks]
    assert view.shares[mask] == pytest.approx(np.mean([one.mean() for one in whole]))


def test_rows_keep_neighbours_and_holes_do_not() -> None:
    """The reason that the paper gives for masks by rows; the attention mask has it not, and is said to be best."""
    panel = panels.masks()
    shares = panel.view.shares
    assert min(shares["clip_row"], shares["frame_row"]) > 0.5 > 5 * max(shares["random"], shares["tube"])
    assert shares["attention"] < 0.1


def test_the_attention_is_that_of_the_shipped_teacher() -> None:
    clip = default_clip()
    teacher = digit_teacher()(clip_to_tensor(clip)[None]).attention[0]
    torch.testing.assert_close(attention_of_teacher(clip, (8, 4, 4)), teacher)
    halves = attention_of_teacher(clip, (4, 4, 4))
    torch.testing.assert_close(halves, (teacher[::2] + teacher[1::2]) / 2)
    fine = attention_of_teacher(clip, (8, 8, 8)).reshape(8, 8, 8)
    assert fine.min() >= 0
    assert float(fine.mean()) == pytest.approx(float(teacher.mean()), rel=0.1)  # interpolated: edges weigh a bit more


def test_what_the_teacher_looks_at_stays_more_often() -> None:
    panel = panels.masks(mask="attention", ratio=0.5)
    looked = panel.state.attention.flatten().numpy()
    left = np.mean([looked[compute(panel.at("seed", seed).state).visible].mean() for seed in range(5)])
    assert left > 1.1 * looked.mean()


@pytest.fixture
def panel() -> Any:
    return panels.masks(attention=torch.rand(8, 64, generator=torch.Generator().manual_seed(0)))


def test_the_sentence_has_the_numbers(panel: Any) -> None:
    panel.show(mask="frame_row", ratio=0.75, seed=0)
    words = panel.sentence()
    assert "Frame-row mask, ratio 0.75, on 8 × 8 × 8 tokens: 128 of 512 are left, 16 of each frame" in words
    assert f"{len(panel.view.runs)} runs" in words
    assert f"at {panel.view.whole.mean():.0%} of the tokens" in words
    panel.show(ratio=1.0)
    assert "0 of 512 are left, so that nothing but [cls] reaches the student." in panel.sentence()


def test_everything_dropped_and_nothing_dropped_can_be_printed(panel: Any) -> None:
    for ratio in (0.0, 1.0):
        panel.show(ratio=ratio)
        data, _ = panel._repr_mimebundle_()
        assert data["text/plain"] == panel.sentence()
        assert 1000 < len(data["image/png"]) < 50_000


def test_what_cannot_be_is_named() -> None:
    with pytest.raises(ValueError, match="ratio: expected the share of tokens to drop"):
        compute(State(ratio=1.5))
    with pytest.raises(ValueError, match=r"mask: expected one of 'random', .*got 'carpet'"):
        compute(State(mask="carpet"))
    with pytest.raises(ValueError, match="attention: this mask follows a teacher"):
        compute(State(mask="attention"))
    with pytest.raises(ValueError, match=r"attention: expected \(time, height · width\) = \(8, 64\), got \(3, 20\)"):
        panels.masks(attention=LOOKS, mask="attention")
    with pytest.raises(ValueError, match="height by patch_size to divide without remainder, got 20 by 8"):
        panels.masks(torch.zeros(2, 20, 16, 3, dtype=torch.uint8))
