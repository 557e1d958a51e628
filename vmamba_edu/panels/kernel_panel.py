"""Inside the kernel: what a fused scan reads, keeps and writes, chunk by chunk, beside the naive version's traffic."""

from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from vmamba_edu.analysis.scan_work import TYPICAL, Machine, measure_machine
from vmamba_edu.palette import BLUE, INK, VERMILLION
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.kernel_traffic import (
    CHUNK,
    DIMS,
    INTENSITIES,
    LENGTHS,
    STATES,
    TENSORS,
    Side,
    State,
    View,
    amount,
    chunks_of,
    compute,
)
from vmamba_edu.panels.parts.background import Background

__all__ = ["Kernel", "State", "View", "compute"]

LOOK = {"fused": (BLUE, "circle", ""), "naive": (VERMILLION, "square", "/")}
MIB = 2**20


class Kernel(Panel[State, View]):
    """A scan's traffic by tensor up to a chunk of 64 tokens, its traffic so far, and its place under the roofline.

    Args:
        dim, length, state: of the scan, in float32: y_t = C h_t with h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t.
        chunk: chunks that have been read.
        machine: whose roof is drawn: typical values, labelled so, unless given or measured by a press of the button.
        measure: measures it; `scan_work.measure_machine` if not given.

    Raises:
        ValueError: one of the sizes is none of those that can be chosen, or the chunk is beyond the end.

    The naive version runs one array operation after the other, over the whole sequence; here its traffic is shared out
    evenly over the tokens. What fits into the caches is faster than the memory that the roof stands for.
    """

    State = State
    compute = staticmethod(compute)
    name = "kernel"
    claims = ("S5",)
    plays = "chunk"
    view: View

    def __init__(
        self,
        *,
        dim: int = 384,
        length: int = 1568,
        state: int = 16,
        chunk: int = 6,
        machine: Machine = TYPICAL,
        measure: Callable[[], Machine] = measure_machine,
    ) -> None:
        self.measure = measure
        super().__init__(State(dim, length, state, chunk, machine))

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        sizes = {"dim": ("channels", DIMS), "length": ("tokens", LENGTHS), "state": ("states", STATES)}
        choices = {name: (words, [(str(one), one) for one in all_]) for name, (words, all_) in sizes.items()}
        controls = self.lists(choices, "13em")
        controls["chunk"] = ipywidgets.IntSlider(
            self.state.chunk, 0, chunks_of(self.state.length), description="chunks read", layout={"width": "100%"}
        )
        return controls

    def arrange(self) -> ipywidgets.Box:
        self.background = Background(
            "Measure this machine",
            jobs=lambda: [None] if self.state.machine == TYPICAL else [],
            work=lambda _: self.measure(),
            done=lambda machine: self.show(machine=machine),
            describe=lambda _: "copies, multiply-adds, exponentials",
        )
        sizes = [control for name, control in self.controls.items() if name != "chunk"]
        row = ipywidgets.HBox([*sizes, self.background.widget, self.copy], layout={"flex_flow": "row wrap"})
        return ipywidgets.VBox([row, self.controls["chunk"], self.canvas, self.caption])

    def show(self, **changes: Any) -> None:
        """As every panel; where another length has fewer chunks, the last one is shown."""
        most = chunks_of(changes.get("length", self.state.length))
        if "length" in changes and changes.get("chunk", self.state.chunk) > most:
            changes["chunk"] = most
        super().show(**changes)
        slider = self.controls["chunk"]
        if slider.max != most or slider.value != self.state.chunk:
            with slider.hold_sync():
                slider.value = min(slider.value, most)
                slider.max, slider.value = most, self.state.chunk

    def _sides(self) -> dict[str, Side]:
        return {"fused": self.view.fused, "naive": self.view.naive}

    def figure(self) -> go.Figure:
        titles = ("MiB so far, by tensor", "MiB, by tokens read", "operations a second")
        figure = make_subplots(rows=1, cols=3, horizontal_spacing=0.09, subplot_titles=titles)
        for column, trace in self._traces():
            make = go.Bar if trace.get("type") == "bar" else go.Scatter
            figure.add_trace(make(**{k: v for k, v in trace.items() if k != "type"}), row=1, col=column)
        grid = {"gridcolor": "#EEEEEE"}
        figure.update_yaxes(type="log", range=[-3, 4.5], dtick=1, exponentformat="power", **grid, col=1)
        figure.update_xaxes(title="tokens", **grid, col=2)
        figure.update_yaxes(**grid, col=2)
        log = {"type": "log", "exponentformat": "power", **grid}
        figure.update_xaxes(title="operations a byte", range=[-2.2, 3], dtick=2, **log, col=3)
        figure.update_yaxes(range=[7.8, 12.2], dtick=1, **log, col=3)
        narrow = {"l": 10, "r": 10, "t": 80, "b": 10}
        legend = {"orientation": "h", "x": 0, "y": 1.12, "yanchor": "bottom"}
        figure.update_layout(height=420, margin=narrow, plot_bgcolor="white", font={"color": INK}, legend=legend)
        figure.update_annotations(font_size=13)
        return figure

    def redraw(self, canvas: go.FigureWidget) -> None:
        for trace, (_, changed) in zip(canvas.data, self._traces(), strict=True):
            trace.update({name: value for name, value in changed.items() if name != "type"})

    def _traces(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """Each trace with its column."""
        view = self.view
        for name, side in self._sides().items():
            colour, symbol, pattern = LOOK[name]
            moved = [(side.read[tensor] + side.written[tensor]) / MIB for tensor in TENSORS]
            marker = {"color": colour, "pattern": {"shape": pattern}}
            yield 1, {"type": "bar", "x": TENSORS, "y": moved, "name": name, "legendgroup": name, "marker": marker}
            line = {"color": colour, "width": 3, "dash": "solid" if name == "fused" else "dash"}
            common = {"name": name, "legendgroup": name, "showlegend": False}
            yield 2, {"x": view.ends, "y": side.path / MIB, "mode": "lines", "line": line, **common}
            dot = {"color": colour, "symbol": symbol, "size": 12, "line": {"color": "white", "width": 1}}
            here = {"x": [view.tokens], "y": [side.path[self.state.chunk] / MIB]}
            yield 2, {**here, "mode": "markers", "marker": dot, **common}
            point = {"x": [side.intensity], "y": [side.reachable], "mode": "markers+text", "text": [name]}
            yield 3, {**point, "textposition": "bottom right", "marker": dot, **common}
        roof = {"mode": "lines", "line": {"color": INK, "width": 2}, "showlegend": False, "hoverinfo": "skip"}
        yield 3, {"x": INTENSITIES, "y": view.roof, **roof}

    def picture(self) -> Figure:
        drawing = Figure(figsize=(10, 3), layout="constrained")
        tensors, path, roofline = drawing.subplots(1, 3)
        for shift, (name, side) in zip((-0.2, 0.2), self._sides().items(), strict=True):
            colour, symbol, hatch = LOOK[name]
            moved = [(side.read[tensor] + side.written[tensor]) / MIB for tensor in TENSORS]
            places = np.arange(len(TENSORS)) + shift
            tensors.bar(places, moved, 0.4, color=colour, hatch=hatch, edgecolor="white", label=name)
            path.plot(self.view.ends, side.path / MIB, "-" if name == "fused" else "--", color=colour)
            mark = {"circle": "o", "square": "s"}[symbol]
            path.plot(self.view.tokens, side.path[self.state.chunk] / MIB, mark, color=colour)
            roofline.plot(side.intensity, side.reachable, mark, color=colour)
        tensors.set(yscale="log", ylabel="MiB moved so far")
        tensors.set_xticks(range(len(TENSORS)), TENSORS)
        tensors.legend(frameon=False, fontsize=8)
        path.set(xlabel="tokens", ylabel="MiB moved")
        roofline.plot(INTENSITIES, self.view.roof, color=INK)
        roofline.set(xscale="log", yscale="log", xlabel="operations a byte", ylabel="operations a second")
        return drawing

    def sentence(self) -> str:
        state, view = self.state, self.view
        fused, naive = view.fused, view.naive
        moved = [amount(side.path[state.chunk]) for side in (fused, naive)]
        slower = "its arithmetic" if fused.arithmetic >= fused.memory else "memory"
        other = "its arithmetic" if naive.arithmetic >= naive.memory else "memory"
        return (
            f"After {state.chunk} of {chunks_of(state.length)} chunks of {CHUNK} tokens the fused kernel has read "
            f"{amount(sum(fused.read.values()))} and written {amount(sum(fused.written.values()))}, the naive "
            f"version {amount(sum(naive.read.values()))} and {amount(sum(naive.written.values()))}: "
            f"{moved[0]} against {moved[1]}. From chunk to chunk the kernel keeps the states h, {amount(fused.kept)}, "
            f"those of a few channels in registers at a time; {amount(view.forgotten)} of Ā, Δ u B and h it has "
            f"computed and never written. Whole scan, {state.machine.name}: naive {naive.intensity:.2g} operations a "
            f"byte, at best {1e3 * naive.seconds:.3g} ms, limited by {other}; fused {fused.intensity:.3g} operations a "
            f"byte, at best {1e3 * fused.seconds:.3g} ms, limited by {slower}."
        )

    def code(self) -> str:
        state = self.state
        sizes = f"dim={state.dim}, length={state.length}, state={state.state}, chunk={state.chunk}"
        if state.machine == TYPICAL:
            return f"from vmamba_edu import panels\n\npanels.kernel({sizes})"
        head = "from vmamba_edu import panels\nfrom vmamba_edu.analysis.scan_work import Machine\n\n"
        return f"{head}machine = {state.machine!r}\npanels.kernel({sizes}, machine=machine)"
