"""Objectives as the loop calls them: a model and a batch in, "loss" and its parts out."""

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from agreement import assert_agrees, random_clip, small_model
from reference_data import reference_names

from vmamba_edu.masking import tube_mask
from vmamba_edu.models.masked_student import MaskedStudent
from vmamba_edu.models.masked_student_configuration import MaskedStudentConfig
from vmamba_edu.models.self_distillation import VideoMambaDistillation, VideoMambaDistillationConfig
from vmamba_edu.models.teaching import Teaching
from vmamba_edu.training.objectives import (
    MaskedAlignment,
    SelfDistillation,
    Supervised,
    masked_alignment,
)
from vmamba_edu.training.objectives.gather import each_alone, gather
from vmamba_edu.training.objectives.masked_alignment import visible_features

STUDENT = {"img_size": 16, "patch_size": 8, "num_frames": 4, "depth": 2, "embed_dim": 16, "d_state": 4}


def assert_is_an_answer(answer: dict[str, torch.Tensor], *parts: str) -> None:
    """A scalar to descend on, and detached, named numbers beside it."""
    assert set(answer) == {"loss", *parts}
    assert answer["loss"].requires_grad
    for name, value in answer.items():
        assert value.shape == ()
        assert name == "loss" or not value.requires_grad


# Supervised


@pytest.mark.parametrize("soft", [False, True])
def test_supervised_descends_on_the_cross_entropy(soft):
    model = small_model()
    batch = {"clip": random_clip(model), "label": torch.tensor([2, 0])}
    logits = model(batch["clip"])
    expected = torch.nn.functional.cross_entropy(logits, batch["label"])
    if soft:
        batch["label"] = torch.eye(3)[batch["label"]]
    answer = Supervised()(model, batch)
    assert_is_an_answer(answer, "accuracy")
    torch.testing.assert_close(answer["loss"], expected)
    assert answer["accuracy"] == (logits.argmax(1) == torch.tensor([2, 0])).float().mean()


def test_a_model_of_pictures_gets_the_one_frame_of_each_clip():
    model = VideoMambaDistillation(distilling(role="teacher")).set_backend("reference").eval()
    pictures = torch.randn(2, 3, 1, 16, 16)
    answer = SelfDistillation(model)(model, {"clip": pictures, "label": torch.tensor([0, 1])})
    assert answer["distillation"] == pytest.approx(0, abs=1e-6)  # who teaches itself has nothing to learn
    with pytest.raises(ValueError, match="clip: expected single frames for a model of pictures, got 2 frames"):
        SelfDistillation(model)(model, {"clip": torch.randn(2, 3, 2, 16, 16), "label": torch.tensor([0, 1])})


# Self-distillation


def distilling(**keywords) -> VideoMambaDistillationConfig:
    sizes = {"img_size": 16, "patch_size": 8, "depth": 1, "embed_dim": 16, "d_state": 4, "num_classes": 3}
    return VideoMambaDistillationConfig().with_overrides(**sizes | {"drop_path_rate": 0.5} | keywords)


def distilling_model(args: dict, tensors: dict, prefix: str) -> VideoMambaDistillation:
    model = VideoMambaDistillation(VideoMambaDistillationConfig().with_overrides(**args)).double()
    model.load_state_dict({k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)})
    return model.set_backend("reference")


