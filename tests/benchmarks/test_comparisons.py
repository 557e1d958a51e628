"""Comparisons: what definitions may say, which runs follow from them, and how differences are judged."""

import json
import math
from pathlib import Path

import pytest

from benchmarks.comparisons import runs
from benchmarks.comparisons.__main__ import main
from benchmarks.comparisons.analysis import (
    HELD,
    NOT_HELD,
    NOT_RUN,
    UNCLEAR,
    Interval,
    judge,
    judge_interval,
    look_up,
    paired_interval,
)
from benchmarks.comparisons.definition import (
    Comparison,
    DefinitionError,
    Expectation,
    read_definition,
    read_definitions,
    resolve,
)
from vmamba_edu.recipes.build import build_model, build_settings, require_fitting_objective
from vmamba_edu.recipes.data import class_names, read_data
from vmamba_edu.recipes.recipe import Recipe

DEFINITIONS = {comparison.name: comparison for comparison in read_definitions().comparisons}


def comparison(**changes) -> Comparison:
    values = {
        "name": "small",
        "place": 1,
        "title": "Small",
        "question": "?",
        "base": "comparison_4_tokens.toml",
        "measure": "test.accuracy",
        "variants": {"a": {}, "b": {"model.depth": 2}},
        "seeds": (0, 1, 2),
    }
    return Comparison(**(values | changes))


@pytest.mark.parametrize("name", DEFINITIONS)
def test_every_definition_names_recipes_that_can_be_followed(name: str) -> None:
    """Every variant makes a model and settings, and every teacher or start is a variant of the same comparison."""
    for run in runs.runs_of(DEFINITIONS[name], [0]):
        recipe = Recipe(run.label, run.tables)
        data = read_data(recipe)
        require_fitting_objective(recipe)
        build_model(recipe, len(class_names(data)), 100)
        build_settings(recipe)
        assert data.test, "what is not measured on a test split is not compared"


def test_the_comparisons_have_an_order_and_seeds_of_their_own() -> None:
    places = [one.place for one in DEFINITIONS.values()]
    assert places == sorted(set(places))
    assert all(one.seeds == (0, 1, 2) for one in DEFINITIONS.values()), "three seeds where something is compared"


def test_a_variant_changes_what_it_names_and_a_seed_settles_clips_and_training() -> None:
    tables = resolve(comparison(), "b", 7)
    assert tables["model"]["depth"] == 2
    assert tables["training"]["seed"] == tables["data"]["seed"] == 7
    assert resolve(comparison(), "a", 7)["model"]["depth"] == 4


def test_the_same_recipe_is_the_same_run_whoever_asks(tmp_path: Path) -> None:
    one = runs.make_run(comparison(), "a", 0)
    other = runs.make_run(comparison(name="other", variants={"z": {}}), "z", 0)
    assert one.digest == other.digest
    both = [comparison(), comparison(name="other", variants={"z": {}})]
    assert len(runs.plan(both, [0], tmp_path, tmp_path)) == 2


@pytest.mark.parametrize("change", [{"model.depth": 3}, {"training.learning_rate": 1e-3}, {"data.train": 96}])
def test_another_recipe_or_seed_is_another_run(change: dict) -> None:
    plain = runs.make_run(comparison(), "a", 0)
    assert runs.make_run(comparison(variants={"a": change}), "a", 0).digest != plain.digest
    assert runs.make_run(comparison(), "a", 1).digest != plain.digest


def test_what_starts_from_a_run_waits_for_it_and_changes_with_it(tmp_path: Path) -> None:
    variants = {"b": {"model.start_from": "run: a"}, "a": {}}
    small = comparison(variants=variants)
    planned = runs.plan([small], [0], tmp_path, tmp_path)
    assert [run.label for run in planned] == ["small/a/seed 0", "small/b/seed 0"]
    after = runs.plan([comparison(variants=variants | {"a": {"model.depth": 3}})], [0], tmp_path, tmp_path)
    assert after[1].digest != planned[1].digest
    path = Path(runs.with_paths(planned[1].tables, tmp_path)["model"]["start_from"])
    assert path == planned[0].folder(tmp_path) / "best.pt"


def test_a_run_with_its_json_is_not_planned_but_one_of_another_recipe_is(tmp_path: Path) -> None:
    small = comparison(seeds=(0,))
    run = runs.make_run(small, "a", 0)
    runs.write_json({"digest": run.digest}, run.result_path(tmp_path))
    assert [one.label for one in runs.plan([small], None, tmp_path, tmp_path)] == ["small/b/seed 0"]
    runs.write_json({"digest": "another"}, run.result_path(tmp_path))
    assert len(runs.plan([small], None, tmp_path, tmp_path)) == 2


def test_a_needed_checkpoint_that_is_gone_is_made_again(tmp_path: Path) -> None:
    small = comparison(variants={"a": {}, "b": {"model.start_from": "run: a"}}, seeds=(0,))
    first = runs.make_run(small, "a", 0)
    runs.write_json({"digest": first.digest}, first.result_path(tmp_path))
    assert len(runs.plan([small], None, tmp_path, tmp_path / "gone")) == 2
    first.folder(tmp_path).mkdir()
    (first.folder(tmp_path) / "best.pt").touch()
    assert len(runs.plan([small], None, tmp_path, tmp_path)) == 1


def test_the_interval_is_student_s() -> None:
    """Three differences 1, 2, 3: mean 2, standard error 1/√3, and t = 4.302653 at 97.5 % with two degrees of freedom,
    as tables have it; to the six digits that they give.
    """
    interval = paired_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2
    assert interval.high - 2 == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)
    assert 2 - interval.low == pytest.approx(4.302653 / math.sqrt(3), rel=1e-6)


