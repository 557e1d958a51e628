"""Measured memory against the closed formulas. Every measurement is a process of its own, some five seconds each."""

import os
import sys
import threading
import time

import pytest
import torch

from vmamba_edu.analysis import cost, measure, measure_all

linux = pytest.mark.skipif(sys.platform != "linux", reason="the memory of a process is read from /proc")
CLIP = {"depth": 2, "num_frames": 8}


@linux
@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("videomamba_tiny", CLIP),
        ("timesformer_base_8f", CLIP | {"embed_dim": 192, "num_heads": 3}),
    ],
)
def test_memory_without_gradients_is_what_the_formula_says(name, overrides):
    """Ratios from 0.99 to 1.18 were measured over all models: workspaces of matrix products come on top, 1 to 2 MB.

    A formula that forgets one tensor of the inner width is 11 % too low at 1.05, so that the ratio passes 1.15.
    """
    observed = measure(name, threads=1, repeats=1, **overrides)
    predicted = cost(name, **overrides).inference_bytes
    assert 0.92 * predicted < observed.peak_bytes < 1.15 * predicted
    assert observed.baseline_bytes > 0
    assert observed.seconds > 0
    assert (observed.model, observed.training, observed.threads) == (name, False, 1)


@linux
@pytest.mark.parametrize("checkpoint_blocks", [0, 6])
def test_memory_in_training_is_what_is_kept_and_a_little_more(checkpoint_blocks):
    """At least what is kept; at most that, the gradients, and what a backward pass works with at any moment.

    What it works with is taken to be no more than one and a half times the peak of a pass without gradients: it has the
    gradients of the activations of one block beside them. Six blocks, so that this is the smaller part.
    """
    overrides = {"depth": 6, "num_frames": 8, "checkpoint_blocks": checkpoint_blocks}
    observed = measure("videomamba_tiny", training=True, threads=1, repeats=1, **overrides)
    predicted = cost("videomamba_tiny", **overrides)
    kept, gradients = predicted.training_bytes, 4 * predicted.total_parameters
    assert 0.95 * kept < observed.peak_bytes < kept + gradients + 1.5 * predicted.inference_bytes


@linux
def test_a_list_of_requests_behind_a_progress_bar(capfd):
    size = {"img_size": 32, "depth": 1}
    few, many = measure_all({"model": "vit_tiny", "repeats": 1, "batch": batch, **size} for batch in (1, 64))
    assert many.peak_bytes > few.peak_bytes
    assert (few.batch, many.batch, dict(many.overrides)) == (1, 64, size)
    assert "measured" in capfd.readouterr().err


def test_what_cannot_be_is_named_before_anything_is_run(monkeypatch):
    monkeypatch.setattr("subprocess.Popen", lambda *args, **options: pytest.fail("a process was started"))
    with pytest.raises(ValueError, match="model: no model 'vit_huge'"):
        measure("vit_huge")
    with pytest.raises(TypeError, match="nun_frames"):
        measure("videomamba_tiny", nun_frames=8)
    with pytest.raises(ValueError, match="batch, repeats: expected at least 1, got 0 and 3"):
        measure("vit_tiny", batch=0)


def test_a_process_that_fails_says_why():
    if torch.cuda.is_available():
        pytest.skip("here it would not fail")
    with pytest.raises(RuntimeError, match=r"the process that ran vit_tiny failed: .*(CUDA|NVIDIA|cuda)"):
        measure("vit_tiny", device="cuda")


def test_a_process_that_takes_too_long_is_ended():
    with pytest.raises(
        RuntimeError, match=r"the process that ran vit_tiny took longer than its timeout of 0\.01 s, and was ended"
    ):
        measure("vit_tiny", timeout=0.01)


def test_a_process_is_ended_when_it_is_told_to_stop(monkeypatch, tmp_path):
    """Told from another thread, once it runs. It would sleep for minutes; its note tells which process it was."""
    note = tmp_path / "process"
    sleep = f"import os, time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(300)"
    monkeypatch.setattr("vmamba_edu.analysis.observed_cost.CHILD", sleep)
    stopped = threading.Event()

    def stop_when_it_runs() -> None:
        while not (note.exists() and note.read_text()):
            time.sleep(0.01)
        stopped.set()

    thread = threading.Thread(target=stop_when_it_runs)
    thread.start()
    with pytest.raises(RuntimeError, match="the process that ran vit_tiny was stopped"):
        measure("vit_tiny", stopped=stopped)
    thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


@linux
def test_what_may_be_stopped_and_is_not_gives_its_numbers():
    observed = measure("vit_tiny", stopped=threading.Event(), img_size=32, depth=1, repeats=1)
    assert observed.seconds > 0
