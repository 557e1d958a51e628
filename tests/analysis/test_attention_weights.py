"""Implied attention of whole models: it reproduces what the block's scans return; and transformers in the same form."""

import pytest
import torch
import torch.nn.functional as F
from agreement import random_clip, small_model
from einops import rearrange
from small_transformers import CLIP_MODELS, clip_for, image_for, shaken, small_clip_model, small_image_model
from torch import Tensor, nn
from vmamba_kernels import bidirectional_scan, selective_scan

from vmamba_edu.analysis import attention_of, block_scan, block_scan_arguments, implied_attention
from vmamba_edu.models import VideoMamba
from vmamba_edu.models.videomamba_pro import VideoMambaPro, VideoMambaProConfig

VARIANTS = ("paper", "released_v1", "released_v2", "released_none")
EXACT = {"rtol": 1e-9, "atol": 1e-9}  # float64 beside sums of a few hundred terms of order 1


def pro_model(variant: str) -> VideoMambaPro:
    torch.manual_seed(0)
    size = {"img_size": 16, "patch_size": 8, "num_frames": 2, "num_classes": 3, "depth": 2, "embed_dim": 16}
    return shaken(VideoMambaPro(VideoMambaProConfig(variant=variant, **size))).eval().set_backend("reference")


def model_named(name: str) -> VideoMamba:
    model = shaken(small_model()) if name == "videomamba" else pro_model(name)
    return model.double()


def heard(model: VideoMamba, clip: Tensor, block: int, direction: str) -> Tensor:
    """(M + diag D) u of one direction, (batch, inner, length)."""
    a = block_scan_arguments(model, clip, block, direction=direction)
    attention = implied_attention(model, clip, block, channel=range(a["u"].shape[1]), direction=direction)
    return torch.einsum("bdij,bdj->bdi", attention.weights[:, 0], a["u"]) + a["D"][:, None] * a["u"]


@pytest.mark.parametrize("block", [0, 1])
@pytest.mark.parametrize("name", ["videomamba", *VARIANTS])
def test_the_matrices_of_a_block_give_what_its_scans_return(name, block):
    model = model_named(name)
    clip = random_clip(model)
    directions = model.block(block).mixer.directions
    sides = [block_scan_arguments(model, clip, block, direction=each) for each in directions]
    scanned = bidirectional_scan(*sides, backend="reference") if len(sides) == 2 else selective_scan(**sides[0])
    ours = F.silu(sides[0]["z"]) * sum(heard(model, clip, block, each) for each in directions)
    torch.testing.assert_close(ours, scanned, **EXACT)


@pytest.mark.parametrize("name", ["videomamba", *VARIANTS])
def test_the_matrices_give_what_the_mixer_returns(name):
    """Through the gate and the projection out: from implied attention to the output of the block."""
    model = model_named(name)
    clip = random_clip(model)
    mixer = model.block(0).mixer
    total = sum(heard(model, clip, 0, each) for each in mixer.directions)
    gate = F.silu(block_scan_arguments(model, clip, 0)["z"])
    ours = mixer.out_proj(rearrange(gate * total, "b inner length -> b length inner"))
    _, blocks = model.forward_features(clip, return_blocks=True)
    torch.testing.assert_close(ours, blocks[0][0], **EXACT)


def test_both_is_the_sum_of_the_directions():
    model = model_named("videomamba")
    clip = random_clip(model)
    both, forward, backward = (
        implied_attention(model, clip, 1, channel=[3, 0], direction=direction)
        for direction in ("both", "forward", "backward")
    )
    assert both.weights.shape == (2, 1, 2, 9, 9)
    assert (both.axis, both.has_cls) == ("space-time", True)
    torch.testing.assert_close(both.weights, forward.weights + backward.weights)
    assert forward.weights.triu(1).count_nonzero() == 0
    assert backward.weights.tril(-1).count_nonzero() == 0


