"""Keywords that cannot be are answered by name."""

import dataclasses
import re

import pytest
import torch

from vmamba_edu import create_model, list_models
from vmamba_edu.models.transformer_configuration import TimeSformerConfig, ViTConfig, ViViTConfig


@pytest.mark.parametrize(
    ("config", "keywords", "message"),
    [
        (ViTConfig, {"embed_dim": 100}, "num_heads: expected a divisor of embed_dim = 100, got 12"),
        (ViTConfig, {"img_size": 100}, "img_size: expected multiples of patch_size = 16, got 100"),
        (ViTConfig, {"depth": 0}, "depth: expected an integer of at least 1, got 0"),
        (ViTConfig, {"pool": "max"}, "pool: expected 'cls' or 'mean', got 'max'"),
        (ViTConfig, {"dropout": 1}, "dropout: expected a number in [0, 1), got 1"),
        (ViTConfig, {"mlp_ratio": 0}, "mlp_ratio: expected a number of at least 1 / embed_dim = 1 / 768, got 0"),
        (ViTConfig, {"gelu": "quick"}, "gelu: expected 'exact' or 'tanh', got 'quick'"),
        (ViViTConfig, {"num_frames": 15}, "num_frames: expected a multiple of tubelet_size = 2, got 15"),
        (ViViTConfig, {"model": 5}, "model: expected 1 or 2 or 3 or 4, got 5"),
        (ViViTConfig, {"tokeniser": "patch"}, "tokeniser: expected 'tubelet' or 'frame', got 'patch'"),
        (ViViTConfig, {"first_axis": "channel"}, "first_axis: expected 'time' or 'space', got 'channel'"),
        (ViViTConfig, {"model": 3, "pool": "cls"}, "pool: expected 'mean' or None, got 'cls'"),
        (
            ViViTConfig,
            {"model": 4, "num_heads": 3},
            "num_heads: expected an even number, half for time, half for space, got 3",
        ),
        (TimeSformerConfig, {"num_frames": 0}, "num_frames: expected an integer of at least 1, got 0"),
        (
            TimeSformerConfig,
            {"attention_type": "divided"},
            "attention_type: expected 'divided_space_time' or 'joint_space_time' or 'space_only', got 'divided'",
        ),
    ],
)
def test_what_cannot_be_is_named(config, keywords, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        config(**keywords)


def test_an_unknown_keyword_is_answered_with_a_close_one():
    with pytest.raises(TypeError, match="unexpected keyword 'num_head': did you mean num_heads"):
        create_model("vit_tiny", num_head=3)
    with pytest.raises(TypeError, match="unexpected keyword 'tubelet_size'"):
        create_model("timesformer_base_8f", tubelet_size=2)


@pytest.mark.parametrize("config", [ViTConfig(), ViViTConfig(), TimeSformerConfig()])
def test_a_configuration_is_frozen_and_leaves_room_for_others(config):
    assert config.with_overrides(depth=3) == dataclasses.replace(config, depth=3)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.depth = 3


TRANSFORMERS = [name for name in list_models() if name.startswith(("vit", "vivit", "timesformer"))]


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_every_named_transformer_can_be_built_and_has_a_position_for_every_token(name):
    with torch.device("meta"):
        model = create_model(name, num_classes=7)
    assert model.head.out_features == 7
    height, width = model.config.frame_grid
    has_cls = not name.startswith(("vivit_3", "vivit_4"))
    steps = (
        model.config.grid[0] if name.startswith(("vivit_1", "vivit_3", "vivit_4")) else 1
    )  # the others share a table
    lengths = [value.shape[1] for path, value in model.named_parameters() if path.endswith("pos_embed")]
    assert lengths[0] == steps * height * width + has_cls
