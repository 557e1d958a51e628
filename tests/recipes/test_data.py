"""The data that a recipe names, and the keys that change it."""

from collections import Counter
from typing import Any

import pytest
import torch
from recipes.small_recipes import CLASSIFY, RETRIEVE, recipe_of

from vmamba_edu.recipes import Recipe, RecipeError
from vmamba_edu.recipes.data import class_names, make_split, read_data
from vmamba_edu.recipes.frames import Frames
from vmamba_edu.video import MOTIONS
from vmamba_edu.video.moving_digits import DIGIT_NAMES
from vmamba_edu.video.samplers import SparseSampler

SMALL = Frames(4, 16)
HELD = {"validation": [[1, "left"], [2, "up"]], "test": [[3, "grow"], [4, "open"], [5, "left"]]}


def split_of(name: str, **data: Any) -> Any:
    return make_split(recipe_of(CLASSIFY, **{f"data.{key}": value for key, value in data.items()}), name, SMALL)


def pairs_of(data: Any) -> set[tuple[int, str]]:
    return {data.pair(index) for index in range(len(data))}


def test_combinations_that_are_held_out_are_seen_where_they_belong_and_nowhere_else():
    train, validation, test = (split_of(name, held_out=HELD) for name in ("train", "validation", "test"))
    held = {name: {tuple(pair) for pair in pairs} for name, pairs in HELD.items()}
    assert pairs_of(validation) == held["validation"]
    assert pairs_of(test) == held["test"]
    assert len(pairs_of(train)) == 120 - 5  # 480 clips are four rounds: every combination that is left comes
    assert not pairs_of(train) & (held["validation"] | held["test"])


def test_a_split_without_combinations_of_its_own_shows_none_of_the_others():
    validation = split_of("validation", held_out={"test": HELD["test"]}, validation=240)
    assert len(pairs_of(validation)) == 117
    assert not pairs_of(validation) & {tuple(pair) for pair in HELD["test"]}


def test_the_digit_can_be_what_is_told():
    data = split_of("train", label="digit")
    assert [data[index]["label"] for index in range(5)] == [data.pair(index)[0] for index in range(5)]
    assert class_names(read_data(recipe_of(CLASSIFY, **{"data.label": "digit"}))) == list(DIGIT_NAMES)


def test_few_labels_are_as_many_of_every_class_and_others_see_all():
    few = split_of("train", labels_per_class=3)
    assert Counter(few[index]["label"] for index in range(len(few))) == dict.fromkeys(range(len(MOTIONS)), 3)
    assert len(split_of("validation", labels_per_class=3)) == 60
    whole = split_of("train")
    assert torch.equal(few[0]["clip"], whole[few[0]["index"]]["clip"])


def test_shuffled_frames_are_the_same_frames_in_another_order():
    plain, shuffled = split_of("test"), split_of("test", shuffle_frames=["train", "test"])
    moved = 0
    for index in range(12):
        before, after = plain[index]["clip"], shuffled[index]["clip"]
        distance = (after[:, :, None] - before[:, None]).abs().amax((0, 3, 4))  # (frame after, frame before)
        assert torch.equal(before[:, distance.argmin(1)], after)
        moved += not torch.equal(before, after)
    assert moved > 6  # 23 of 24 orders are others; a clip whose digit turns in place can still look the same
    assert torch.equal(split_of("validation", shuffle_frames=["test"])[0]["clip"], split_of("validation")[0]["clip"])
    assert type(split_of("validation", shuffle_frames=True)) is not type(plain)


def test_the_order_is_settled_by_torchs_generator():
    """Which the loop seeds by seed, epoch and sample."""
    data = split_of("test", shuffle_frames=True)
    torch.manual_seed(1)
    first = data[0]["clip"]
    torch.manual_seed(1)
    assert torch.equal(data[0]["clip"], first)
    assert any(not torch.equal(data[0]["clip"], first) for _ in range(8))


def test_clips_of_one_caption_share_their_number():
    """Otherwise the contrast would push a clip away from its own caption, where another clip brought that along."""
    data = make_split(recipe_of(RETRIEVE, **{"data.train": 240, "data.held_out": None}), "train", SMALL)
    numbers: dict[str, set[int]] = {}
    for index in range(len(data)):
        sample = data[index]
        numbers.setdefault(sample["caption"], set()).add(sample["index"])
    assert all(len(found) == 1 for found in numbers.values())
    assert len({number for found in numbers.values() for number in found}) == len(numbers) == 120


def test_frames_of_a_film_are_those_that_the_sampler_takes():
    """In a test the same frames as `classify` takes of a video with one view; in training others each epoch."""
    whole = make_split(recipe_of(CLASSIFY), "test", Frames(10, 16))
    taken = split_of("test", film_frames=10)
    places = SparseSampler(4).indices("test", 10)
    assert places.tolist() == [1, 3, 5, 8]  # of 10 frames, in segments of 9/4: neither the first nor the last
    for index in range(12):
        assert torch.equal(taken[index]["clip"], whole[index]["clip"][:, places])


