"""The students of masked pre-training and of self-distillation against the published ones (reference groups 04 and 05).

Outputs and gradients: all that the case at hand has stored. The full data has every gradient, and a teacher's weights.
"""

import pytest
import torch
from agreement import ENGINES, assert_agrees, state_dict_of
from reference_data import reference_names
from scans import needs
from small_mambas import assert_blocks_agree, assert_gradients_agree

from vmamba_edu import create_model
from vmamba_edu.models.masked_student import sinusoidal_places

DTYPES = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)


@DTYPES
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", reference_names("05_pretrain"))
def test_agrees_with_the_published_masked_student(reference, name, engine, dtype):
    tensors, description = reference(name)
    student = create_model("videomamba_masked_tiny", **description["args"])
    student.load_state_dict(state_dict_of(tensors), strict=True)
    student = student.eval().to(dtype).set_backend(needs(engine))
    clip = tensors["in.x"].to(dtype).requires_grad_()

    said = student(clip, tensors["in.mask"])
    (said * tensors["rand.x_clip"].to(dtype)).sum().backward()

    assert said.shape[2] == description["n_visible"]
    assert_agrees(said, tensors["out.x_clip.f64"], "what the student says")
    assert_gradients_agree(student, tensors)
    if "grad.x.f64" in tensors:
        assert_agrees(clip.grad, tensors["grad.x.f64"], "gradient of the clip")
    if "aux.clip_pos_embed_f32" in tensors:
        places = tensors["aux.clip_pos_embed_f32"].squeeze(0)
        assert torch.equal(sinusoidal_places(*places.shape), places)


@pytest.mark.parametrize("name", reference_names("05_pretrain"))
def test_the_parameters_without_gradient_are_the_published_ones(reference, name):
    """With K = 1 as published: the last block and the norm. With K = 2 the norm is trained by the other feature."""
    tensors, description = reference(name)
    student = create_model("videomamba_masked_tiny", **description["args"]).eval()
    student(tensors["in.x"], tensors["in.mask"]).sum().backward()
    without = {key for key, value in student.named_parameters() if value.grad is None or not value.grad.any()}
    assert set(description["params_without_gradient"]) <= without


def published_distiller(tensors: dict, description: dict, role: str, dtype: torch.dtype) -> torch.nn.Module:
    model = create_model("videomamba_distill_tiny", **description[f"{role}_args"])
    prefix = f"{role}.sd."
    state = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
    model.load_state_dict(state, strict=True)
    return model.eval().to(dtype)


@DTYPES
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", reference_names("04_distill"))
def test_agrees_with_the_published_distilled_student(reference, name, engine, dtype):
    tensors, description = reference(name)
    student = published_distiller(tensors, description, "student", dtype).set_backend(needs(engine))
    image = tensors["in.x"].to(dtype).requires_grad_()

    logits, features = student(image)
    said = (logits * tensors["rand.logits"].to(dtype)).sum() + (features * tensors["rand.feats"].to(dtype)).sum()
    said.backward()

    assert_agrees(logits, tensors["out.logits.f64"], "logits")
    assert_agrees(features, tensors["out.feats.f64"], "features")
    _, blocks = student.forward_features(image, return_blocks=True)
    assert_blocks_agree(blocks, tensors)
    assert_gradients_agree(student, tensors)
    if "grad.x.f64" in tensors:
        assert_agrees(image.grad, tensors["grad.x.f64"], "gradient of the image")


@DTYPES
@pytest.mark.parametrize("name", reference_names("04_distill"))
def test_agrees_with_the_published_teacher(reference, name, dtype):
    tensors, description = reference(name)
    if not any(key.startswith("teacher.sd.") for key in tensors):
        pytest.skip("the teacher's weights stand in the full data only")
    teacher = published_distiller(tensors, description, "teacher", dtype)
    logits, features = teacher(tensors["in.x"].to(dtype))
    assert_agrees(logits, tensors["teacher.out.logits.f64"], "logits")
    assert_agrees(features, tensors["teacher.out.feats.f64"], "features")
