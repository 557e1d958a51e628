"""A video model that starts from an image model starts as that image model, and can leave it."""

import pytest
import torch
from einops import rearrange, repeat
from small_transformers import CLIP_MODELS, VIVITS, clip_for, image_for, small_clip_model, small_image_model

from vmamba_edu.models.image_initialisation import (
    inflate_kernel,
    initialise_from_image_,
    rank_pooling_weights,
    resize_positions,
    zero_temporal_attention_,
)

CLOSE = {"rtol": 1e-12, "atol": 1e-12}
TANH = {"gelu": "tanh"}  # of ViViT, so that the image model computes exactly the same


def frames_of(clip: torch.Tensor) -> torch.Tensor:
    return rearrange(clip, "b c t h w -> (b t) c h w")


@pytest.mark.parametrize("first_axis", ["time", "space"])
def test_model_3_starts_as_the_image_model_on_every_frame(first_axis):
    """ViViT §3.4: with an attention along time that says nothing each block is the image model's."""
    image = small_image_model(pool="mean", **TANH).double()
    video = small_clip_model("vivit_3_base_16x2", tubelet_size=1, first_axis=first_axis).double()
    initialise_from_image_(video, image)
    clip = clip_for(video)

    tokens = rearrange(video.forward_features(clip), "b (t s) dim -> (b t) s dim", t=4)
    torch.testing.assert_close(tokens, image.forward_features(frames_of(clip)), **CLOSE)

    block, image_block = video.encoder.blocks[0], image.encoder.blocks[0]
    x = torch.randn(2, 24, 16, dtype=torch.float64)
    frame_by_frame = image_block(rearrange(x, "b (t s) dim -> (b t) s dim", t=4))[0]
    torch.testing.assert_close(block(x)[0], rearrange(frame_by_frame, "(b t) s dim -> b (t s) dim", b=2), **CLOSE)


def test_from_a_central_frame_kernel_tubelets_are_uniform_frame_sampling():
    """ViViT §3.4: at first the model sees one frame of each tubelet, and it is the one that sampling takes."""
    image = small_image_model(pool="mean", **TANH).double()
    tubelets = small_clip_model("vivit_3_base_16x2").double()
    sampled = small_clip_model("vivit_3_base_16x2", tokeniser="frame").double()
    initialise_from_image_(tubelets, image, "central_frame")
    initialise_from_image_(sampled, image)
    clip = clip_for(tubelets)
    torch.testing.assert_close(tubelets.forward_features(clip), sampled.forward_features(clip), **CLOSE)
    tokens = rearrange(tubelets.forward_features(clip), "b (t s) dim -> (b t) s dim", t=2)
    torch.testing.assert_close(tokens, image.forward_features(frames_of(clip[:, :, 1::2])), **CLOSE)


@pytest.mark.parametrize("name", CLIP_MODELS)
def test_a_clip_that_stands_still_is_embedded_as_its_picture(name):
    """Averaged over time, a kernel sees the one frame that is there."""
    image = small_image_model(**TANH).double()
    video = small_clip_model(name).double()
    initialise_from_image_(video, image, "average")
    still = image_for(image)
    patches = video.patch_embed(repeat(still, "b c h w -> b c t h w", t=4))
    for step in patches.unbind(1):
        torch.testing.assert_close(step, image.patch_embed(still[:, :, None])[:, 0], **CLOSE)


@pytest.mark.parametrize("name", ["divided_space_time", "space_only"])
def test_timesformer_reads_a_clip_that_stands_still_as_the_image_model_reads_its_picture(name):
    image = small_image_model(num_classes=0).double()
    video = small_clip_model(name).double()
    if video.time_embed is not None:
        torch.nn.init.zeros_(video.time_embed)  # as freshly made
    initialise_from_image_(video, image)
    still = image_for(small_image_model().double())
    cls = video.forward_features(repeat(still, "b c h w -> b c t h w", t=4))[:, 0]
    torch.testing.assert_close(cls, image(still), **CLOSE)


def test_timesformer_s_attention_along_time_is_a_copy_of_that_in_space():
    image, video = small_image_model(), small_clip_model("divided_space_time")
    initialise_from_image_(video, image)
    for index, block in enumerate(image.encoder.blocks):
        for name, value in block.attn.state_dict().items():
            assert torch.equal(video.block(index).temporal_attn.state_dict()[name], value)
            assert torch.equal(video.block(index).attn.state_dict()[name], value)
        assert torch.equal(video.block(index).temporal_norm1.weight, block.norm1.weight)


