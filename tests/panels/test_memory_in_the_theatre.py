"""What the theatre says a channel remembers: against the scan itself, in the order in which tokens are read."""

import base64
import io
from typing import Any

import numpy as np
import pytest
import torch
from agreement import small_model
from PIL import Image
from small_transformers import shaken, small_image_model
from vmamba_kernels.reference import step_size

from vmamba_edu import panels
from vmamba_edu.analysis import hidden_states
from vmamba_edu.panels.computed.memory_of_readings import memory_of
from vmamba_edu.panels.computed.scan_order_readings import State, compute
from vmamba_edu.panels.computed.small_models import as_pixels, default_clip, fresh_model, with_plan
from vmamba_edu.panels.parts.memory_strips import colours
from vmamba_edu.scan_orders import PLANS

GRID = (2, 2, 2)


@pytest.fixture
def clip() -> torch.Tensor:
    return torch.randint(0, 255, (2, 16, 16, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("plan", PLANS)
def test_each_step_holds_what_the_block_holds_after_that_token(clip, plan):
    """Every plan from one spatial-first model; truth is a model that was made for the plan, with the same weights."""
    model = shaken(small_model())
    memory = memory_of(clip, GRID, model, 1, patch_size=8)
    view = compute(State(GRID, plan, channel=5, memory=memory))
    own = small_model(scan_order=plan)
    own.load_state_dict(model.state_dict())
    for one in view.passes:
        reading = one.reading
        h = hidden_states(own, as_pixels(clip, own), 1, channels=[5], direction=reading.direction, order=reading.order)
        expected = h[0, 1:, 0].numpy()[one.path]  # without [cls]
        assert one.h.shape == (8, 4)
        np.testing.assert_allclose(one.h, expected, rtol=1e-5, atol=1e-6)  # float32, summed in another order at most


def test_a_memory_knows_only_what_was_read(clip):
    """The states of a step do not change when a later token does: the strip shows no future."""
    model = shaken(small_model())
    other = clip.clone()
    other[1, 8:, 8:] = 255 - other[1, 8:, 8:]  # token 7, the last one of the spatial-first reading
    ours, theirs = (
        compute(State(GRID, memory=memory_of(frames, GRID, model, patch_size=8))).passes[0].h
        for frames in (clip, other)
    )
    np.testing.assert_array_equal(ours[:7], theirs[:7])
    assert (ours[7] != theirs[7]).any()


def test_the_chosen_channel_is_the_one_that_moves_most_for_its_size(clip):
    model = shaken(small_model())
    late = hidden_states(model, as_pixels(clip, model), 0)[0, 5:].double()  # the second half of 9 tokens, [cls] first
    ratios = [
        sum(late[:, c, n].var(correction=0) for n in range(4)) / sum(late[:, c, n].pow(2).mean() for n in range(4))
        for c in range(32)
    ]
    assert memory_of(clip, GRID, model, patch_size=8).busiest("spatial_first") == int(np.argmax(ratios))


def test_the_small_model_is_the_same_every_time_and_leaves_the_generator_alone():
    clip = default_clip()
    before = torch.random.get_rng_state()
    ours, theirs = fresh_model(clip, 16), fresh_model(clip, 16)
    assert torch.equal(before, torch.random.get_rng_state())
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    bias = ours.block(0).mixer.dt_proj.bias
    step = step_size(torch.zeros(1, len(bias), 1), bias, True)
    assert step.min() >= 0.999e-3  # as `mamba_delta_bias` says
    assert step.max() <= 0.1001


def test_another_plan_shares_the_weights():
    model = small_model()
    other = with_plan(model, "temporal_first")
    assert other.config.scan_order == "temporal_first"
    assert other.block(0).mixer.in_proj.weight.data_ptr() == model.block(0).mixer.in_proj.weight.data_ptr()
    assert with_plan(model, "spatial_first") is model


def test_colours_are_white_at_zero_and_apart_on_both_sides():
    picture = colours(np.array([[0.0, 1.0, -1.0]] * 4)).astype(int)
    assert picture.shape == (3, 4, 3)
    zero, above, below = picture[:, 0]
    assert zero.min() > 240
    assert abs(above - below).sum() > 100
    assert (colours(np.zeros((5, 2))) > 240).all()  # a state that holds nothing


def test_strips_fill_as_one_scrubs_and_are_not_sent_again(clip):
    panel = panels.scan_orders(clip, shaken(small_model()), patch_size=8)
    pictures = [image.source for image in panel.canvas.layout.images]
    sent: list[dict[str, Any]] = []
    panel.canvas.observe(lambda change: sent.append(change["new"]), names="_py2js_update")  # None when it was sent
    panel.controls["position"].value = 3
    assert panel.canvas.layout.shapes[-1].x0 == 3.5
    assert list(panel.canvas.data[-1].x) == [3.5, 3.5]
    assert [image.source for image in panel.canvas.layout.images] == pictures
    assert len([message for message in sent if message]) == 1
    assert "data:image" not in repr(sent)
    panel.controls["channel"].value = 3
    assert [image.source for image in panel.canvas.layout.images] != pictures


def test_a_strip_shows_the_states_of_its_reading(clip):
    panel = panels.scan_orders(clip, shaken(small_model()), patch_size=8, plan="spatiotemporal_v1")
    first = len(panel.canvas.layout.images) - 4
    for number, one in enumerate(panel.view.passes):
        data = panel.canvas.layout.images[first + number].source.split(",", 1)[1]
        shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))
        wide, high = shown.shape[1] // 8, shown.shape[0] // 4
        np.testing.assert_array_equal(shown[::high, ::wide], colours(one.h))
    assert panel.canvas.layout.yaxis3.ticktext == ("h, spatial-first forward", "h, temporal-first backward")