def test_frames_of_a_film_are_drawn_anew_in_every_epoch_of_training():
    whole = make_split(recipe_of(CLASSIFY), "train", Frames(10, 16))
    data = split_of("train", film_frames=10)
    seen = set()
    index = next(index for index in range(120) if data.pair(index) == (7, "right"))  # no two of its frames are alike
    for epoch in range(12):
        data.set_epoch(epoch)
        clip, film = data[index]["clip"], whole[index]["clip"]
        distance = (clip[:, :, None] - film[:, None]).abs().amax((0, 3, 4))  # (frame of the clip, frame of the film)
        places = distance.argmin(1)
        assert torch.equal(film[:, places], clip)
        assert all(low <= place <= high for place, low, high in zip(places, (0, 2, 4, 7), (2, 4, 7, 9), strict=True))
        assert torch.equal(data[index]["clip"], clip), "settled by seed, epoch and index"
        seen.add(tuple(places.tolist()))
    assert len(seen) > 6  # 12 draws of 3 × 3 × 4 × 3 choices


def test_films_are_shown_in_as_many_frames_as_the_model_reads():
    keys = {"name": "long_digits", "train": 4, "validation": 2, "minutes": 0.5, "num_scenes": 3, "keys": [2, 5]}
    recipe = recipe_of(CLASSIFY).changed({"data": keys})
    assert class_names(read_data(recipe)) == ["two before five", "five before two"]
    film = make_split(recipe, "train", Frames(6, 16))[0]
    assert film["clip"].shape == (3, 6, 16, 16)
    assert film["label"] in (0, 1)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"held_out": [[7, "left"]]}, r"held_out: expected a table with validation, test or both, got \[\["),
        ({"held_out": {"train": [[7, "left"]]}}, r"held_out: expected a table with validation, test or both"),
        (
            {"held_out": {"test": [[7, "wave"]]}},
            r"held_out.test: expected pairs such as .*\[7, 'wave'\]",
        ),
        ({"held_out": {"test": "all"}}, r"held_out.test: expected a list of pairs .*got 'all'"),
        (
            {"held_out": {"validation": [[7, "left"]], "test": [[7, "left"]]}},
            r"held_out: expected other combinations in validation and test, \(7, 'left'\) is in both",
        ),
        ({"label": "colour"}, r"label: expected one of motion, digit, got 'colour'"),
        ({"film_frames": -1}, r"film_frames: expected a number of frames, or 0 .*got -1"),
        ({"labels_per_class": 41}, r"labels_per_class: expected at most 40, which class 0 has, got 41"),
        ({"labels_per_class": -1}, r"labels_per_class: expected a whole number of at least 0, got -1"),
        ({"shuffle_frames": "test"}, r"shuffle_frames: expected true, false or a list of train, .*got 'test'"),
        ({"shuffle_frames": ["tset"]}, r"shuffle_frames: expected true, false or a list of train, .*'tset'"),
        ({"shuffel_frames": True}, r"shuffel_frames: there is no key 'shuffel_frames'; did you mean shuffle_frames\?"),
    ],
)
def test_what_cannot_be_is_named(keys, said):
    with pytest.raises(RecipeError, match=rf"^r.toml: \[data\] {said}") as caught:
        split_of("train", **keys)
    assert "\n" not in str(caught.value)


def test_a_changed_recipe_leaves_the_other_as_it_was():
    recipe = recipe_of(RETRIEVE)
    other = recipe.changed({"training.seed": 3, "objective.weights.words": None, "model.text.dim": 32})
    assert other.tables["training"]["seed"] == 3
    assert other.tables["objective"]["weights"] == {}
    assert other.tables["model"]["text"]["dim"] == 32
    assert recipe.tables["model"]["text"]["dim"] == 16
    assert recipe.changed({}).tables == recipe.tables
    assert recipe.changed({"data": {"name": "videos"}}).tables["data"] == {"name": "videos"}


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"model.embed_dim.x": 3}, r"model.embed_dim.x: model.embed_dim is no table, but 8"),
        ({"trainign.seed": 3}, r"\[trainign\]: there is no table 'trainign'; did you mean training\?"),
        ({"data": None}, r"\[data\]: expected a table of this name"),
    ],
)
def test_changes_that_cannot_be_are_named(overrides, said):
    with pytest.raises(RecipeError, match=said):
        recipe_of(RETRIEVE).changed(overrides)


def test_a_recipe_by_hand_needs_no_file():
    tables = recipe_of(CLASSIFY).tables
    assert read_data(Recipe("by hand", tables)).train == 480
