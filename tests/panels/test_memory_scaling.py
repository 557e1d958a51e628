"""Memory scaling: curves against the library's cost, crossings against a walk, measuring with a stand-in."""

import threading
from typing import Any

import numpy as np
import pytest

from vmamba_edu import panels
from vmamba_edu.analysis import Observed, cost
from vmamba_edu.panels.computed.scaling_curves import (
    FRAMES,
    State,
    compute,
    exponent,
    gigabytes,
    job_of,
    refusal,
    to_measure,
)

KEYWORDS_OF_MEASURE = ("model", "training", "repeats", "timeout", "stopped")
JOINT = {"attention_type": "joint_space_time", "embed_dim": 192, "depth": 24, "num_heads": 3}


def pretend(**job: Any) -> Observed:
    """Stands for `analysis.measure`: memory and time that grow with the square of the frames."""
    overrides = {name: value for name, value in job.items() if name not in KEYWORDS_OF_MEASURE}
    frames = job["num_frames"]
    return Observed(job["model"], overrides, 1, job["training"], "cpu", 1, 0.01 * frames**2, 2**20 * frames**2, 0)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_curves_are_those_of_the_closed_formulas(training, precision):
    view = compute(State(size=64, training=training, precision=precision))
    width = {"float32": 4, "bfloat16": 2}[precision]
    for at, frames in enumerate(FRAMES):
        clip = {"img_size": 64, "num_frames": frames, "bytes_per_number": width}
        scan, joint = cost("videomamba_tiny", **clip), cost("timesformer_base_8f", **JOINT, **clip)
        for key, one in (("scan", scan), ("fused", joint)):
            assert view.curves[key].bytes[at] == (one.training_bytes if training else one.inference_bytes)
            assert view.curves[key].flops[at] == one.total_flops
        tokens, heads, blocks = frames * 16 + 1, 3, 24 if training else 1  # [cls] looks and is looked at too
        weights = blocks * heads * tokens**2 * width
        assert view.curves["explicit"].bytes[at] == view.curves["fused"].bytes[at] + weights
        assert view.tokens[at] == frames * 16


def test_scan_and_fused_attention_grow_linearly_and_explicit_attention_towards_the_square():
    view = compute(State())
    assert view.curves["scan"].bytes_exponent == pytest.approx(1, abs=0.02)  # [cls] is one token more
    assert view.curves["scan"].flops_exponent == pytest.approx(1, abs=0.02)
    assert view.curves["fused"].bytes_exponent == pytest.approx(1, abs=0.02)
    assert 1.5 < view.curves["explicit"].bytes_exponent < 2
    assert 1.5 < view.curves["fused"].flops_exponent < 2
    assert compute(State(attention="divided")).curves["fused"].flops_exponent < 1.2


@pytest.mark.parametrize("state", [State(), State(size=64), State(size=64, attention="divided"), State(training=True)])
def test_the_crossing_is_the_first_length_at_which_attention_needs_more(state):
    view = compute(state)

    def needs_more(frames: int) -> bool:
        scan = cost("videomamba_tiny", img_size=state.size, num_frames=frames)
        job = {k: v for k, v in job_of(state, "fused").items() if k != "training"}
        one = cost(**job, num_frames=frames)
        blocks = 1 if state.training else 24
        extra = one.attention_weights * 4 // blocks
        ours, theirs = (x.training_bytes if state.training else x.inference_bytes for x in (scan, one))
        return theirs + extra > ours

    assert view.crossing_bytes == next((frames for frames in range(1, 129) if needs_more(frames)), None)


def test_exponents_are_those_of_a_power_law():
    x = np.array([1.0, 2, 4, 8])
    assert exponent(x, 5 * x**1.7) == pytest.approx(1.7)
    assert np.isnan(exponent(x[:1], x[:1]))


def test_what_does_not_fit_is_refused_before_anything_runs():
    job = job_of(State(), "fused") | {"num_frames": 8}
    need = cost("timesformer_base_8f", **JOINT, num_frames=8)
    enough = (need.inference_bytes + 4 * need.total_parameters) / 0.6
    assert refusal(State(free=int(enough) + 1), job) is None
    assert "more than 60%" in refusal(State(free=int(enough) - 1), job)
    assert "3.2 trillion operations" in refusal(State(free=None), job | {"num_frames": 64})
    assert to_measure(State(free=0)) == []
    assert {job["num_frames"] for job in to_measure(State(size=64))} == set(FRAMES)


