"""Clips and pictures of another size than the configuration's: position embeddings are interpolated."""

import pytest
import torch
from agreement import random_clip, small_model
from small_mambas import pixels_for, shaken, small_image, small_student

from vmamba_edu.models.interpolation import interpolate_positions, interpolate_times


def random_embedding(rows: int, dim: int = 3) -> torch.Tensor:
    return torch.randn(1, rows, dim, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def cubic_weight(distance: float, a: float = -0.75) -> float:
    """Keys' kernel with the a that torch and most libraries of pictures use."""
    x = abs(distance)
    if x <= 1:
        return (a + 2) * x**3 - (a + 3) * x**2 + 1
    return a * (x**3 - 5 * x**2 + 8 * x - 4) if x < 2 else 0.0


def linear_weight(distance: float) -> float:
    return max(0.0, 1 - abs(distance))


def resampling(old: int, new: int, weight, reach: int) -> torch.Tensor:
    """The matrix that resamples a line of pixels, written out: centres at i + 1/2, beyond the edge the last pixel."""
    matrix = torch.zeros(new, old, dtype=torch.float64)
    for i in range(new):
        centre = (i + 0.5) * old / new - 0.5
        if reach == 1:  # linear: what lies outside of the line is drawn to its end
            centre = min(max(centre, 0.0), old - 1.0)
        first = int(centre // 1)
        for j in range(first - reach + 1, first + reach + 1):
            matrix[i, min(max(j, 0), old - 1)] += weight(centre - j)
    return matrix


@pytest.mark.parametrize(("old", "new"), [((3, 4), (5, 6)), ((4, 4), (2, 3)), ((2, 2), (3, 3)), ((4, 6), (6, 4))])
def test_positions_are_resampled_by_cubics_along_both_axes(old, new):
    positions = random_embedding(1 + old[0] * old[1])
    rows, columns = (resampling(a, b, cubic_weight, 2) for a, b in zip(old, new, strict=True))
    picture = positions[0, 1:].reshape(*old, 3)
    expected = torch.einsum("yh,xw,hwd->yxd", rows, columns, picture).reshape(1, -1, 3)
    resized = interpolate_positions(positions, old, new)
    torch.testing.assert_close(resized[:, 1:], expected, rtol=1e-12, atol=1e-12)
    assert torch.equal(resized[:, 0], positions[:, 0])


@pytest.mark.parametrize(("old", "new"), [(4, 6), (8, 3), (2, 16), (1, 4), (5, 1)])
def test_times_are_resampled_linearly(old, new):
    times = random_embedding(old)
    expected = torch.einsum("tu,bud->btd", resampling(old, new, linear_weight, 1), times)
    torch.testing.assert_close(interpolate_times(times, new), expected, rtol=1e-12, atol=1e-12)


def test_at_the_size_they_have_the_very_same_tensors_come_back():
    positions, times = random_embedding(7), random_embedding(4)
    assert interpolate_positions(positions, (2, 3), (2, 3)) is positions
    assert interpolate_times(times, 4) is times
    turned = interpolate_positions(positions, (2, 3), (3, 2))  # as many places, but others
    assert not torch.equal(turned, positions)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_narrow_embeddings_are_resampled_in_float32(dtype):
    positions, times = random_embedding(5).to(dtype), random_embedding(4).to(dtype)
    for narrow, wide in (
        (interpolate_positions(positions, (2, 2), (3, 3)), interpolate_positions(positions.double(), (2, 2), (3, 3))),
        (interpolate_times(times, 6), interpolate_times(times.double(), 6)),
    ):
        assert narrow.dtype == dtype
        torch.testing.assert_close(narrow.double(), wide, rtol=torch.finfo(dtype).eps, atol=1e-6)  # rounded once


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match=r"pos_embed: expected \(1, 5, dim\) for old_hw = \(2, 2\), got \(1, 7, 3\)"):
        interpolate_positions(random_embedding(7), (2, 2), (3, 3))
    with pytest.raises(ValueError, match=r"new_hw: expected \(height, width\), each at least 1, got \(0, 3\)"):
        interpolate_positions(random_embedding(7), (2, 3), (0, 3))
    with pytest.raises(ValueError, match="new_length: expected at least 1, got 0"):
        interpolate_times(random_embedding(7), 0)


SIZES = [
    {"num_frames": 6},
    {"img_size": (24, 40)},
    {"num_frames": 2, "img_size": 8},
    {"num_frames": 8, "img_size": (16, 8), "cls_position": "middle"},
    {"num_frames": 6, "img_size": 24, "scan_order": "spatiotemporal_v2", "pool": "mean"},
]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_clip_of_another_size_is_read_as_by_a_model_of_that_size(size):
    """One that has the interpolated embeddings in its weights."""
    same = {key: value for key, value in size.items() if key not in ("num_frames", "img_size")}
    model = shaken(small_model(num_frames=4, tubelet_size=2, **same))
    other = small_model(**{"num_frames": 4, "tubelet_size": 2} | size)
    state = model.state_dict()
    time, *new = other.config.grid
    state["pos_embed"] = interpolate_positions(state["pos_embed"], model.config.grid[1:], tuple(new))
    state["temporal_pos_embedding"] = interpolate_times(state["temporal_pos_embedding"], time)
    other.load_state_dict(state)
    clip = random_clip(other)
    assert torch.equal(model(clip), other(clip))


@pytest.mark.parametrize("size", [24, (8, 20), 14])
def test_so_is_a_picture_with_overlapping_patches(size):
    model = shaken(small_image(stride=3))
    other = small_image(stride=3, img_size=size)
    state = model.state_dict()
    state["pos_embed"] = interpolate_positions(state["pos_embed"], model.config.grid[1:], other.config.grid[1:])
    other.load_state_dict(state)
    image = pixels_for(other)
    assert torch.equal(model(image), other(image))


def test_embeddings_are_trained_at_another_size_too():
    model = small_model()
    model(torch.randn(1, 3, 4, 24, 24)).sum().backward()
    assert model.pos_embed.grad.any()
    assert model.temporal_pos_embedding.grad.any()


def test_a_student_says_as_much_as_it_sees():
    said = small_student()(torch.randn(1, 3, 4, 24, 16))
    assert said.shape == (1, 1, 1 + 4 * 3 * 2, 5)
