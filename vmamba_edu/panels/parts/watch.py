"""One long piece of work behind a panel that says itself how far it is, and at the end what came of it."""

import html
from collections.abc import Callable, Sequence
from typing import Any

from vmamba_edu.panels.parts.background import Background


class Watch(Background):
    """A `Background` of one job, whose bar and words are the job's own.

    Args:
        label: of the button.
        begin: called when it is pressed, before the thread begins; raises a ValueError where there is nothing to do.
        work: the job, in the thread; returns what is to be said at its end, or raises. It ends soon once `stopped` is
            set.
    """

    def __init__(self, label: str, begin: Callable[[], Any], work: Callable[[Any], str]) -> None:
        super().__init__(label, jobs=lambda: [begin()], work=work, done=lambda _: None, describe=str, at_once=True)

    @property
    def is_running(self) -> bool:
        return self.thread is not None and self.thread.is_alive()

    def begin(self) -> None:
        """Start; where that cannot be, say why."""
        try:
            super().begin()
        except ValueError as error:
            self.say(html.escape(str(error)))

    def end(self) -> None:
        """Stop, and wait until it has."""
        self.stop()
        if self.thread is not None:
            self.thread.join()

    def _run(self, jobs: Sequence[Any]) -> None:
        try:
            said = self.work(jobs[0])
        except Exception as error:  # whatever it is, the reader is told and the panel goes on
            said = f"It could not go on: {error}"
        with self.turn:
            self.running = False
            self.say(html.escape(said))
            self.start.disabled, self.cancel.disabled = False, True
