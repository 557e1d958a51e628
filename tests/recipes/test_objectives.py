"""Every objective that a recipe can name, on models that are trained for a few steps."""

from pathlib import Path
from typing import Any

import pytest
import torch
from recipes.small_recipes import CLASSIFY, MASKED, RETRIEVE, recipe_of, write_recipe

from vmamba_edu import cli
from vmamba_edu.recipes import (
    Recipe,
    RecipeError,
    classify,
    evaluate,
    initial_model,
    load_trained,
    prepare_recipe,
    train_recipe,
)
from vmamba_edu.training.checkpointing import open_checkpoint
from vmamba_edu.training.logs import Callback

TINY = {
    "model.embed_dim": 16,
    "model.d_state": 4,
    "model.num_frames": 2,
    "model.tokens_per_frame": 16,
    "model.patch_size": None,
    "data.train": 24,
    "data.validation": 12,
    "data.test": 12,
    "training.epochs": 1,
    "training.batch_size": 8,
    "training.warmup_steps": 0,
}


def tiny(**changes: Any) -> Recipe:
    return recipe_of(CLASSIFY, **TINY).changed(changes)


@pytest.fixture(scope="module")
def masked(tmp_path_factory) -> Path:
    """The folder of a masked student, three steps old."""
    folder = tmp_path_factory.mktemp("masked")
    train_recipe(recipe_of(MASKED), folder / "run", progress=False)
    return folder / "run"


@pytest.fixture(scope="module")
def teacher(tmp_path_factory) -> Path:
    """The folder of a classifier, three steps old."""
    folder = tmp_path_factory.mktemp("teacher")
    train_recipe(tiny(), folder / "run", progress=False)
    return folder / "run"


def test_a_masked_student_is_trained_and_measured(masked, capsys):
    measured = evaluate(load_trained(masked), "test", progress=False).measured
    assert set(measured) == {"loss", "alignment"}
    assert 0 < measured["alignment"] < 4  # |s − t|² of unit vectors
    assert cli.main(["evaluate", str(masked), "--split", "test"]) == 0
    assert f"test: 24 clips, loss {measured['loss']:.4g}" in capsys.readouterr().out


def test_the_teachers_width_is_found(masked):
    assert "teacher_dim" not in recipe_of(MASKED).tables["model"]
    assert load_trained(masked).recipe.tables["model"]["teacher_dim"] == 64
    with pytest.raises(RecipeError, match=r"teacher: has features of 64 channels, but \[model\] teacher_dim"):
        prepare_recipe(recipe_of(MASKED, **{"model.teacher_dim": 32}))


def test_fine_tuning_starts_with_the_trunk_and_a_fresh_head(masked):
    start, fresh = initial_model(tiny(**{"model.start_from": str(masked)})), initial_model(tiny())
    trained = load_trained(masked).model.state_dict()
    trained = {name.replace("norm.", "norm_f.") if name.startswith("norm.") else name: x for name, x in trained.items()}
    for name, value in start.state_dict().items():
        expected = fresh.state_dict()[name] if name.startswith("head.") else trained[name]
        torch.testing.assert_close(value, expected, rtol=0, atol=0)


def test_a_trained_head_is_not_taken_over(teacher):
    """Even if it has as many classes: whoever starts from a trunk wants to compare trunks."""
    start, fresh = initial_model(tiny(**{"model.start_from": str(teacher)})), initial_model(tiny())
    assert torch.equal(start.head.weight, fresh.head.weight)
    assert torch.equal(start.norm_f.weight, load_trained(teacher).model.norm_f.weight)
    assert not torch.equal(start.norm_f.weight, fresh.norm_f.weight)


def test_what_was_fine_tuned_needs_its_start_no_longer(masked, tmp_path):
    path = tmp_path / "start.pt"
    path.write_bytes((masked / "best.pt").read_bytes())
    recipe = tiny(**{"model.start_from": str(path), "data.labels_per_class": 1, "training.batch_size": 4})
    history = train_recipe(recipe, tmp_path / "run", progress=False)
    assert len(history.training) == 3  # twelve clips, one of each class
    path.unlink()
    assert set(evaluate(load_trained(tmp_path / "run"), progress=False).measured) == {"top1", "top5"}


def test_the_tower_of_a_model_of_video_and_text_can_start_from_a_classifier(teacher):
    changes = {
        "model.start_from": str(teacher),
        "model.vision.depth": 2,
        "model.vision.num_frames": 2,
        "model.vision.patch_size": 8,
    }
    tower = initial_model(recipe_of(RETRIEVE, **changes)).vision_encoder
    trained = load_trained(teacher).model
    assert torch.equal(tower.norm.weight, trained.norm_f.weight)
    assert torch.equal(tower.layers[1].mixer.in_proj.weight, trained.layers[1].mixer.in_proj.weight)


