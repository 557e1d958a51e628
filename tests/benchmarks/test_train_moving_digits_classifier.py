"""The script of the shipped classifier writes a file that says of itself what can be measured of its weights."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from benchmarks import train_moving_digits_classifier as script
from vmamba_edu.models import create_model, shipped_record
from vmamba_edu.recipes import Trained, evaluate, read_recipe
from vmamba_edu.video import MOTIONS

SMALL = {
    "model.embed_dim": 16,
    "model.depth": 1,
    "data.train": 48,
    "data.validation": 24,
    "data.test": 24,
    "data.film_frames": 8,
    "training.epochs": 1,
    "training.warmup_steps": 1,
}
RECIPES = ("moving_digits_films", "moving_digits")
FILMS = {"length": 5, "num_frames": 8, "size": 48}


def test_the_file_holds_the_weights_that_its_record_was_measured_with(tmp_path) -> None:
    recipe = read_recipe(script.ROOT / script.RECIPE, SMALL)
    out = tmp_path / "new" / "c.safetensors"
    record = script.make(recipe, tmp_path / "run", out, **FILMS)
    with safe_open(out, "pt") as stored:
        assert json.loads(stored.metadata()["record"]) == json.loads(json.dumps(record))
        weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    assert {value.dtype for value in weights.values()} == {torch.float16}
    keywords = dict(record["recipe"]["model"])
    model = create_model(keywords.pop("name"), num_classes=len(MOTIONS), **keywords).eval()
    model.load_state_dict({name: value.float() for name, value in weights.items()})
    trained = Trained(model, recipe, list(MOTIONS), None, record["steps"])
    assert record["accuracy"]["test"] == pytest.approx(evaluate(trained, "test", progress=False).top1, abs=1e-4)
    whole = evaluate(trained, "test", overrides={"data.film_frames": 0}, progress=False)
    assert record["first_to_last_frame"] == {"accuracy": pytest.approx(whole.top1, abs=1e-4), "clips": 24}
    assert record["clips"] == {"validation": 24, "test": 24}
    assert record["films"]["right"] + len(record["films"]["wrong"]) == record["films"]["length"] == 5
    assert list(record["validation_by_step"].values())[-1] <= 1


def test_films_are_counted_one_by_one(monkeypatch) -> None:
    """Whoever is right about all but the films of one digit is counted so, by what stands on the label of each film."""

    def answer(trained, path, **options) -> list:
        motion, name = Path(path).parts[-2:]
        return [SimpleNamespace(name="nothing" if name.startswith("3_") else motion)]

    monkeypatch.setattr(script, "classify", answer)
    found = script.right_about_films(SimpleNamespace(), length=120, num_frames=2, size=16)
    assert (found["length"], found["right"]) == (120, 108)  # twelve motions of a three
    assert len(found["wrong"]) == 12
    assert all("/3_" in film and said == "nothing" for film, said in found["wrong"].items())


def test_the_recipe_is_that_of_the_lessons_for_films() -> None:
    films, clips = (read_recipe(script.ROOT / "benchmarks" / "recipes" / f"{name}.toml") for name in RECIPES)
    assert films.tables["model"] == clips.tables["model"]
    assert films.tables["data"] == clips.tables["data"] | {"film_frames": 16}


def test_what_ships_was_made_by_this_script_and_is_right_about_films() -> None:
    record = shipped_record("moving_digits_classifier")
    assert record["source"] == script.RECIPE.as_posix()
    assert record["recipe"]["data"] == read_recipe(script.ROOT / script.RECIPE).tables["data"]
    assert record["accuracy"]["test"] >= 0.98
    assert record["films"]["length"] == 120
    assert record["films"]["right"] >= 116
