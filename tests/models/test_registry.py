"""Models by name: sizes exact, names forgiving, the import light."""

import subprocess
import sys

import pytest
import torch

import vmamba_edu

# Parameters of the published classes at 400 classes, for 8, 16, 32 and 64 frames.
COUNTS = {
    "videomamba_tiny": (7_033_744, 7_035_280, 7_038_352, 7_044_496),
    "videomamba_small": (25_568_656, 25_571_728, 25_577_872, 25_590_160),
    "videomamba_middle": (73_875_856, 73_880_464, 73_889_680, 73_908_112),
    "videomamba_base": (97_143_184, 97_149_328, 97_161_616, 97_186_192),
}


# The same for pictures of 224 pixels at 1000 classes.
IMAGE_COUNTS = {
    "videomamba_image_tiny": 7_148_008,
    "videomamba_image_small": 25_796_584,
    "videomamba_image_middle": 74_217_448,
    "videomamba_image_base": 97_598_440,
}


def count(name: str, **overrides) -> int:
    with torch.device("meta"):
        model = vmamba_edu.create_model(name, **overrides)
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("name", "expected"), IMAGE_COUNTS.items())
def test_models_for_pictures_have_exactly_the_published_number_of_parameters(name, expected):
    assert count(name) == expected
    assert count(name, num_classes=1000, img_size=224) == expected


def test_the_student_of_masked_pre_training_has_exactly_the_published_number_of_parameters():
    assert count("videomamba_masked_middle") == 73_941_504


@pytest.mark.parametrize("size", ["tiny", "small", "middle", "base"])
def test_a_distilled_student_has_its_head_on_top(size):
    """A norm of its own, and a map to the 384 channels of a small teacher."""
    plain, student = IMAGE_COUNTS[f"videomamba_image_{size}"], f"videomamba_distill_{size}"
    width = {"tiny": 192, "small": 384, "middle": 576, "base": 768}[size]
    assert count(student) == plain + width + 384 * (width + 1)
    assert count(student, role="teacher") == plain


@pytest.mark.parametrize(("name", "counts"), COUNTS.items())
def test_models_have_exactly_the_published_number_of_parameters(name, counts):
    for frames, expected in zip((8, 16, 32, 64), counts, strict=True):
        assert count(name, num_frames=frames, num_classes=400) == expected


def test_list_models_names_what_can_be_created():
    names = vmamba_edu.list_models()
    assert names[: len(COUNTS)] == list(COUNTS)
    assert {"vit", "vivit", "timesformer"} <= {name.split("_")[0] for name in names}


@pytest.mark.parametrize(("name", "close"), [("videomamba_tin", "videomamba_tiny"), ("VideoMamba-small", "_small")])
def test_an_unknown_model_is_answered_with_close_names(name, close):
    with pytest.raises(ValueError, match=f"no model '{name}'; did you mean .*{close}.* there are videomamba_tiny,"):
        vmamba_edu.create_model(name)


def test_a_model_on_no_device_shows_the_shape_of_its_answer():
    with torch.device("meta"):
        model = vmamba_edu.create_model("videomamba_tiny", depth=1, embed_dim=16, img_size=32)
        assert model(torch.zeros(2, 3, 8, 32, 32)).shape == (2, 400)


def test_importing_the_package_imports_no_torch():
    code = "import sys, vmamba_edu; assert 'torch' not in sys.modules; assert 'create_model' in dir(vmamba_edu)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'create_modle'"):
        vmamba_edu.create_modle  # noqa: B018
