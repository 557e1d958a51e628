"""The curves of a training run: what was logged, the same smoothed, and how fast it goes. No widget is needed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from vmamba_edu.panels.computed.arguments import came, one_of
from vmamba_edu.panels.computed.run_logs import Plan
from vmamba_edu.training.logs import Row

AXES = ("linear", "log")
SMOOTHINGS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98)
ALWAYS = ("loss", "learning_rate", "gradient_norm")
ENDS = {"": "", "finished": " and has finished", "early stop": " and has stopped early"}
PACED_S = 30.0
"""Seconds that count for how fast a run goes."""
MOST_POINTS = 600
"""Of a curve that is drawn."""

Mark = tuple[int, float]


class Curve(NamedTuple):
    """Numbers by step, one array each."""

    x: np.ndarray
    y: np.ndarray


@dataclass(frozen=True)
class State:
    """What is shown of which rows.

    Args:
        show: which of the numbers in the log.
        axis: "linear" or "log".
        smoothing: how much of the mean so far each point keeps, at least 0 and below 1: about the last
            1 / (1 − smoothing) steps count.
        training, validation: rows, see `vmamba_edu.training.logs`.
        folder: of the run, for words.
        plan: how long the run is to be; None where it is not known.
        marks: which step was reached when, in seconds, as somebody who watched saw it.
    """

    show: str = "loss"
    axis: str = "linear"
    smoothing: float = 0.9
    folder: str = ""
    training: tuple[Row, ...] = field(default=(), repr=False, compare=False)
    validation: tuple[Row, ...] = field(default=(), repr=False, compare=False)
    plan: Plan | None = field(default=None, repr=False, compare=False)
    marks: tuple[Mark, ...] = field(default=(), repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows.

    Attributes:
        names: the numbers that can be shown.
        raw, smoothed, validation: the chosen one; those that it lacks have no points.
        best: the place in `validation` of the best one, None unless it is what the run is judged by.
        rate, planned: the learning rate so far, and as it was planned to the end.
        norm: of the gradient before it is clipped, smoothed like the chosen one.
        step, epoch: reached so far.
        num_steps: of the whole run, 0 where it is not known.
        ended: "" while it may go on, "finished" or "early stop".
        steps_a_second, seconds_left: NaN where nobody watched for long enough.
    """

    names: tuple[str, ...]
    raw: Curve
    smoothed: Curve
    validation: Curve
    best: int | None
    rate: Curve
    planned: Curve
    norm: Curve
    step: int
    epoch: int
    num_steps: int
    ended: str
    steps_a_second: float
    seconds_left: float


def compute(state: State) -> View:
    """The curves of the rows.

    Raises:
        ValueError: what is to be shown is not in the log, or the axis or the smoothing cannot be, or a row is none.
    """
    _check(state)
    training, validation, plan = state.training, state.validation, state.plan
    names = names_in(training, validation, plan)
    one_of("show", state.show, names)
    raw, measured = curve_of(training, state.show), curve_of(validation, state.show)
    best = None
    if plan is not None and plan.monitor == state.show and len(measured.y):
        best = int(np.nanargmin(measured.y) if plan.mode == "min" else np.nanargmax(measured.y))
    step, epoch = (int(training[-1]["step"]), int(training[-1].get("epoch", 0))) if training else (0, 0)
    num_steps = 0 if plan is None else plan.num_steps
    planned = np.array(() if plan is None else plan.rates)
    ended = "finished" if 0 < num_steps <= step else ""
    if not ended and plan is not None and plan.has_stopped_early(validation):
        ended = "early stop"
    speed = steps_a_second(state.marks)
    left = (num_steps - step) / speed if num_steps and not ended and speed > 0 else math.nan
    return View(
        names=names,
        raw=raw,
        smoothed=Curve(raw.x, smoothed(raw.y, state.smoothing)),
        validation=measured,
        best=best,
        rate=curve_of(training, "learning_rate"),
        planned=Curve(np.arange(1, len(planned) + 1), planned),
        norm=_smooth(curve_of(training, "gradient_norm"), state.smoothing),
        step=step,
        epoch=epoch,
        num_steps=num_steps,
        ended=ended,
        steps_a_second=speed,
        seconds_left=left,
    )


def _check(state: State) -> None:
    one_of("axis", state.axis, AXES)
    smoothing = state.smoothing
    if isinstance(smoothing, bool) or not isinstance(smoothing, int | float) or not 0 <= smoothing < 1:
        raise ValueError(f"smoothing: expected a number of at least 0 and below 1, got {came(smoothing)}")
    for name in ("training", "validation"):
        for row in getattr(state, name):
            if not isinstance(row, dict) or "step" not in row:
                expected = "rows as vmamba_edu.training.logs.read_rows gives them, dicts with a 'step' and numbers"
                raise ValueError(f"{name}: expected {expected}, got {came(row)}")


