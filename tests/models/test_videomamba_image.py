"""Laws of the model for pictures: its patches, and that it is a model for clips of one frame."""

import pytest
import torch
from agreement import small_model
from small_mambas import pixels_for, shaken, small_image

from vmamba_edu.models import VideoMambaImageConfig
from vmamba_edu.models.embeddings import PatchEmbedding, TubeletEmbedding


@pytest.mark.parametrize("pool", ["cls", "mean"])
def test_a_picture_is_a_clip_of_one_frame_without_a_time(pool):
    image_model = shaken(small_image(pool=pool)).double()
    clip_model = small_model(num_frames=1, pool=pool).double()
    state = image_model.state_dict()
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][:, :, None]
    state["temporal_pos_embedding"] = torch.zeros(1, 1, 16)
    clip_model.load_state_dict(state, strict=True)
    image = pixels_for(image_model)
    torch.testing.assert_close(image_model(image), clip_model(image[:, :, None]), rtol=1e-12, atol=1e-12)


def test_patches_without_overlap_are_tubelets_of_one_frame():
    torch.manual_seed(0)
    patches, tubelets = PatchEmbedding(5, 4, 4).double(), TubeletEmbedding(5, 1, 4).double()
    with torch.no_grad():
        tubelets.proj.weight.copy_(patches.proj.weight[:, :, None])
        tubelets.proj.bias.copy_(patches.proj.bias)
    image = torch.randn(2, 3, 8, 12, dtype=torch.float64)
    torch.testing.assert_close(patches(image), tubelets(image[:, :, None]), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("size", "patch", "stride", "grid"),
    [(224, 16, None, (14, 14)), (224, 16, 10, (21, 21)), (32, 16, 8, (3, 3)), ((36, 20), 16, 8, (3, 1))],
)
def test_the_grid_counts_the_patches_that_fit(size, patch, stride, grid):
    config = VideoMambaImageConfig(img_size=size, patch_size=patch, stride=stride)
    assert config.grid == (1, *grid)
    assert small_image(img_size=size, patch_size=patch, stride=stride).pos_embed.shape[1] == 1 + grid[0] * grid[1]


def test_a_pixel_moves_the_tokens_of_all_patches_that_cover_it():
    model = small_image(stride=4)  # patches of 8 begin at 0, 4 and 8
    image = pixels_for(model)
    touched = image.clone()
    touched[:, 0, 5, 14] += 1  # rows from 0 and 4, the column from 8 alone
    moved = (model.embed(touched) != model.embed(image)).any(-1)[0].nonzero().flatten().tolist()
    assert moved == [1 + 0 * 3 + 2, 1 + 1 * 3 + 2]


def test_pixels_that_fill_no_stride_are_not_read():
    model = shaken(small_image(stride=3))  # patches of 8 begin at 0, 3 and 6: two columns of sixteen are left
    image = pixels_for(model)
    touched = image.clone()
    touched[..., 14:] += 1
    assert torch.equal(model(touched), model(image))


def test_there_is_no_time():
    assert "temporal_pos_embedding" not in small_image().state_dict()
    assert small_image().no_weight_decay() == {"cls_token", "pos_embed"}


@pytest.mark.parametrize(
    ("shape", "keywords", "message"),
    [
        ((2, 3, 2, 16, 16), {}, r"image: expected \(batch, channel, height, width\), got \(2, 3, 2, 16, 16\)"),
        ((2, 1, 16, 16), {}, "channel: 3;.*look at channel$"),
        ((2, 3, 20, 16), {}, "height: a multiple of patch_size = 8;.*look at height$"),
        ((2, 3, 4, 7), {"stride": 4}, "height: at least patch_size = 8;.*look at height and width$"),
    ],
)
def test_a_picture_that_does_not_fit_is_told_where(shape, keywords, message):
    with pytest.raises(ValueError, match=message):
        small_image(**keywords)(torch.zeros(shape))


def test_bytes_are_refused():
    with pytest.raises(TypeError, match=r"image: expected a floating-point tensor, got torch\.uint8"):
        small_image()(torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"stride": 0}, "stride: expected an integer of at least 1, got 0"),
        ({"img_size": 100}, "img_size: expected multiples of patch_size = 16, got 100"),
        ({"img_size": 12, "stride": 4}, "img_size: expected at least patch_size = 16, got 12"),
    ],
)
def test_a_value_that_cannot_be_is_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        VideoMambaImageConfig(**keywords)


@pytest.mark.parametrize("keyword", ["num_frames", "tubelet_size", "kernel_size", "scan_order"])
def test_keywords_of_clips_are_not_known(keyword):
    with pytest.raises(TypeError, match=f"unexpected keyword '{keyword}'"):
        VideoMambaImageConfig().with_overrides(**{keyword: 2})
