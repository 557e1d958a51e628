"""A reader's own video in the eyes of a model: each number against the model itself, a formula, or a loop."""

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from agreement import small_model
from own_films import RIGHT, tiny_timesformer
from torch import Tensor

from vmamba_edu import create_model, panels
from vmamba_edu.analysis import attention_of, cost, decay_of, implied_attention
from vmamba_edu.masking import NAMES, make_mask
from vmamba_edu.panels.computed import own_videos
from vmamba_edu.panels.computed.own_videos import LOOKS, State, compute, watch
from vmamba_edu.panels.computed.readers_of_videos import SHIPPED, open_reader, reader_of
from vmamba_edu.panels.computed.watched_videos import Watched
from vmamba_edu.panels.parts.mosaic import Mosaic
from vmamba_edu.panels.parts.video_looks import percent
from vmamba_edu.recipes import classify, load_trained
from vmamba_edu.video import clip_to_tensor


@pytest.fixture(scope="module")
def watched(file: Path) -> Watched:
    return watch(str(file))


@pytest.fixture(scope="module")
def trained() -> Any:
    return load_trained(SHIPPED, "cpu")


def pixels_of(view: own_videos.View) -> Tensor:
    return clip_to_tensor(torch.as_tensor(view.frames))[None]


@pytest.mark.parametrize(("views", "chunks", "crops"), [("4 × 3", 4, 3), ("1 × 1", 1, 1)])
def test_the_prediction_is_that_of_classify(file: Path, watched: Watched, trained, views, chunks, crops) -> None:
    expected = classify(trained, file, num_chunks=chunks, num_crops=crops, top=5, progress=False)
    said = compute(State(views=views, watched=watched)).seen
    assert [trained.classes[at] for at in said.best] == [one.name for one in expected]
    # The same numbers in another order of summing: rounding of float32.
    np.testing.assert_allclose(said.mean[said.best], [one.probability for one in expected], rtol=1e-5)


@pytest.mark.parametrize("clip", range(4))
def test_what_this_clip_alone_says_is_the_softmax_of_the_model_on_the_frames_shown(watched, trained, clip: int) -> None:
    view = compute(State(clip=clip, watched=watched))
    with torch.no_grad():
        expected = trained.model(pixels_of(view)).softmax(-1)[0]
    np.testing.assert_allclose(
        view.seen.shown, expected, rtol=1e-4, atol=1e-7
    )  # one clip in a batch of one, or of three
    assert view.seen.mean.sum() == pytest.approx(1, abs=1e-5)


def test_the_frames_shown_are_those_of_the_sampler_in_the_middle_square() -> None:
    frames = torch.arange(100, dtype=torch.uint8)[:, None, None, None].expand(100, 8, 12, 3)
    seen = Watched(panels.tokeniser(frames).view.video, open_reader())
    view = compute(State(views="1 × 1", look="tokens", watched=seen))
    assert view.indices.tolist() == [12, 37, 62, 86]  # as in the tests of the tokeniser, by hand
    assert view.frames[:, 5, 5, 0].tolist() == [12, 37, 62, 86]
    assert view.frames.shape == (4, 32, 32, 3)


