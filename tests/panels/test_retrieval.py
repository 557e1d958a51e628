"""The retrieval browser: ranks against sorting by hand, recall against the training room's, words it does not know."""

import base64
import io
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from vmamba_edu import panels
from vmamba_edu.panels.computed.galleries import Gallery, gallery_of, pieces_of
from vmamba_edu.panels.computed.rankings import SHOWN, State, compute
from vmamba_edu.panels.parts.moving_pictures import MovingPictures
from vmamba_edu.recipes import load_trained
from vmamba_edu.recipes.data import read_data
from vmamba_edu.training.retrieval import zero_shot_scores
from vmamba_edu.video import MOTIONS, moving_digits, write_video
from vmamba_edu.video.moving_digits import caption_of

pytest.importorskip("transformers")

SHIPPED = "moving_digits_video_text"


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "socket", lambda *_: pytest.fail("nothing may be fetched"))


@pytest.fixture(scope="module")
def gallery() -> Gallery:
    return gallery_of()


@pytest.fixture
def panel() -> Any:
    return panels.retrieval()


@pytest.mark.parametrize("reading", ["dual", "fused"])
def test_recall_is_that_of_the_training_rooms_metrics(gallery: Gallery, reading: str) -> None:
    """The first clips of the test split, all pairs scored as `evaluate` does it: the same recalls."""
    model: Any = gallery.trained.model
    split: Any = read_data(gallery.trained.recipe).make("test", gallery.trained.frames)  # type: ignore[union-attr]
    samples = [split[at] for at in range(len(gallery.clips))]
    assert tuple(sample["caption"] for sample in samples) == gallery.captions
    pixels = torch.stack([sample["clip"] for sample in samples])
    scores = zero_shot_scores(model, gallery.trained.tokeniser, [pixels[:, None]], list(gallery.captions))
    expected = scores.metrics()[reading]
    for key, of_clips in (("img", True), ("txt", False)):
        measured = gallery.recall(reading, of_clips)
        assert [round(share, 2) for share in measured.values()] == [expected[f"{key}_r{k}"] for k in (1, 5, 10)]
    theirs = scores.dual if reading == "dual" else scores.to_text
    # float32, batches of another size
    torch.testing.assert_close(gallery.scores(reading), theirs, rtol=1e-3, atol=1e-3)


def test_the_gallery_is_what_training_never_saw(gallery: Gallery) -> None:
    held = gallery.trained.recipe.tables["data"]["held_out"]["test"]
    assert len(gallery.clips) == len(held) == len(gallery.known)
    assert set(gallery.known) == {caption_of(digit, motion) for digit, motion in held}
    assert "training never saw" in gallery.described


@pytest.mark.parametrize("reading", ["dual", "fused"])
@pytest.mark.parametrize("number", [0, 7])
def test_ranks_are_those_of_sorted_scores(gallery: Gallery, reading: str, number: int) -> None:
    view = compute(State(caption=gallery.captions[number], reading=reading, gallery=gallery))
    column = gallery.compare([gallery.captions[number]], reading)[:, 0].double().numpy()
    order = np.argsort(-column)
    assert [one.number for one in view.shown[:-1]] == order[: SHOWN - 1].tolist()
    assert view.right_at == 1 + order.tolist().index(number)
    assert [one.rank for one in view.shown[:-1]] == list(range(1, SHOWN))
    assert view.shown[min(view.right_at, SHOWN) - 1].is_right
    assert sum(one.is_right for one in view.shown) == 1
    # float32; one caption alone is not padded to the length of the others
    assert view.shown[0].score == pytest.approx(column.max(), abs=1e-4)


def test_the_captions_of_a_clip_are_ranked_by_its_row(gallery: Gallery) -> None:
    view = compute(State("captions", clip=3, gallery=gallery))
    row = gallery.dual[3].numpy()
    assert view.asked == gallery.captions[3]
    assert [one.words for one in view.shown[:-1]] == [gallery.known[at] for at in np.argsort(-row)[: SHOWN - 1]]
    assert view.right_at == 1 + int((row > row[gallery.known.index(view.asked)]).sum())


def by_hand(scores: list[list[float]], captions: tuple[str, ...], gallery: Gallery) -> Gallery:
    """A gallery with scores that were made up."""
    clips = tuple(np.zeros((2, 8, 8, 3), dtype=np.uint8) for _ in captions)
    made = Gallery(gallery.trained, clips, captions, "made up", torch.zeros(1), torch.zeros(1))
    made.__dict__["dual"] = torch.tensor(scores)  # where `cached_property` keeps it
    return made


