"""The model of clips and captions that comes with the package finds films that it never saw, without a network."""

import json
import socket
from pathlib import Path

import pytest
import torch

from vmamba_edu import cli
from vmamba_edu.models import VideoText, from_pretrained, shipped_record
from vmamba_edu.models.checkpoints.shipped import shipped_weights
from vmamba_edu.recipes import load_trained, retrieve
from vmamba_edu.recipes.digits import DigitsData
from vmamba_edu.video import MOTIONS, moving_digits, write_video
from vmamba_edu.video.moving_digits import caption_of

pytest.importorskip("transformers")

NAME = "moving_digits_video_text"


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("nothing may be fetched"))


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> dict[str, Path]:
    """A film of each motion, by caption: larger and longer than the clips of training, H.264, by hands of the test."""
    folder = tmp_path_factory.mktemp("films")
    found = {}
    for number, motion in enumerate(MOTIONS):
        digit = 7 if motion == "left" else number % 10
        sample = moving_digits(digit, motion, num_frames=24, size=96, split="test", seed=10_000 + number)
        found[sample.caption] = write_video(folder / f"film_{number:02}.mp4", sample.frames, fps=12)
    return found


def test_it_is_small_and_says_where_it_is_from(repository):
    file = repository / "vmamba_edu" / "models" / "data" / f"{NAME}.safetensors"
    assert file.stat().st_size < 3_000_000
    record = shipped_record(NAME)
    assert (repository / record["script"]).is_file()
    assert (repository / record["source"]).is_file()
    assert all(value.isfinite().all() for value in shipped_weights(NAME).values())
    held = DigitsData(**{"held_out": record["recipe"]["data"]["held_out"]}).held_out
    assert record["measured"]["test"]["gallery"] == len(held["test"]) == 24
    assert not set(held["test"]) & set(held["validation"])


def test_it_is_one_model_by_both_entrances():
    model, trained = from_pretrained(NAME), load_trained(NAME)
    assert isinstance(model, VideoText)
    assert not model.training
    other = trained.model.state_dict()
    assert all(torch.equal(value, other[name]) for name, value in model.state_dict().items())
    assert trained.tokeniser.vocab_size == model.config.text.vocab_size
    assert json.loads(json.dumps(shipped_record(NAME)["recipe"])) == trained.recipe.tables


def test_the_command_finds_the_film_that_a_sentence_describes(films, capsys):
    videos = next(iter(films.values())).parent
    command = ["retrieve", "a seven moves left", "--videos", str(videos), "--checkpoint", NAME, "--top", "12"]
    assert cli.main(command) == 0
    _, first, *others = capsys.readouterr().out.splitlines()
    assert Path(first.split()[-1]) == films["a seven moves left"]
    assert len(others) == len(MOTIONS) - 1


@pytest.mark.slow
def test_most_films_are_found_by_their_own_sentence(films):
    """Twelve films, one a motion: by chance one of them would come first. Half of them is far above chance."""
    trained = load_trained(NAME)
    paths = list(films.values())
    first = 0
    for caption, path in films.items():
        found, broken = retrieve(trained, caption, paths, top=12, progress=False)
        assert not broken
        first += found[0].path == path
    assert first >= 8
    assert caption_of(7, "left") in films
