"""The image model: published sizes, published names, laws. (Its numbers: test_transformers_reference.)"""

import copy

import pytest
import torch
from small_transformers import image_for, small_image_model

from vmamba_edu import create_model
from vmamba_edu.models.state_dicts import load_transformer_weights

# timm's counts at 224 pixels, patches of 16, 1000 classes.
COUNTS = {"vit_tiny": 5_717_416, "vit_small": 22_050_664, "vit_base": 86_567_656, "vit_large": 304_326_632}


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_models_have_exactly_the_published_number_of_parameters(name, count):
    with torch.device("meta"):
        model = create_model(name)
    assert sum(parameter.numel() for parameter in model.parameters()) == count


def timm_names(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    state = {name.removeprefix("encoder."): value.clone() for name, value in model.state_dict().items()}
    state["patch_embed.proj.weight"] = state["patch_embed.proj.weight"][:, :, 0]
    return state


def test_weights_under_timm_s_names_load():
    model = small_image_model()
    fresh = create_model(
        "vit_base",
        **{
            name: getattr(model.config, name)
            for name in ("img_size", "patch_size", "depth", "embed_dim", "num_heads", "num_classes")
        },
    )
    load_transformer_weights(fresh.eval(), timm_names(model))
    assert torch.equal(fresh(image_for(model)), model(image_for(model)))


def test_images_of_a_batch_do_not_hear_of_each_other():
    model = small_image_model().double()
    images = image_for(model, batch=4)
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(model(images[order]), model(images)[order], rtol=1e-12, atol=1e-12)


def test_pooling_by_the_mean_needs_no_cls():
    model = small_image_model(pool="mean", num_classes=0)
    image = image_for_without_head(model)
    assert model.encoder.cls_token is None
    tokens = model.forward_features(image)
    assert tokens.shape == (2, 6, 16)
    assert torch.equal(model(image), tokens.mean(1))


def image_for_without_head(model: torch.nn.Module) -> torch.Tensor:
    return torch.randn(2, 3, *model.config.frame_size, generator=torch.Generator().manual_seed(1))


def test_in_training_dropout_and_drop_path_draw_and_a_seed_repeats_them():
    model = small_image_model(dropout=0.1, attention_dropout=0.1, drop_path_rate=0.5).train()
    image = image_for(model, batch=4)

    def run() -> torch.Tensor:
        torch.manual_seed(5)
        return model(image)

    assert torch.equal(run(), run())
    assert not torch.equal(model(image), model(image))
    assert torch.equal(copy.deepcopy(model).eval()(image), model.eval()(image))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 3, 4, 16, 24), r"image: expected \(batch, channel, height, width\), got \(2, 3, 4, 16, 24\)"),
        ((2, 1, 16, 24), "channel = 3.*look at channel$"),
        ((2, 3, 24, 16), "height = 16, width = 24.*look at height and width$"),
    ],
)
def test_an_image_that_does_not_fit_is_told_where(shape, message):
    with pytest.raises(ValueError, match=message):
        small_image_model()(torch.zeros(shape))


def test_an_image_of_bytes_is_refused():
    with pytest.raises(TypeError, match=r"image: expected a floating-point tensor, got torch\.uint8"):
        small_image_model()(torch.zeros(2, 3, 16, 24, dtype=torch.uint8))