def test_model_2_starts_with_the_image_model_as_its_reader_of_frames():
    image = small_image_model(**TANH).double()
    video = small_clip_model("vivit_2_base_16x2", tubelet_size=1).double()
    before = {name: value.clone() for name, value in video.encoder.temporal.state_dict().items()}
    head = video.head.weight.clone()
    initialise_from_image_(video, image)
    clip = clip_for(video)
    frames, _ = video.encoder.encode_frames(video.embed(clip))
    expected = image.forward_features(frames_of(clip))[:, 0]
    torch.testing.assert_close(rearrange(frames, "b t dim -> (b t) dim"), expected, **CLOSE)
    assert all(torch.equal(before[name], value) for name, value in video.encoder.temporal.state_dict().items())
    assert torch.equal(video.head.weight, head)


def learns(model: torch.nn.Module, clip: torch.Tensor) -> set[str]:
    """Which parameters of the first block's attention along time get a gradient."""
    model.zero_grad()
    model(clip).square().sum().backward()
    attention = model.encoder.blocks[0].attn_time
    return {name for name, parameter in attention.named_parameters() if parameter.grad.any()}


def test_an_attention_of_zeros_alone_never_learns_and_one_with_a_zero_output_does():
    """Why `zero_temporal_attention_` departs from the paper's "all weights"."""
    model = small_clip_model("vivit_3_base_16x2").double()
    clip = clip_for(model)
    zero_temporal_attention_(model, "output")
    assert learns(model, clip) == {"proj.weight", "proj.bias"}
    tokens = model.forward_features(clip)

    zero_temporal_attention_(model, "all")
    torch.testing.assert_close(model.forward_features(clip), tokens, **CLOSE)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(3):
        assert learns(model, clip) == {"proj.bias"}
        optimiser.step()


@pytest.mark.parametrize("name", VIVITS)
def test_positions_are_those_of_the_picture_in_every_step(name):
    image, video = small_image_model(), small_clip_model(name)
    initialise_from_image_(video, image)
    encoder = getattr(video.encoder, "spatial", video.encoder)
    positions = encoder.pos_embed[0, int(encoder.has_cls) :]
    for step in positions.split(6):
        assert torch.equal(step, image.encoder.pos_embed[0, 1:])
    if encoder.has_cls:
        assert torch.equal(encoder.pos_embed[0, 0], image.encoder.pos_embed[0, 0])
        assert torch.equal(encoder.cls_token, image.encoder.cls_token)


def test_a_picture_of_another_size_has_its_positions_resized():
    image, video = small_image_model(img_size=(24, 32)), small_clip_model("space_only")
    initialise_from_image_(video, image)
    expected = resize_positions(image.encoder.pos_embed[:, 1:], (3, 4), (2, 3))
    assert torch.equal(video.pos_embed[:, 1:], expected)
    # Corners stay corners: token 0 of 12 and token 11 of 12.
    torch.testing.assert_close(video.pos_embed[0, [1, 6]], image.encoder.pos_embed[0, [1, 12]])


@pytest.mark.parametrize("frames", [1, 2, 3, 8])
def test_rank_pooling_does_not_see_what_stands_still(frames):
    weights = rank_pooling_weights(frames)
    assert abs(weights.sum()) < 1e-12
    assert frames == 1 or weights[0] < 0 < weights[-1]
    harmonic = [sum(1 / i for i in range(1, n + 1)) for n in range(frames + 1)]
    expected = [
        2 * (frames - t + 1) - (frames + 1) * (harmonic[frames] - harmonic[t - 1]) for t in range(1, frames + 1)
    ]
    torch.testing.assert_close(weights * frames, torch.tensor(expected, dtype=torch.float64), rtol=1e-12, atol=1e-12)


def test_what_does_not_fit_is_named_and_nothing_is_changed():
    video = small_clip_model("vivit_1_base_16x2")
    before = {name: value.clone() for name, value in video.state_dict().items()}
    with pytest.raises(ValueError, match="image: expected depth = 2 as in the video model, got 3"):
        initialise_from_image_(video, small_image_model(depth=3))
    with pytest.raises(
        ValueError, match="inflation: expected 'average' or 'central_frame' or 'rank_pooling', got 'sum'"
    ):
        initialise_from_image_(video, small_image_model(), "sum")
    with pytest.raises(ValueError, match="scope: expected 'output' or 'all', got 'value'"):
        zero_temporal_attention_(video, "value")
    with pytest.raises(ValueError, match="inflation: "):
        inflate_kernel(torch.zeros(1, 3, 2, 2), 2, "sum")
    assert all(torch.equal(before[name], value) for name, value in video.state_dict().items())
