"""Scan as a tree: pairs (a, b) that meet level by level, and beside them the loop that takes one after the other."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots
from torch import Tensor

from vmamba_edu.palette import INK
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.scan_tree_steps import (
    LEAST,
    MOST,
    Progress,
    State,
    View,
    compute,
    fitted,
    numbers,
    numbers_in,
    usual_pairs,
)
from vmamba_edu.panels.parts.browser_parts import Player
from vmamba_edu.panels.parts.scan_tree_drawing import axes_of, table, traces

__all__ = ["ScanTree", "State", "View", "compute"]

NAMES = {"hillis_steele": "Hillis–Steele", "blelloch": "Blelloch"}
PHASES = {
    "start": "nothing has been combined yet",
    "forward": "each place takes in one before it",
    "reduce": "sums walk up to the root",
    "distribute": "the root is emptied, and what stands before each place walks back down",
    "finish": "each place adds its own pair",
}


class ScanTree(Panel[State, View]):
    """Hillis and Steele's scan or Blelloch's on pairs (a, b), step by step, and the recurrence beside it.

    Args:
        a, b: your own pairs, 2 to 32 of them, as vectors or lists; what one lacks is made up.
        length: how many pairs, where neither a nor b is given.
        scan: "blelloch" or "hillis_steele".
        step: how many steps have been made.

    Raises:
        ValueError: there is no such scan or step, or the numbers are not pairs that can be drawn and computed with.
    """

    State = State
    compute = staticmethod(compute)
    name = "scan-tree"
    claims = ("S5",)
    plays = "step"
    view: View

    def __init__(
        self,
        a: Sequence[float] | np.ndarray | Tensor | None = None,
        b: Sequence[float] | np.ndarray | Tensor | None = None,
        *,
        length: int = 8,
        scan: str = "blelloch",
        step: int = 0,
    ) -> None:
        given = [None if x is None else numbers_in(name, x) for name, x in (("a", a), ("b", b))]
        lengths = [(name, len(x)) for name, x in zip("ab", given, strict=True) if x is not None]
        name, length = next(iter(lengths), ("length", length))
        if not LEAST <= length <= MOST:
            raise ValueError(f"{name}: expected {LEAST} to {MOST} pairs, got {length}")
        usual = usual_pairs()
        a_now, b_now = (own[:length] if x is None else x for x, own in zip(given, usual, strict=True))
        super().__init__(State(scan, a_now, b_now, step))

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        scans = [(name, scan) for scan, name in NAMES.items()]
        wide = {"layout": {"width": "48%", "min_width": "20em"}, "continuous_update": False}
        return {
            "scan": ipywidgets.Dropdown(options=scans, value=self.state.scan, description="scan"),
            "length": ipywidgets.IntSlider(self.state.length, LEAST, MOST, description="pairs"),
            "step": ipywidgets.IntSlider(
                self.state.step, 0, self.view.last_step, description="step", layout={"width": "100%"}
            ),
            "own_a": ipywidgets.Text(self.state.own_a, description="a", **wide),
            "own_b": ipywidgets.Text(self.state.own_b, description="b", **wide),
        }

    def arrange(self) -> ipywidgets.Box:
        slider = self.controls["step"]
        self.player = Player(slider, (1500, 800, 300))
        row = {"flex_flow": "row wrap"}
        played = [self.player.play, self.player.speed]
        choices = [self.controls["scan"], self.controls["length"], *played, self.copy]
        own = ipywidgets.HBox([self.controls["own_a"], self.controls["own_b"]], layout=row)
        return ipywidgets.VBox([ipywidgets.HBox(choices, layout=row), own, slider, self.canvas, self.caption])

    def show(self, **changes: Any) -> None:
        """As every panel; `length` cuts or continues the pairs, `own_a` and `own_b` are numbers as one types them."""
        super().show(**self._in_terms_of_the_state(changes))
        for one in (self.controls["step"], self.player.play):
            if one.max != self.view.last_step:
                one.max = self.view.last_step
        for name, control in self.controls.items():
            control.value = getattr(self.state, name)

    def at(self, field: str, value: Any) -> "ScanTree":
        """As every panel, with the same fields as `show`."""
        other, changes = copy.copy(self), self._in_terms_of_the_state({field: value})
        other.state = replace(self.state, **changes)
        other.view = compute(other.state)
        return other

    def _in_terms_of_the_state(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        new = dict(changes)
        pairs = {"a": new.pop("a", self.state.a), "b": new.pop("b", self.state.b)}
        length = new.pop("length", None)
        for name in "ab":
            if f"own_{name}" in new:
                pairs[name] = numbers(new.pop(f"own_{name}"))
                length = len(pairs[name]) if length is None else length
        if length is not None:
            pairs = {name: fitted(pairs[name], length, one) for name, one in zip("ab", usual_pairs(), strict=True)}
        if changes.keys() - {"step"}:  # where the new scan is shorter, it is seen at its end
            last = compute(State(new.get("scan", self.state.scan), pairs["a"], pairs["b"])).last_step
            new["step"] = min(new.get("step", self.state.step), last)
        return {**pairs, **new}

    def figure(self) -> go.Figure:
        figure = make_subplots(
            rows=2,
            cols=2,
            specs=[[{}, {}], [{"colspan": 2}, None]],
            row_heights=[0.72, 0.28],
            column_widths=[0.6, 0.4],
            horizontal_spacing=0.07,
            vertical_spacing=0.1,
            subplot_titles=self._titles(),
        )
        plain = {"showgrid": False, "zeroline": False}
        figure.update_xaxes(**plain)
        figure.update_yaxes(**plain)
        for column, progress in self._both():
            for trace in traces(progress):
                figure.add_scatter(**trace, row=1, col=column)
            span = axes_of(progress)
            figure.update_xaxes(**span["x"], row=1, col=column)
            figure.update_yaxes(**span["y"], row=1, col=column)
        scale = [[0, "white"], [1, "white"]]  # the table needs no colour: its numbers say it
        look = {"colorscale": scale, "showscale": False, "hoverinfo": "skip"}
        figure.add_heatmap(**table(self.view.tree, self.view.loop), **look, row=2, col=1)
        figure.update_xaxes(title="place", **self._table_axis(), row=2, col=1)
        figure.update_yaxes(autorange="reversed", row=2, col=1)
        figure.update_yaxes(title="levels done", row=1, col=1)
        narrow = {"l": 10, "r": 10, "t": 50, "b": 10}
        figure.update_layout(height=640, margin=narrow, plot_bgcolor="white", showlegend=False, font={"color": INK})
        figure.update_annotations(font={"size": 13})
        return figure

    def redraw(self, canvas: go.FigureWidget) -> None:
        lines = [trace for _, progress in self._both() for trace in traces(progress)]
        numbers_now = table(self.view.tree, self.view.loop)
        for trace, changed in zip(canvas.data, [*lines, numbers_now], strict=True):
            trace.update(changed)
        canvas.layout.xaxis3.update(self._table_axis())
        for (column, progress), title in zip(self._both(), self._titles(), strict=True):
            span = axes_of(progress)
            canvas.layout[f"xaxis{column if column > 1 else ''}"].update(span["x"])
            canvas.layout[f"yaxis{column if column > 1 else ''}"].update(span["y"])
            canvas.layout.annotations[column - 1].text = title

    def _table_axis(self) -> dict[str, Any]:
        places = len(self.view.tree.a)
        return {"range": [-0.5, places - 0.5], "tickmode": "linear", "tick0": 0, "dtick": 1, "tickangle": 0}

    def _both(self) -> Iterator[tuple[int, Progress]]:
        yield 1, self.view.tree
        yield 2, self.view.loop

    def _titles(self) -> list[str]:
        words = []
        for (_, progress), name in zip(self._both(), (NAMES[self.state.scan], "the loop"), strict=True):
            depth = f"depth {progress.done} of {progress.trace.depth}"
            words.append(f"{name}<br>{depth}, work {progress.combinations} of {progress.trace.work}")
        return words

    def picture(self) -> Figure:
        drawing = Figure(figsize=(10, 3.4), layout="constrained")
        for axes, (_, progress), title in zip(
            drawing.subplots(1, 2, width_ratios=[3, 2]), self._both(), self._titles(), strict=True
        ):
            for trace in traces(progress):
                if trace["mode"] == "lines":
                    x, y = (np.array(trace[axis], dtype=float) for axis in "xy")  # None becomes a gap
                    style = {"color": trace["line"]["color"], "linewidth": trace["line"]["width"]}
                    axes.plot(x, y, **style, linestyle=":" if trace["line"].get("dash") else "-")
                else:
                    axes.scatter(trace["x"], trace["y"], c=trace["marker"]["color"], s=18, zorder=3)
            axes.set(xlabel="place", ylim=(progress.trace.depth + 0.6, -0.6))
            axes.set_title(title.replace("<br>", ": "), fontsize=9)
            axes.locator_params(integer=True)
            axes.spines[["top", "right"]].set_visible(False)
        drawing.axes[0].set_ylabel("levels done")
        return drawing

    def sentence(self) -> str:
        view, tree, loop = self.view, self.view.tree, self.view.loop
        name, length = NAMES[self.state.scan], self.state.length
        step = f"{tree.at_once} combinations at once" if tree.at_once != 1 else "one combination"
        now = PHASES[tree.phase] + (f", {step}" if tree.done else "")
        levels = "1 step" if tree.trace.depth == 1 else f"{tree.trace.depth} steps"
        ends = f"{name} is done after {levels} and {tree.trace.work} combinations"
        return (
            f"{name} on {length} pairs, step {self.state.step}: {_until(tree, now)}. It has made "
            f"{tree.combinations} of {tree.trace.work} combinations in {tree.done} of {tree.trace.depth} steps, the "
            f"loop beside it {loop.combinations} of {loop.trace.work} in {loop.done} of {loop.trace.depth}. {ends}, "
            f"the loop after {loop.trace.depth} of each. Both end with h = {view.h[-1]:.4g} in the last place."
        )

    def code(self) -> str:
        state = self.state
        pairs = f"a=[{state.own_a}], b=[{state.own_b}]"
        return f"from vmamba_edu import panels\n\npanels.scan_tree({pairs}, scan={state.scan!r}, step={state.step})"


def _until(tree: Progress, now: str) -> str:
    return f"finished ({now})" if tree.is_finished else now