def test_a_caption_of_several_clips_has_found_one_with_the_best_of_them_and_a_tie_is_no_find(gallery: Gallery) -> None:
    twice = by_hand([[0.1, 0.5], [0.9, 0.5], [0.2, 0.5]], ("one", "one", "two"), gallery)
    assert twice.known == ("one", "two")
    assert twice.recall("dual", of_clips=True) == {1: 50.0, 5: 100.0, 10: 100.0}  # "two" ties with two others
    assert twice.recall("dual", of_clips=False) == {1: pytest.approx(200 / 3), 5: 100.0, 10: 100.0}
    view = compute(State(caption="two", gallery=twice))
    assert view.right_at == 3
    assert [one.is_right for one in compute(State(caption="one", gallery=twice)).shown] == [True, False, True]


def test_the_right_one_is_shown_however_late_it_comes(gallery: Gallery) -> None:
    words = tuple(str(number) for number in ("one", "two", "three", "four", "five", "six", "seven", "eight"))
    scores = [[float(column == 0) * (-row) + row / 10 for column in range(8)] for row in range(8)]
    view = compute(State(caption="eight", gallery=by_hand(scores, words, gallery)))
    assert view.right_at == 1
    scores = [[-scores[row][column] for column in range(8)] for row in range(8)]
    view = compute(State(caption="eight", gallery=by_hand(scores, words, gallery)))
    assert view.right_at == 8
    assert [one.rank for one in view.shown] == [1, 2, 3, 4, 5, 8]
    assert view.shown[-1].is_right


def test_what_was_typed_re_ranks(panel: Any) -> None:
    before, pictures = panel.sentence(), [image.source for image in panel.canvas.layout.images]
    panel.controls["caption"].value = "a zero shrinks"  # no clip shows it
    assert panel.sentence() != before
    assert "and none of them has just this caption" in panel.sentence()
    assert [image.source for image in panel.canvas.layout.images] != pictures
    assert panel.view.right_at is None


def test_a_known_caption_is_picked(panel: Any) -> None:
    wanted = panel.view.gallery.known[5]
    panel.known.value = wanted
    assert panel.state.caption == panel.controls["caption"].value == wanted
    assert f"For “{wanted}”" in panel.caption.value.replace("&quot;", '"')
    panel.controls["caption"].value = "a zero shrinks"
    assert panel.known.value == ""


@pytest.mark.parametrize(
    ("control", "value"),
    [("find", "captions"), ("reading", "fused"), ("playing", False), ("caption", "a six moves up")],
)
def test_a_control_changes_the_picture_and_the_code(panel: Any, control: str, value: Any) -> None:
    def seen() -> list[Any]:
        return [*(image.source for image in panel.canvas.layout.images), list(panel.canvas.data[1].x)]

    before = seen()
    panel.controls[control].value = value
    assert getattr(panel.state, control) == value
    assert seen() != before
    assert f"{control}={value!r}" in panel.copy.text


def test_another_clip_is_asked_for_its_captions(panel: Any) -> None:
    panel.controls["find"].value = "captions"
    assert not panel.controls["clip"].disabled
    assert panel.controls["caption"].disabled
    panel.controls["clip"].value = 4
    assert f"For clip 5, which shows “{panel.view.gallery.captions[4]}”" in panel.sentence()
    assert len(panel.canvas.layout.images) == 2


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("", "caption: expected a sentence, such as &#x27;a seven moves left&#x27;, got an empty one"),
        ("   ", "got an empty one"),
        ("a 日本 moves left", "words that the model&#x27;s vocabulary knows, got &#x27;日&#x27;, &#x27;本&#x27;"),
        ("7!", "got &#x27;7&#x27;, &#x27;!&#x27;"),
    ],
)
def test_what_cannot_be_read_is_said_and_the_view_stays(panel: Any, typed: str, words: str) -> None:
    before = panel.sentence(), panel.controls["caption"].value
    panel.controls["caption"].value = typed
    assert words in panel.caption.value
    assert "The view stays as it was." in panel.caption.value
    assert (panel.sentence(), panel.controls["caption"].value) == before


def test_a_word_that_is_spelt_is_said(gallery: Gallery) -> None:
    assert pieces_of(gallery.trained, "an elephant moves left") == ("elephant",)
    assert pieces_of(gallery.trained, "a seven moves left") == ()
    panel = panels.retrieval(gallery.trained, caption="an elephant moves left")
    assert "The model has never read “elephant”, and spells it" in panel.sentence()


def test_recall_and_chance_stand_in_the_sentence(panel: Any) -> None:
    recall = panel.view.gallery.recall("dual" if panel.state.reading == "dual" else "fused", True)
    assert f"is found first in {recall[1]:.1f} %, among the first 5 in {recall[5]:.1f} %" in panel.sentence()
    assert "by chance first in 4.2 %" in panel.sentence()  # one of 24
    assert panel.state.reading == load_trained(SHIPPED).rank_by


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder, found = tmp_path_factory.mktemp("films"), {}
    for number, motion in enumerate(MOTIONS[:3]):
        sample = moving_digits(number, motion, num_frames=12, size=(40, 64), split="test", seed=number)
        found[sample.caption] = write_video(folder / f"{number}.mp4", sample.frames, fps=8)
    return found


