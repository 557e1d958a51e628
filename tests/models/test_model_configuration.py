"""The keywords: their two spellings, and an answer to each that cannot be."""

import copy
import dataclasses
import pickle

import pytest
import torch

from vmamba_edu.models import (
    MaskedStudentConfig,
    VideoMambaConfig,
    VideoMambaDistillationConfig,
    VideoMambaImageConfig,
    create_model,
)

COMMON = {
    *("img_size", "patch_size", "num_classes", "depth", "embed_dim", "d_state", "d_conv", "expand", "dt_rank"),
    *("drop_path_rate", "norm", "bidirectional", "pool", "cls_position", "checkpoint_blocks", "pos_embed_std"),
}
KEYWORDS = COMMON | {"tubelet_size", "num_frames", "scan_order"}
OF_CLASSES = {
    VideoMambaConfig: KEYWORDS,
    VideoMambaImageConfig: COMMON | {"stride"},
    MaskedStudentConfig: KEYWORDS | {"teacher_dim", "aligned_layers", "align_interval", "align_norm", "align_last"},
    VideoMambaDistillationConfig: COMMON | {"stride", "role", "teacher_dim"},
}


@pytest.mark.parametrize("kind", OF_CLASSES)
def test_the_keywords_are_these_and_no_others(kind):
    assert {field.name for field in dataclasses.fields(kind)} == OF_CLASSES[kind]


@pytest.mark.parametrize("kind", OF_CLASSES)
def test_configurations_are_copied_and_pickled_whole(kind):
    config = kind(embed_dim=24, drop_path_rate=0.25)
    assert copy.deepcopy(config) == pickle.loads(pickle.dumps(config)) == config
    assert type(config.with_overrides(depth=3)) is kind


@pytest.mark.parametrize(
    ("published", "ours"),
    [
        ({"kernel_size": 2}, {"tubelet_size": 2}),
        ({"rms_norm": True}, {"norm": "rms"}),
        ({"rms_norm": False}, {"norm": "layer"}),
        ({"bimamba": False}, {"bidirectional": False}),
        ({"ssm_cfg": {"d_state": 8, "dt_rank": 4}}, {"d_state": 8, "dt_rank": 4}),
        ({"ssm_cfg": None}, {}),
    ],
)
def test_published_spellings_mean_ours(published, ours):
    start = VideoMambaConfig(norm="layer")
    assert start.with_overrides(**published) == start.with_overrides(**ours) == dataclasses.replace(start, **ours)


@pytest.mark.parametrize("unknown", ["use_fast_path", "fused_add_norm", "dropout", "tublet_size"])
def test_an_unknown_keyword_is_a_type_error_that_lists_the_known(unknown):
    with pytest.raises(TypeError, match=f"unexpected keyword '{unknown}'") as error:
        VideoMambaConfig().with_overrides(**{unknown: True})
    assert all(keyword in str(error.value) for keyword in KEYWORDS)


def test_a_near_miss_is_guessed():
    with pytest.raises(TypeError, match=r"did you mean tubelet_size\?"):
        VideoMambaConfig().with_overrides(tublet_size=2)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"kernel_size": 1, "tubelet_size": 1}, "tubelet_size: given twice, once by kernel_size"),
        ({"ssm_cfg": {"d_state": 8}, "d_state": 8}, "d_state: given twice, once by ssm_cfg"),
        ({"ssm_cfg": {"depth": 8}}, "ssm_cfg: unexpected entry 'depth'; known are d_state"),
        ({"ssm_cfg": 8}, "ssm_cfg: expected a mapping"),
        ({"rms_norm": "yes"}, "rms_norm: expected True or False, got 'yes'"),
        ({"bidirectional": "v2"}, "bidirectional: expected True or False, got 'v2'"),
    ],
)
def test_a_keyword_that_contradicts_itself_is_a_type_error(keywords, message):
    with pytest.raises(TypeError, match=message):
        VideoMambaConfig().with_overrides(**keywords)


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"img_size": 100}, "img_size: expected multiples of patch_size = 16, got 100"),
        ({"img_size": (224, 225)}, r"img_size: expected multiples of patch_size = 16, got \(224, 225\)"),
        ({"img_size": (224, 224, 3)}, r"img_size: expected an integer or \(height, width\)"),
        ({"num_frames": 9, "tubelet_size": 2}, "num_frames: expected a multiple of tubelet_size = 2, got 9"),
        ({"depth": 0}, "depth: expected an integer of at least 1, got 0"),
        ({"embed_dim": 19.2}, "embed_dim: expected an integer of at least 1, got 19.2"),
        ({"patch_size": True}, "patch_size: expected an integer of at least 1, got True"),
        ({"num_classes": -1}, "num_classes: expected an integer of at least 0, got -1"),
        ({"dt_rank": "full"}, 'dt_rank: expected "auto" or an integer of at least 1'),
        ({"d_conv": 5}, "d_conv: expected 2, 3 or 4, got 5"),
        ({"drop_path_rate": 1.0}, r"drop_path_rate: expected a number in \[0, 1\), got 1.0"),
        ({"pos_embed_std": 0}, "pos_embed_std: expected a number above 0 and at most 1, got 0"),
        ({"pos_embed_std": "much"}, "pos_embed_std: expected a number above 0 and at most 1, got 'much'"),
        ({"norm": "batch"}, "norm: expected 'rms' or 'layer', got 'batch'"),
        ({"checkpoint_blocks": -1}, "checkpoint_blocks: expected an integer of at least 0, got -1"),
        ({"checkpoint_blocks": 25}, "checkpoint_blocks: expected at most depth = 24, got 25"),
        ({"scan_order": "zigzag"}, "scan_order: expected 'spatial_first' or .* got 'zigzag'"),
        (
            {"scan_order": "spatiotemporal_v1", "bidirectional": False},
            "bidirectional: expected True, as 'spatiotemporal_v1' reads forward in space and backward in time",
        ),
    ],
)
def test_a_value_that_cannot_be_is_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        VideoMambaConfig(**keywords)


def test_a_size_may_be_one_number_two_or_a_list_from_a_file():
    assert VideoMambaConfig(img_size=32).frame_size == (32, 32)
    assert VideoMambaConfig(img_size=(32, 48)).frame_size == (32, 48)
    assert VideoMambaConfig(img_size=[32, 48]) == VideoMambaConfig(img_size=(32, 48))
    assert VideoMambaConfig(img_size=(32, 48), num_frames=6, tubelet_size=2).grid == (3, 2, 3)


@pytest.mark.parametrize("name", ["videomamba_tiny", "videomamba_image_tiny", "videomamba_masked_tiny"])
def test_places_are_drawn_with_the_spread_that_is_asked_for_and_nothing_else_changes(name):
    """197 × 48 numbers: their spread is known to 1 %. Cut at ±2, far beyond 0.3, and never at 0.02."""
    drawn = []
    for keywords in ({}, {"pos_embed_std": 0.3}):
        torch.manual_seed(0)
        drawn.append(create_model(name, depth=1, embed_dim=48, **keywords).state_dict())
    published, wide = drawn
    assert published["pos_embed"].std().item() == pytest.approx(0.02, rel=0.03)
    torch.testing.assert_close(wide["pos_embed"], 15 * published["pos_embed"])
    assert all(torch.equal(value, published[key]) for key, value in wide.items() if key != "pos_embed")
