"""What a reader gives to the panel of their own video: films, checkpoints and models good and bad, and uploads."""

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from agreement import small_model
from own_films import RIGHT, changes, finish, kept, setting, tiny_timesformer, unchanged, uploaded
from safetensors.torch import save_file
from torch import Tensor, nn

from vmamba_edu import create_model, panels
from vmamba_edu.models import shipped_record
from vmamba_edu.models.checkpoints.shipped import shipped_weights
from vmamba_edu.panels import your_video_panel
from vmamba_edu.panels.computed import own_videos, readers_of_videos
from vmamba_edu.panels.computed.readers_of_videos import FRESH, SHIPPED
from vmamba_edu.recipes import Recipe, Trained
from vmamba_edu.recipes.recipe import TABLES
from vmamba_edu.training.checkpointing import save_checkpoint
from vmamba_edu.video import write_video


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("nowhere.mp4", None, "there is no such file"),
        ("empty.mp4", b"", "empty"),
        ("noise.mp4", bytes(range(256)) * 10, "noise.mp4"),
        ("text.mp4", b"this is no video\n" * 9, "text.mp4"),
    ],
)
def test_a_bad_video_is_told_and_changes_nothing(panel: Any, tmp_path: Path, name, content, words: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    said = unchanged(panel, setting(panel, "path", str(path)))
    assert "path: expected a video that can be read" in said
    assert words in said


def test_a_folder_and_a_file_that_may_not_be_read_are_no_videos(panel: Any, tmp_path: Path, monkeypatch) -> None:
    assert "path: expected a video" in unchanged(panel, setting(panel, "path", str(tmp_path)))

    def forbidden(path: Any) -> Any:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("vmamba_edu.panels.computed.frames_of_videos.video_info", forbidden)
    assert "Permission denied" in unchanged(panel, setting(panel, "path", "mine.mp4"))


def test_a_video_that_is_too_short_is_told_and_changes_nothing(panel: Any, tmp_path: Path) -> None:
    path = write_video(tmp_path / "short.mp4", RIGHT[:3], fps=10)
    said = unchanged(panel, setting(panel, "path", str(path)))
    assert f"expected at least the 4 frames that {SHIPPED} reads, got 3 of short.mp4" in said
    said = unchanged(panel, setting(panel, "model", "timesformer_base_long_96f"))
    assert "the 96 frames that timesformer_base_long_96f reads, got 64" in said
    with pytest.raises(ValueError, match="clip: expected at least the 4 frames"):
        panels.your_video(RIGHT[:3])


def test_a_look_that_a_model_has_not_is_told_and_changes_nothing() -> None:
    panel = panels.your_video(RIGHT, tiny_timesformer())
    said = unchanged(panel, setting(panel, "look", "memory"))
    assert "attends, and keeps no state to decay" in said
    picture = create_model("vit_tiny", img_size=16, patch_size=8, depth=1, embed_dim=16, num_heads=2, num_classes=3)
    panel = panels.your_video(RIGHT, picture.eval())
    assert "got ViT" in unchanged(panel, setting(panel, "look", "attention"))
    one_way = panels.your_video(RIGHT, small_model(bidirectional=False, num_frames=2).float(), look="attention")
    said = unchanged(one_way, setting(one_way, "direction", "backward"))
    assert "direction: expected one in which VideoMamba reads, got &#x27;backward&#x27;" in said
    one_way.controls["look"].value = "memory"
    assert "direction: expected one in which" in unchanged(one_way, setting(one_way, "direction", "backward"))


def test_a_model_too_large_for_the_free_memory_is_refused_in_words(panel: Any, monkeypatch) -> None:
    monkeypatch.setattr(own_videos, "free_memory", lambda: 2**30)
    said = unchanged(panel, setting(panel, "model", "vivit_1_large_16x2"))
    assert "more than 60% of the 1 GiB that are free; take a smaller model" in said
    panel.controls["look"].value = "tokens"  # these cost nothing
    panel.controls["model"].value = "vivit_1_large_16x2"
    assert panel.state.model == "vivit_1_large_16x2"
    for look in ("prediction", "attention"):
        assert "more than 60%" in unchanged(panel, setting(panel, "look", look))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"look": "all"}, "look: expected one of 'prediction', 'tokens', 'masks', 'attention', 'memory', got 'all'"),
        ({"views": "2 × 2"}, "views: expected one of '4 × 3', '1 × 1', got '2 × 2'"),
        ({"view": 4}, "view: expected one of 0, 1, 2, 3, got 4"),
        ({"mask": "holes"}, "mask: expected one of"),
        ({"ratio": 1.5}, "ratio: expected"),
        ({"seed": -1}, "seed: expected 0 to 9999, got -1"),
        ({"frame": 4}, "frame: expected 0 to 3, got 4"),
        ({"row": 2}, "row: expected 0 to 1, got 2"),
        ({"column": -1}, "column: expected 0 to 1, got -1"),
        ({"block": 4}, "block: expected 0 to 3, got 4"),
        ({"direction": "down"}, "direction: expected one of"),
        ({"model": "videomamba_tny"}, "model: expected .*got 'videomamba_tny'; did you mean videomamba_tiny"),
        ({"model": "checkpoint"}, "model: expected a name of the list"),
        ({"clip": "no such file"}, "clip: expected a video that can be read"),
    ],
)
def test_what_cannot_be_is_named(words: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        panels.your_video(**words)


def test_what_is_no_model_of_ours_is_named() -> None:
    with pytest.raises(TypeError, match=r"model: expected a name or a model of vmamba_edu.models, got Linear"):
        panels.your_video(model=nn.Linear(2, 2))
    with pytest.raises(ValueError, match="classes: expected 3 names, one for each output, got 1"):
        panels.your_video(RIGHT, tiny_timesformer(), classes=["one"])
    with pytest.raises(ValueError, match="model: expected one that reads square frames, VideoMamba reads 16 × 32"):
        panels.your_video(RIGHT, small_model(img_size=(16, 32)).float())


# Checkpoints


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training run, such as training leaves it."""
    record, folder = shipped_record(SHIPPED), tmp_path_factory.mktemp("runs") / "digits"
    folder.mkdir()
    metadata = {name: record[name] for name in ("source", "recipe", "tokeniser")}
    metadata["classes"] = [f"to the {name}" for name in record["classes"]]
    content = {"metadata": metadata, "model": shipped_weights(SHIPPED), "average": None, "step": 77}
    save_checkpoint(content, folder / "last.pt")
    return folder


def test_a_run_brings_its_model_and_its_classes(panel: Any, run: Path) -> None:
    changes(panel, setting(panel, "checkpoint", str(run)))
    assert "It says to the left with" in panel.sentence()
    assert "77 steps of training" in panel.sentence()
    assert panel.controls["model"].value == "checkpoint"
    assert f"panels.your_video(checkpoint={str(run)!r}" in panel.copy.text
    again = panels.your_video(checkpoint=run / "last.pt")
    assert "It says to the left" in again.sentence()
    panel.controls["checkpoint"].value = ""  # the shipped one again
    assert panel.state.model == SHIPPED
    assert "It says left with" in panel.sentence()


def test_another_model_in_the_list_ends_a_checkpoint(panel: Any, run: Path) -> None:
    panel.controls["checkpoint"].value = str(run)
    panel.controls["look"].value = "tokens"
    panel.controls["model"].value = "videomamba_tiny"
    assert (panel.state.model, panel.state.checkpoint, panel.controls["checkpoint"].value) == (
        "videomamba_tiny",
        "",
        "",
    )
    assert FRESH in panel.sentence()


def small_weights(**overrides: Any) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return create_model("vit_tiny", num_classes=7, **overrides).state_dict()


def test_weights_alone_are_fitted_into_the_model_that_is_chosen(panel: Any, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file(small_weights(), path)
    said = unchanged(panel, setting(panel, "checkpoint", str(path)))
    assert "choose their architecture in the list of models first" in said
    panel.controls["look"].value = "tokens"
    panel.controls["model"].value = "vit_tiny"
    panel.controls["checkpoint"].value = str(path)
    reader = panel.view.watched.reader
    torch.testing.assert_close(reader.model.state_dict()["head.bias"].cpu(), small_weights()["head.bias"])
    assert len(reader.classes) == 7
    assert "weights from" in panel.sentence()
    save_file(small_weights(depth=2), path)
    said = unchanged(panel, setting(panel, "checkpoint", f"{path} ".strip() + "x"))
    assert "there is no" in said
    other = path.with_name("shallow.safetensors")
    save_file(small_weights(depth=2), other)
    assert "checkpoint: expected weights that fit vit_tiny, got shallow.safetensors" in unchanged(
        panel, setting(panel, "checkpoint", str(other))
    )


class Bomb:
    def __reduce__(self) -> Any:
        return print, ("this must never run",)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.pt", b"", "checkpoint: expected one that can be read"),
        ("cut.pt", b"PK\x03\x04" + bytes(200), "cut off or damaged"),
        ("cut.safetensors", b"\xff" * 50, "cut.safetensors is cut off"),
        ("code.pt", pickle.dumps({"model": Bomb()}), "nothing was run"),
        ("film.mp4", b"no weights", "expected a name ending in"),
    ],
)
def test_a_bad_checkpoint_is_told_and_changes_nothing(panel: Any, tmp_path: Path, capsys, name, content, words) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert words in unchanged(panel, setting(panel, "checkpoint", str(path)))
    assert "this must never run" not in capsys.readouterr().out


def test_a_folder_without_a_run_and_a_model_that_does_not_classify_are_told(panel: Any, tmp_path: Path) -> None:
    assert "last.pt or best.pt of a run folder" in unchanged(panel, setting(panel, "checkpoint", str(tmp_path)))
    assert "and there is no" in unchanged(panel, setting(panel, "checkpoint", str(tmp_path / "nothing")))
    recipe = Recipe("it", {name: {"name": "video_text"} for name in TABLES[:3]})
    trained = Trained(nn.Identity(), recipe, [], None, 0)
    with pytest.raises(ValueError, match="expected a model that classifies, got a model of video and text"):
        readers_of_videos._of_trained("checkpoint", trained, "it", "")


def test_a_large_checkpoint_is_opened_in_the_background(panel: Any, run: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(your_video_panel, "LARGE", 10)
    panel.controls["checkpoint"].value = str(run)
    assert "Done." in finish(panel)
    assert "It says to the left with" in panel.caption.value
    damaged = tmp_path / "damaged.pt"
    damaged.write_bytes(b"x" * 50)

    def open_damaged() -> None:
        panel.controls["checkpoint"].value = str(damaged)
        finish(panel)

    assert "checkpoint: expected one that can be read" in unchanged(panel, open_damaged)


# Uploads


def test_an_uploaded_film_is_shown_and_kept_only_while_it_is_looked_at(panel: Any, file: Path) -> None:
    upload = panel.upload.widget
    upload.value = uploaded("../mine.mp4", file.read_bytes())
    assert "Mine.mp4: 20 frames" in panel.sentence()
    assert "It says right" in panel.sentence()
    assert panel.upload.holds(panel.state.path)  # and it is not where its name points
    assert upload.value == ()  # a notebook that stores the state of its widgets has no film in it
    assert [path.name for path in kept(panel)] == ["mine.mp4"]
    assert "# mine.mp4 was uploaded" in panel.copy.text
    assert panel.upload.name not in panel.copy.text
    upload.value = uploaded("mine.mp4", file.read_bytes())  # another one of the same name
    assert len(kept(panel)) == 1
    panel.controls["path"].value = ""
    assert kept(panel) == []
