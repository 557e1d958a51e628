"""Laws of the student and the teacher of self-distillation."""

import pytest
import torch
from small_mambas import pixels_for, shaken, small_distillation, small_image

from vmamba_edu.models import VideoMambaDistillationConfig, without_distillation_head

ROLES = pytest.mark.parametrize("role", ["student", "teacher"])


@ROLES
@pytest.mark.parametrize("cls_position", ["first", "middle"])
def test_features_of_all_tokens_have_length_one_and_logits_are_the_classifiers(role, cls_position):
    model = shaken(small_distillation(role=role, cls_position=cls_position))
    image = pixels_for(model)
    logits, features = model(image)
    assert features.shape == (2, 5, 5 if role == "student" else 16)
    torch.testing.assert_close(features.norm(dim=-1), torch.ones(2, 5))

    plain = small_image(cls_position=cls_position)
    plain.load_state_dict(without_distillation_head(model.state_dict()), strict=True)
    assert torch.equal(plain(image), logits)


def test_the_student_norms_its_tokens_twice():
    student = shaken(small_distillation())
    image = pixels_for(student)
    norm, to_teacher = student.distill_head
    mapped = to_teacher(norm(student.forward_features(image)))
    assert torch.equal(student(image).features, mapped / mapped.norm(dim=-1, keepdim=True))
    assert not torch.equal(norm.weight, student.norm_f.weight)


def test_the_teacher_shows_its_normed_tokens():
    teacher = shaken(small_distillation(role="teacher"))
    image = pixels_for(teacher)
    tokens = teacher.forward_features(image)
    assert torch.equal(teacher(image).features, tokens / tokens.norm(dim=-1, keepdim=True))


def test_a_teacher_is_a_plain_classifier():
    """Trained weights of the classifier become a teacher as they are, and a student's do without its head."""
    plain, teacher = shaken(small_image()), small_distillation(role="teacher")
    teacher.load_state_dict(plain.state_dict(), strict=True)
    image = pixels_for(plain)
    assert torch.equal(teacher(image).logits, plain(image))


def test_only_the_head_is_left_out():
    state = small_distillation().state_dict()
    left_out = state.keys() - without_distillation_head(state).keys()
    assert left_out == {"distill_head.0.weight", "distill_head.1.weight", "distill_head.1.bias"}


def test_features_train_the_whole_student():
    student = shaken(small_distillation())
    features = student(pixels_for(student)).features
    (features * torch.randn(features.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    without = {name for name, value in student.named_parameters() if value.grad is None or not value.grad.any()}
    assert without == {"head.weight", "head.bias"}


def test_published_spellings_mean_ours():
    start = VideoMambaDistillationConfig()
    ours = start.with_overrides(role="teacher", teacher_dim=40)
    assert start.with_overrides(model_type="teacher", teacher_embed_dim=40) == ours


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"role": "assistant"}, "role: expected 'student' or 'teacher', got 'assistant'"),
        ({"teacher_dim": 0}, "teacher_dim: expected an integer of at least 1, got 0"),
    ],
)
def test_a_value_that_cannot_be_is_named(keywords, message):
    with pytest.raises(ValueError, match=message):
        VideoMambaDistillationConfig(**keywords)
