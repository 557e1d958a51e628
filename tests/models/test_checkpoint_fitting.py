"""What of a checkpoint goes into which model, and that a model is never left half-loaded."""

import copy
import warnings

import pytest
import torch
from agreement import random_clip, small_model
from small_transformers import small_clip_model

from vmamba_edu import create_model
from vmamba_edu.models import CheckpointError, LoadReport, load_checkpoint

SIZE = {"embed_dim": 16, "depth": 2, "img_size": 16, "patch_size": 8, "num_classes": 3, "d_state": 4}
CLIP = {**SIZE, "num_frames": 2}


def made(name: str, seed: int = 0, **keywords) -> torch.nn.Module:
    torch.manual_seed(seed)
    model = create_model(name, **keywords)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.1 * torch.randn_like(parameter))  # a fresh one has many zeros and ones in common
    return model.eval()


def fresh(**overrides) -> torch.nn.Module:
    return made("videomamba_tiny", seed=7, **CLIP | overrides).set_backend("reference")


def trained(**overrides) -> dict:
    return made("videomamba_tiny", **CLIP | overrides).state_dict()


def loaded_quietly(model: torch.nn.Module, source: dict, **options) -> LoadReport:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return load_checkpoint(model, source, **options)


NAMES = {
    "videomamba_tiny": CLIP,
    "videomamba_image_tiny": SIZE,
    "videomambapro_tiny": CLIP,
    "videomamba_masked_tiny": {key: value for key, value in CLIP.items() if key != "num_classes"},
    "videomamba_distill_tiny": SIZE,
}


@pytest.mark.parametrize("name", NAMES)
def test_every_kind_of_model_takes_its_own_weights_in_any_precision(name):
    weights = made(name, **NAMES[name]).state_dict()
    model = made(name, seed=7, **NAMES[name])
    report = loaded_quietly(model, weights)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert report.loaded == tuple(weights)
    assert not any((report.resized, report.renamed, report.skipped, report.missing, report.warnings))
    half = made(name, seed=7, **NAMES[name]).bfloat16()
    loaded_quietly(half, weights)
    assert all(torch.equal(value, weights[key].bfloat16()) for key, value in half.state_dict().items())