@pytest.mark.parametrize(
    ("model", "frames", "side", "patch", "tubelet"),
    [
        (SHIPPED, 4, 32, 16, 1),
        ("videomamba_middle", 8, 224, 16, 1),
        ("videomamba_image_tiny", 1, 224, 16, 1),
        ("videomamba_masked_small", 8, 224, 16, 1),
        ("videomamba_distill_tiny", 1, 224, 16, 1),
        ("vit_large", 1, 224, 16, 1),
        ("vivit_1_large_16x2", 32, 224, 16, 2),
        ("timesformer_base_hr_16f", 16, 448, 16, 1),
    ],
)
def test_tokens_and_their_cost_are_those_of_the_formulas(model, frames: int, side: int, patch: int, tubelet) -> None:
    """And no model is built for that."""
    seen = watch("", model)
    view = compute(State("tokens", model=model, watched=seen))
    assert view.grid == (frames // tubelet, side // patch, side // patch)
    assert prod(view.grid) == frames * side * side // (tubelet * patch * patch)
    if model in ("videomamba_middle", "vit_large", "vivit_1_large_16x2", "timesformer_base_hr_16f"):
        expected = cost(model)
        assert sum(view.seen.operations.values()) == expected.total_flops
        assert (view.seen.parameters, view.seen.bytes) == (expected.total_parameters, expected.inference_bytes)
    assert seen.reader.is_built == (model == SHIPPED)


@pytest.mark.parametrize("mask", NAMES)
def test_a_mask_leaves_what_it_leaves(watched: Watched, mask: str) -> None:
    view = compute(State("masks", mask=mask, ratio=0.5, seed=3, watched=watched))
    attention = watched.teacher(0, 4, 3)[None]
    generator = torch.Generator().manual_seed(3)
    expected = make_mask(mask, (4, 2, 2), 0.5, attention=attention, generator=generator)
    np.testing.assert_array_equal(view.seen.dropped, expected[0].numpy())


@pytest.mark.parametrize("direction", ["both", "forward", "backward"])
@pytest.mark.parametrize("block", [0, 3])
def test_attention_is_that_of_the_analysis(watched: Watched, trained, direction: str, block: int) -> None:
    state = State("attention", frame=2, row=1, column=0, block=block, direction=direction, watched=watched)
    view = compute(state)
    token, inner = 2 * 4 + 1 * 2 + 0, trained.model.block(0).mixer.inner_dim
    weights = implied_attention(
        trained.model, pixels_of(view), block, channel=range(inner), rows=[token + 1], direction=direction
    )
    expected = weights.weights[0, 0, :, 0, 1:].abs().mean(0)  # [cls] stands first
    assert view.seen.token == token
    np.testing.assert_allclose(view.seen.values, expected, rtol=1e-4, atol=1e-9)
    by_frame = expected.reshape(4, 4).sum(1)
    np.testing.assert_allclose(view.seen.per_frame, by_frame / by_frame.sum(), rtol=1e-4, atol=1e-9)


def test_attention_of_a_transformer_is_what_softmax_made() -> None:
    model = tiny_timesformer()
    seen = Watched(panels.tokeniser(RIGHT).view.video, reader_of(model))
    view = compute(State("attention", frame=1, row=0, column=1, block=1, watched=seen))
    along_time, in_space = attention_of(model, pixels_of(view), 1)
    expected = torch.zeros(2, 4)
    expected[:, 1] += along_time.weights[0, 1].mean(0)[1 + along_time.has_cls][along_time.has_cls :] / 2
    expected[1] += in_space.weights[0, 1].mean(0)[1 + in_space.has_cls][in_space.has_cls :] / 2
    np.testing.assert_allclose(view.seen.values, expected.flatten(), rtol=1e-5)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_what_is_left_of_a_patch_is_the_product_of_all_decays_since(watched: Watched, trained, direction: str) -> None:
    view = compute(State("memory", frame=1, row=1, column=0, block=1, direction=direction, watched=watched))
    some = range(0, trained.model.block(1).mixer.inner_dim, 8)
    decay = decay_of(trained.model, pixels_of(view), 1, channels=some, direction=direction)
    token, expected = 1 + 6, np.zeros(17)
    for other in range(17):
        since = slice(token + 1, other + 1) if direction == "forward" else slice(other, token)
        if other == token or since.start < since.stop:
            step = decay.step[0, :, since].sum(-1) if other != token else torch.zeros(16)
            expected[other] = (step[:, None] * decay.A).exp().mean()
    np.testing.assert_allclose(view.seen.values, expected[1:], rtol=1e-4, atol=1e-9)
    both = compute(State("memory", frame=1, row=1, column=0, block=1, watched=watched)).seen.values
    assert (both >= view.seen.values).all()


def test_a_model_that_reads_in_other_orders_remembers_in_those() -> None:
    """Of temporal-first order: the next token read is the same place in the next frame."""
    model = small_model(scan_order="temporal_first").float()
    seen = Watched(panels.tokeniser(RIGHT).view.video, reader_of(model))
    time, height, width = seen.reader.grid
    assert time > 1
    view = compute(State("memory", direction="forward", watched=seen))
    shares = view.seen.values.reshape(time, height * width)
    in_turn = shares.T.ravel()
    assert (np.diff(in_turn) <= 0).all()
    assert in_turn[0] == 1


def test_everything_is_there_without_a_panel(file: Path) -> None:
    for look in LOOKS:
        view = panels.your_video.compute(State(look, path=str(file)))
        assert view.seen is not None
        assert len(view.frames) == 4


def test_pictures_are_read_by_models_of_pictures_and_students_have_no_classes(monkeypatch) -> None:
    keywords = {"embed_dim": 16, "depth": 1, "img_size": 16, "patch_size": 8, "num_classes": 3}
    video = panels.tokeniser(RIGHT).view.video
    for model in (
        create_model("videomamba_image_tiny", **keywords).eval(),
        create_model("videomamba_distill_tiny", **keywords, teacher_dim=5).eval(),
        create_model("vit_tiny", **keywords, num_heads=2).eval(),
    ):
        view = compute(State(watched=Watched(video, reader_of(model))))
        assert len(view.frames) == 1
        with torch.no_grad():
            said = model(pixels_of(view)[:, :, 0])
        np.testing.assert_allclose(view.seen.shown, getattr(said, "logits", said).softmax(-1)[0], rtol=1e-4)
    student = create_model(
        "videomamba_masked_tiny", **keywords | {"num_classes": 0}, num_frames=2, teacher_dim=5
    ).eval()
    panel = panels.your_video(RIGHT, student)
    assert "It has no classes" in panel.sentence()
    panel.show(look="attention")
    assert "asks in block 0" in panel.sentence()


def test_fresh_weights_are_always_the_same_and_leave_the_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first, second = (open_reader("vit_tiny").model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("share", "words"),
    [(0, "0 %"), (1e-6, "under 0.01 %"), (0.004, "0.40 %"), (0.257, "25.7 %"), (0.9995, "99.95 %"), (1, "100 %")],
)
def test_a_share_is_told_from_none_and_from_all(share: float, words: str) -> None:
    assert percent(share) == words
    assert percent(0.99999) == "over 99.99 %"


@pytest.mark.parametrize("grid", [(1, 3, 3), (4, 2, 2), (8, 3, 5), (23, 2, 4)])
def test_every_patch_lies_where_a_click_finds_it(grid: tuple[int, int, int]) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (grid[0], grid[1] * 4, grid[2] * 4, 3), np.uint8)
    stage = Mosaic(grid, frames)
    for token in range(prod(grid)):
        sides = stage.outline(token)
        assert sides["x1"] - sides["x0"] == pytest.approx(1)
        middle = (sides["x0"] + sides["x1"]) / 2, (sides["y0"] + sides["y1"]) / 2
        assert stage.token_at(*middle) == token
        if token % grid[2] == grid[2] - 1:  # right of the last patch of a row there is a gap, or nothing
            assert stage.token_at(sides["x1"] + 0.01, middle[1]) is None
    height, width, _ = stage.drawn().shape
    assert width / height == pytest.approx(stage.x_edges[-1] / stage.y_edges[-1], rel=0.02)
