"""The classifiers for clips and pictures against the published ones (reference groups 03 and 04).

Logits, blocks and gradients: all that the case at hand has stored. The full data has every block and every gradient.
"""

import pytest
import torch
from agreement import ENGINES, assert_agrees, state_dict_of
from reference_data import reference_names
from scans import needs
from small_mambas import assert_blocks_agree, assert_gradients_agree

from vmamba_edu import create_model


def published_model(tensors: dict, description: dict, name: str = "videomamba_tiny") -> torch.nn.Module:
    model = create_model(name, **description["args"])
    model.load_state_dict(state_dict_of(tensors), strict=True)
    return model


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", reference_names("03_video") + reference_names("04_image"))
def test_agrees_with_the_published_classifier(reference, name, engine, dtype):
    tensors, description = reference(name)
    kind = "videomamba_image_tiny" if name.startswith("04") else "videomamba_tiny"
    model = published_model(tensors, description, kind).eval().to(dtype).set_backend(needs(engine))
    clip = tensors["in.x"].to(dtype).requires_grad_()

    tokens, blocks = model.forward_features(clip, return_blocks=True)
    logits = model(clip)
    (logits * tensors["rand.logits"].to(dtype)).sum().backward()

    assert torch.equal(model.head(tokens[:, 0]), logits)
    assert sum(parameter.numel() for parameter in model.parameters()) == description["n_params"]
    assert_agrees(logits, tensors["out.logits.f64"], "logits")
    assert_blocks_agree(blocks, tensors)
    assert_gradients_agree(model, tensors)
    if "grad.x.f64" in tensors:
        assert_agrees(clip.grad, tensors["grad.x.f64"], "gradient of the clip")


def test_drop_path_acts_where_the_published_one_does(reference, monkeypatch):
    tensors, description = reference("03_droppath_d3")
    model = published_model(tensors, description).train().double().set_backend("reference")
    masks = [tensors[call["mask"]].bool() for call in description["calls"]]
    rates = [1 - call["p"] for call in description["calls"]]
    drawn = []

    def injected(x: torch.Tensor, keep: float) -> torch.Tensor:
        drawn.append(keep)
        return masks[len(drawn) - 1]

    monkeypatch.setattr("vmamba_edu.models.drop_path.draw_kept", injected)
    assert_agrees(model(tensors["in.x"].double()), tensors["out.logits.f64"], "logits")
    assert drawn == pytest.approx(rates, abs=1e-12)


def test_a_fresh_model_has_the_published_parameters_in_the_published_order_and_spread(reference):
    _, description = reference("03_init_stats")
    torch.manual_seed(0)
    parameters = dict(create_model("videomamba_tiny", **description["args"]).named_parameters())
    assert list(parameters) == list(description["stats"])
    for name, expected in description["stats"].items():
        value = parameters[name].detach()
        count, spread = value.numel(), expected["std"]
        assert list(value.shape) == expected["shape"], name
        if name.endswith(("A_log", "A_b_log")) or spread == 0:  # nothing is drawn: the same to float32's precision
            came = [value.mean().item(), value.min().item(), value.max().item()]
            assert came == pytest.approx([expected["mean"], expected["min"], expected["max"]], rel=1e-6), name
            continue
        # Two samples of one distribution: their means and spreads are this close but for 1 in 10⁸ (six sigma).
        assert abs(value.mean().item() - expected["mean"]) < 6 * spread * (2 / count) ** 0.5, name
        assert value.std().item() == pytest.approx(spread, rel=6 / count**0.5), name
        # The largest of many normal values is near 4 σ, of uniform ones 1.7 σ: this tells one from the other.
        if count > 1000:
            assert value.abs().max().item() == pytest.approx(max(expected["max"], -expected["min"]), rel=0.35), name


def test_every_channel_begins_with_the_same_decays():
    A_log = create_model("videomamba_tiny", embed_dim=16, depth=1).block(0).mixer.A_b_log
    assert torch.equal(A_log, torch.arange(1.0, 17).log().expand(32, 16))
