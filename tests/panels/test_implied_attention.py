"""Implied attention: rows against the scan written out and against softmax's own weights; controls, words and code."""

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from agreement import small_model
from small_transformers import shaken, small_clip_model, small_image_model
from vmamba_kernels.reference import step_size

from vmamba_edu import create_model, panels
from vmamba_edu.analysis import block_scan_arguments, implied_attention
from vmamba_edu.models import from_pretrained
from vmamba_edu.models.checkpoints.shipped import shipped_record
from vmamba_edu.panels.attention_panel import State, compute
from vmamba_edu.panels.computed import attention_readings
from vmamba_edu.panels.computed.attention_of_models import Look, SideBySide, with_a_trained_one
from vmamba_edu.panels.computed.attention_readings import busiest_patch
from vmamba_edu.panels.computed.models_side_by_side import fresh_models, pixels_for, with_variant
from vmamba_edu.panels.computed.small_models import default_clip
from vmamba_edu.panels.parts.film import IN_A_LINE, Film, roots
from vmamba_edu.scan_orders import PLANS
from vmamba_edu.video import clip_to_tensor

GRID = (2, 2, 2)


def frames(time: int, height: int, width: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 255, (time, height, width, 3), dtype=torch.uint8, generator=generator).numpy()


def small_pro(**overrides: Any) -> Any:
    torch.manual_seed(0)
    size = {"embed_dim": 16, "depth": 2, "img_size": 16, "patch_size": 8, "num_frames": 2, "num_classes": 0}
    return shaken(create_model("videomambapro_tiny", **size | {"d_state": 4} | overrides)).eval()


def alone(model: Any, clip: np.ndarray) -> SideBySide:
    return SideBySide({"it": model}, clip)