def test_a_guided_student_is_a_plain_classifier_afterwards(teacher, tmp_path):
    recipe = guided(teacher, **{"model.embed_dim": 24, "objective.guidance_until": 2, "objective.weight": 0.5})
    history = train_recipe(recipe, tmp_path / "run", progress=False)
    for row in history.training:
        assert row["loss"] == pytest.approx(row["classification"] + 0.5 * row["distillation"], rel=1e-5)  # float32
    assert [row["distillation"] > 0 for row in history.training] == [True, True, False]
    assert set(history.validation[0]) == {"step", "epoch", "loss", "accuracy"}
    trained = load_trained(tmp_path / "run")
    assert set(trained.model.state_dict()) == set(initial_model(tiny()).state_dict())
    kept = open_checkpoint(tmp_path / "run" / "last.pt")["objective"]
    assert set(kept) == {"to_teacher.0.weight", "to_teacher.1.weight", "to_teacher.1.bias"}  # and no teacher


def test_guidance_is_the_distance_of_unit_vectors_and_leaves_the_teacher_alone(teacher):
    prepared = prepare_recipe(guided(teacher, **{"model.embed_dim": 24}))
    batch = {"clip": prepared.train[0]["clip"][None], "label": torch.tensor([0]), "step": 0}
    parts = prepared.objective(prepared.model, batch)
    told = prepared.objective.to_teacher(prepared.model.forward_features(batch["clip"]))
    wanted = load_trained(teacher).model.forward_features(batch["clip"])
    told, wanted = told / told.norm(dim=-1, keepdim=True), wanted / wanted.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(parts["distillation"], (told - wanted).square().sum(-1).mean().detach())
    parts["loss"].backward()
    assert prepared.model.cls_token.grad.abs().sum() > 0


def test_a_guided_run_goes_on_where_it_was_left(teacher, tmp_path):
    """The map to the teacher belongs to the objective: without it in the checkpoint the end would be another."""
    recipe = guided(teacher, **{"training.epochs": 2})
    train_recipe(recipe, tmp_path / "whole", progress=False)

    class Enough(Exception):
        pass

    class StopAfterOneEpoch(Callback):
        def on_validation(self, row: dict) -> None:
            self.seen = getattr(self, "seen", 0) + 1
            if self.seen == 2:
                raise Enough

    with pytest.raises(Enough):
        train_recipe(recipe, tmp_path / "cut", progress=False, callbacks=[StopAfterOneEpoch()])
    train_recipe(recipe, tmp_path / "cut", resume=True, progress=False)
    whole, cut = (load_trained(tmp_path / name / "last.pt").model.state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(whole[name], cut[name]) for name in whole)


def test_video_and_text_can_be_aligned_with_a_teacher_behind_a_mask(tmp_path):
    changes = {
        "model.vision.patch_size": 8,
        "objective.teacher": "digit_teacher",
        "objective.mask": "tube",
        "objective.weights.alignment": 1.0,
    }
    history = train_recipe(recipe_of(RETRIEVE, **changes), tmp_path / "run", progress=False)
    assert set(history.training[0]) >= {"contrast", "matching", "words", "alignment"}
    assert load_trained(tmp_path / "run").model.config.vision.teacher_dim == 64


def test_a_model_for_pictures_is_shown_single_frames(tmp_path):
    changes = {"model.name": "videomamba_image_tiny", "model.num_frames": None, "data.label": "digit"}
    train_recipe(tiny(**changes), tmp_path / "run", progress=False)
    trained = load_trained(tmp_path / "run")
    assert trained.frames.num_frames == 1
    assert evaluate(trained, progress=False).views.probabilities.shape == (12, 10)


def test_a_transformer_can_start_from_the_digit_teacher():
    keys = {"name": "timesformer_base_8f", "num_frames": 2, "img_size": 32, "patch_size": 8, "depth": 4}
    keys |= {"embed_dim": 64, "num_heads": 4, "image_initialisation": "digit_teacher"}
    model = initial_model(tiny(model=keys))
    plain = initial_model(tiny(model=keys | {"image_initialisation": None}))
    assert not torch.equal(model.blocks[0].attn.qkv.weight, plain.blocks[0].attn.qkv.weight)
    assert torch.equal(model.head.weight, plain.head.weight)


def test_a_masked_student_classifies_nothing(masked, tmp_path):
    with pytest.raises(ValueError, match=r"got a masked student; train one that starts from it: start_from in"):
        classify(load_trained(masked), tmp_path / "any.mp4")


