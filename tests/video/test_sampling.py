"""Uniform sampling is the published one, and spreads evenly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmamba_edu.video import uniform_indices


def published_cases(reference):
    _, description = reference("10_frame_sampling")
    return [case for case in description["frame_indices"]["kinetics_sparse"] if case["mode"] == "validation"]


def test_it_is_the_published_validation_sampling(reference):
    cases = published_cases(reference)
    assert len(cases) == 6
    for case in cases:
        assert uniform_indices(case["video_len"], case["num_frames"]).tolist() == case["indices"]


@given(total=st.integers(1, 10**6), count=st.integers(1, 300))
def test_it_stays_inside_and_spreads_evenly(total, count):
    indices = uniform_indices(total, count).numpy()
    assert indices.dtype == np.int64
    assert indices.shape == (count,)
    assert indices.min() >= 0
    assert indices.max() < total
    gaps = np.diff(indices)
    assert gaps.size == 0 or gaps.min() >= 0
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1
    if count <= total - 1:
        assert len(set(indices.tolist())) == count, "no frame twice while there are enough"


def test_a_half_is_rounded_to_even():
    """11 frames in 4 segments of 2.5: the starts 0, 2.5, 5, 7.5 become 0, 2, 5, 8, and half a segment is 1 frame."""
    assert uniform_indices(11, 4).tolist() == [1, 3, 6, 9]


@pytest.mark.parametrize(
    ("total", "count", "name"), [(0, 8, "num_frames_total"), (8, 0, "num_frames"), (8, -1, "num_frames")]
)
def test_impossible_counts_are_named(total, count, name):
    with pytest.raises(ValueError, match=f"{name} must be at least 1"):
        uniform_indices(total, count)


def test_counts_are_whole():
    with pytest.raises(TypeError):
        uniform_indices(8, 2.5)
    with pytest.raises(TypeError, match="num_frames must be an int"):
        uniform_indices(8, True)