@pytest.mark.parametrize("direction", ["forward", "backward"])
@pytest.mark.parametrize("token", [0, 3, 7])
def test_a_row_of_one_channel_is_the_recurrence_written_out(direction, token):
    """h = Ā h + Δ B u, y = C h, followed for an input that is 1 at one token and 0 elsewhere."""
    model, clip = shaken(small_model()), frames(2, 16, 16)
    given = block_scan_arguments(model, pixels_for(model, clip), 1, direction=direction)
    step = step_size(given["delta"], given["delta_bias"], True)[0, 5].double().tolist()
    A, B, C = given["A"][5].double().tolist(), given["B"][0].double().tolist(), given["C"][0].double().tolist()
    order = list(range(9)) if direction == "forward" else list(range(8, -1, -1))
    expected = []
    for j in range(9):
        y = dict.fromkeys(order, 0.0)
        for n in range(4):
            h = 0.0
            for i in order:
                h = math.exp(step[i] * A[n]) * h + step[i] * B[n][i] * (i == j)
                y[i] += C[n][i] * h
        expected.append(y[token + 1])  # [cls] is token 0
    weights, to_cls = alone(model, clip).rows("it", [token], Look(1, direction, "channel", 5))
    np.testing.assert_allclose(weights[0], expected[1:], rtol=1e-4, atol=1e-9)  # float32
    np.testing.assert_allclose(to_cls, expected[:1], rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("direction", ["both", "forward"])
def test_rows_of_a_scan_are_those_of_its_matrix(plan, direction):
    clip = frames(2, 16, 16)
    model = shaken(small_model(scan_order=plan, cls_position="middle"))  # [cls] is token 4
    if plan == "spatiotemporal_v1" and direction == "forward":
        direction = "backward"
    every = implied_attention(model, pixels_for(model, clip), 1, channel=range(32), direction=direction)
    matrices = np.delete(every.weights[0, 0].double().numpy(), 4, axis=1)  # (channels, patches, length)
    models = alone(model, clip)
    for weights, expected in (
        ("size", np.abs(matrices).mean(0)),
        ("mean", matrices.mean(0)),
        ("channel", matrices[5]),
    ):
        rows, to_cls = models.rows("it", range(8), Look(1, direction, weights, 5))
        tolerance = {"rtol": 1e-4, "atol": 1e-6 * np.abs(matrices).max()}  # float32; positive and negative cancel
        np.testing.assert_allclose(rows, np.delete(expected, 4, axis=1), **tolerance)
        np.testing.assert_allclose(to_cls, expected[:, 4], **tolerance)


def test_channels_are_averaged_in_pieces(monkeypatch):
    models = alone(shaken(small_model()), frames(2, 16, 16))
    whole, _ = models.rows("it", range(8), Look())
    monkeypatch.setattr("vmamba_edu.panels.computed.attention_of_models.AT_ONCE", 5 * 8 * 9)
    np.testing.assert_allclose(models.rows("it", range(8), Look())[0], whole, rtol=1e-6)


@pytest.mark.parametrize("variant", ["paper", "released_v2", "released_none"])
def test_a_variant_looks_as_a_model_made_for_it(variant):
    clip, weights = frames(2, 16, 16), small_pro(variant="paper")
    own = small_pro(variant=variant)
    own.load_state_dict(weights.state_dict(), strict=False)
    look = Look(1, "forward", "size")
    expected, _ = alone(own, clip).rows("it", range(8), look)
    rows, _ = alone(weights, clip).rows("it", range(8), look._replace(variant=variant))
    np.testing.assert_allclose(rows, expected, rtol=1e-5)
    assert weights.config.variant == "paper"


def test_the_weights_of_one_direction_make_no_paper_model():
    with pytest.raises(ValueError, match=r"variant: 'paper' needs weights that this model has not, layers\.0"):
        with_variant(small_pro(variant="released_v1"), "paper")


def test_two_directions_count_a_token_twice_and_the_masked_one_does_not():
    """VideoMambaPro §4: what the diagonal of both directions has beyond the forward one's is the backward one's."""
    clip = frames(2, 16, 16)
    twice, once = alone(shaken(small_model()), clip), alone(small_pro(variant="paper"), clip)
    for models, masked in ((twice, False), (once, True)):
        look = Look(0, "both", "channel", 3)
        both, forward, backward = (
            np.diag(models.rows("it", range(8), look._replace(direction=direction))[0])
            for direction in ("both", "forward", "backward")
        )
        np.testing.assert_allclose(both, forward + backward, rtol=1e-4, atol=1e-8)
        assert (backward == 0).all() if masked else (np.abs(backward) > 0).all()


@pytest.mark.parametrize("name", ["vivit_1_base_16x2", "joint_space_time"])
def test_joint_attention_is_shown_as_it_is(name):
    model = small_clip_model(name)
    clip = frames(4, 16, 24)
    with torch.no_grad():
        maps = model.forward_features(pixels_for(model, clip), True)[1][1]
    expected = maps[0].weights[0, 0].mean(0).double().numpy()
    rows, to_cls = alone(model, clip).rows("it", range(len(expected) - 1), Look(1))
    np.testing.assert_allclose(rows, expected[1:, 1:], rtol=1e-5)
    np.testing.assert_allclose(to_cls, expected[1:, 0], rtol=1e-5)


@pytest.mark.parametrize("name", ["divided_space_time", "vivit_3_base_16x2", "vivit_4_base_16x2", "space_only"])
def test_divided_attention_puts_each_weight_on_its_token(name):
    model = small_clip_model(name)
    clip = frames(4, 16, 24)
    with torch.no_grad():
        maps = model.forward_features(pixels_for(model, clip), True)[1][0]
    models = alone(model, clip)
    (time, height, width), space = models.grid, 6
    assert (height, width) == (2, 3)
    for token in (0, 4, time * space - 1):
        t, s = divmod(token, space)
        expected = np.zeros((time, space))
        for one in maps:
            heads = one.weights[0].mean(1).double().numpy()
            skip = int(one.has_cls)
            for other in range(time if one.axis == "time" else space):
                if one.axis == "time":
                    expected[other, s] += heads[s, t, other] / len(maps)
                else:
                    expected[t, other] += heads[t, skip + s, skip + other] / len(maps)
        rows, to_cls = models.rows("it", [token], Look())
        np.testing.assert_allclose(rows[0], expected.ravel(), rtol=1e-5, atol=1e-9)
        assert rows.sum() + to_cls.sum() == pytest.approx(1, rel=1e-5)  # softmax


def test_frames_that_are_tokens_share_their_weight_among_their_patches():
    model = small_clip_model("vivit_2_base_16x2")
    clip = frames(4, 16, 24)
    with torch.no_grad():
        (one,) = model.forward_features(pixels_for(model, clip), True)[1][2]  # the first block of the second encoder
    rows, to_cls = alone(model, clip).rows("it", [0, 11], Look(2))
    heads = one.weights[0, 0].mean(0).double().numpy()
    for row, frame in zip(rows, (0, 1), strict=True):
        np.testing.assert_allclose(row, np.repeat(heads[1 + frame, 1:] / 6, 6), rtol=1e-5)
    np.testing.assert_allclose(to_cls, heads[1:, 0], rtol=1e-5)


def test_the_view_is_a_row_of_the_matrix_and_its_shares():
    models = alone(shaken(small_model()), frames(2, 16, 16))
    view = compute(State(1, 0, 1, block=1, direction="forward", weights="mean", matrix="it", models=models))
    assert view.token == 5
    drawn = view.drawn["it"]
    np.testing.assert_allclose(view.matrix[5], drawn.weights, rtol=1e-5, atol=1e-12)
    size = np.abs(drawn.weights)
    np.testing.assert_allclose(drawn.per_frame, [size[:4].sum() / size.sum(), size[4:].sum() / size.sum()])
    assert drawn.strongest == size.argmax()
    assert view.diagonal == pytest.approx(np.abs(np.diag(view.matrix)).sum() / np.abs(view.matrix).sum())


def test_of_a_long_sequence_the_surroundings_of_the_patch_are_shown(monkeypatch):
    models = alone(shaken(small_model()), frames(2, 16, 16))
    state = State(1, 0, 1, matrix="it", models=models)
    whole = compute(state).matrix
    monkeypatch.setattr(attention_readings, "MOST", 4)
    view = compute(state)
    assert view.window == range(3, 7)
    np.testing.assert_allclose(view.matrix, whole[3:7, 3:7], rtol=1e-5)


def test_small_models_come_again_and_leave_the_generator_alone():
    before = torch.random.get_rng_state()
    ours, theirs = fresh_models(default_clip()), fresh_models(default_clip())
    assert torch.equal(before, torch.random.get_rng_state())
    for name, model in ours.items():
        for a, b in zip(model.parameters(), theirs[name].parameters(), strict=True):
            assert torch.equal(a, b)


def test_small_attentions_prefer_some_tokens():
    """Otherwise the panel, opened without arguments, would show four grey films."""
    models = SideBySide(fresh_models(default_clip()), default_clip().numpy())
    for name in models.models:
        rows, _ = models.rows(name, range(128), Look())
        assert np.median(rows.max(1) / rows.mean(1)) > 4, name


def test_the_patch_that_asks_first_is_one_where_something_is():
    clip = np.zeros((4, 16, 24, 3), np.uint8)
    clip[2, 8:16:2, 16:] = 255
    assert busiest_patch(clip, (4, 2, 3)) == (2, 1, 2)
    assert busiest_patch(np.repeat(clip, 2, axis=0), (4, 2, 3)) == (2, 1, 2)  # tubelets of two frames


def test_a_film_runs_from_left_to_right_and_finds_its_tokens():
    film = Film((10, 2, 3), frames(20, 4, 6))
    assert (film.rows, film.columns) == (2, 5)
    assert Film((IN_A_LINE, 2, 3)).rows == 1
    for token in range(60):
        (x,), (y,) = film.place(np.array([token]))
        assert film.token_at(x + 0.4, y - 0.4) == token
        assert film.names()[y, x] == "frame {}, row {}, column {}".format(*np.unravel_index(token, film.grid))
    assert film.token_at(3, 0) is None  # between two frames
    assert film.token_at(-3, 0) is None
    background = film.background()
    assert background.shape == (2 * film.size[0], 2 * film.size[1], 3)
    assert (background[:4, 6:8] == 255).all()
    frame = film.frames[2].astype(float).mean(-1)
    np.testing.assert_allclose(background[:4, 8:14, 0], 120 + 135 / 255 * frame, atol=0.51)  # rounded


def test_colours_keep_the_sign_and_cut_off_the_largest():
    weights = np.array([-4.0, 0, 1, 4] + [4.0] * 96)
    np.testing.assert_allclose(roots(weights)[:4], [-1, 0, 0.5, 1])
    assert roots(np.array([*([0.0] * 99), 8.0]))[-1] == 1  # nothing but the largest is there
    assert (roots(np.zeros(5)) == 0).all()
    many = np.ones(1000)
    many[0] = 1e6
    assert (roots(many) == 1).all()


@pytest.fixture(scope="module")
def small() -> Any:
    clip = frames(2, 16, 16)
    vivit = create_model(
        "vivit_1_base_16x2",
        img_size=16,
        patch_size=8,
        depth=2,
        embed_dim=16,
        num_heads=4,
        num_frames=2,
        tubelet_size=1,
        num_classes=0,
    )
    models = {"scan": shaken(small_model()), "pro": small_pro(variant="paper"), "vivit": vivit.eval()}
    return lambda **words: panels.implied_attention(clip, models, **{"frame": 0, "row": 0, "column": 0} | words)


def test_the_channel_is_chosen_where_one_is_looked_at(small):
    panel = small()
    assert panel.controls["channel"].disabled
    panel.controls["weights"].value = "channel"
    assert not panel.controls["channel"].disabled
    before = panel.view.drawn["scan"].weights
    panel.controls["channel"].value = 4
    assert "w of channel 4" in panel.canvas.layout.annotations[0].text
    assert (panel.view.drawn["scan"].weights != before).any()
    assert (panel.view.drawn["vivit"].weights >= 0).all()


def test_a_click_asks_for_the_patch_below_it(small):
    panel = small()
    panel._clicked(None, SimpleNamespace(xs=[4.3], ys=[0.8]), None)
    assert (panel.state.frame, panel.state.row, panel.state.column) == (1, 1, 1)
    assert [panel.controls[name].value for name in ("frame", "row", "column")] == [1, 1, 1]
    panel._clicked(None, SimpleNamespace(xs=[2], ys=[0]), None)  # between the frames
    panel._clicked(None, SimpleNamespace(xs=[], ys=[]), None)
    assert panel.state.frame == 1
    assert [bool(trace._click_callbacks) for trace in panel.canvas.data] == [True] * 3 + [False] * 4


def test_a_patch_alone_sends_no_matrix(small):
    panel = small()
    sent: list[dict[str, Any]] = []
    panel.canvas.observe(lambda change: sent.append(change["new"]), names="_py2js_update")  # None when it was sent
    panel.controls["column"].value = 1
    (message,) = (message for message in sent if message)
    films, shares, matrix = {0, 1, 2}, {3, 4, 5}, 6
    assert films | shares >= set(message["style_traces"]) >= films
    assert matrix not in message["style_traces"]


def test_a_matrix_is_sent_as_bytes(small):
    assert small().canvas.data[-1].z.dtype == np.int8


@pytest.fixture(scope="module")
def opened() -> Any:
    """The panel as it is without arguments."""
    return panels.implied_attention()


def test_the_first_of_those_side_by_side_has_learned_and_the_others_say_that_they_are_fresh(opened):
    trained, *fresh = opened.models.models
    assert trained == opened.state.matrix == "VideoMamba, trained"
    assert len(fresh) == 4
    assert all(name.endswith(", fresh") for name in fresh)
    shipped = from_pretrained("moving_digits_classifier").state_dict()
    for name, weights in opened.models.models[trained].state_dict().items():
        assert torch.equal(weights, shipped[name])
    titles = [one.text for one in opened.canvas.layout.annotations[:5]]
    assert ["trained" in title for title in titles] == [True] + [False] * 4
    assert ["fresh" in title for title in titles] == [False] + [True] * 4


def test_what_has_learned_looks_at_a_clip_of_its_own_kind_and_says_what_it_sees(opened):
    model, clip = opened.models.models["VideoMamba, trained"], opened.models.frames
    assert clip.shape == (model.config.num_frames, *model.config.frame_size, 3)
    with torch.no_grad():
        shares = model(clip_to_tensor(torch.from_numpy(clip))[None]).softmax(-1)[0]
    motion = shipped_record("moving_digits_classifier")["classes"][int(shares.argmax())]
    assert f"calls this clip {motion!r} ({shares.max():.0%} sure)" in opened.sentence()
    assert motion == "left"  # it was made so
    assert "the others have fresh weights, none trained" in opened.sentence()


def test_all_blocks_of_what_has_learned_can_be_looked_at(opened):
    assert opened.controls["block"].max == 3
    expected = implied_attention(
        opened.models.models["VideoMamba, trained"],
        pixels_for(opened.models.models["VideoMamba, trained"], opened.models.frames),
        3,
        channel=range(128),
    )
    last = opened.at("block", 3)
    token = last.view.token
    weights = np.delete(expected.weights[0, 0, :, 1 + token].abs().double().mean(0).numpy(), 0)
    np.testing.assert_allclose(last.view.drawn["VideoMamba, trained"].weights, weights, rtol=1e-4)  # float32


def test_a_clip_that_it_has_not_learned_from_is_looked_at_by_fresh_ones_alone():
    for clip, cut in ((frames(4, 32, 32), 8), (frames(8, 32, 32), 16), (frames(4, 32, 64), 16)):
        models = with_a_trained_one(clip, cut)
        assert list(models.models) == ["VideoMamba", "VideoMambaPro", "ViViT, model 1", "TimeSformer"]
        assert "none trained" in models.described
    assert "VideoMamba, trained" in with_a_trained_one(frames(4, 32, 32), 16).models


def test_a_model_that_does_not_read_so_says_it(small):
    panel = small()
    panel.controls["direction"].value = "backward"
    panel.controls["variant"].value = "released_none"
    assert "pro does not read backward" in panel.sentence()
    assert "released none, does not read backward" in panel.canvas.layout.annotations[1].text
    assert (panel.view.drawn["pro"].weights == 0).all()
    panel.controls["matrix"].value = "pro"
    assert panel.view.diagonal == 0


def test_a_knob_that_cannot_be_turned_says_why_and_goes_back():
    panel = panels.implied_attention(frames(2, 16, 16), small_pro(variant="released_v1"))
    panel.controls["variant"].value = "paper"
    assert panel.controls["variant"].value == panel.state.variant == "own"
    assert "needs weights that this model has not" in panel.caption.value


def test_the_sentence_has_the_numbers(small):
    panel = small(frame=1, row=0, column=1)
    words, drawn = panel.sentence(), panel.view.drawn["vivit"]
    t, h, w = np.unravel_index(drawn.weights.argmax(), GRID)
    assert "Row 0, column 1 of frame 1 asks in block 0." in words
    assert f"vivit draws most on frame {t}, row {h}, column {w}, and {drawn.per_frame[1]:.0%} of |w|" in words
    assert f"In the matrix of scan {panel.view.diagonal:.1%} of all |w| stands on the diagonal" in words
    assert "of its weights are negative" not in words
    panel.controls["weights"].value = "mean"
    below = (panel.view.drawn["scan"].weights < 0).mean()
    assert f"{below:.0%} of its weights are negative" in panel.sentence()


def test_what_cannot_be_is_named():
    clip, model = frames(2, 16, 16), small_model()
    for words, message in (
        ({"frame": 2}, "frame: expected 0 to 1, got 2"),
        ({"row": -1}, "row: expected 0 to 1, got -1"),
        ({"column": 9}, "column: expected 0 to 1, got 9"),
        ({"block": 2}, "block: expected 0 to 1, got 2"),
        ({"channel": 32}, "channel: expected 0 to 31, got 32"),
        ({"direction": "up"}, "direction: expected one of 'both', 'forward', 'backward', got 'up'"),
        ({"weights": "sum"}, "weights: expected one of 'size', 'mean', 'channel', got 'sum'"),
        ({"variant": "v3"}, "variant: expected one of 'own', 'paper'"),
        ({"matrix": "ViT"}, "matrix: expected one of 'VideoMamba', got 'ViT'"),
    ):
        with pytest.raises(ValueError, match=message):
            panels.implied_attention(clip, model, **words)
    with pytest.raises(ValueError, match="models: expected models on a clip"):
        compute(State())
    with pytest.raises(ValueError, match=r"clip: expected uint8 frames \(time, height, width, 3\), got float64"):
        panels.implied_attention(clip / 255, model)
    with pytest.raises(ValueError, match="clip, patch_size: expected whole patches of 16, got"):
        panels.implied_attention(frames(2, 20, 16))
    with pytest.raises(ValueError, match="model: expected a VideoMamba, VideoMambaPro, ViViT or TimeSformer for clips"):
        panels.implied_attention(clip, small_image_model())
    with pytest.raises(ValueError, match=r"clip: expected whole boxes of \(1, 8, 8\) for VideoMamba, got 2 × 12 × 16"):
        panels.implied_attention(frames(2, 12, 16), model)
    with pytest.raises(ValueError, match="clip: ViViT reads 4 × 16 × 24"):
        panels.implied_attention(clip, small_clip_model("vivit_1_base_16x2"))
    with pytest.raises(ValueError, match="model: expected models that cut the clip alike"):
        panels.implied_attention(frames(4, 16, 24), {"a": small_clip_model("vivit_1_base_16x2"), "b": small_model()})
    with pytest.raises(ValueError, match="model: expected models that cut the clip alike, to be compared, got no"):
        panels.implied_attention(clip, {})
    with pytest.raises(ValueError, match="model: expected at most 5 models, got 6"):
        panels.implied_attention(clip, {str(number): model for number in range(6)})
