"""The training monitor: the curves of a run while it goes on, here or elsewhere, and a button that stops it."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import ipywidgets
import plotly.graph_objects as go
from matplotlib.figure import Figure

from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.base import in_words as read_aloud
from vmamba_edu.panels.computed.run_logs import (
    Log,
    free_beside,
    is_fresh,
    latest_of,
    plan_of,
    read_log,
    small_recipe,
    written_in,
)
from vmamba_edu.panels.computed.training_curves import (
    AXES,
    SMOOTHINGS,
    State,
    View,
    compute,
    duration,
    in_words,
    names_in,
    pace,
    reached,
    spelt,
)
from vmamba_edu.panels.parts import training_drawing
from vmamba_edu.panels.parts.training_process import TrainingProcess
from vmamba_edu.panels.parts.watch import Watch
from vmamba_edu.recipes import Recipe
from vmamba_edu.training.checkpointing import LAST

__all__ = ["State", "TrainingMonitor", "View", "compute"]

PAUSE_S = 1.0
"""Between two looks at a log; more where reading it takes long."""
TOLD_S = 5.0
"""Between two announcements of how far a run is."""
GIVES_UP_S = 120.0
"""Without a new line in its log, a run in another process is taken to have been stopped."""


class TrainingMonitor(Panel[State, View]):
    """A training run: loss, what was validated, learning rate and gradient, how fast it goes and how long it takes.

    Args:
        folder: of a run, to follow it, wherever it runs; or, together with a recipe, where to train. What was trained
            there before is gone on with.
        recipe: what Start trains; a small one, half a minute on moving digits, if neither is given.
        show, axis, smoothing: see `State`.
        device: to train on.

    Raises:
        ValueError: the folder is none of a run, the recipe cannot be followed, or the log has no such number.

    Start trains in a process of its own, with a log and checkpoints in `folder`, or in runs/ where none is given. Stop
    ends it after its step with a checkpoint, and Start goes on from there, as if it had never stopped. Closing the
    panel stops nothing; where the notebook's kernel ends, the run ends as if stopped. A run in one's own cell can be
    seen there too: `vmamba_edu.training.LiveCurve`.
    """

    State = State
    compute = staticmethod(compute)
    name = "training-monitor"
    plays = "show"
    view: View
    is_watched = False
    refused = ""

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        recipe: Recipe | None = None,
        *,
        show: str = "loss",
        axis: str = "linear",
        smoothing: float = 0.9,
        device: str = "auto",
    ) -> None:
        self.given, self.device, self.lock = recipe is not None, device, threading.RLock()
        self.recipe = small_recipe() if recipe is None and folder is None else recipe
        self.plan = plan_of(self.recipe) if self.recipe else None
        self.mine: str | None = None
        if folder is None:
            name = Path(recipe.source).stem if recipe else "training_monitor"
            folder = latest_of(Path("runs") / name)
        self.told = 0.0
        state = State(show, axis, smoothing, os.fspath(folder))
        super().__init__(replace(state, **self._read(state.folder).fields))
        self._progress()
        if not self.recipe:
            self._follow_on()

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        choices: dict[str, tuple[str, list[tuple[str, Any]]]] = {
            "show": ("show", named(self.view.names)),
            "axis": ("axis", [(name, name) for name in AXES]),
        }
        controls = self.lists(choices, "17em")
        offered = sorted({*SMOOTHINGS, self.state.smoothing})
        controls["smoothing"] = ipywidgets.SelectionSlider(
            options=[(f"{1 / (1 - keep):.3g} steps" if keep else "none", keep) for keep in offered],
            value=self.state.smoothing,
            description="smoothed",
            layout={"width": "22em"},
        )
        controls["folder"] = ipywidgets.Text(
            self.state.folder, description="run", placeholder="folder of a run, then Enter", continuous_update=False
        )
        return controls

    def arrange(self) -> ipywidgets.Box:
        self.watch = Watch("Start", self._begin, self._watched(self._train)) if self.recipe else self._follower()
        row = ipywidgets.HBox([*self.controls.values(), self.copy], layout={"flex_flow": "row wrap"})
        self.running = ipywidgets.HBox([self.watch.widget])
        return ipywidgets.VBox([row, self.running, self.canvas, self.caption])

    def figure(self) -> go.Figure:
        return training_drawing.draw(self.state, self.view)

    def redraw(self, canvas: go.FigureWidget) -> None:
        for trace, changed in zip(canvas.data, training_drawing.traces(self.state, self.view), strict=True):
            trace.update(changed)
        training_drawing.set_axes(canvas, self.state, self.view)

    def picture(self) -> Figure:
        return training_drawing.print_(self.state, self.view)

    def sentence(self) -> str:
        words = in_words(self.state, self.view)
        return f"{words} Start trains {self.recipe.source}." if self.recipe and not self.view.step else words

    def html_sentence(self) -> str:
        """As every panel's, but not read aloud again every second while a run goes on; `watch` then says how far.

        A reader whose wish could not be followed finds the reason before it, until the next wish.
        """
        text = read_aloud(f"{self.refused} {self.sentence()}".strip())
        return text.replace('"polite"', '"off"') if self.is_watched else text

    def code(self) -> str:
        state = self.state
        words = ", ".join(f"{name}={getattr(state, name)!r}" for name in ("show", "axis", "smoothing"))
        what = f"{state.folder!r}, " if state.folder and (self.view.step or not self.recipe) else ""
        what += "recipe=recipe, " if self.given and self.recipe else ""
        return f"from vmamba_edu import panels\n\npanels.training_monitor({what}{words})"

    def show(self, **changes: Any) -> None:
        """As every panel; another folder is read and, where its run goes on, followed.

        Raises:
            ValueError: as for the constructor, or a training goes on in the folder that would be left; the view stays.
        """
        self.refused = ""
        folder = changes.get("folder", self.state.folder).strip()
        if folder == self.state.folder:
            self._refresh(**changes)
        else:
            self._move_to(folder, changes)

    def _refresh(self, **changes: Any) -> None:
        with self.lock:  # a thread that looks at the log calls this too
            super().show(**changes)
            self._offer()
            self._progress()

    def _move_to(self, folder: str, changes: dict[str, Any]) -> None:
        """Leave the run that is shown for another one, which is followed."""
        if self.watch.is_running and self.recipe:
            raise ValueError(f"folder: a training goes on in {self.state.folder}; press Stop before you leave it")
        log = read_log(Path(folder))
        names, wanted = names_in(log.training, log.validation, log.plan), changes.get("show", self.state.show)
        changes |= log.fields | {"folder": folder, "marks": (), "show": wanted if wanted in names else names[0]}
        compute(replace(self.state, **changes))  # what cannot be is known before anything is left
        self.watch.end()
        self.recipe, self.watch = None, self._follower()
        self.running.children = [self.watch.widget]
        self._refresh(**changes)
        self._follow_on()

    def _offer(self) -> None:
        """Let the list have the numbers of the log: its first rows bring names that nobody knew."""
        control = self.controls["show"]
        with self.moving_controls():
            if [name for _, name in control.options] != list(self.view.names):
                control.options = named(self.view.names)
            control.value, self.controls["folder"].value = self.state.show, self.state.folder

    def _refuse(self, error: ValueError) -> str:
        self.refused = super()._refuse(error)
        return self.refused

    def _progress(self) -> None:
        bar, view = self.watch.bar, self.view
        bar.max = max(view.num_steps, view.step, 1)
        bar.value = view.step

    def _read(self, folder: str) -> Log:
        """What is in a folder now."""
        if self.recipe and not (Path(folder) / LAST).exists():  # nothing has been trained there yet
            return Log(plan=self.plan)
        return read_log(Path(folder), self.state.plan if hasattr(self, "state") else None)

    def _look(self) -> float:
        """Read the log, and show it if it has grown; returns how many seconds that took."""
        start = time.monotonic()
        log = self._read(self.state.folder)
        if any(_end(log.fields[name]) != _end(getattr(self.state, name)) for name in ("training", "validation")):
            step = int(log.training[-1]["step"]) if log.training else 0
            self._refresh(**log.fields, marks=(*self.state.marks[-200:], (step, start)))
        if start - self.told > TOLD_S and not self.watch.stopped.is_set():
            self.told = start
            self.watch.say(" ".join(filter(None, [f"At {reached(self.view)}.", pace(self.view)])))
        return time.monotonic() - start

    def _pause(self, taken: float) -> None:
        if self.watch.stopped.is_set():  # the last step is being done
            time.sleep(min(PAUSE_S, 0.1))
        else:
            self.watch.stopped.wait(max(PAUSE_S, 10 * taken))

    def _begin(self) -> str:
        """The folder to train in: a run that has ended stays as it is, and another one begins beside it.

        Raises:
            ValueError: somebody else trains there now.
        """
        folder, changes = self.state.folder, {}
        if self.view.ended:
            names, show = names_in((), (), self.plan), self.state.show
            folder, changes = str(free_beside(Path(folder))), Log(plan=self.plan).fields
            changes |= {"show": show if show in names else names[0]}
        if folder != self.mine and is_fresh(Path(folder)):
            look_on = f"panels.training_monitor({folder!r})"
            raise ValueError(f"Somebody wrote to {folder} a moment ago: look on with {look_on}, or start a bit later.")
        self._refresh(folder=folder, marks=(), **changes)
        self.told = 0.0
        return folder

    def _train(self, folder: str) -> str:
        """Train, and draw what comes; in a thread. Returns what is to be said at the end."""
        assert self.recipe is not None
        self.watch.say("Starting …")
        process, self.mine, is_asked = TrainingProcess(self.recipe, Path(folder), self.device), folder, False
        try:
            while process.is_running:
                if self.watch.stopped.is_set() and not is_asked:
                    process.stop()
                    is_asked = True
                self._pause(self._look())
        finally:
            process.stop()  # nothing, where it has ended
        ended = process.result()
        self._look()
        step = self.view.step
        return {
            "finished": f"Finished: {step} steps. Checkpoints and logs are in {folder}.",
            "early stop": f"Stopped early at step {step}: validation had not become better for a while.",
            "interrupted": f"Stopped after step {step}, saved in {folder}. Start goes on.",
        }[ended]

    def _follower(self) -> Watch:
        return Watch("Follow", lambda: self.state.folder, self._watched(self._follow))

    def _watched(self, work: Callable[[str], str]) -> Callable[[str], str]:
        """Work during which the sentence changes all the time; at its end it is read aloud, and there is no pace."""

        def run(folder: str) -> str:
            self.is_watched = True
            try:
                return work(folder)
            finally:
                self.is_watched = False
                self._refresh(marks=())

        return run

    def _follow_on(self) -> None:
        """Say how a run stands that somebody else started, and follow it where it goes on."""
        folder = Path(self.state.folder)
        ago = f"Its last line was written {duration(time.time() - written_in(folder))} ago. Follow looks for new ones."
        self.watch.say(f"This run has ended: {self.view.ended}." if self.view.ended else ago)
        if is_fresh(folder) and not self.view.ended:
            self.watch.begin()

    def _follow(self, folder: str) -> str:
        """Draw what another process logs; in a thread. Returns what is to be said at the end."""
        began = time.time()
        while not self.watch.stopped.is_set():
            taken = self._look()
            if self.view.ended:
                return f"This run has ended: {self.view.ended}."
            if time.time() - max(began, written_in(Path(folder))) > GIVES_UP_S:
                return f"No new line for {duration(GIVES_UP_S)}: the run was stopped, it seems. Follow looks again."
            self._pause(taken)
        return "Not followed any more; the run itself goes on."


def named(names: Sequence[str]) -> list[tuple[str, str]]:
    """Numbers of a log as a list offers them."""
    return [(spelt(name), name) for name in names]


def _end(rows: Sequence[Any]) -> tuple[int, Any]:
    return len(rows), rows[-1] if rows else None
