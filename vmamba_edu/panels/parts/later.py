"""Changes that take long, put off until the reader has stopped turning the knob, and then made in a thread."""

import contextlib
import threading
from collections.abc import Callable, Mapping
from typing import Any

STILL_S = 0.2
"""How long no other change must come. Keys that are held down come faster."""


class Later:
    """The last of several changes: who runs through the values of a knob waits for one of them, not for all.

    Args:
        prepare: the long part, in the thread; what it raises, `make` will meet again.
        make: makes the changes, in the thread, unless others have come meanwhile.

    `changes` is what is still to be made, empty most of the time.
    """

    def __init__(self, prepare: Callable[[Mapping[str, Any]], Any], make: Callable[[Mapping[str, Any]], Any]) -> None:
        self.prepare, self.make = prepare, make
        self.changes: Mapping[str, Any] = {}
        self.timer: threading.Timer | None = None
        self.turn = threading.Lock()

    def ask(self, changes: Mapping[str, Any]) -> None:
        """Make these changes in a while, and none that were asked for before."""
        self.drop()
        self.changes = dict(changes)
        self.timer = threading.Timer(STILL_S, self._run, [self.changes])
        self.timer.daemon = True
        self.timer.start()

    def drop(self) -> None:
        """Make none."""
        if self.timer is not None:
            self.timer.cancel()
        self.changes = {}

    def wait(self) -> None:
        """Return when what was asked for is done."""
        if self.timer is not None:
            self.timer.join()

    def _run(self, changes: Mapping[str, Any]) -> None:
        with self.turn:  # two long things side by side would both take longer
            if changes is self.changes:
                with contextlib.suppress(Exception):
                    self.prepare(changes)
        if changes is self.changes:
            self.changes = {}
            self.make(changes)