def test_the_sentence_says_what_is_held_and_by_whom(clip):
    panel = panels.scan_orders(clip, shaken(small_model()), patch_size=8, channel=7, position=2)
    h = panel.view.passes[0].h[2]
    n = int(np.abs(h).argmax())
    assert "Channel 7 of block 0, in the given model: spatial-first forward holds most" in panel.sentence()
    assert f"in n = {n + 1} of 4, h = {h[n]:+.2g}" in panel.sentence()
    assert "small model with fresh weights" in panels.scan_orders(clip, patch_size=8).sentence()


def test_a_bare_grid_has_no_memory():
    panel = panels.scan_orders(grid=(2, 3, 4))
    assert panel.state.memory is None
    assert "Channel" not in panel.sentence()
    panel.controls["position"].value = 3
    assert "grid=(2, 3, 4)" in panel.code()


def test_one_token_and_one_frame_can_be_read():
    one = torch.zeros(1, 8, 8, 3, dtype=torch.uint8)
    panel = panels.scan_orders(one, patch_size=8)
    assert panel.view.passes[0].h.shape == (1, 8)
    assert "step 1 of 1" in panel.sentence()
    assert panels.scan_orders(one.repeat(1, 2, 2, 1), patch_size=8).view.length == 4


def test_a_knob_that_cannot_be_turned_says_why_and_goes_back(clip):
    model = shaken(small_model(bidirectional=False))
    panel = panels.scan_orders(clip, model, patch_size=8, directions="forward")
    panel.controls["directions"].value = "both"
    assert panel.controls["directions"].value == "forward"
    assert panel.state.directions == "forward"
    assert "this model does not read backward in spatial_first order" in panel.caption.value
    assert "The view stays as it was" in panel.caption.value


def test_what_cannot_be_is_named(clip):
    model = small_model()
    with pytest.raises(ValueError, match="channel: expected 0 to 31, got 32"):
        panels.scan_orders(clip, model, patch_size=8, channel=32)
    with pytest.raises(ValueError, match="block: expected 0 to 1, got 2"):
        panels.scan_orders(clip, model, patch_size=8, block=2)
    with pytest.raises(ValueError, match=r"model: expected one that cuts this clip into \(2, 1, 1\) tokens"):
        panels.scan_orders(clip, model, patch_size=16)
    with pytest.raises(ValueError, match="model: expected one whose blocks scan, such as videomamba_tiny, got ViT"):
        panels.scan_orders(clip, small_image_model(), patch_size=8)
