"""Frames become the tensor a model takes: scale, size, crop and colours are as stated."""

import numpy as np
import pytest
import torch
from PIL import Image

from vmamba_edu.video import IMAGENET_MEAN, IMAGENET_STD, clip_to_tensor

PLAIN = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}


def noise(time: int, height: int, width: int) -> torch.Tensor:
    return torch.randint(256, (time, height, width, 3), generator=torch.Generator().manual_seed(3), dtype=torch.uint8)


def test_each_colour_is_scaled_and_normalised():
    frames = noise(4, 5, 6)
    clip = clip_to_tensor(frames)
    assert (clip.shape, clip.dtype) == ((3, 4, 5, 6), torch.float32)
    for colour in range(3):
        expected = (frames[..., colour].double() / 255 - IMAGENET_MEAN[colour]) / IMAGENET_STD[colour]
        torch.testing.assert_close(clip[colour], expected, check_dtype=False, atol=1e-6, rtol=0)  # float32's own


@pytest.mark.parametrize("shape", [(90, 160), (160, 90), (45, 61), (224, 300), (64, 64)])
def test_it_resizes_as_pillow_does_and_keeps_the_middle(shape):
    """Pillow's bilinear filter is the same triangle, widened when shrinking; it rounds to whole levels twice."""
    frames = noise(1, *shape)
    size = 48
    new_height, new_width = (size * side // min(shape) for side in shape)
    resized = Image.fromarray(frames[0].numpy()).resize((new_width, new_height), Image.Resampling.BILINEAR)
    top, left = (new_height - size) // 2, (new_width - size) // 2
    expected = np.asarray(resized)[top : top + size, left : left + size] / 255
    clip = clip_to_tensor(frames, size=size, **PLAIN)
    assert clip.shape == (3, 1, size, size)
    np.testing.assert_allclose(clip[:, 0].permute(1, 2, 0), expected, atol=1.5 / 255)


def test_resizing_keeps_a_plain_picture_plain_and_within_range():
    frames = torch.full((2, 50, 70, 3), 255, dtype=torch.uint8)
    torch.testing.assert_close(clip_to_tensor(frames, size=33, **PLAIN), torch.ones(3, 2, 33, 33))
    clip = clip_to_tensor(noise(2, 50, 70), size=33, **PLAIN)
    assert 0 <= clip.min() <= clip.max() <= 1 + 1e-6


def test_time_is_untouched():
    frames = noise(5, 20, 30)
    whole = clip_to_tensor(frames, size=16)
    parts = [clip_to_tensor(frame[None], size=16) for frame in frames]
    torch.testing.assert_close(whole, torch.cat(parts, dim=1))


@pytest.mark.parametrize("frames", [torch.zeros(3, 4, 4), torch.zeros(1, 4, 4, 3)])
def test_other_frames_are_refused(frames):
    with pytest.raises((TypeError, ValueError)):
        clip_to_tensor(frames)


def test_an_impossible_size_is_refused():
    with pytest.raises(ValueError, match="size must be at least 1"):
        clip_to_tensor(noise(1, 4, 4), size=0)
