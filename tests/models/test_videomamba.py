"""Laws of the whole model, and what it does with clips that do not fit."""

import re

import pytest
import torch
from agreement import random_clip, small_model

from vmamba_edu.models.embeddings import TubeletEmbedding
from vmamba_edu.models.videomamba import check_clip


def test_clips_of_a_batch_do_not_hear_of_each_other():
    model = small_model().double()
    clip = random_clip(model, batch=4)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(model(clip[order]), model(clip)[order], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_cls_stands_first_so_that_only_a_backward_scan_tells_it_anything(bidirectional):
    model = small_model(bidirectional=bidirectional)
    clip = random_clip(model).requires_grad_()
    model(clip).sum().backward()
    assert clip.grad.any().item() is bidirectional


def test_the_last_forward_scan_is_never_trained():
    """Only [cls] is read out, which the last forward scan sees first, when there is nothing to decay yet."""
    model = small_model()
    model(random_clip(model)).sum().backward()
    assert not model.block(1).mixer.A_log.grad.any()
    assert model.block(1).mixer.A_b_log.grad.any()
    assert model.block(0).mixer.A_log.grad.any()


def test_a_pixel_moves_the_token_of_its_patch():
    """Tokens run frame by frame: 1 + t · (H' W') + h · W' + w."""
    model = small_model(img_size=(16, 24), num_frames=4, tubelet_size=2)
    assert model.config.grid == (2, 2, 3)
    clip = random_clip(model)
    touched = clip.clone()
    touched[:, 1, 3, 9, 17] += 1  # frame 3 is in step 1, row 9 in patch row 1, column 17 in patch column 2
    moved = (model.embed(touched) != model.embed(clip)).any(-1)
    assert moved.nonzero().tolist() == [[sample, 1 + 1 * 6 + 1 * 3 + 2] for sample in range(2)]
    assert model(clip).shape == (2, 3)


def test_embedding_tubelets_is_the_convolution_whose_weights_it_holds():
    torch.manual_seed(0)
    embedding = TubeletEmbedding(5, tubelet_size=2, patch_size=4).double()
    clip = torch.randn(2, 3, 4, 8, 12, dtype=torch.float64)
    convolved = embedding.proj(clip).flatten(3).permute(0, 2, 3, 1)
    torch.testing.assert_close(embedding(clip), convolved, rtol=1e-12, atol=1e-12)


def test_positions_tell_patches_where_and_when_but_cls_only_its_own():
    model = small_model()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.cls_token += 1000
        model.pos_embed += torch.arange(5.0)[:, None] * 10
        model.temporal_pos_embedding += torch.tensor([[1.0], [2.0]])
    tokens = model.embed(random_clip(model, batch=1))[0, :, 0]
    assert tokens.tolist() == [1000, 11, 21, 31, 41, 12, 22, 32, 42]


def test_without_classes_there_is_no_head_and_the_normed_cls_comes_out():
    model = small_model(num_classes=0)
    clip = random_clip(model)
    assert not [name for name in model.state_dict() if name.startswith("head")]
    torch.nn.init.ones_(model.cls_token)  # far above the norm's ε
    assert torch.equal(model(clip), model.forward_features(clip)[:, 0])
    torch.testing.assert_close(model(clip).square().mean(-1), torch.ones(2), rtol=1e-3, atol=0)


def test_set_backend_reaches_every_block_and_knows_the_names():
    model = small_model().set_backend("associative")
    assert {layer.mixer.backend for layer in model.layers} == {"associative"}
    with pytest.raises(ValueError, match=r"backend: expected one of 'auto', .* got 'fastest'"):
        model.set_backend("fastest")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 16, 16), r"clip: expected \(batch, channel, time, height, width\), got \(2, 3, 16, 16\)"),
        ((2, 1, 2, 16, 16), "channel: 3;.*look at channel$"),
        ((2, 3, 3, 16, 16), "num_frames: a multiple of tubelet_size = 2;.*look at num_frames$"),
        ((2, 3, 0, 16, 16), "look at num_frames$"),
        ((2, 3, 2, 12, 16), "height: a multiple of patch_size = 8;.*look at height$"),
        ((2, 3, 2, 0, 20), r"got \(2, 3, 2, 0, 20\), look at height and width$"),
    ],
)
def test_a_clip_that_does_not_fit_is_told_where(shape, message):
    model = small_model(tubelet_size=2)
    with pytest.raises(ValueError, match=message):
        model(torch.zeros(shape))


@pytest.mark.parametrize("clip", [torch.zeros(1, 3, 2, 16, 16, dtype=torch.uint8), [0.0]])
def test_a_clip_of_bytes_or_no_tensor_at_all_is_refused(clip):
    with pytest.raises(TypeError, match=re.escape("clip: expected a floating-point tensor, got")):
        check_clip(clip, small_model().config)
