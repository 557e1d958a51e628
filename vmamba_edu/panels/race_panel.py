"""Engine race: one scan by every engine. Do they agree, how long does each take, and how much memory?"""

from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from vmamba_edu.analysis.engine_runs import STRIP, Job, Run, run
from vmamba_edu.palette import BLUE, INK, MARK, PURPLE, SEQUENTIAL, VERMILLION
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.kernel_traffic import amount
from vmamba_edu.panels.computed.race_results import DIMS, ENGINES, LENGTHS, STATES, Lane, State, View, compute, to_run
from vmamba_edu.panels.parts.background import Background

__all__ = ["EngineRace", "State", "View", "compute"]

LOOK = {"reference": (MARK, "."), "associative": (VERMILLION, "/"), "numba": (BLUE, ""), "triton": (PURPLE, "x")}
LIMIT_S = 90
"""Seconds after which a run is ended."""
LEAST, MOST = 1e-9, 1e-3
"""The ends of the colour scale of errors; exact agreement is drawn as the least."""


class EngineRace(Panel[State, View]):
    """The scan by each engine: its errors along the sequence, its time and its peak memory.

    Args:
        dim, length, state, training: see `State`.
        runs: what was run before, by `engine_runs.run` or by this panel (`panel.state.runs`).
        run: does one run; `engine_runs.run` if not given.

    Raises:
        ValueError: one of the sizes is none of those that can be chosen.

    One press runs what has not been run yet: each engine in a process of its own, in the background. Triton is
    interpreted where there is no GPU, and labelled so; its time then says nothing about a GPU. Stop ends the
    process that runs. Errors are those of y in float32 against the reference engine in float64. Peaks below a few MiB
    are noise of the process.
    """

    State = State
    compute = staticmethod(compute)
    name = "engine-race"
    plays = "length"
    view: View

    def __init__(
        self,
        *,
        dim: int = 64,
        length: int = 256,
        state: int = 16,
        training: bool = False,
        runs: tuple[Run, ...] = (),
        run: Callable[..., Run] = run,
    ) -> None:
        self.run = run
        super().__init__(State(dim, length, state, training, tuple(runs)))

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        passes = [("forward", False), ("forward and backward", True)]
        choices: dict[str, tuple[str, list[tuple[str, Any]]]] = {
            "dim": ("channels", [(str(one), one) for one in DIMS]),
            "state": ("states", [(str(one), one) for one in STATES]),
            "training": ("pass", passes),
        }
        controls = self.lists(choices, "16em")
        controls["length"] = ipywidgets.SelectionSlider(
            options=LENGTHS, value=self.state.length, description="tokens", layout={"width": "100%"}
        )
        return controls

    def arrange(self) -> ipywidgets.Box:
        self.background = Background(
            "Race",
            jobs=lambda: to_run(self.state),
            work=lambda job: self.run(job, timeout=LIMIT_S, stopped=self.background.stopped),
            done=lambda one: self.show(runs=(*self.state.runs, one)),
            describe=_called,
            at_once=True,
        )
        chosen = [control for name, control in self.controls.items() if name != "length"]
        row = ipywidgets.HBox([*chosen, self.copy], layout={"flex_flow": "row wrap"})
        return ipywidgets.VBox([row, self.controls["length"], self.background.widget, self.canvas, self.caption])

    def figure(self) -> go.Figure:
        titles = ("error along the sequence", "time, ms", "peak memory, MiB")
        figure = make_subplots(
            rows=1, cols=3, horizontal_spacing=0.06, subplot_titles=titles, shared_yaxes=True, column_widths=[2, 1, 1]
        )
        for column, trace in self._traces():
            figure.add_trace((go.Heatmap if column == 1 else go.Bar)(**trace), row=1, col=column)
        figure.update_xaxes(title="token", range=[0, self.state.length], showgrid=False, row=1, col=1)
        log = {"type": "log", "gridcolor": "#EEEEEE", "exponentformat": "power", "dtick": 2}
        figure.update_xaxes(range=[-2, 5], **log, row=1, col=2)
        figure.update_xaxes(range=[-2, 4], **log, row=1, col=3)
        figure.update_yaxes(autorange="reversed")
        narrow = {"l": 10, "r": 10, "t": 40, "b": 10}
        figure.update_layout(height=360, margin=narrow, plot_bgcolor="white", font={"color": INK}, showlegend=False)
        figure.update_annotations(font_size=14)
        here = {"x": 0.5, "y": 0.5, "xref": "x domain", "yref": "y domain", "showarrow": False}
        figure.add_annotation(text=self._invitation(), font={"size": 14, "color": MARK}, **here)
        return figure

    def redraw(self, canvas: go.FigureWidget) -> None:
        for trace, (_, changed) in zip(canvas.data, self._traces(), strict=True):
            trace.update(changed)
        canvas.layout.xaxis.range = [0, self.state.length]
        canvas.layout.annotations[-1].text = self._invitation()

    def _invitation(self) -> str:
        """What stands on the empty axes before anything has been run."""
        return "" if any(lane.seconds > 0 for lane in self.view.lanes.values()) else "not run yet: press Race"

    def _labels(self) -> list[str]:
        return [lane.label for lane in self.view.lanes.values()]

    def _traces(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """The strips as one heatmap, and a bar for each engine's time and memory."""
        lanes = self.view.lanes.values()
        bar = {"title": {"text": "error"}, "tickvals": [-9, -7, -5, -3], "thickness": 12, "x": 0.44}
        bar |= {"ticktext": ["10⁻⁹", "10⁻⁷", "10⁻⁵", "10⁻³"]}
        scale = {"colorscale": SEQUENTIAL, "zmin": np.log10(LEAST), "zmax": np.log10(MOST), "colorbar": bar}
        tokens = (np.arange(STRIP) + 0.5) * self.state.length / STRIP
        strips = [[None if np.isnan(one) else one for one in _stretched(lane.strip)] for lane in lanes]
        yield 1, {"x": tokens, "y": self._labels(), "z": strips, **scale, "hoverongaps": False}
        marker: dict[str, Any] = {"color": [LOOK[engine][0] for engine in ENGINES]}
        marker |= {"pattern": {"shape": [LOOK[engine][1] for engine in ENGINES]}}
        common = {"y": self._labels(), "orientation": "h", "marker": marker, "textposition": "outside"}
        seconds = [1e3 * lane.seconds for lane in lanes]
        yield 2, {**common, "x": _drawable(seconds), "text": [_short(one) for one in seconds]}
        memory = [lane.peak_bytes / 2**20 for lane in lanes]
        yield 3, {**common, "x": _drawable(memory), "text": [_short(one) for one in memory]}

    def picture(self) -> Figure:
        drawing = Figure(figsize=(10, 2.6), layout="constrained")
        strips, seconds, memory = drawing.subplots(1, 3, width_ratios=[2, 1, 1])
        lanes, labels = self.view.lanes.values(), self._labels()
        table = np.ma.masked_invalid(np.stack([_stretched(lane.strip) for lane in lanes]))
        limits = {"vmin": np.log10(LEAST), "vmax": np.log10(MOST)}
        extent = (0, self.state.length, len(labels) - 0.5, -0.5)
        picture = strips.imshow(table, aspect="auto", cmap=SEQUENTIAL, extent=extent, **limits)
        drawing.colorbar(picture, ax=strips, label="log₁₀ error")
        strips.set_yticks(range(len(labels)), labels)
        strips.set(xlabel="token")
        for axes, values, words in (
            (seconds, [1e3 * lane.seconds for lane in lanes], "time, ms"),
            (memory, [lane.peak_bytes / 2**20 for lane in lanes], "peak memory, MiB"),
        ):
            axes.barh(range(len(labels)), np.nan_to_num(values, nan=0.0), color=[LOOK[engine][0] for engine in ENGINES])
            axes.set(xlabel=words, ylim=(3.5, -0.5), yticks=[])
            if np.nansum(values) > 0:
                axes.set_xscale("log")
        return drawing

    def sentence(self) -> str:
        state, view = self.state, self.view
        kind = "forward and backward" if state.training else "forward"
        size = f"{state.dim} channels with {state.state} states over {state.length} tokens"
        start = f"A scan of {size}, {kind}, in float32."
        told = " ".join(_told(lane) for lane in view.lanes.values() if lane.seconds > 0)
        refused = " ".join(f"{lane.label} is not run: {lane.refused}." for lane in view.lanes.values() if lane.refused)
        if not told:
            return " ".join(filter(None, [start, "Nothing has been run yet: press Race.", refused]))
        agreement = (
            f"{' and '.join(view.disagree)} {'do' if len(view.disagree) > 1 else 'does'} not agree with the truth."
            if view.disagree
            else "All that ran agree."
        )
        return " ".join(filter(None, [start, told, agreement, self._parallel(), refused]))

    def _parallel(self) -> str:
        """The plain words for what the parallel scan costs, or gains, on this machine."""
        tree, loop = self.view.lanes["associative"], self.view.lanes["reference"]
        own = self.view.lanes["numba"]
        if not (tree.seconds > 0 and loop.seconds > 0):
            return ""
        ratio = tree.seconds / loop.seconds
        words = f"beats the plain loop here, {1 / ratio:.2g} times as fast"
        if ratio > 1:
            words = f"loses to the plain loop here: it takes {ratio:.2g} times as long"
        compiled = f", {tree.seconds / own.seconds:.3g} times as long as the compiled loop" if own.seconds > 0 else ""
        return f"The parallel scan (associative) {words}{compiled if ratio > 1 else ''}."

    def code(self) -> str:
        chosen = {name: getattr(self.state, name) for name in ("dim", "length", "state", "training")}
        words = ", ".join(f"{name}={value!r}" for name, value in chosen.items())
        if not self.state.runs:
            return f"from vmamba_edu import panels\n\npanels.engine_race({words})"
        head = "from vmamba_edu import panels\nfrom vmamba_edu.analysis.engine_runs import Job, Run\n"
        head += "from vmamba_edu.analysis.scan_work import Shape\n\n"
        runs = "".join(f"    {one!r},\n" for one in self.state.runs)
        return f"{head}runs = (\n{runs})\npanels.engine_race({words}, runs=runs)"


def _called(job: Job) -> str:
    return f"{job.engine}, {job.shape.length} tokens"


def _told(lane: Lane) -> str:
    error = lane.strip.max(initial=0.0)
    memory = amount(lane.peak_bytes) if lane.peak_bytes >= 2**20 else "less than 1 MiB"
    return f"{lane.label}: {_short(1e3 * lane.seconds)} ms, {memory}, error {error:.0e}."


def _short(number: float) -> str:
    return "" if np.isnan(number) else f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _drawable(values: list[float]) -> list[float | None]:
    """None where there is nothing; on a log axis nothing is drawn of 0."""
    return [None if np.isnan(one) else max(one, 0.01) for one in values]


def _stretched(strip: np.ndarray) -> np.ndarray:
    """The logarithms of a strip's errors, for STRIP pieces; NaN where there is none."""
    if not len(strip):
        return np.full(STRIP, np.nan)
    return np.log10(np.maximum(strip, LEAST))[np.arange(STRIP) * len(strip) // STRIP]