@pytest.mark.parametrize("variant", ["paper", "released_v2"])
def test_two_variants_of_pro_take_weights_of_videomamba(variant):
    model = made("videomambapro_tiny", seed=7, **CLIP, variant=variant)
    loaded_quietly(model, trained())
    assert all(torch.equal(value, trained()[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("prefix", ["module.", "backbone.", "encoder.", "_orig_mod.", "module.backbone."])
def test_prefixes_of_wrappers_are_taken_off(prefix):
    weights, model = trained(), fresh()
    report = loaded_quietly(model, {prefix + key: value for key, value in weights.items()})
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert report.renamed[f"{prefix}cls_token"] == "cls_token"
    assert len(report.renamed) == len(weights)


def test_one_name_twice_is_an_error():
    weights = trained()
    with pytest.raises(CheckpointError, match=r"two tensors for cls_token: cls_token and module\.cls_token"):
        load_checkpoint(fresh(), weights | {"module.cls_token": weights["cls_token"]})


def test_a_model_of_another_size_and_length_reads_as_the_first_one_would_have():
    """It is the interpolation that a model does by itself when it is given such a clip."""
    small, large = made("videomamba_tiny", **CLIP), fresh(img_size=(24, 32), num_frames=4)
    report = loaded_quietly(large, small.state_dict())
    clip = random_clip(large)
    torch.testing.assert_close(large(clip), small.set_backend("reference")(clip), rtol=1e-5, atol=1e-6)
    assert report.resized == {
        "pos_embed": "(1, 5, 16) → (1, 13, 16), interpolated, bicubic",
        "temporal_pos_embedding": "(1, 2, 16) → (1, 4, 16), interpolated, linear",
    }


def test_the_old_length_is_that_of_the_tensor_in_tubelets():
    model = fresh(num_frames=8, tubelet_size=2)
    report = loaded_quietly(model, trained(num_frames=4, tubelet_size=2))
    assert report.resized["temporal_pos_embedding"].startswith("(1, 2, 16) → (1, 4, 16)")


def test_positions_of_a_grid_that_is_no_square_are_taken_as_they_are_or_not_at_all():
    weights = trained(img_size=(8, 24))
    loaded_quietly(fresh(img_size=(8, 24)), weights)
    with pytest.raises(CheckpointError, match="pos_embed: expected the positions of a square grid, got 3 patches"):
        load_checkpoint(fresh(), weights)


@pytest.mark.parametrize("tubelet_size", [1, 2, 3])
def test_inflated_by_the_mean_a_still_clip_gives_the_tokens_of_its_picture(tubelet_size):
    image = made("videomamba_image_tiny", **SIZE)
    model = fresh(num_frames=tubelet_size, tubelet_size=tubelet_size)
    with torch.no_grad():
        model.temporal_pos_embedding.zero_()
    with pytest.warns(UserWarning, match="head for 3 classes stays as it was: .* for 3 kinds of picture"):
        load_checkpoint(model, image.state_dict(), inflation="mean")
    picture = torch.randn(2, 3, 16, 16)
    still = picture[:, :, None].expand(-1, -1, tubelet_size, -1, -1)
    torch.testing.assert_close(model.embed(still), image.embed(picture), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("tubelet_size", [1, 2, 3])
def test_inflated_at_the_center_one_frame_is_seen(tubelet_size):
    image = made("videomamba_image_tiny", **SIZE)
    model = fresh(num_frames=tubelet_size, tubelet_size=tubelet_size)
    with torch.no_grad():
        model.temporal_pos_embedding.zero_()
    with pytest.warns(UserWarning, match="head"):
        load_checkpoint(model, image.state_dict())
    clip = torch.randn(2, 3, tubelet_size, 16, 16)
    torch.testing.assert_close(model.embed(clip), image.embed(clip[:, :, tubelet_size // 2]), rtol=1e-5, atol=1e-6)


def test_single_frames_become_tubelets_as_pictures_do():
    model = fresh(num_frames=4, tubelet_size=2)
    report = loaded_quietly(model, trained())
    assert report.resized.keys() == {"patch_embed.proj.weight"}
    assert not model.patch_embed.proj.weight[:, :, 0].any()


@pytest.mark.parametrize(
    ("had", "wanted", "classes", "rows"),
    [
        (710, 400, None, range(400)),
        (5, 3, [4, 0, 2], [4, 0, 2]),
        (3, 3, [2, 1, 0], [2, 1, 0]),
        (710, 600, range(110, 710), range(110, 710)),
    ],
)
def test_the_rows_of_a_head_are_chosen(had, wanted, classes, rows):
    weights, model = trained(num_classes=had), fresh(num_classes=wanted)
    report = loaded_quietly(model, weights, classes=classes)
    assert torch.equal(model.head.weight, weights["head.weight"][list(rows)])
    assert torch.equal(model.head.bias, weights["head.bias"][list(rows)])
    assert report.resized["head.bias"] == f"({had},) → ({wanted},), {wanted} of its {had} rows"


@pytest.mark.parametrize(("had", "wanted"), [(710, 600), (710, 700), (400, 174), (3, 5)])
def test_a_head_for_other_classes_is_left_out_with_a_warning(had, wanted):
    weights, model = trained(num_classes=had), fresh(num_classes=wanted)
    before = copy.deepcopy(model.head.state_dict())
    with pytest.warns(UserWarning, match=rf"head for {wanted} classes .* is for {had} classes\. .* classes=\[…\]"):
        report = load_checkpoint(model, weights)
    assert all(torch.equal(value, before[key]) for key, value in model.head.state_dict().items())
    assert torch.equal(model.cls_token, weights["cls_token"])
    assert report.skipped.keys() == report.missing.keys() == {"head.weight", "head.bias"}
    assert len(report.warnings) == 1


@pytest.mark.parametrize("classes", [[0, 1], [0, 1, 5], [-1, 0, 1], []])
def test_rows_that_cannot_be_are_an_error(classes):
    with pytest.raises(ValueError, match=r"classes: expected 3 rows, .* from 0 to 4; got \d"):
        load_checkpoint(fresh(), trained(num_classes=5), classes=classes)


def test_a_model_without_a_head_leaves_it_out_silently():
    report = loaded_quietly(fresh(num_classes=0), trained())
    assert set(report.skipped.values()) == {"the model has no head"}


@pytest.mark.filterwarnings("ignore:the checkpoint")  # each of two is looked for below
def test_masked_pre_training_goes_into_a_classifier_and_says_what_it_does():
    student = made("videomamba_masked_tiny", **NAMES["videomamba_masked_tiny"]).state_dict()
    model = fresh()
    with pytest.warns(UserWarning, match="norm_f") as given:
        report = load_checkpoint(model, student)
    assert torch.equal(model.norm_f.weight, student["norm.weight"])
    assert report.renamed == {"norm.weight": "norm_f.weight"}
    assert report.missing.keys() == {"head.weight", "head.bias"}
    assert report.skipped.keys() == {key for key in student if key.startswith("clip_decoder")}
    messages = [str(warning.message) for warning in given]
    assert any("norm.weight was loaded as norm_f.weight; the published code loses it" in text for text in messages)
    assert any("the head stays as it was: the checkpoint has none" in text for text in messages)


def test_a_distilled_model_leaves_its_second_head_behind():
    weights = made("videomamba_distill_tiny", **SIZE).state_dict()
    model = made("videomamba_image_tiny", seed=7, **SIZE)
    report = loaded_quietly(model, weights)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())
    assert report.skipped
    assert all(key.startswith("distill_head.") for key in report.skipped)


def test_of_a_video_text_model_the_vision_part_is_taken():
    student = made("videomamba_masked_tiny", **NAMES["videomamba_masked_tiny"]).state_dict()
    weights = {f"vision_encoder.{key}": value for key, value in student.items()}
    weights |= {"vision_encoder.pool_norm.weight": torch.ones(16), "text_encoder.layer.weight": torch.ones(3)}
    weights |= {"temp": torch.tensor(0.07), "clip_teacher.conv1.weight": torch.ones(2)}
    model = fresh(num_classes=0)
    with pytest.warns(UserWarning, match="norm_f"):
        report = load_checkpoint(model, weights)
    assert torch.equal(model.cls_token, student["cls_token"])
    assert (
        report.skipped["text_encoder.layer.weight"]
        == report.skipped["temp"]
        == "of another part of the video-text model"
    )
    again = made("videomamba_masked_tiny", seed=7, **NAMES["videomamba_masked_tiny"])
    loaded_quietly(again, weights)
    assert all(torch.equal(value, student[key]) for key, value in again.state_dict().items())


def broken(what: str) -> tuple[dict, str]:
    """A checkpoint that does not fit `fresh()`, and a part of the error."""
    weights = trained()
    if what == "width":
        return trained(
            embed_dim=24
        ), r"VideoMamba for clips of embed_dim=24 and depth=2.*model is .* embed_dim=16 and depth=2"
    if what == "depth":
        return trained(depth=3), r"depth=3, both directions.*unexpected: layers\.2\.mixer"
    if what == "one direction":
        return trained(bidirectional=False), r"depth=2, one direction; the model is .*both directions.*missing: .*_b"
    if what == "state":
        return trained(
            d_state=8
        ), r"of another shape: layers\.0\.mixer\.A_log \(32, 8\) instead of \(32, 4\).* and \d+ more"
    if what == "patch":
        return trained(
            patch_size=4, img_size=8
        ), r"patch_embed\.proj\.weight \(16, 3, 1, 4, 4\) instead of \(16, 3, 1, 8, 8\)"
    if what == "transformer":
        size = {"embed_dim": 16, "num_heads": 2, "depth": 1, "img_size": 16, "patch_size": 8, "num_classes": 3}
        return made("vit_tiny", **size).state_dict(), r"no VideoMamba \(its tensors are .* and \d+ more\)"
    if what == "other names":
        return {"a.weight": torch.ones(3)}, r"no VideoMamba \(its tensors are a\.weight\)"
    if what == "integers":
        return weights | {"cls_token": torch.ones(1, 1, 16, dtype=torch.int8)}, "not floating-point: cls_token"
    if what == "missing":
        return {key: value for key, value in weights.items() if "A_log" not in key}, r"missing: layers\.0\.mixer\.A_log"
    return weights | {"extra": torch.ones(1)}, "unexpected: extra"


KINDS = (
    "width",
    "depth",
    "one direction",
    "state",
    "patch",
    "transformer",
    "other names",
    "integers",
    "missing",
    "extra",
)


@pytest.mark.parametrize("what", KINDS)
def test_weights_that_do_not_fit_are_told_apart_and_leave_the_model_as_it_was(what):
    weights, message = broken(what)
    model = fresh()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(CheckpointError, match=message) as error:
        load_checkpoint(model, weights)
    assert "Nothing was loaded" in str(error.value)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("what", ["depth", "one direction", "missing", "extra"])
def test_without_strict_what_fits_is_loaded_and_the_rest_is_told(what):
    weights, _ = broken(what)
    model = fresh()
    before = copy.deepcopy(model.state_dict())
    with pytest.warns(UserWarning, match=r"\d+ tensors of the model stay as they were, \d+ are left over"):
        report = load_checkpoint(model, weights, strict=False)
    for key, value in model.state_dict().items():
        assert torch.equal(value, weights[key] if key in weights else before[key])
        assert (key in report.loaded) is (key in weights)
        assert (key in report.missing) is (key not in weights)
    assert report.skipped.keys() == weights.keys() - before.keys()


@pytest.mark.parametrize("what", ["width", "state", "patch", "transformer", "other names", "integers"])
def test_without_strict_another_architecture_is_still_an_error(what):
    with pytest.raises(CheckpointError, match="Nothing was loaded"):
        load_checkpoint(fresh(), broken(what)[0], strict=False)


def test_pictures_cannot_be_read_by_what_was_made_for_clips():
    model = made("videomamba_image_tiny", seed=7, **SIZE)
    with pytest.raises(CheckpointError, match=r"is a VideoMamba for clips.*the model is a VideoMamba for pictures"):
        load_checkpoint(model, trained())


def test_transformers_are_handed_on():
    model, other = small_clip_model("divided_space_time"), small_clip_model("divided_space_time")
    with torch.no_grad():
        model.head.bias.fill_(3)
    report = loaded_quietly(other, {"model": model.state_dict()})
    assert torch.equal(other.head.bias, model.head.bias)
    assert report.loaded == tuple(model.state_dict())
    with pytest.raises(
        CheckpointError, match=r"expected the weights of this TimeSformer; missing: .* Nothing was loaded"
    ):
        load_checkpoint(other, trained())


def test_what_cannot_be_asked_for_is_named():
    with pytest.raises(ValueError, match="inflation: expected 'center' or 'mean', got 'average'"):
        load_checkpoint(fresh(), trained(), inflation="average")
    with torch.device("meta"):
        empty = create_model("videomamba_tiny", **CLIP)
    with pytest.raises(ValueError, match='model: expected one with memory, got one on the device "meta"'):
        load_checkpoint(empty, trained())


@pytest.mark.filterwarnings("ignore:the checkpoint")
def test_a_report_is_a_few_lines():
    student = made("videomamba_masked_tiny", **NAMES["videomamba_masked_tiny"]).state_dict()
    with pytest.warns(UserWarning, match="head"):
        report = load_checkpoint(small_model(img_size=32), {f"module.{key}": value for key, value in student.items()})
    assert str(report).splitlines() == [
        "the checkpoint: 40 of the model's 42 tensors loaded",
        "  resized: pos_embed: (1, 5, 16) → (1, 17, 16), interpolated, bicubic",
        "  skipped: module.clip_decoder.0.head.weight, module.clip_decoder.0.head.bias, "
        "module.clip_decoder.0.norm.weight, module.clip_decoder.0.norm.bias: used in pre-training alone",
        "  missing: head.weight, head.bias: the checkpoint has no head for these classes; it stays as it was",
        "  renamed: module.cls_token → cls_token, module.pos_embed → pos_embed, module.temporal_pos_embedding → "
        "temporal_pos_embedding, module.patch_embed.proj.weight → patch_embed.proj.weight and 36 more",
        "  note: norm.weight was loaded as norm_f.weight; the published code loses it, and starts from ones",
        "  note: the head stays as it was: the checkpoint has none",
    ]
