"""The receptive field: against finite differences, and the finding about [cls] that it is there to show."""

import pytest
import torch
from agreement import random_clip, small_model
from small_transformers import CLIP_MODELS, clip_for, image_for, shaken, small_clip_model, small_image_model
from torch import nn

import vmamba_edu
from vmamba_edu.analysis import receptive_field


def test_it_is_the_slope_by_finite_differences():
    """All 3 · 8 · 8 pixels of one token. Central differences of step 1e-5 in float64 are right to about 1e-9."""
    model = shaken(small_model()).double()
    clip = random_clip(model, batch=1)
    steps = torch.zeros(192, 3, 2, 16, 16, dtype=torch.float64)
    steps[:, :, 1, 8:16, 0:8] = 1e-5 * torch.eye(192, dtype=torch.float64).reshape(192, 3, 8, 8)
    with torch.no_grad():
        slopes = (model(clip + steps) - model(clip - steps))[:, 1] / 2e-5
    field = receptive_field(model, clip, logit=1, by="token", relative=False)
    assert field[0, 1, 1, 0].item() == pytest.approx(slopes.norm().item(), rel=1e-6)


@pytest.mark.parametrize("what", [{}, {"token": 3}, {"logit": 2}])
def test_by_frame_it_is_the_sum_over_the_tokens_of_a_frame(what):
    model = shaken(small_model()).double()
    clip = random_clip(model)
    by_token = receptive_field(model, clip, by="token", relative=False, probes=None, **what)
    by_frame = receptive_field(model, clip, relative=False, probes=None, **what)
    assert by_token.shape == (2, 2, 2, 2)
    torch.testing.assert_close(by_token.square().sum((2, 3)).sqrt(), by_frame)
    relative = receptive_field(model, clip, probes=None, **what)
    torch.testing.assert_close(relative, by_frame / by_frame.amax(1, keepdim=True))


def test_random_sums_estimate_the_norm_of_all_channels():
    """Of 16 channels by 8 probes: the estimate of a square strays by about √(2/8); many seeds average to it."""
    model = shaken(small_model()).double()
    clip = random_clip(model)
    exact = receptive_field(model, clip, relative=False, probes=None)
    estimates = [receptive_field(model, clip, relative=False, seed=seed).square() for seed in range(40)]
    mean = torch.stack(estimates).mean(0).sqrt()
    torch.testing.assert_close(mean, exact, rtol=0.3, atol=0)  # 5 standard errors of √(2 / 320)
    again = receptive_field(model, clip, relative=False, seed=3)
    torch.testing.assert_close(again.square(), estimates[3], rtol=0, atol=0)


def fresh(**overrides) -> nn.Module:
    """The small classifier of the classroom: 8 frames of 32 × 32 pixels, dim 64, depth 4, as the release draws it."""
    torch.manual_seed(0)
    size = {"embed_dim": 64, "depth": 4, "img_size": 32, "num_frames": 8, "num_classes": 12}
    return vmamba_edu.create_model("videomamba_tiny", **size | overrides).eval()


def test_a_cls_that_stands_first_hears_little_of_late_frames_before_training():
    """The backward scan reaches it last. Measured: 3e-8 of frame 1 with 16 tokens a frame, 2e-3 with 4."""
    clip = torch.randn(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))
    sixteen = receptive_field(fresh(patch_size=8), clip, logit=0)[0]
    four = receptive_field(fresh(patch_size=16), clip, logit=0)[0]
    assert sixteen[0] == 1
    assert sixteen[1] < 1e-5
    assert sixteen[3] < 1e-12
    assert four[0] == 1
    assert 1e-5 < four[1] < 1e-1


def test_the_mean_of_all_patches_hears_every_frame_alike():
    clip = torch.randn(1, 3, 8, 32, 32, generator=torch.Generator().manual_seed(1))
    field = receptive_field(fresh(patch_size=8, pool="mean"), clip, logit=0)[0]
    assert field.min() > 0.5


def test_a_scan_in_one_direction_hears_nothing_of_later_tokens():
    model = shaken(small_model(bidirectional=False)).double()
    clip = random_clip(model)
    assert receptive_field(model, clip, logit=0).count_nonzero() == 0  # [cls] stands first
    field = receptive_field(model, clip, token=3, by="token")
    assert (field.flatten(1)[:, :3] > 0).all()  # patches 0 to 2 are tokens 1 to 3
    assert field.flatten(1)[:, 3:].count_nonzero() == 0


@pytest.mark.parametrize("name", CLIP_MODELS)
def test_transformers_have_one_too(name):
    model = small_clip_model(name)
    clip = clip_for(model)
    field = receptive_field(model, clip, by="token")
    assert field.shape == (2, *model.config.grid)
    assert field.flatten(1).amax(1).tolist() == [1, 1]
    assert (field > 0).all()


def test_an_image_is_a_clip_of_one_frame():
    model = small_image_model()
    image = image_for(model)
    assert receptive_field(model, image).shape == (2, 1)
    assert receptive_field(model, image, by="token").shape == (2, 1, 2, 3)


def test_the_model_and_the_clip_are_left_alone():
    model = small_model()
    clip = random_clip(model)
    receptive_field(model, clip)
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not clip.requires_grad
    assert clip.grad is None


def test_what_cannot_be_is_named():
    model = small_model()
    clip = random_clip(model)
    with pytest.raises(ValueError, match="token, logit: expected one of them or none, got 0 and 1"):
        receptive_field(model, clip, token=0, logit=1)
    with pytest.raises(ValueError, match="token: expected 0 to 8, got 9"):
        receptive_field(model, clip, token=9)
    with pytest.raises(ValueError, match="logit: expected 0 to 2, got 3"):
        receptive_field(model, clip, logit=3)
    with pytest.raises(ValueError, match="by: expected 'frame' or 'token', got 'pixel'"):
        receptive_field(model, clip, by="pixel")
    with pytest.raises(ValueError, match="probes: expected at least 1, or None for all channels, got 0"):
        receptive_field(model, clip, probes=0)
