"""Laws of attention, of the maps it shows, and of the block around it."""

import pytest
import torch
from small_transformers import CLIP_MODELS, clip_for, image_for, small_clip_model, small_image_model

from vmamba_edu.models.attention import MLP, Block, MultiHeadAttention, attend, rising_rates
from vmamba_edu.models.transformer_configuration import ViTConfig

CONFIG = ViTConfig(embed_dim=12, num_heads=3, mlp_ratio=2)
# Two orders of the same sums in double precision.
CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def tokens(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_attention_is_a_mean_of_values_weighted_by_likeness():
    """The definition, one query at a time."""
    q, k, v = tokens(3, 2, 4, 5, 6)
    said, weights = attend(q, k, v, need_weights=True)
    for sample in range(2):
        for head in range(4):
            for query in range(5):
                likeness = (k[sample, head] * q[sample, head, query]).sum(-1) / 6**0.5
                expected = likeness.exp() / likeness.exp().sum()
                torch.testing.assert_close(weights[sample, head, query], expected, **CLOSE)
                mean = (expected[:, None] * v[sample, head]).sum(0)
                torch.testing.assert_close(said[sample, head, query], mean, **CLOSE)


def test_asking_for_the_weights_does_not_change_what_is_said():
    attention = MultiHeadAttention(CONFIG).double()
    x = tokens(2, 5, 12)
    (fused, nothing), (explicit, weights) = attention(x), attention(x, need_weights=True)
    assert nothing is None
    assert weights.shape == (2, 3, 5, 5)
    torch.testing.assert_close(fused, explicit, **CLOSE)


def test_attention_agrees_with_that_of_torch():
    ours = MultiHeadAttention(CONFIG).double()
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True).double()
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.qkv.weight,
            "in_proj_bias": ours.qkv.bias,
            "out_proj.weight": ours.proj.weight,
            "out_proj.bias": ours.proj.bias,
        }
    )
    x = tokens(2, 5, 12)
    said, weights = ours(x, need_weights=True)
    expected, expected_weights = theirs(x, x, x, average_attn_weights=False)
    torch.testing.assert_close(said, expected, **CLOSE)
    torch.testing.assert_close(weights, expected_weights, **CLOSE)


def test_a_block_does_not_know_the_order_of_its_tokens():
    block = Block(CONFIG, 0.0, "space", has_cls=False).double()
    x, order = tokens(2, 5, 12), torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(block(x[:, order])[0], block(x)[0][:, order], **CLOSE)


def test_dropout_of_weights_acts_in_training_only_and_keeps_the_mean():
    torch.manual_seed(0)
    attention = MultiHeadAttention(ViTConfig(embed_dim=12, num_heads=3, attention_dropout=0.5)).double()
    x = tokens(1, 5, 12)
    assert torch.equal(attention.eval()(x)[0], attention(x)[0])
    for need_weights in (False, True):
        expected = attention.eval()(x)[0]
        drawn = attention.train()(x.expand(20_000, -1, -1), need_weights)[0]
        assert not torch.equal(drawn[0], drawn[1])
        error = (drawn.mean(0) - expected[0]) / (drawn.std(0) / 20_000**0.5)
        assert error.abs().max() < 6  # six sigma


def test_the_mlp_has_the_gelu_it_was_asked_for():
    x = tokens(1, 50, 12)
    outputs = {}
    for gelu in ("exact", "tanh"):
        torch.manual_seed(0)
        outputs[gelu] = MLP(ViTConfig(embed_dim=12, num_heads=3, gelu=gelu)).double()(x)
    difference = (outputs["exact"] - outputs["tanh"]).abs().max()
    assert 0 < difference < 1e-2


def test_drop_path_rises_from_the_first_block_to_the_last():
    assert rising_rates(ViTConfig(drop_path_rate=0.3), 4) == pytest.approx([0, 0.1, 0.2, 0.3], abs=1e-7)


# What each block shows: (axis, groups, queries, has_cls) for clips of 4 frames of 2 × 3 patches.
TIME, SPACE = 4, 6
MAPS = {
    "vivit_1_base_16x2": [[("space-time", 1, 1 + 2 * SPACE, True)]] * 2,
    "vivit_2_base_16x2": [[("space", 2, 1 + SPACE, True)]] * 2 + [[("time", 1, 1 + 2, True)]] * 4,
    "vivit_3_base_16x2": [[("time", SPACE, 2, False), ("space", 2, SPACE, False)]] * 2,
    "vivit_4_base_16x2": [[("time", SPACE, 2, False), ("space", 2, SPACE, False)]] * 2,
    "divided_space_time": [[("time", SPACE, TIME, False), ("space", TIME, 1 + SPACE, True)]] * 2,
    "joint_space_time": [[("space-time", 1, 1 + TIME * SPACE, True)]] * 2,
    "space_only": [[("space", TIME, 1 + SPACE, True)]] * 2,
}


@pytest.mark.parametrize("name", CLIP_MODELS)
def test_every_model_shows_its_attention_and_says_what_it_ran_over(name):
    model = small_clip_model(name).double()
    clip = clip_for(model)
    tokens, blocks = model.forward_features(clip, return_attention=True)
    torch.testing.assert_close(tokens, model.forward_features(clip), **CLOSE)

    shown = [[(one.axis, one.weights.shape[1], one.weights.shape[3], one.has_cls) for one in maps] for maps in blocks]
    assert shown == MAPS[name]
    heads = 2 if name == "vivit_4_base_16x2" else 4
    for one in sum(blocks, ()):
        assert one.weights.shape[:3] == (2, one.weights.shape[1], heads)
        torch.testing.assert_close(one.weights.sum(-1), torch.ones_like(one.weights[..., 0]), **CLOSE)


def test_an_image_model_shows_its_attention():
    model = small_image_model()
    _, blocks = model.forward_features(image_for(model), return_attention=True)
    assert [one.weights.shape for one in sum(blocks, ())] == [(2, 1, 4, 7, 7)] * 2


@pytest.mark.parametrize("name", ["divided_space_time", "space_only", "vivit_3_base_16x2", "vivit_4_base_16x2"])
def test_a_group_of_a_map_is_the_place_or_frame_of_its_number(name):
    """Changing one pixel of patch 5 in step 1 changes the maps of the first attention there and nowhere else."""
    model = small_clip_model(name).double()
    clip = clip_for(model, batch=1)
    changed = clip.clone()
    frames = getattr(model.config, "tubelet_size", 1)
    changed[0, 0, frames, 8, 16] += 1  # the first frame of step 1, patch row 1, patch column 2
    before, after = (model.forward_features(x, return_attention=True)[1][0][0] for x in (clip, changed))
    moved = (before.weights != after.weights).any(-1).any(-1).any(-1)[0].nonzero().flatten().tolist()
    assert moved == ([5] if before.axis == "time" else [1])