def names_in(training: Sequence[Row], validation: Sequence[Row], plan: Plan | None = None) -> tuple[str, ...]:
    """The numbers that a log holds: what is learned first, how it is learned last."""
    found = [name for row in (*training[-1:], *validation[-1:]) for name in row if name not in ("step", "epoch")]
    if not found:
        found = [*ALWAYS, *([] if plan is None else [plan.monitor])]
    return tuple(sorted(dict.fromkeys(found), key=lambda name: (name in ALWAYS[1:], name != "loss")))


def curve_of(rows: Sequence[Row], name: str) -> Curve:
    """One number of all rows that have it."""
    having = [row for row in rows if name in row]
    return Curve(np.array([row["step"] for row in having]), np.array([row[name] for row in having], dtype=float))


def smoothed(values: np.ndarray, keep: float) -> np.ndarray:
    """The weighted mean of each value and those before it, k steps back with weight keep^k."""
    found = np.empty(len(values))
    total = weight = 0.0
    for at, value in enumerate(values):
        total, weight = keep * total + value, keep * weight + 1
        found[at] = total / weight
    return found


def _smooth(curve: Curve, keep: float) -> Curve:
    return Curve(curve.x, smoothed(curve.y, keep))


def thinned(curve: Curve, most: int = MOST_POINTS) -> Curve:
    """A curve of at most so many points: of each stretch the least and the greatest value, so that no peak is lost."""
    if len(curve.x) <= most:
        return curve
    kept: list[int] = [0, len(curve.x) - 1]
    for part in np.array_split(np.arange(len(curve.x)), max(1, most // 2 - 1)):
        kept += [int(part[curve.y[part].argmin()]), int(part[curve.y[part].argmax()])]
    places = np.unique(kept)
    return Curve(curve.x[places], curve.y[places])


def steps_a_second(marks: Sequence[Mark]) -> float:
    """How fast the run went while somebody watched, over the last half minute; NaN where that cannot be said."""
    if not marks:
        return math.nan
    recent = [mark for mark in marks if marks[-1][1] - mark[1] <= PACED_S]
    (first, start), (last, end) = recent[0], recent[-1]
    return (last - first) / (end - start) if last > first and end > start else math.nan


def reached(view: View) -> str:
    """How far the run is: "step 120 of 480, epoch 2"."""
    whole = f" of {view.num_steps}" if view.num_steps else ""
    return f"step {view.step}{whole}" + (f", epoch {view.epoch}" if view.epoch else "")


def pace(view: View) -> str:
    """How fast it goes, and how long it will take; nothing where that is not known."""
    if not view.steps_a_second > 0:
        return ""
    left = f", about {duration(view.seconds_left)} left" if view.seconds_left > 0 else ""
    return f"{view.steps_a_second:.3g} steps a second{left}."


def in_words(state: State, view: View) -> str:
    """What the curves show."""
    run = f"The run in {state.folder}" if state.folder else "The run"
    if not view.step:
        steps = f" It is to take {view.num_steps} steps" if view.num_steps else ""
        rate = f", with a learning rate of at most {view.planned.y.max():.3g}" if len(view.planned.y) else ""
        return f"{run} is at step 0: no {spelt(state.show)} has been logged yet.{steps}{rate}{'.' if steps else ''}"
    told = [f"{run} is at {reached(view)}{ENDS[view.ended]}.", *_chosen(state, view)]
    if len(view.rate.y) and len(view.norm.y):
        told.append(f"Learning rate {view.rate.y[-1]:.3g}, gradient norm about {view.norm.y[-1]:.3g}.")
    return " ".join(filter(None, [*told, pace(view)]))


def _chosen(state: State, view: View) -> list[str]:
    """What is said of the number that is shown."""
    name, told = spelt(state.show), []
    if len(view.raw.y):
        first, last = view.raw.y[[0, -1]]
        mean = f" ({view.smoothed.y[-1]:.3g} smoothed)" if state.smoothing else ""
        told.append(f"Its {name} was {first:.3g} in the first step and is {last:.3g} now{mean}.")
    if len(view.validation.y):
        told.append(f"Validated, the {name} is {view.validation.y[-1]:.3g} after step {view.validation.x[-1]}")
        if view.best is not None:
            told[-1] += f"; best was {view.validation.y[view.best]:.3g} after step {view.validation.x[view.best]}"
        told[-1] += "."
    return told


def spelt(name: str) -> str:
    """A number's name in words."""
    return name.replace("_", " ")


def duration(seconds: float) -> str:
    """A time in words: "12 s", "3 minutes", "2.5 hours"."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
