"""What is measured of a model, against the same worked out by hand."""

from pathlib import Path

import pytest
import torch
from recipes.small_recipes import CLASSIFY, RETRIEVE, recipe_of

from vmamba_edu.recipes import RecipeError, Trained, evaluate, load_trained, train_recipe
from vmamba_edu.recipes.data import make_split
from vmamba_edu.training.objectives.contrastive import similarity
from vmamba_edu.video import MOTIONS
from vmamba_edu.video.moving_digits import caption_of
from vmamba_edu.video.moving_digits_data import ALL_PAIRS

pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def words(tmp_path_factory) -> Trained:
    """A model of video and text, two steps old."""
    folder: Path = tmp_path_factory.mktemp("words")
    train_recipe(recipe_of(RETRIEVE), folder / "run", progress=False)
    return load_trained(folder / "run")


def test_recall_is_the_mean_over_galleries_that_have_every_caption_once(words):
    """Ten clips of four captions are two galleries; two clips are left over, and not looked at."""
    found = evaluate(words, "test", progress=False)
    assert (found.clips, found["gallery"], found["chance_r1"]) == (8, 4, 25.0)
    data = make_split(words.recipe, "test", words.frames)
    right = {"txt": 0, "img": 0}
    everything = [caption_of(*pair) for pair in ALL_PAIRS]
    among_all = 0
    for first in (0, 4):
        samples = [data[index] for index in range(first, first + 4)]
        captions = [sample["caption"] for sample in samples]
        assert len(set(captions)) == 4
        with torch.no_grad():
            clips, texts = words.model(torch.stack([x["clip"] for x in samples]), *words.tokeniser.encode(captions))
        scores = similarity(clips, texts)
        right["txt"] += int((scores.argmax(1) == torch.arange(4)).sum())
        right["img"] += int((scores.argmax(0) == torch.arange(4)).sum())
        with torch.no_grad():
            clips, texts = words.model(torch.stack([x["clip"] for x in samples]), *words.tokeniser.encode(everything))
        best = similarity(clips, texts).topk(10).indices
        among_all += sum(everything.index(caption) in row for caption, row in zip(captions, best.tolist(), strict=True))
    assert found["all.txt_r10"] == pytest.approx(100 * among_all / 8)
    for way, count in right.items():
        assert found[f"dual.{way}_r1"] == pytest.approx(100 * count / 8)
        assert found[f"fused.{way}_r5"] == 100  # of four candidates, all of which were read again


def test_a_split_smaller_than_a_round_is_one_gallery(words):
    found = evaluate(words, "train", overrides={"data.train": 6}, progress=False)
    assert (found.clips, found["gallery"], found["chance_r1"]) == (6, 6, 16.67)


class FirstFrame(torch.nn.Module):
    """A classifier that looks at nothing but the first frame, through weights that were drawn once."""

    def __init__(self, config: object):
        super().__init__()
        self.config = config
        weight = torch.randn(3 * 32 * 32, 12, generator=torch.Generator().manual_seed(0)) / 30
        self.weight = torch.nn.Parameter(weight)

    def forward(self, clip: torch.Tensor) -> torch.Tensor:
        return clip[:, :, 0].flatten(1) @ self.weight


def test_a_classifier_can_be_measured_otherwise_than_it_was_trained():
    from vmamba_edu.recipes.build import build_model

    recipe = recipe_of(CLASSIFY, **{"data.test": 24})
    model = FirstFrame(build_model(recipe, 12).config)
    trained = Trained(model, recipe, list(MOTIONS), None, 0)
    plain, again, shuffled = (
        evaluate(trained, "test", overrides=changes, progress=False).views
        for changes in (None, None, {"data.shuffle_frames": True})
    )
    assert plain.videos == again.videos == shuffled.videos
    assert torch.equal(plain.probabilities, again.probabilities)
    assert not torch.equal(plain.probabilities, shuffled.probabilities)
    assert torch.equal(plain.labels, shuffled.labels)
    with pytest.raises(RecipeError, match=r"\[data\] tset: there is no key 'tset'; did you mean test\?"):
        evaluate(trained, "test", overrides={"data.tset": 3})


def test_what_is_measured_of_a_classifier_is_its_views(tmp_path):
    recipe = recipe_of(CLASSIFY, **{"data.validation": 24})
    from vmamba_edu.recipes.build import build_model

    trained = Trained(FirstFrame(build_model(recipe, 12).config), recipe, list(MOTIONS), None, 0)
    found = evaluate(trained, progress=False)
    right = found.views.probabilities.argmax(1) == found.views.labels
    assert found["top1"] == pytest.approx(right.double().mean().item())
    assert found.split == "validation"
    assert found.clips == 24