def test_one_pair_says_nothing() -> None:
    interval = paired_interval([0.5])
    assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert judge_interval(interval, "above", 0) == UNCLEAR
    with pytest.raises(ValueError, match="at least one"):
        paired_interval([])


@pytest.mark.parametrize(
    ("expects", "verdicts"),
    [
        # of intervals that lie below −m, across −m, between, across m, above m, and across both
        ("above", [NOT_HELD, NOT_HELD, NOT_HELD, UNCLEAR, HELD, UNCLEAR]),
        ("below", [HELD, UNCLEAR, NOT_HELD, NOT_HELD, NOT_HELD, UNCLEAR]),
        ("not above", [HELD, HELD, HELD, UNCLEAR, NOT_HELD, UNCLEAR]),
        ("within", [NOT_HELD, UNCLEAR, HELD, UNCLEAR, NOT_HELD, UNCLEAR]),
    ],
)
def test_the_rule(expects: str, verdicts: list[str]) -> None:
    ends = [(-3, -2), (-2, 0), (-0.5, 0.5), (0, 2), (2, 3), (-2, 2)]
    intervals = [Interval((low + high) / 2, low, high, ()) for low, high in ends]
    assert [judge_interval(interval, expects, 1.0) for interval in intervals] == verdicts


def results(**accuracies: list[float]) -> dict:
    return {
        variant: {seed: {"test": {"accuracy": value}} for seed, value in enumerate(values)}
        for variant, values in accuracies.items()
    }


def test_differences_are_taken_seed_by_seed() -> None:
    """Both sides vary by 30 points from seed to seed and differ by 2 in each: pairs tell, means alone would not."""
    expectation = Expectation("V1", "b is better", "b", "a", "above")
    judgement = judge(comparison(), expectation, results(a=[0.2, 0.35, 0.5], b=[0.22, 0.371, 0.519]))
    assert judgement.verdict == HELD
    assert judgement.interval is not None
    assert judgement.interval.differences == pytest.approx((0.02, 0.021, 0.019))
    crossed = judge(comparison(), expectation, results(a=[0.2, 0.35, 0.5], b=[0.519, 0.371, 0.22]))
    assert crossed.verdict == UNCLEAR
    assert crossed.left == pytest.approx(judgement.left)


def test_without_all_seeds_there_is_no_verdict() -> None:
    expectation = Expectation("V1", "b is better", "b", "a", "above")
    judgement = judge(comparison(), expectation, results(a=[0.1, 0.1, 0.1], b=[0.9, 0.9]))
    assert (judgement.verdict, judgement.interval) == (NOT_RUN, None)


def test_a_number_may_stand_on_the_right_and_other_measures_on_the_left() -> None:
    found = {"a": {seed: {"gradient": {"start": [1.0, 0.001 * seed]}} for seed in range(3)}}
    expectation = Expectation("P1", "little", "a: gradient.start.1", 0.1, "below")
    judgement = judge(comparison(), expectation, found)
    assert judgement.verdict == HELD
    assert judgement.right == pytest.approx(0.1)
    with pytest.raises(KeyError):
        look_up({"test": {}}, "test.accuracy")


WHOLE = """
place = 1
title = "t"
question = "q"
base = "comparison_4_tokens.toml"
measure = "test.accuracy"
[variants.a]
[[expectations]]
claim = "V1"
says = "s"
left = "a"
right = 0.5
expects = "above"
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("place = 1", "place = ", "is not TOML"),
        ("place = 1", "places = 1", "places: expected one of name, place"),
        ("place = 1", "", "missing 1 required"),
        ("place = 1", "place = 1\nseeds = [1, 1]", "seeds: expected different"),
        ('left = "a"', 'left = "b"', "no variant 'b'; there are a"),
        ('expects = "above"', 'expects = "better"', "expects: expected above or below"),
        ('expects = "above"', 'expects = "within"', "margin: expected a size"),
        ('says = "s"', 'say = "s"', "expectation 1: say: expected one of claim, says"),
    ],
)
def test_a_definition_that_cannot_be_is_explained(tmp_path: Path, old: str, new: str, said: str) -> None:
    path = tmp_path / "one.toml"
    path.write_text(WHOLE)
    assert read_definition(path).claims == ["V1"]
    path.write_text(WHOLE.replace(old, new))
    with pytest.raises(DefinitionError, match=said):
        read_definition(path)


def test_the_command_lists_and_knows_what_there_is_not(capsys: pytest.CaptureFixture) -> None:
    assert main(["--list", "--only", "scan_orders"]) == 0
    assert capsys.readouterr().out.startswith("scan_orders: Four scan orders (V3)")
    assert main(["--only", "scan_order"]) == 2
    assert "no comparison 'scan_order'; there are baseline" in capsys.readouterr().err


def test_the_results_that_are_kept_are_of_runs_that_are_asked_for() -> None:
    """A JSON that no definition asks for any more is of another protocol or recipe, and to be deleted."""
    wanted = {run.result_path().name for one in DEFINITIONS.values() for run in runs.runs_of(one)}
    kept = {path.name for path in runs.RESULTS.glob("*.json")}
    assert kept <= wanted
    for path in runs.RESULTS.glob("*.json"):
        found = json.loads(path.read_text("utf-8"))
        assert found["protocol"] == runs.PROTOCOL
        assert {"recipe", "seed", "overrides", "steps", "seconds", "curve", "machine", "versions", "git"} <= set(found)
