"""Loading published names: everything, or nothing and a list of what is wrong."""

import pytest
import torch
from small_transformers import CLIP_MODELS, clip_for, small_clip_model

from vmamba_edu import create_model
from vmamba_edu.models.state_dicts import load_transformer_weights


def fresh(name: str) -> torch.nn.Module:
    torch.manual_seed(7)
    model_name, size = CLIP_MODELS[name]
    return create_model(model_name, **size).eval()


@pytest.mark.parametrize("name", CLIP_MODELS)
@pytest.mark.parametrize("wrapper", ["", "module.", "model."])
def test_our_own_names_load_with_the_prefixes_of_wrappers(name, wrapper):
    model, other = small_clip_model(name), fresh(name)
    load_transformer_weights(other, {wrapper + key: value for key, value in model.state_dict().items()})
    assert torch.equal(other(clip_for(model)), model(clip_for(model)))


def test_a_kernel_of_pictures_becomes_one_of_a_single_frame():
    model, other = small_clip_model("divided_space_time"), fresh("divided_space_time")
    state = model.state_dict()
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][:, :, 0]
    load_transformer_weights(other, state)
    assert torch.equal(other(clip_for(model)), model(clip_for(model)))


def test_what_does_not_fit_is_listed_and_nothing_is_loaded():
    model, other = small_clip_model("divided_space_time"), fresh("divided_space_time")
    before = {key: value.clone() for key, value in other.state_dict().items()}
    state = model.state_dict()
    del state["head.weight"]
    state["extra"] = torch.zeros(1)
    state["time_embed"] = state["time_embed"][:, :2]
    message = (
        "state_dict: expected the weights of this TimeSformer; missing: head.weight; unexpected: extra; "
        r"of another shape: time_embed \(1, 2, 16\) instead of \(1, 4, 16\)"
    )
    with pytest.raises(ValueError, match=message):
        load_transformer_weights(other, state)
    assert all(torch.equal(before[key], value) for key, value in other.state_dict().items())


def test_half_of_an_attention_is_missing_and_not_silently_joined():
    model = fresh("vivit_1_base_16x2")
    state = {f"vivit.layers.0.attention.{part}_proj.bias": torch.zeros(16) for part in "qk"}
    with pytest.raises(ValueError, match=r"encoder\.blocks\.0\.attn\.qkv\.bias \(32,\) instead of \(48,\)"):
        load_transformer_weights(model, state)
