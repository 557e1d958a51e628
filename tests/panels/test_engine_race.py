"""The engine race: real runs of a small scan in processes of their own, and the panel with a stand-in."""

import threading

import numpy as np
import pytest
import torch

from vmamba_edu import panels
from vmamba_edu.analysis.engine_runs import Job, Run, run, run_all
from vmamba_edu.analysis.scan_work import Shape
from vmamba_edu.panels.computed.race_results import ENGINES, State, compute, job_of, refusal, to_run

TIMES = {"reference": 0.03, "associative": 0.2, "numba": 0.001, "triton": 1.0}


def pretend(job: Job, timeout: float = 0, stopped: threading.Event | None = None) -> Run:
    """Stands for `engine_runs.run`."""
    label = "triton (interpreted)" if job.engine == "triton" else job.engine
    return Run(job, label, TIMES[job.engine], 2**20 * len(job.engine), (1e-7, 2e-7))


@pytest.mark.slow
def test_every_engine_runs_in_a_process_of_its_own_and_agrees():
    shape = Shape(dim=8, length=20, state=4)
    for engine in ENGINES:
        came = run(Job(engine, shape))
        assert came.job == Job(engine, shape)
        assert came.seconds > 0
        assert came.peak_bytes >= 0
        assert len(came.errors) == 20  # fewer tokens than pieces of a strip
        assert max(came.errors) < 1e-5  # float32, twenty steps
    wanted = "triton (GPU)" if torch.cuda.is_available() else "triton (interpreted)"
    assert came.label == wanted


@pytest.mark.slow
def test_what_is_written_down_is_seen_in_the_memory():
    shape = Shape(dim=128, length=512)
    jobs = [Job("naive", shape), Job("numba", shape), Job("numba", shape, training=True), Job("attention", shape)]
    naive, fused, trained, attention = run_all(jobs, seconds_each=0.1, compare=False)
    big = 4 * shape.updates
    assert naive.peak_bytes > 2 * big  # Ā and h at least
    assert fused.peak_bytes < big / 4  # y, a sixteenth, and the process's own noise
    assert fused.peak_bytes < trained.peak_bytes < naive.peak_bytes
    assert attention.peak_bytes > 4 * 2 * 512**2  # a weight for each pair and head
    assert naive.errors == attention.errors == ()


@pytest.mark.slow
def test_a_run_ends_when_it_is_told_to_and_when_its_time_is_up():
    stopped = threading.Event()
    stopped.set()
    with pytest.raises(RuntimeError, match="the process that ran numba was stopped, as it was asked to"):
        run(Job("numba", Shape()), stopped=stopped)
    with pytest.raises(
        RuntimeError, match=r"the process that ran numba took longer than its timeout of 0\.1 s, and was ended"
    ):
        run(Job("numba", Shape()), timeout=0.1)


def test_what_cannot_run_is_refused_before_a_process_begins():
    with pytest.raises(ValueError, match=r"engine: expected one of .*'numba'.*got 'cuda'"):
        run(Job("cuda", Shape()))
    with pytest.raises(ValueError, match="training: the naive scan writes over its states"):
        run(Job("naive", Shape(), training=True))


def test_only_runs_of_this_shape_and_pass_are_shown():
    here = State(dim=64, length=256)
    runs = (pretend(job_of(here, "numba")), pretend(job_of(State(dim=8, length=256), "reference")))
    view = compute(State(dim=64, length=256, runs=runs))
    assert view.lanes["numba"].seconds == TIMES["numba"]
    assert view.lanes["numba"].strip.tolist() == [1e-7, 2e-7]
    assert np.isnan(view.lanes["reference"].seconds)
    assert view.fastest == "numba"
    assert compute(State(dim=64, length=256, training=True, runs=runs)).fastest is None


def test_who_does_not_agree_is_named():
    job = job_of(State(), "associative")
    off = Run(job, "associative", 0.1, 0, (1e-7, 1e-3))
    nan = Run(job_of(State(), "numba"), "numba", 0.1, 0, (float("nan"),))
    assert compute(State(runs=(off, nan))).disagree == ("associative", "numba")
    assert "associative and numba do not agree with the truth." in panels.engine_race(runs=(off, nan)).sentence()


