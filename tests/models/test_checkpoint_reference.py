"""Fitting weights to another model against the published code (reference group 09)."""

import pytest
import torch
from reference_data import load_reference, reference_names
from safetensors.torch import save_file

from vmamba_edu import create_model
from vmamba_edu.models import load_checkpoint
from vmamba_edu.models.checkpoints import adapt_clip_weights

# All is computed in float32 there and here, by the same torch functions: a few roundings of the largest value.
CLOSE = {"rtol": 1e-6, "atol": 1e-6}


def fresh(name: str, arguments: dict) -> torch.nn.Module:
    """A model whose every tensor is told from every other one, so that what was loaded is seen."""
    torch.manual_seed(len(name))
    model = create_model(name, **arguments)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter))
    return model


@pytest.mark.parametrize("name", reference_names("09_finetune_load"))
def test_positions_are_resized_as_published_when_fine_tuning_begins(tmp_path, name):
    tensors, description = load_reference(name)
    weights = fresh("videomamba_tiny", description["checkpoint_args"]).state_dict()
    weights |= given(tensors, "in.")
    prefix = description["key_prefix_in_checkpoint"]
    torch.save({"model": {prefix + key: value for key, value in weights.items()}}, tmp_path / "a.pth")
    model = fresh("videomamba_tiny", description["new_args"])

    report = load_checkpoint(model, tmp_path / "a.pth")

    loaded = model.state_dict()
    for key, expected in given(tensors, "out.").items():
        torch.testing.assert_close(loaded[key], expected, **CLOSE)
    for key in loaded.keys() - given(tensors, "out.").keys():
        assert torch.equal(loaded[key], weights[key]), key
    changed = {key for key, value in given(tensors, "out.").items() if value.shape != weights[key].shape}
    assert report.resized.keys() == changed
    assert list(report.missing) == description["missing"]
    assert list(report.skipped) == description["unexpected"]
    assert (len(report.renamed) == len(weights)) is bool(prefix)


@pytest.mark.parametrize("name", reference_names("09_inflate"))
def test_a_model_of_pictures_becomes_one_of_clips_as_published(tmp_path, name):
    tensors, description = load_reference(name)
    if description["error"] is not None:
        pytest.skip(f"the published code raises {description['error']}")
    image = {**description["image_args"], "num_classes": description["image_args"].get("num_classes", 1000)}
    weights = fresh("videomamba_image_tiny", image).state_dict() | given(tensors, "in.")
    save_file(weights, tmp_path / "a.safetensors")
    model = fresh("videomamba_tiny", description["video_args"])
    with torch.no_grad():
        for key, value in given(tensors, "before.").items():
            model.get_parameter(key).copy_(value)

    inflation = "center" if description["center"] else "mean"
    with pytest.warns(UserWarning, match=r"the head for \d+ classes stays as it was"):
        report = load_checkpoint(model, tmp_path / "a.safetensors", inflation=inflation)

    loaded = model.state_dict()
    for key, expected in given(tensors, "out.").items():
        torch.testing.assert_close(loaded[key], expected, **CLOSE)
    assert report.missing.keys() == {"temporal_pos_embedding", "head.weight", "head.bias"}
    assert report.skipped.keys() == {"head.weight", "head.bias"}
    assert f'"{inflation}"' in report.resized["patch_embed.proj.weight"]


@pytest.mark.parametrize("name", reference_names("09_clip_adapt"))
def test_clip_is_adapted_as_published(name):
    tensors, description = load_reference(name)
    args = description["args"]
    inflation = "center" if args["center"] else "mean"
    other = {"ln_pre.weight": torch.ones(3)}
    adapted = adapt_clip_weights(
        given(tensors, "in.") | other, (args["grid_new"], args["grid_new"]), args["kernel_size"], inflation
    )
    for key, expected in given(tensors, "out.").items():
        torch.testing.assert_close(adapted[key], expected, **CLOSE)
    assert adapted["ln_pre.weight"] is other["ln_pre.weight"]


def given(tensors: dict, prefix: str) -> dict:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
