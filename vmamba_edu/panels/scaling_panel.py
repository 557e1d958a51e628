"""Memory scaling: what longer clips cost a scan and an attention; predicted at once, measured here at a press."""

import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
import torch
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from vmamba_edu.analysis import Observed, measure
from vmamba_edu.palette import BLUE, GREEN, INK, MARK, PURPLE, VERMILLION
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.machine_memory import free_memory, gigabytes
from vmamba_edu.panels.computed.scaling_curves import (
    ATTENTIONS,
    BYTES,
    FRAMES,
    SCANS,
    SIZES,
    State,
    View,
    compute,
    job_of,
    refusal,
    to_measure,
)
from vmamba_edu.panels.parts.background import Background

__all__ = ["MemoryScaling", "State", "View", "compute"]

LOOK = {"scan": (BLUE, "solid", "circle"), "fused": (VERMILLION, "dash", "square"), "explicit": (PURPLE, "dot", "x")}
LIMIT_S = 60
"""Seconds after which a measurement is ended."""


class MemoryScaling(Panel[State, View]):
    """Memory, operations and time of a scan and an attention model over the length of a clip, on log axes.

    Args:
        scan, attention, size, frames, precision, training: see `State`.
        measured: what was measured before, by `analysis.measure` or by this panel (`panel.state.measured`).
        measure: does one measurement; `analysis.measure` if not given. It is told by an event, `stopped`, when to end.
        rate: operations a second of a matrix product in float32; taken here, in a moment, if not given.

    Raises:
        ValueError: one of them is none of those that can be chosen.

    Lines are predictions. One press measures what is predicted to fit: each shape in a process of its own, in the
    background, in float32, and for no longer than a minute. A prediction above 60 % of the free memory is not tried.
    Stop ends the process that runs. Time is predicted from the operations: at the speed of a matrix product, which no
    model reaches, until something was measured; then at the speed that was seen.
    Below a few MiB the bookkeeping of a process is larger than the activations, and it is measured too. Attention is
    measured as torch computes it, fused: its curve with the weights written down is a prediction alone.
    """

    State = State
    compute = staticmethod(compute)
    name = "memory-scaling"
    claims = ("S5", "V5")
    view: View

    def __init__(
        self,
        *,
        scan: str = "videomamba_tiny",
        attention: str = "joint",
        size: int = 224,
        frames: int = 16,
        precision: str = "float32",
        training: bool = False,
        measured: tuple[Observed, ...] = (),
        measure: Callable[..., Observed] = measure,
        rate: float | None = None,
    ) -> None:
        self.measure = measure
        chosen = (scan, attention, size, frames, precision, training)
        super().__init__(State(*chosen, free_memory(), tuple(measured), product_rate() if rate is None else rate))

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        passes = [("forward", False), ("forward and backward", True)]
        controls = self.lists(
            {
                "scan": ("scan", [(name, name) for name in SCANS]),
                "attention": ("attention", [(name, name) for name in ATTENTIONS]),
                "size": ("size", [(f"{size} × {size} pixels", size) for size in SIZES]),
                "precision": ("precision", [(name, name) for name in BYTES]),
                "training": ("pass", passes),
            }
        )
        controls["frames"] = ipywidgets.SelectionSlider(
            options=FRAMES, value=self.state.frames, description="frames", layout={"width": "100%"}
        )
        return controls

    def arrange(self) -> ipywidgets.Box:
        self.background = Background(
            "Measure here",
            jobs=lambda: to_measure(self.state),
            work=lambda job: self.measure(**job, repeats=1, timeout=LIMIT_S, stopped=self.background.stopped),
            done=lambda one: self.show(measured=(*self.state.measured, one)),
            describe=lambda job: f"{_called(job)}, {job['num_frames']} frames",
            at_once=True,
        )
        chosen = [control for name, control in self.controls.items() if name != "frames"]
        row = ipywidgets.HBox([*chosen, self.copy], layout={"flex_flow": "row wrap"})
        return ipywidgets.VBox([row, self.controls["frames"], self.background.widget, self.canvas, self.caption])

    def figure(self) -> go.Figure:
        titles = ("activations, bytes", "operations", "seconds")
        figure = make_subplots(rows=1, cols=3, horizontal_spacing=0.09, subplot_titles=titles)
        for column, trace in self._traces():
            figure.add_scatter(**trace, row=1, col=column)
        ticks = {"type": "log", "tickvals": FRAMES, "gridcolor": "#EEEEEE", "title": "frames T"}
        figure.update_xaxes(**ticks, range=[np.log10(FRAMES[0] / 1.3), np.log10(FRAMES[-1] * 1.3)])
        figure.update_yaxes(type="log", dtick=1, gridcolor="#EEEEEE")
        figure.update_yaxes(exponentformat="power", row=1, col=1)
        figure.update_yaxes(exponentformat="power", row=1, col=2)
        narrow = {"l": 10, "r": 10, "t": 90, "b": 10}
        legend = {"orientation": "h", "x": 0, "y": 1.1, "yanchor": "bottom"}
        figure.update_layout(height=480, margin=narrow, plot_bgcolor="white", font={"color": INK}, legend=legend)
        return figure

    def redraw(self, canvas: go.FigureWidget) -> None:
        for trace, (_, changed) in zip(canvas.data, self._traces(), strict=True):
            trace.update(changed)

    def _traces(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each trace with its column: the predictions, what was measured, the memory that is free, and the clip."""
        view = self.view
        for key, curve in view.curves.items():
            colour, dash, _ = LOOK[key]
            line = {"color": colour, "dash": dash, "width": 3}
            common = {"x": FRAMES, "mode": "lines", "line": line, "legendgroup": key}
            yield 1, {**common, "y": curve.bytes, "name": curve.name}
            flops = curve.flops if key != "explicit" else [None] * len(FRAMES)  # the same as fused
            yield 2, {**common, "y": flops, "name": curve.name, "showlegend": False}
            if key != "explicit":
                yield 3, {**common, "y": curve.seconds, "name": f"{curve.name}, predicted", "showlegend": False}
        for key, points in view.measured.items():
            colour, _, symbol = LOOK[key]
            marker = {"color": colour, "symbol": symbol, "size": 10, "line": {"color": "white", "width": 1}}
            common = {"x": points.frames, "mode": "markers", "marker": marker, "legendgroup": key}
            yield 1, {**common, "y": points.bytes, "name": f"{points.name}, measured", "showlegend": False}
            yield 3, {**common, "y": points.seconds, "name": f"{points.name}, measured", "showlegend": False}
        free = [] if view.free is None else [view.free] * 2
        line = {"color": GREEN, "width": 2}
        yield (
            1,
            {"x": [FRAMES[0], FRAMES[-1]][: len(free)], "y": free, "mode": "lines", "line": line, "name": "free here"},
        )
        here = {"x": [self.state.frames] * 2, "mode": "lines", "line": {"color": MARK, "width": 2}}
        for column, (low, high) in enumerate(self._spans(), start=1):
            yield column, {**here, "y": [low, high], "showlegend": False, "hoverinfo": "skip"}

    def _spans(self) -> list[tuple[float, float]]:
        curves = self.view.curves.values()
        all_bytes = [*np.concatenate([one.bytes for one in curves]), self.view.free or 1e9]
        flops = np.concatenate([one.flops for one in curves])
        seconds = np.concatenate([*(one.seconds for one in curves), *(m.seconds for m in self.view.measured.values())])
        seconds = seconds if len(seconds) else np.array([0.01, LIMIT_S])
        return [(min(all_bytes), max(all_bytes)), (flops.min(), flops.max()), (seconds.min(), seconds.max())]

    def picture(self) -> Figure:
        drawing = Figure(figsize=(10, 3), layout="constrained")
        memory, operations = drawing.subplots(1, 2)
        for key, curve in self.view.curves.items():
            colour, dash, _ = LOOK[key]
            style = {"solid": "-", "dash": "--", "dot": ":"}[dash]
            memory.plot(FRAMES, curve.bytes, style, color=colour, label=curve.name)
            operations.plot(FRAMES, curve.flops, style, color=colour)
        for key, points in self.view.measured.items():
            memory.plot(points.frames, points.bytes, "o", color=LOOK[key][0])
        memory.set(ylabel="activations, bytes")
        operations.set(ylabel="operations of one pass")
        for axes in (memory, operations):
            axes.set(xscale="log", yscale="log", xlabel="frames T")
            axes.set_xticks(FRAMES, [str(frames) for frames in FRAMES], minor=False)
        memory.legend(frameon=False, fontsize=7)
        return drawing

    def sentence(self) -> str:
        state, view = self.state, self.view
        at = FRAMES.index(state.frames)
        scan, fused, explicit = (view.curves[key] for key in ("scan", "fused", "explicit"))
        kind = "forward and backward pass" if state.training else "forward pass"
        start = (
            f"{state.frames} frames of {state.size} × {state.size}, {view.tokens[at]} tokens, one {kind} in "
            f"{state.precision}, predicted: {scan.name} {gigabytes(scan.bytes[at])} of activations and "
            f"{scan.flops[at] / 1e9:.3g} G operations; {fused.name} {gigabytes(fused.bytes[at])} and "
            f"{fused.flops[at] / 1e9:.3g} G; with its weights written down {gigabytes(explicit.bytes[at])}. From 2 to "
            f"128 frames memory grows as tokens to the power {scan.bytes_exponent:.2f}, {fused.bytes_exponent:.2f} and "
            f"{explicit.bytes_exponent:.2f}, operations as {scan.flops_exponent:.2f} and {fused.flops_exponent:.2f}."
        )
        return start + self._crossings() + self._time(at) + self._seen()

    def _time(self, at: int) -> str:
        """The predicted seconds in words; nothing where no speed is known."""
        curves = [one for key, one in self.view.curves.items() if key != "explicit" and len(one.seconds)]
        if not curves:
            return ""
        words = [f"{one.name} {'' if one.calibrated else 'at least '}{one.seconds[at]:.2g} s" for one in curves]
        floor = f"at least: at the {self.state.rate or 0:.2g} operations a second of a matrix product here"
        how = "at the speed measured" if all(one.calibrated for one in curves) else floor
        return f" Time in float32: {', '.join(words)} ({how})."

    def _crossings(self) -> str:
        names = {"memory, with weights written down,": self.view.crossing_bytes, "operations": self.view.crossing_flops}
        words = [
            f"{what} from {n} frame{'s' * (n != 1)} on" if n else f"{what} nowhere up to 128 frames"
            for what, n in names.items()
        ]
        return f" Attention needs more {' and more '.join(words)}."

    def _seen(self) -> str:
        free = self.view.free
        words = f" Free on this machine: {gigabytes(free)}." if free else ""
        refused = refusal(self.state, job_of(self.state, "fused") | {"num_frames": self.state.frames})
        if refused:
            words += f" This attention is not measured: it {refused}."
        for points in self.view.measured.values():
            if len(points.frames):
                words += (
                    f" Measured here in float32, {points.name}: {len(points.frames)} lengths, at {points.frames[-1]} "
                    f"frames {points.seconds[-1]:.3g} s and {gigabytes(points.bytes[-1])}"
                )
                if len(points.frames) > 1:
                    words += f", growing as powers {points.seconds_exponent:.2f} and {points.bytes_exponent:.2f}"
                words += "."
        return words

    def code(self) -> str:
        chosen = {name: getattr(self.state, name) for name in self.controls}
        words = ", ".join(f"{name}={value!r}" for name, value in chosen.items())
        if not self.state.measured:
            return f"from vmamba_edu import panels\n\npanels.memory_scaling({words})"
        measured = "".join(f"    {one!r},\n" for one in self.state.measured)
        head = f"from vmamba_edu import panels\nfrom vmamba_edu.analysis import Observed\n\nmeasured = (\n{measured})\n"
        return f"{head}panels.memory_scaling({words}, measured=measured)"

    def show(self, **changes: Any) -> None:
        """As every panel; the free memory is looked at again."""
        super().show(**changes, free=free_memory())


@cache
def product_rate(side: int = 768) -> float:
    """Operations a second of a product of two float32 matrices with all of torch's threads: the best of four."""
    a, b = torch.ones(2, side, side)

    def seconds() -> float:
        start = time.perf_counter()
        a @ b
        return time.perf_counter() - start

    return 2 * side**3 / min(seconds() for _ in range(4))


def _called(job: Mapping[str, Any]) -> str:
    return job.get("attention_type", job["model"]).replace("_space_time", " attention")
