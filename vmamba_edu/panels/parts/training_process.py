"""A training by a recipe in a process of its own, which a panel starts, and which ends well when it is asked to.

The process is asked by a line on its input. It then ends the step, saves and is gone; so it does when its input ends,
because whoever started it is gone. Random streams of the notebook are not touched, its cells go on answering, and an
interrupt that is meant for one of them does not reach the training.
"""

import io
import json
import os
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

from vmamba_edu.analysis.fresh_process import where_packages_are
from vmamba_edu.recipes import Recipe
from vmamba_edu.recipes.recipe import as_plain
from vmamba_edu.training.checkpointing import LAST

CHILD = "from vmamba_edu.panels.parts.training_process import answer; answer()"


class TrainingProcess:
    """A run that begins now, or goes on where its folder's last checkpoint is.

    Args:
        recipe: what to train.
        folder: where to.
        device: to train on.
    """

    def __init__(self, recipe: Recipe, folder: Path, device: str = "auto") -> None:
        path = os.pathsep.join(where_packages_are())
        pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        self.child = subprocess.Popen(
            [sys.executable, "-c", CHILD],
            text=True,
            env={**os.environ, "PYTHONPATH": path},
            start_new_session=True,  # Jupyter interrupts whole groups of processes
            **pipes,
        )
        self.said: tuple[str, str] = ("", "")
        wanted = {"source": recipe.source, "tables": as_plain(recipe.tables), "folder": str(folder), "device": device}
        self._tell(json.dumps(wanted))
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    @property
    def is_running(self) -> bool:
        return self.child.poll() is None

    def stop(self) -> None:
        """Ask it to end after its step; it is not waited for."""
        self._tell("stop")

    def result(self) -> str:
        """Wait for its end, and say how it ended: "finished", "early stop" or "interrupted".

        Raises:
            RuntimeError: it could not train; the message says why.
        """
        self.reader.join()
        self.child.wait()
        assert self.child.stdin is not None
        with suppress(BrokenPipeError):  # of what it was still to be told
            self.child.stdin.close()
        said, complained = self.said
        answer = json.loads(said.splitlines()[-1]) if said.strip() else {}
        if "ended" in answer:
            return answer["ended"]
        last = (complained.strip().splitlines() or [f"it ended with {self.child.returncode}: out of memory?"])[-1]
        raise RuntimeError(answer.get("failed", last))

    def _tell(self, line: str) -> None:
        assert self.child.stdin is not None
        with suppress(BrokenPipeError):  # it has ended by itself
            self.child.stdin.write(f"{line}\n")
            self.child.stdin.flush()

    def _read(self) -> None:
        """Both streams to their ends: a pipe that nobody empties would make the process wait."""
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        complained: list[str] = []
        beside = threading.Thread(target=lambda: complained.extend(self.child.stderr or ()), daemon=True)
        beside.start()
        said = self.child.stdout.read()
        beside.join()
        self.child.stdout.close()
        self.child.stderr.close()
        self.said = said, "".join(complained[-20:])


def answer() -> None:
    """What the process does: read what is wanted, train, and write how it ended."""
    from vmamba_edu.recipes import train_recipe

    asked = io.FileIO(sys.stdin.fileno(), closefd=False)  # no buffer: a thread that waits for one may not end with us
    wanted = json.loads(asked.readline())
    stop = threading.Event()
    threading.Thread(target=_listen, args=(asked, stop), daemon=True).start()
    folder, recipe = Path(wanted["folder"]), Recipe(wanted["source"], wanted["tables"])
    try:
        resume = (folder / LAST).exists()
        history = train_recipe(recipe, folder, resume=resume, device=wanted["device"], progress=False, stop=stop)
        told = {"ended": history.ended}
    except Exception as error:  # whatever it is, the reader of the panel is told in one line
        told = {"failed": " ".join(str(error).split()) or type(error).__name__}
    sys.stdout.write(f"\n{json.dumps(told)}\n")
    sys.stdout.flush()


def _listen(asked: io.FileIO, stop: threading.Event) -> None:
    asked.read(1)  # of "stop", or nothing: the other end is gone
    stop.set()