def test_what_was_measured_is_not_measured_again_and_fits_its_own_choice_only():
    jobs = to_measure(State(size=64))
    measured = tuple(pretend(**job) for job in jobs)
    assert to_measure(State(size=64, measured=measured)) == []
    points = compute(State(size=64, measured=measured)).measured
    assert points["scan"].frames.tolist() == list(FRAMES)
    assert points["scan"].bytes_exponent == pytest.approx(2)
    assert points["fused"].seconds_exponent == pytest.approx(2)
    other = compute(State(size=112, measured=measured)).measured
    assert not len(other["scan"].frames)
    assert len(compute(State(size=64, attention="divided", measured=measured)).measured["fused"].frames) == 0


def test_time_is_predicted_from_the_operations_and_then_from_what_was_measured():
    """Before: operations over the speed of a matrix product. After: at the mean speed seen, on a log scale."""
    state = State(size=64, rate=1e11)
    scan = compute(state).curves["scan"]
    np.testing.assert_allclose(scan.seconds, scan.flops / 1e11)
    assert not scan.calibrated
    np.testing.assert_allclose(
        compute(State(size=64, training=True, rate=1e11)).curves["scan"].seconds, 3 * scan.seconds
    )
    assert not len(compute(State(size=64)).curves["scan"].seconds)
    scans = [job for job in to_measure(state) if job["model"] == "videomamba_tiny"][:3]
    seen = compute(State(size=64, rate=1e11, measured=tuple(pretend(**job) for job in scans))).curves
    ratio = seen["scan"].seconds[:3] / [0.04, 0.16, 0.64]  # what `pretend` took for 2, 4 and 8 frames
    assert np.exp(np.log(ratio).mean()) == pytest.approx(1)
    assert seen["scan"].calibrated
    assert not seen["fused"].calibrated
    at = FRAMES.index(16)
    words = panels.memory_scaling(size=64, rate=1e11).sentence()
    assert f"Time in float32: videomamba_tiny at least {scan.seconds[at]:.2g} s" in words
    assert "(at least: at the 1e+11 operations a second of a matrix product here)" in words


@pytest.fixture
def panel():
    return panels.memory_scaling(size=64, measure=pretend)


def test_measuring_goes_on_in_the_background_and_is_drawn(panel):
    panel.background.start.click()
    panel.background.thread.join()
    assert panel.background.bar.value == panel.background.bar.max == 14
    assert "Done." in panel.background.words.value
    assert not panel.background.start.disabled
    drawn = next(trace for trace in panel.canvas.data if trace.name == "videomamba_tiny, measured")
    assert list(drawn.y) == [2**20 * frames**2 for frames in FRAMES]
    assert "Measured here in float32, videomamba_tiny: 7 lengths, at 128 frames 164 s" in panel.sentence()
    panel.background.start.click()
    assert "nothing (more) to measure" in panel.background.words.value


def test_measuring_stops_at_once_when_it_is_told_to():
    """The measurement that runs is told by its event, and what it raises then is no failure."""
    begun = threading.Event()

    def endless(stopped: threading.Event, **job: Any) -> Observed:
        begun.set()
        assert stopped.wait(30)
        raise RuntimeError("the process was stopped")

    panel = panels.memory_scaling(size=64, measure=endless)
    panel.background.start.click()
    assert begun.wait(30)
    assert "1 of 14: videomamba_tiny, 2 frames" in panel.background.words.value
    assert panel.background.start.disabled
    panel.background.cancel.click()
    panel.background.thread.join(30)
    assert not panel.background.thread.is_alive()
    assert ">Stopped.<" in panel.background.words.value
    assert panel.state.measured == ()
    assert not panel.background.start.disabled


def test_a_measurement_that_fails_is_told_and_the_others_go_on():
    def sometimes(**job: Any) -> Observed:
        if job["num_frames"] == 4:
            raise RuntimeError("timeout: longer than 60 s")
        return pretend(**job)

    panel = panels.memory_scaling(size=64, measure=sometimes)
    panel.background.start.click()
    panel.background.thread.join()
    assert len(panel.state.measured) == 12
    assert "videomamba_tiny, 4 frames: timeout: longer than 60 s" in panel.background.words.value


def test_the_sentence_has_the_numbers():
    words = panels.memory_scaling(frames=64).sentence()
    scan = cost("videomamba_tiny", num_frames=64)
    assert "64 frames of 224 × 224, 12544 tokens, one forward pass in float32" in words
    assert f"videomamba_tiny {gigabytes(scan.inference_bytes)} of activations" in words
    assert "Attention needs more memory, with weights written down, from 2 frames on" in words
    assert "This attention is not measured: it needs" in words


@pytest.mark.parametrize(
    ("field", "value"),
    [("scan", "vit_tiny"), ("attention", "loose"), ("size", 7), ("frames", 3), ("precision", "int8")],
)
def test_what_cannot_be_is_named(field, value):
    with pytest.raises(ValueError, match=f"{field}: expected one of .*got {value!r}"):
        compute(State(**{field: value}))