@pytest.mark.parametrize("cls_position", ["first", "middle"])
@pytest.mark.parametrize("scan_order", ["temporal_first", "spatiotemporal_v1"])
def test_other_orders_come_back_in_the_order_of_the_tokens(scan_order, cls_position):
    """Each direction reads in one order here, so its matrix multiplies that order's u, tokens as they are stored."""
    model = shaken(small_model(scan_order=scan_order, cls_position=cls_position)).double()
    clip = random_clip(model)
    total = 0
    for direction in ("forward", "backward"):
        scan = block_scan(model, clip, 1, direction=direction)
        u, z = (scan.as_stored(scan.arguments[name]) for name in ("u", "z"))
        attention = implied_attention(model, clip, 1, channel=range(u.shape[1]), direction=direction)
        assert attention.has_cls == (cls_position == "first")
        rows = implied_attention(model, clip, 1, channel=[2], rows=[8, 0, 3], direction=direction).weights[:, 0, 0]
        torch.testing.assert_close(rows, attention.weights[:, 0, 2, [8, 0, 3]])
        heard = torch.einsum("bdij,bdj->bdi", attention.weights[:, 0], u) + scan.arguments["D"][:, None] * u
        total = total + F.silu(z) * heard
    ours = model.block(1).mixer.out_proj(rearrange(total, "b inner length -> b length inner"))
    _, blocks = model.forward_features(clip, return_blocks=True)
    torch.testing.assert_close(ours, blocks[1][0], **EXACT)


def test_a_block_that_reads_in_both_orders_hears_the_sum_of_both():
    weights = []
    for scan_order in ("spatial_first", "temporal_first", "spatiotemporal_v2"):
        model = shaken(small_model(scan_order=scan_order)).double()
        weights.append(implied_attention(model, random_clip(model), 0, channel=[0, 7]).weights)
    torch.testing.assert_close(weights[0] + weights[1], weights[2], **EXACT)


def test_masking_leaves_the_backward_diagonal_empty():
    """What VideoMambaPro's paper is about: each token's own term enters once, by the forward scan."""
    model = model_named("paper")
    clip = random_clip(model)
    backward = implied_attention(model, clip, 0, direction="backward", channel=0).weights[:, 0, 0]
    forward = implied_attention(model, clip, 0, direction="forward", channel=0).weights[:, 0, 0]
    assert backward.diagonal(dim1=1, dim2=2).count_nonzero() == 0
    assert forward.diagonal(dim1=1, dim2=2).count_nonzero() == forward.shape[0] * forward.shape[1]


def test_chosen_rows_of_a_scan_and_of_a_transformer():
    model = model_named("videomamba")
    clip = random_clip(model)
    whole, some = attention_of(model, clip, 0)[0], attention_of(model, clip, 0, rows=[0, 5])[0]
    torch.testing.assert_close(some.weights, whole.weights[..., [0, 5], :])
    model = small_clip_model("vivit_1_base_16x2")
    clip = clip_for(model)
    whole, some = attention_of(model, clip, 0)[0], attention_of(model, clip, 0, rows=[0, 5])[0]
    torch.testing.assert_close(some.weights, whole.weights[..., [0, 5], :])


@pytest.mark.parametrize("name", CLIP_MODELS)
def test_the_weights_of_a_transformer_are_its_own(name):
    model = small_clip_model(name)
    clip = clip_for(model)
    _, blocks = model.forward_features(clip, return_attention=True)
    for number, maps in enumerate(blocks):
        ours = attention_of(model, clip, number)
        assert [one.axis for one in ours] == [one.axis for one in maps]
        for one, other in zip(ours, maps, strict=True):
            torch.testing.assert_close(one.weights, other.weights)
            assert one.has_cls == other.has_cls


def test_an_image_model_has_them_too():
    model = small_image_model()
    image = image_for(model)
    _, blocks = model.forward_features(image, return_attention=True)
    torch.testing.assert_close(attention_of(model, image, 1)[0].weights, blocks[1][0].weights)


def test_a_model_is_left_as_it_was():
    model = small_clip_model("vivit_1_base_16x2")
    clip = clip_for(model)
    attention_of(model, clip, 0)
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in model.encoder.blocks)
    with pytest.raises(ValueError, match="clip"):
        attention_of(model, clip[:, :, :1], 0)
    assert not any(block._forward_hooks or block._forward_pre_hooks for block in model.encoder.blocks)


def test_what_is_not_there_is_named():
    model = small_clip_model("vivit_1_base_16x2")
    clip = clip_for(model)
    with pytest.raises(ValueError, match="block: expected 0 to 1, got 2"):
        attention_of(model, clip, 2)
    with pytest.raises(ValueError, match="rows: expected some of 0 to 12, got"):
        attention_of(model, clip, 0, rows=[13])
    with pytest.raises(TypeError, match="model: expected a VideoMamba, VideoMambaPro, ViT, ViViT or TimeSformer"):
        attention_of(nn.Linear(1, 1), clip, 0)
    mamba = model_named("videomamba")
    with pytest.raises(ValueError, match="block: expected 0 to 1, got 2"):
        attention_of(mamba, random_clip(mamba), 2)
