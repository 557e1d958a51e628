"""The script of the shipped video-text model writes a file that says of itself what can be measured of its weights."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from safetensors import safe_open

from benchmarks import train_moving_digits_video_text as script
from vmamba_edu.models import shipped_record
from vmamba_edu.recipes import Recipe, evaluate, load_trained, read_recipe
from vmamba_edu.recipes.build import build_model
from vmamba_edu.video import MOTIONS

pytest.importorskip("transformers")

SMALL = {"data.train": 72, "data.validation": 24, "data.test": 24, "training.epochs": 1, "training.warmup_steps": 1}
READER = {"model.embed_dim": 16, "model.depth": 1}
MODEL = {"model.embed_dim": 8, "model.vision.embed_dim": 16, "model.vision.depth": 1, "model.text.dim": 16}


def test_the_file_holds_the_weights_that_its_record_was_measured_with(tmp_path) -> None:
    read = read_recipe(script.ROOT / script.READ, SMALL | READER)
    recipe = read_recipe(script.ROOT / script.RECIPE, SMALL | MODEL)
    out = tmp_path / "new" / "v.safetensors"
    record = script.make(read, recipe, tmp_path, out)
    with safe_open(out, "pt") as stored:
        assert json.loads(stored.metadata()["record"]) == json.loads(json.dumps(record))
        weights = {name: stored.get_tensor(name).float() for name in stored.keys()}  # noqa: SIM118
    trained = load_trained(tmp_path / "moving_digits_video_text", "cpu")
    model = build_model(Recipe("record", record["recipe"]), len(MOTIONS), trained.tokeniser.vocab_size).eval()
    model.load_state_dict(weights)
    trained = replace(trained, model=model)
    assert record["measured"]["test"] == dict(evaluate(trained, "test", progress=False).measured)
    assert record["measured"]["test"]["gallery"] == record["measured"]["validation"]["gallery"] == 24
    assert record["recipe"]["model"]["start_from"] == "runs/moving_digits_read/best.pt", "and no folder of this machine"
    assert str(tmp_path) not in json.dumps(record)


def test_the_better_weights_are_those_whose_captions_and_clips_find_each_other(monkeypatch) -> None:
    scores = {"best": 70.0, "last": 80.0, "equal": 80.0}
    measured = lambda trained, split: SimpleNamespace(measured={"dual.r_mean": scores[trained]})  # noqa: E731
    monkeypatch.setattr(script, "evaluate", measured)
    assert script.better("best", "last") == "last"
    assert script.better("last", "equal") == "last"


def test_what_is_tested_and_validated_is_not_trained_with() -> None:
    """The same combinations are held out of both trainings, two digits for each motion in either split."""
    held = [read_recipe(script.ROOT / path).tables["data"]["held_out"] for path in (script.READ, script.RECIPE)]
    assert held[0] == held[1]
    pairs = {split: [tuple(pair) for pair in held[0][split]] for split in ("validation", "test")}
    assert not set(pairs["validation"]) & set(pairs["test"])
    for found in pairs.values():
        assert sorted(motion for _, motion in found) == sorted([*MOTIONS, *MOTIONS])
        assert len(set(found)) == 24


def test_what_ships_was_made_by_this_script() -> None:
    record = shipped_record("moving_digits_video_text")
    assert record["source"] == script.RECIPE
    assert record["recipe"]["data"] == read_recipe(script.ROOT / script.RECIPE).tables["data"]
