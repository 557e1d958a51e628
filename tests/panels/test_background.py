"""Long work behind a panel: whenever Stop is pressed, the words at the end say how it ended."""

import threading
from typing import Any

import pytest

from vmamba_edu.panels.parts.background import Background
from vmamba_edu.panels.parts.watch import Watch


class Bench:
    """A Background whose jobs wait until they are let go."""

    def __init__(self, jobs: int, at_once: bool = False) -> None:
        self.begun, self.go, self.done = threading.Semaphore(0), threading.Semaphore(0), []
        self.at_once = at_once
        self.background = Background(
            "Go", lambda: range(jobs), self.work, self.done.append, lambda job: f"job {job}", at_once=at_once
        )

    def work(self, job: int) -> int:
        self.begun.release()
        if self.at_once:
            assert self.background.stopped.wait(30)
            raise RuntimeError("stopped, as asked")
        assert self.go.acquire(timeout=30)
        return job

    def ends(self) -> str:
        assert self.background.thread is not None
        self.background.thread.join(30)
        return self.background.words.value


@pytest.mark.parametrize("at_once", [False, True])
def test_a_stop_between_jobs_is_waited_for_and_said(at_once: bool) -> None:
    bench = Bench(3, at_once)
    bench.background.start.click()
    assert bench.begun.acquire(timeout=30)
    bench.background.cancel.click()
    assert ("Stopping …" if at_once else "Stopping after the one that runs …") in bench.background.words.value
    bench.go.release(3)
    assert ">Stopped.<" in bench.ends()
    assert bench.done == ([] if at_once else [0])
    assert (bench.background.start.disabled, bench.background.cancel.disabled) == (False, True)


def test_a_stop_after_the_last_job_changes_nothing() -> None:
    bench = Bench(1)
    bench.background.start.click()
    bench.go.release()
    assert ">Done.<" in bench.ends()
    bench.background.stop()  # a press that was on its way
    assert ">Done.<" in bench.background.words.value
    assert not bench.background.stopped.is_set()


def test_a_stop_during_the_last_job_is_too_late_and_says_so() -> None:
    bench = Bench(1)
    bench.background.start.click()
    assert bench.begun.acquire(timeout=30)
    bench.background.cancel.click()
    assert "Stopping" in bench.background.words.value
    bench.go.release()
    assert ">Done.<" in bench.ends()
    assert bench.done == [0]


def test_the_thread_has_the_last_word_however_close_the_press() -> None:
    """Stop is pressed at the very moment at which the thread writes its last words."""
    bench = Bench(1)
    say = bench.background.say

    def meddled(words: str) -> None:
        say(words)
        if words == "Done.":
            press = threading.Thread(target=bench.background.stop)
            press.start()
            press.join(0.2)  # it cannot come in between

    bench.background.say = meddled  # type: ignore[method-assign]
    bench.background.start.click()
    bench.go.release()
    assert ">Done.<" in bench.ends()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(5)
    assert ">Done.<" in bench.background.words.value
    assert not bench.background.start.disabled


def test_it_runs_again_and_what_fails_is_told() -> None:
    def fails(job: Any) -> Any:
        raise RuntimeError("no memory")

    background = Background("Go", lambda: [7], fails, print, lambda job: f"job {job}")
    for _ in range(2):
        background.start.click()
        assert background.thread is not None
        background.thread.join(30)
        assert "Done. job 7: no memory" in background.words.value


def test_what_is_watched_has_the_last_word_too() -> None:
    watch = Watch("Go", lambda: "work", lambda work: f"the {work} is <done>")
    watch.start.click()
    assert watch.thread is not None
    watch.thread.join(30)
    watch.end()
    assert "the work is &lt;done&gt;" in watch.words.value
    assert (watch.start.disabled, watch.cancel.disabled) == (False, True)
