"""TimeSformer: published sizes, where drop path acts, and what each attention can see."""

import pytest
import torch
from small_transformers import CLIP_MODELS, clip_for, small_clip_model

from vmamba_edu import create_model

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def test_divided_attention_costs_one_more_attention_and_a_map_in_every_block():
    """The paper's table says 121.4 M; the published class, whose parameters these are one by one, has 121.6 M."""
    with torch.device("meta"):
        model = create_model("timesformer_base_8f")
        joint = create_model("timesformer_base_8f", attention_type="joint_space_time")
    count, joint_count = (sum(parameter.numel() for parameter in m.parameters()) for m in (model, joint))
    assert count == 121_566_352  # of `TimesformerForVideoClassification`, counted
    dim = 768
    temporal = (4 * dim * dim + 4 * dim) + (dim * dim + dim) + 2 * dim  # attention, temporal_fc, norm
    assert count - joint_count == 12 * temporal


def test_a_fresh_model_starts_with_the_published_zeros():
    name, size = CLIP_MODELS["divided_space_time"]
    model = create_model(name, **size)
    assert not model.time_embed.any()
    for index in range(2):
        assert not model.block(index).temporal_fc.weight.any()
        assert not model.block(index).temporal_fc.bias.any()
        assert model.block(index).temporal_attn.proj.weight.all()
    assert model.cls_token.any()


def test_drop_path_acts_on_places_frames_and_clips(monkeypatch):
    """As published: on whatever the first axis holds when it is called."""
    model = small_clip_model("divided_space_time", drop_path_rate=0.5).train()
    drawn = []

    def all_kept(x: torch.Tensor, keep: float) -> torch.Tensor:
        drawn.append((len(x), keep))
        return torch.ones(len(x), dtype=torch.bool)

    monkeypatch.setattr("vmamba_edu.models.drop_path.draw_kept", all_kept)
    model(clip_for(model, batch=2))
    assert drawn == [(2 * 6, 0.5), (2 * 4, 0.5), (2, 0.5)]  # block 0 drops nothing


def test_a_divided_block_hears_of_its_place_and_of_the_frame_around_it():
    """Through time and then space every token reaches every other; [cls] reaches patches only through the frames."""
    model = small_clip_model("divided_space_time").double()
    x = torch.randn(1, 25, 16, generator=torch.Generator().manual_seed(2), dtype=torch.float64).requires_grad_()
    said, _ = model.block(0).along_time(x[:, 1:], need_weights=False)
    said[0, 1 * 6 + 4].sum().backward()
    assert x.grad[0].any(-1).nonzero().flatten().tolist() == [1 + t * 6 + 4 for t in range(4)]


def test_space_only_does_not_know_the_order_of_frames_and_the_others_do():
    for kind in ("divided_space_time", "joint_space_time", "space_only"):
        model = small_clip_model(kind).double()
        clip = clip_for(model)
        same = torch.allclose(model(clip.flip(2)), model(clip), **CLOSE)
        assert same is (kind == "space_only")


def test_space_only_gives_one_row_for_each_clip():
    model = small_clip_model("space_only")
    assert model(clip_for(model, batch=3)).shape == (3, 3)
    assert model.forward_features(clip_for(model, batch=3)).shape == (3, 1 + 6, 16)


def test_a_block_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="block: expected 0 to 1, got 2"):
        small_clip_model("joint_space_time").block(2)