def test_own_films_and_own_frames_are_searched(films: dict[str, Path], gallery: Gallery) -> None:
    frames = torch.zeros(9, 32, 32, 3, dtype=torch.uint8)
    frames[:, 8:24, 8:24] = torch.arange(9, dtype=torch.uint8)[:, None, None, None] * 20
    clips, captions = [*films.values(), frames], [*films, "a one appears"]
    panel = panels.retrieval(gallery.trained, clips, captions, caption="a one appears")
    view = panel.view
    assert (view.count, view.gallery.described) == (4, "your own clips")
    assert [clip.shape[0] for clip in view.gallery.clips] == [4] * 4  # as many frames as the model reads
    assert [int(frame.max()) // 20 for frame in view.gallery.clips[3]] == [0, 3, 5, 8]
    assert "ranks 4 clips (your own clips)" in panel.sentence()
    assert "by chance first in 25.0 %" in panel.sentence()
    assert "panels.retrieval(model, clips=clips, captions=captions, find='clips'" in panel.code()


def test_clips_move_and_rest(gallery: Gallery) -> None:
    clips = tuple(clip[np.linspace(0, len(clip) - 1, 4).round().astype(int)] for clip in gallery.clips)
    pictures = MovingPictures(clips)
    moving, still, strip = (
        Image.open(io.BytesIO(base64.b64decode(address.split(",")[1])))
        for address in (pictures.of(2, True), pictures.of(2, False), pictures.strip_of(2))
    )
    assert (moving.n_frames, getattr(still, "n_frames", 1)) == (len(clips[2]), 1)
    for at, frame in enumerate(clips[2]):
        moving.seek(at)
        assert np.array_equal(np.asarray(moving.convert("RGB")), frame)
        assert np.array_equal(np.asarray(strip)[:, at * 34 : at * 34 + 32], frame)
    assert np.array_equal(np.asarray(still), clips[2][0])
    assert pictures.of(2, True) is pictures.of(2, True)  # made once
    long = MovingPictures(
        (np.zeros((50, 8, 8, 3), dtype=np.uint8) + np.arange(50, dtype=np.uint8)[:, None, None, None],)
    )
    assert Image.open(io.BytesIO(base64.b64decode(long.of(0, True).split(",")[1]))).n_frames == 12


@pytest.mark.parametrize("find", ["clips", "captions"])
def test_the_copied_code_reproduces_the_view(find: str) -> None:
    panel = panels.retrieval(find=find, clip=2, caption="a zero shrinks", playing=False)
    *lines, call = panel.code().splitlines()
    scope: dict[str, Any] = {}
    exec("\n".join(lines), scope)
    again = eval(call, scope)
    assert again.sentence() == panel.sentence()


def test_a_page_of_it_plays_the_captions(panel: Any, tmp_path: Path) -> None:
    known = panel.view.gallery.known
    panel.to_html(tmp_path / "found.html", "caption", [known[0], known[1], "a zero shrinks", ""], progress=False)
    text = (tmp_path / "found.html").read_text("utf-8")
    assert f"For “{known[1]}”" in text
    assert '"value": "a zero shrinks"' in text
    assert '"value": ""' not in text  # what cannot be asked is left out


def test_what_stays_in_a_saved_notebook_is_small(panel: Any) -> None:
    data, _ = panel._repr_mimebundle_()
    assert data["text/plain"] == panel.sentence()
    assert 1000 < len(data["image/png"]) < 50_000


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"find": "films"}, "find: expected one of 'clips', 'captions', got 'films'"),
        ({"reading": "both"}, "reading: expected one of 'dual', 'fused', got 'both'"),
        ({"clip": 24}, "clip: expected 0 to 23, got 24"),
        ({"caption": ""}, "caption: expected a sentence"),
    ],
)
def test_what_cannot_be_is_named(gallery: Gallery, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compute(State(gallery=gallery, **changes))


def test_bad_models_and_clips_are_named(gallery: Gallery, tmp_path: Path) -> None:
    model = gallery.trained
    with pytest.raises(ValueError, match="model: expected one of video and text, got one that reads no captions"):
        panels.retrieval("moving_digits_classifier")
    with pytest.raises(ValueError, match=r"clips, captions: expected as many of one as of the other.*got 1 and 0"):
        panels.retrieval(model, [torch.zeros(4, 32, 32, 3, dtype=torch.uint8)])
    with pytest.raises(ValueError, match=r"clips: expected uint8 frames .*got float32 \(4, 32, 32\)"):
        panels.retrieval(model, [torch.zeros(4, 32, 32)], ["a one grows"])
    with pytest.raises(ValueError, match=r"clips: .*nothing\.mp4"):
        panels.retrieval(model, [tmp_path / "nothing.mp4"], ["a one grows"])
    with pytest.raises(ValueError, match="captions: expected a sentence"):
        panels.retrieval(model, [torch.zeros(4, 32, 32, 3, dtype=torch.uint8)], [" "])