def test_what_would_take_minutes_is_not_run_and_says_why():
    large = State(dim=384, length=3136)
    assert "without a GPU it is interpreted" in refusal(large, "triton", gpu=False)
    assert refusal(large, "triton", gpu=True) is None
    assert refusal(State(dim=8, length=32, state=4), "triton", gpu=False) is None
    assert "autograd through its loop of 3136 tokens" in refusal(State(length=3136, training=True), "reference")
    assert [job.engine for job in to_run(State(dim=8, length=32, state=4))] == list(ENGINES)
    assert "numba" in [job.engine for job in to_run(large)]


@pytest.fixture
def panel():
    return panels.engine_race(dim=8, length=32, state=4, run=pretend)


def test_a_race_goes_on_in_the_background_and_is_drawn(panel):
    assert "Nothing has been run yet: press Race." in panel.sentence()
    panel.background.start.click()
    panel.background.thread.join()
    assert "Done." in panel.background.words.value
    assert [run.job.engine for run in panel.state.runs] == list(ENGINES)
    strips, seconds, memory = panel.canvas.data
    assert list(seconds.x) == [1e3 * TIMES[engine] for engine in ENGINES]
    assert list(memory.x) == [len(engine) for engine in ENGINES]
    assert np.allclose(np.asarray(strips.z)[:, 0], -7)
    assert "triton (interpreted)" in seconds.y
    words = panel.sentence()
    assert "All that ran agree." in words
    assert (
        "The parallel scan (associative) loses to the plain loop here: it takes 6.7 times as long, 200 times" in words
    )
    panel.controls["dim"].value = 64  # another shape has not been run
    assert "Nothing has been run yet" in panel.sentence()
    panel.controls["dim"].value = 8
    assert panel.sentence() == words


def test_the_parallel_scan_is_praised_where_it_wins():
    runs = [pretend(job_of(State(), engine)) for engine in ("reference", "associative")]
    slow = Run(runs[0].job, "reference", 0.4, 0, (0.0,))
    words = panels.engine_race(runs=(slow, runs[1])).sentence()
    assert "The parallel scan (associative) beats the plain loop here, 2 times as fast." in words


def test_a_race_stops_when_it_is_told_to():
    begun = threading.Event()

    def slow(job: Job, timeout: float, stopped: threading.Event) -> Run:
        begun.set()
        assert stopped.wait(30)
        raise RuntimeError("stopped, as asked")

    panel = panels.engine_race(dim=8, length=32, state=4, run=slow)
    panel.background.start.click()
    assert begun.wait(30)
    assert "1 of 4: reference, 32 tokens" in panel.background.words.value
    panel.background.cancel.click()
    panel.background.thread.join()
    assert "Stopped." in panel.background.words.value
    assert panel.state.runs == ()


def test_an_engine_that_fails_is_told_and_the_others_go_on():
    def sometimes(job: Job, timeout: float, stopped: threading.Event) -> Run:
        if job.engine == "associative":
            raise RuntimeError("the process that ran associative was killed: out of memory?")
        return pretend(job)

    panel = panels.engine_race(dim=8, length=32, state=4, run=sometimes)
    panel.background.start.click()
    panel.background.thread.join()
    assert len(panel.state.runs) == 3
    assert "the process that ran associative was killed: out of memory?" in panel.background.words.value


def test_a_page_of_it_plays_the_lengths(panel, tmp_path):
    page = panel.to_html(tmp_path / "race.html", values=[32, 256], progress=False)
    assert "8 channels with 4 states over 256 tokens" in page.read_text("utf-8")


@pytest.mark.parametrize(("field", "value"), [("dim", 7), ("length", 33), ("state", 5)])
def test_what_cannot_be_is_named(field, value):
    with pytest.raises(ValueError, match=f"{field}: expected one of .*got {value}"):
        compute(State(**{field: value}))