def guided(teacher: Path, **changes: Any) -> Recipe:
    return tiny(**{"objective": {"name": "self_distillation", "teacher": str(teacher)}, **changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"model.start_from": "nowhere.pt"}, r"\[model\] start_from: nowhere.pt: there is no such file"),
        ({"model.start_from": 3}, r"\[model\] start_from: expected a path in quotes, got 3"),
        ({"model.start_from": "RUN", "model.embed_dim": 24}, r"\[model\] start_from: source: .* does not fit this Vid"),
        ({"model.start_from": "RUN", "model.depth": 3}, r"\[model\] start_from: .* not the trunk .*missing: layers.2"),
        ({"model.start_from": "RUN", "model.depth": 1}, r"\[model\] start_from: .*left over: layers.1"),
        ({"model.image_initialisation": "digit_teacher"}, r"\[model\] image_initialisation: expected .*for a vivit"),
        ({"model.tokens_per_frame": 15}, r"\[model\] tokens_per_frame: expected a square whose root .*= 32, got 15"),
        ({"model.patch_size": 8}, r"\[model\] tokens_per_frame: expected it alone, or patch_size alone, got both"),
        ({"objective.name": "self_distillation"}, r"\[objective\] teacher: expected this key, and there is none"),
        (
            {"objective": {"name": "self_distillation", "teacher": "nowhere"}},
            r"\[objective\] teacher: nowhere: there is no such file",
        ),
        (
            {"objective": {"name": "self_distillation", "teacher": "RUN"}, "model.num_frames": 4},
            r"\[objective\] teacher: expected .*as the student's, \(4, 4, 4, 'first'\), got \(2, 4, 4, 'first'\)",
        ),
        (
            {"objective": {"name": "self_distillation", "teacher": "RUN", "weight": 0}},
            r"\[objective\] weight: expected a number above 0, got 0",
        ),
        (
            {"objective": {"name": "self_distillation", "teacher": "RUN", "guidance_until": -1}},
            r"\[objective\] guidance_until: expected a step of at least 0, got -1",
        ),
        ({"objective.teacher": "RUN"}, r"\[objective\] teacher: expected none, as 'supervised' asks nobody"),
        ({"objective": {"name": "masked_alignment"}}, r"\[objective\] name: .*a classifier; 'supervised' or 'self_"),
    ],
)
def test_what_cannot_be_is_named(teacher, changes, said):
    changes = {key: str(teacher) if value == "RUN" else value for key, value in changes.items()}
    if isinstance(changes.get("objective"), dict) and changes["objective"].get("teacher") == "RUN":
        changes["objective"] = changes["objective"] | {"teacher": str(teacher)}
    with pytest.raises(RecipeError, match=f"^r.toml: {said}") as caught:
        prepare_recipe(tiny(**changes))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"objective.teacher": "digit_techer"},
            r"\[objective\] teacher: expected 'digit_teacher', a folder",
        ),
        ({"objective.mask": "tubes"}, r"\[objective\] mask: expected one of .*'tube'.*, got 'tubes'"),
        ({"objective.mask_ration": 0.5}, r"\[objective\] mask_ration: .*did you mean mask_ratio\?"),
        (
            {"model.tokens_per_frame": 4},
            r"\[objective\] teacher: expected one with 4 tokens a frame, .*got 16; give tokens_per_frame = 16",
        ),
        ({"objective.name": "supervised"}, r"\[objective\] name: .*a masked student; 'masked_alignment' does"),
    ],
)
def test_what_a_masked_student_cannot_be_told_is_named(changes, said):
    with pytest.raises(RecipeError, match=f"^r.toml: {said}"):
        prepare_recipe(recipe_of(MASKED, **changes))


def test_the_commands_follow_a_recipe_from_masks_to_few_labels(masked, tmp_path, capsys):
    lines = [f'start_from = "{masked}"', "labels_per_class = 1"]
    text = CLASSIFY.replace("[data]", f"{lines[0]}\n\n[data]\n{lines[1]}").replace("patch_size = 16", "patch_size = 8")
    smaller = {"embed_dim": "16", "num_frames": "2", "train": "24", "epochs": "1", "batch_size": "4"}
    recipe = write_recipe(tmp_path, text.replace("depth = 2", "depth = 2\nd_state = 4"), warmup_steps="0", **smaller)
    assert cli.main(["train", str(recipe), "--run-folder", str(tmp_path / "run")]) == 0
    assert "finished after 3 steps" in capsys.readouterr().out
    assert cli.main(["evaluate", str(tmp_path / "run")]) == 0
    assert "top-1" in capsys.readouterr().out
