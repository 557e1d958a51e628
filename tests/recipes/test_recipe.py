"""Reading recipes: every error names the file, the table and the key, in one line."""

import tomllib
from pathlib import Path

import pytest
from recipes.small_recipes import CLASSIFY, RETRIEVE, write_recipe

from vmamba_edu.models.checkpoints import CheckpointError
from vmamba_edu.recipes import Recipe, RecipeError, load_trained, read_recipe, train_recipe
from vmamba_edu.recipes.build import build_model, build_settings, frames_of, require_fitting_objective
from vmamba_edu.recipes.data import VideosData, class_names, read_data
from vmamba_edu.recipes.retrieval import list_videos
from vmamba_edu.training.checkpointing import save_checkpoint


def changed(table: str, text: str = CLASSIFY, **keys: object) -> Recipe:
    tables = tomllib.loads(text)
    tables[table] = {key: value for key, value in (tables[table] | keys).items() if value is not None}
    return Recipe("r.toml", tables)


@pytest.mark.parametrize(
    ("table", "keys", "said"),
    [
        (
            "model",
            {"name": "videomamba_tinny"},
            r"\[model\] name: there is no name 'videomamba_tinny'; did you mean videom",
        ),
        ("model", {"name": None}, r"\[model\] name: expected a name in quotes, got None"),
        ("model", {"depht": 3}, r"\[model\] .*depht"),
        ("model", {"depth": 0}, r"\[model\] depth: expected .*, got 0"),
        ("model", {"img_size": [32, 64]}, r"\[model\] img_size: expected a square, got 32×64"),
        (
            "data",
            {"name": "digits"},
            r"\[data\] name: there is no name 'digits'; .*there are moving_digits, long",
        ),
        ("data", {"trian": 3}, r"\[data\] trian: there is no key 'trian'; did you mean train\?"),
        ("data", {"train": "many"}, r"\[data\] train: expected a whole number, got 'many'"),
        ("data", {"background": "noisy"}, r"\[data\] background must be one of soft, plain"),
        ("objective", {"name": "supervise"}, r"\[objective\] name: .*did you mean supervised\?"),
        (
            "objective",
            {"name": "video_text"},
            r"\[objective\] name: 'video_text' does not train a model of the kind in",
        ),
        (
            "objective",
            {"label_smoothing": 2.0},
            r"\[objective\] label_smoothing: expected a number in \[0, 1\), got 2.0",
        ),
        (
            "objective",
            {"smoothing": 0.1},
            r"\[objective\] smoothing: there is no key 'smoothing'; did you mean label_sm",
        ),
        ("training", {"epoch": 3}, r"\[training\] epoch: there is no key 'epoch'; did you mean epochs\?"),
        ("training", {"epochs": "3"}, r"\[training\] epochs: expected a whole number, got '3'"),
        ("training", {"learning_rate": -1.0}, r"\[training\] learning_rate: expected a number of at least 0, got -1.0"),
    ],
)
def test_what_is_wrong_is_named_with_table_and_key(table, keys, said):
    with pytest.raises(RecipeError, match=f"^r.toml: {said}") as caught:
        train_recipe(changed(table, **keys), None, progress=False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[model", "is not TOML: Expected .* at the end of a table"),
        ("", r"\[model\]: expected a table of this name, and there is none"),
        (CLASSIFY + "\n[modle]", r"\[modle\]: there is no table 'modle'; did you mean model\?"),
        (CLASSIFY.replace("[data]", "[objective.data]"), r"\[data\]: expected a table"),
    ],
)
def test_a_file_that_is_no_recipe_is_said(tmp_path, text, said):
    with pytest.raises(RecipeError, match=said):
        read_recipe(write_recipe(tmp_path, text))


def test_a_table_inside_a_table_is_named():
    text = RETRIEVE.replace("words = 0.5", "word = 0.5").replace("depth = 1", "depht = 1")
    recipe = Recipe("r.toml", tomllib.loads(text))
    with pytest.raises(RecipeError, match=r"\[model.vision\] .*depht"):
        build_model(recipe, 12, 30)


def test_the_recipes_that_are_shipped_can_be_followed(repository):
    found = sorted((repository / "benchmarks" / "recipes").glob("*.toml"))
    assert found
    for path in found:
        recipe = read_recipe(path)
        build_settings(recipe)
        require_fitting_objective(recipe)
        model = build_model(recipe, len(class_names(read_data(recipe))), vocab_size=50)
        assert frames_of(model).size == 32


def test_classes_come_from_a_list_or_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("left\n\nright\n")
    assert VideosData(train="a", classes=str(tmp_path / "names.txt")).labels == ("left", "right")
    assert VideosData(train="a", classes=["x"]).labels == ("x",)
    (tmp_path / "names.txt").write_text("")
    with pytest.raises(ValueError, match="is empty; give a text file with a name a line"):
        VideosData(train="a", classes=str(tmp_path / "names.txt"))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"train": "nowhere.csv", "classes": ["a"]}, r"\[data\] train: nowhere.csv: No such file or directory"),
        ({"train": "a.csv"}, r"\[data\] classes: expected this key, and there is none"),
        ({"train": "a.csv", "classes": ["a"], "sampler": "spares"}, r"\[data\] sampler: expected one of sparse"),
        ({"train": "LIST", "classes": ["a"]}, r"\[data\] classes: .*list.csv:1 has label 1, but 1 are named"),
    ],
)
def test_lists_that_cannot_be_used_are_named(tmp_path, keys, said):
    (tmp_path / "list.csv").write_text("a.mp4,1\n")
    keys = {key: str(tmp_path / "list.csv") if value == "LIST" else value for key, value in keys.items()}
    tables = tomllib.loads(CLASSIFY) | {"data": {"name": "videos"} | keys}
    with pytest.raises(RecipeError, match=said):
        train_recipe(Recipe("r.toml", tables), None, progress=False)


def test_a_checkpoint_without_a_recipe_is_said(tmp_path):
    path = save_checkpoint({"metadata": {}}, tmp_path / "last.pt")
    with pytest.raises(CheckpointError, match="was not trained by a recipe; build its model"):
        load_trained(path)
    with pytest.raises(CheckpointError, match=r"is a folder; give the last.pt or best.pt"):
        load_trained(make_folder(tmp_path / "empty"))


def test_videos_are_found_by_their_endings(tmp_path):
    for name in ("b.MP4", "a.webm", "c.txt"):
        (tmp_path / name).write_text("")
    (make_folder(tmp_path / "deep") / "d.mkv").write_text("")
    assert [path.name for path in list_videos(tmp_path)] == ["a.webm", "b.MP4", "d.mkv"]
    with pytest.raises(ValueError, match=r"videos: expected videos in .*, found none"):
        list_videos(make_folder(tmp_path / "none"))


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path