class Says(torch.nn.Module):
    """A teacher that says what the published one said, where a thinned case lacks its weights."""

    def __init__(self, tensors: dict):
        super().__init__()
        self.said = tensors["teacher.out.logits.f64"], tensors["teacher.out.feats.f64"]

    def forward(self, clip: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return self.said


@pytest.mark.parametrize("name", reference_names("04_distill"))
def test_self_distillation_is_the_published_one(reference, name):
    tensors, description = reference(name)
    student = distilling_model(description["student_args"], tensors, "student.sd.")
    has_teacher = any(key.startswith("teacher.sd.") for key in tensors)
    teacher = distilling_model(description["teacher_args"], tensors, "teacher.sd.") if has_teacher else Says(tensors)
    answer = SelfDistillation(teacher)(student, {"clip": tensors["in.x"].double(), "label": tensors["in.label"]})
    assert_is_an_answer(answer, "classification", "distillation", "accuracy")
    for part, stored in (("loss", "loss"), ("classification", "loss_cls"), ("distillation", "loss_distill")):
        assert_agrees(answer[part], tensors[f"{stored}.f64"], part)
    answer["loss"].backward()
    for key in tensors:
        if key.startswith("lossgrad.") and key.endswith(".f64"):
            name = key.removeprefix("lossgrad.").removesuffix(".f64")
            assert_agrees(dict(student.named_parameters())[name].grad, tensors[key], key)


def test_the_teacher_evaluates_and_learns_nothing_and_stops_in_time():
    torch.manual_seed(0)
    student = VideoMambaDistillation(distilling(teacher_dim=16)).set_backend("reference")
    teacher = VideoMambaDistillation(distilling(role="teacher")).set_backend("reference").train()
    batch = {"clip": torch.randn(4, 3, 16, 16), "label": torch.tensor([0, 1, 2, 0])}
    objective = SelfDistillation(teacher, guidance_until=10)

    guided = objective(student.eval(), batch | {"step": 9})
    assert guided["distillation"] > 0
    torch.testing.assert_close(guided["loss"], guided["classification"] + guided["distillation"])
    guided["loss"].backward()
    assert all(parameter.grad is None for parameter in teacher.parameters())
    assert not teacher.training  # drop path of 0.5 would speak with two tongues
    assert objective(student, batch | {"step": 9})["distillation"] == guided["distillation"]

    alone = objective(student, batch | {"step": 10})
    assert alone["distillation"] == 0
    assert alone["loss"] == alone["classification"]
    with pytest.raises(ValueError, match="batch: expected an entry 'step', got 'clip', 'label'"):
        objective(student, batch)


# Masked alignment


def fixed_teacher(features: torch.Tensor, attention: torch.Tensor | None = None):
    return lambda clip: Teaching(features, attention)


@pytest.mark.parametrize("name", reference_names("05_pretrain"))
def test_masked_alignment_is_the_published_one(reference, name, monkeypatch):
    tensors, description = reference(name)
    # What the teacher says of what the student does not see must not matter.
    mask, visible = tensors["in.mask"], tensors["aux.teacher_visible"].double()
    features = torch.randn(*visible.shape[:2], mask.shape[1], visible.shape[3], dtype=torch.float64)
    features[:, ~mask] = visible.flatten(1, 2)
    student = MaskedStudent(MaskedStudentConfig().with_overrides(**description["args"])).double()
    student.load_state_dict({k.removeprefix("sd."): v for k, v in tensors.items() if k.startswith("sd.")})
    student.set_backend("reference")
    monkeypatch.setattr(masked_alignment, "make_mask", lambda *_, **__: mask[:, 1:])
    ratio = description["clip_loss_ratio"]
    for distance in ("l2", "mse", "smooth_l1"):
        objective = MaskedAlignment(fixed_teacher(features), "random", 0.5, distance, clip_loss_ratio=ratio)
        answer = objective(student, {"clip": tensors["in.x"].double()})
        assert_is_an_answer(answer, "alignment")
        if f"loss_{distance}.f64" in tensors:
            assert_agrees(answer["loss"], tensors[f"loss_{distance}.f64"].squeeze(), distance)
        student.zero_grad()
        answer["loss"].backward()
        stored = [key for key in tensors if key.startswith(f"lossgrad_{distance}.") and key.endswith(".f64")]
        for key in stored:
            parameter = key.removeprefix(f"lossgrad_{distance}.").removesuffix(".f64")
            assert_agrees(dict(student.named_parameters())[parameter].grad, tensors[key], key)


def make_student(**keywords) -> MaskedStudent:
    torch.manual_seed(0)
    config = MaskedStudentConfig().with_overrides(**STUDENT | {"teacher_dim": 6, "drop_path_rate": 0.0} | keywords)
    return MaskedStudent(config).set_backend("reference")


@pytest.mark.parametrize("mask", ["random", "tube", "clip_row", "frame_row", "attention"])
def test_every_mask_can_be_learnt_under(mask):
    student, clip = make_student(), torch.randn(3, 3, 4, 16, 16)
    features = torch.nn.functional.normalize(torch.randn(1, 3, 17, 6), dim=-1)
    teacher = fixed_teacher(features, torch.rand(3, 4, 4).softmax(-1))
    objective = MaskedAlignment(teacher, mask, 0.5, generator=torch.Generator().manual_seed(3))
    answer = objective(student, {"clip": clip})
    assert_is_an_answer(answer, "alignment")
    answer["loss"].backward()
    assert student.cls_token.grad.abs().sum() > 0
    again = MaskedAlignment(teacher, mask, 0.5, generator=torch.Generator().manual_seed(3))(student, {"clip": clip})
    assert again["loss"] == answer["loss"]


@pytest.mark.parametrize("cls_position", ["first", "middle"])
def test_the_student_is_compared_token_by_token_wherever_cls_stands(cls_position):
    """A student that says its own place is compared with a teacher that says it too: all agree, none misplaced."""
    mask = tube_mask((4, 2, 2), 0.5, 3)
    student = make_student(cls_position=cls_position)
    features = torch.arange(17.0).expand(1, 3, 17)[..., None]  # [cls] is 0, patch i is i + 1
    target = visible_features(features, mask, student.cls_index(16))
    kept = student.encode(torch.randn(3, 3, 4, 16, 16), mask).kept
    for row in range(3):
        cls = 0 if cls_position == "first" else 8
        named = [0 if place == cls else place + (place < cls) for place in kept[row].tolist()]
        assert target[0, row, :, 0].tolist() == named


def test_a_teacher_of_another_grid_is_refused():
    objective = MaskedAlignment(fixed_teacher(torch.randn(1, 2, 10, 6)), "random", 0.5)
    with pytest.raises(ValueError, match=r"features: expected 17 tokens of the teacher.*got 10; .*same grid"):
        objective(make_student(), {"clip": torch.randn(2, 3, 4, 16, 16)})


def test_what_cannot_be_is_refused_by_name():
    with pytest.raises(ValueError, match=r"label_smoothing: expected a number in \[0, 1\), got 1.0"):
        Supervised(1.0)
    with pytest.raises(ValueError, match="guidance_until: expected None or a step of at least 0, got -1"):
        SelfDistillation(torch.nn.Identity(), guidance_until=-1)
    with pytest.raises(ValueError, match=r"mask: expected one of 'random', .*got 'holes'"):
        MaskedAlignment(fixed_teacher(torch.ones(1, 1, 1, 1)), "holes")
    with pytest.raises(ValueError, match="kind: expected 'l2', 'mse', 'smooth_l1', got 'cosine'"):
        MaskedAlignment(fixed_teacher(torch.ones(1, 1, 1, 1)), distance="cosine")
    with pytest.raises(ValueError, match="batch: expected an entry 'clip', got 'label'"):
        Supervised()(torch.nn.Identity(), {"label": torch.ones(1)})


# Several processes


def gather_in_a_process(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)  # forked: OpenMP's threads were left behind
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    x = torch.full((2, 3), float(rank), requires_grad=True)
    rows = gather(x)
    (rows * torch.arange(4.0)[:, None] * (rank + 1)).sum().backward()
    published, x.grad = x.grad, None
    (gather(x, "whole") * torch.arange(4.0)[:, None] * (rank + 1)).sum().backward()
    with each_alone():
        assert gather(x) is x
    torch.save((rows.detach(), published, x.grad), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def test_gathering_keeps_the_gradient_of_the_own_rows(tmp_path):
    mp.start_processes(gather_in_a_process, (2, str(tmp_path)), nprocs=2, start_method="fork")
    for rank in range(2):
        rows, gradient, whole = torch.load(tmp_path / f"{rank}.pt")
        assert rows[:, 0].tolist() == [0, 0, 1, 1]
        # What this process's loss says of its rows; the other's, which says something else, is not added.
        assert gradient[:, 0].tolist() == [2 * rank * (rank + 1), (2 * rank + 1) * (rank + 1)]
        # What both losses say: they weigh with 1 and 2.
        assert whole[:, 0].tolist() == [3 * 2 * rank, 3 * (2 * rank + 1)]


def test_alone_nothing_is_gathered():
    x = torch.randn(2, 3)
    assert gather(x) is x
