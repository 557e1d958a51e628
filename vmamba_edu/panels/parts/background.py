"""Long work behind a panel: one job after the other in a thread, with a bar, words, and a way to stop."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets


class Background:
    """A button that does jobs while the reader goes on, and a button that stops.

    Args:
        label: of the button.
        jobs: called when it is pressed: what there is to do now.
        work: does one job, in the thread; may raise.
        done: is given each result, in the thread.
        describe: a job in a few words.
        at_once: whether `work` ends by raising as soon as `stopped` is set; otherwise the job that runs is finished.

    `stopped` is an event that is set when the reader wants no more.
    `widget` is to be put into a panel; `words` says what goes on, also to screen readers.
    """

    def __init__(
        self,
        label: str,
        jobs: Callable[[], Sequence[Any]],
        work: Callable[[Any], Any],
        done: Callable[[Any], None],
        describe: Callable[[Any], str],
        at_once: bool = False,
    ) -> None:
        self.at_once = at_once
        self.jobs, self.work, self.done, self.describe = jobs, work, done, describe
        self.stopped = threading.Event()
        self.running, self.turn = False, threading.Lock()
        self.thread: threading.Thread | None = None
        wide = {"width": "auto"}  # as wide as its words
        self.start = ipywidgets.Button(description=label, button_style="primary", layout=wide).add_class("vmamba-start")
        self.cancel = ipywidgets.Button(description="Stop", disabled=True).add_class("vmamba-stop")
        self.bar = ipywidgets.IntProgress(0, 0, 1, layout={"width": "12em"})
        self.words = ipywidgets.HTML().add_class("vmamba-progress")
        self.start.on_click(lambda _: self.begin())
        self.cancel.on_click(lambda _: self.stop())
        self.widget = ipywidgets.HBox([self.start, self.cancel, self.bar, self.words], layout={"flex_flow": "row wrap"})

    def begin(self) -> None:
        """Start; nothing where there is nothing to do, or where it runs."""
        if self.thread is not None and self.thread.is_alive():
            return
        jobs = list(self.jobs())
        if not jobs:
            self.say("There is nothing (more) to measure for this choice.")
            return
        self.stopped.clear()
        self.running = True
        self.start.disabled, self.cancel.disabled = True, False
        self.bar.value, self.bar.max = 0, len(jobs)
        self.thread = threading.Thread(target=self._run, args=(jobs,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Begin no further job, and end the one that runs where that can be done; nothing where all is done."""
        with self.turn:  # a press that comes as the last job ends must not have the last word
            if self.running:
                self.cancel.disabled = True
                self.say("Stopping …" if self.at_once else "Stopping after the one that runs …")
                self.stopped.set()

    def say(self, words: str) -> None:
        self.words.value = f'<span role="status" aria-live="polite">{words}</span>'

    def _run(self, jobs: Sequence[Any]) -> None:
        failed, done = [], 0
        for number, job in enumerate(jobs):
            if self.stopped.is_set():
                break
            self.say(f"{number + 1} of {len(jobs)}: {self.describe(job)} …")
            try:
                self.done(self.work(job))
            except Exception as error:  # whatever it is, the reader is told and the panel goes on
                if self.at_once and self.stopped.is_set():
                    break
                failed.append(f"{self.describe(job)}: {error}")
            self.bar.value = done = number + 1
        with self.turn:
            self.running = False
            self.say(" ".join(["Done." if done == len(jobs) else "Stopped.", *failed]))
            self.start.disabled, self.cancel.disabled = False, True
