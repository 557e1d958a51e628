"""The curves of a training run drawn: the chosen number large, learning rate and gradient small below it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from plotly.basedatatypes import BaseFigure
from plotly.subplots import make_subplots

from vmamba_edu.palette import BLUE, GREEN, INK, MARK, VERMILLION
from vmamba_edu.panels.computed.training_curves import Curve, State, View, spelt, thinned

PLACES = [(1, 1)] * 4 + [(2, 1)] * 2 + [(2, 2)] * 2
"""Row and column of each of `traces`."""
SMALL = ("learning rate", "gradient norm")


def draw(state: State, view: View) -> go.Figure:
    """The view as a figure."""
    figure = make_subplots(
        rows=2, cols=2, specs=[[{"colspan": 2}, None], [{}, {}]], row_heights=[0.64, 0.36], vertical_spacing=0.18,
        horizontal_spacing=0.12, subplot_titles=("", *SMALL),
    )  # fmt: skip
    for (row, column), trace in zip(PLACES, traces(state, view), strict=True):
        figure.add_scatter(**trace, row=row, col=column)
    grid = {"gridcolor": "#EEEEEE", "zeroline": False}
    figure.update_xaxes(**grid, title={"text": "step", "standoff": 4})
    figure.update_yaxes(**grid, nticks=6, exponentformat="power")
    figure.update_yaxes(rangemode="tozero", row=2)
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    narrow = {"l": 10, "r": 10, "t": 20, "b": 10}
    figure.update_layout(height=500, margin=narrow, plot_bgcolor="white", font={"color": INK}, legend=legend)
    set_axes(figure, state, view)
    return figure


def set_axes(figure: BaseFigure, state: State, view: View) -> None:
    """What of the axes follows from the state; in place."""
    last = max(view.num_steps, view.step, 1)
    for axis in (figure.layout.xaxis, figure.layout.xaxis2, figure.layout.xaxis3):
        axis.range = [-0.01 * last, 1.01 * last]
    figure.layout.yaxis.type = state.axis
    figure.layout.yaxis.title.text = spelt(state.show)


def traces(state: State, view: View) -> Iterator[dict[str, Any]]:
    """Each step, the same smoothed, validations and their best; learning rate planned and done; gradient and limit."""
    name, has_log = spelt(state.show), state.axis == "log"
    hover = {"hovertemplate": "step %{x}: %{y:.4g}<extra></extra>"}
    quiet = {"mode": "lines", "line": {"color": MARK, "width": 0.8}, "opacity": 0.55}
    yield _points(thinned(view.raw), has_log) | quiet | {"name": f"{name}, each step", "hoverinfo": "skip"}
    bold = {"mode": "lines", "line": {"color": BLUE, "width": 2.5}}
    yield _points(thinned(view.smoothed), has_log) | bold | {"name": f"{name}, smoothed"} | hover
    diamonds = {"symbol": "diamond", "size": 9, "color": VERMILLION}
    dotted = {"mode": "lines+markers", "line": {"color": VERMILLION, "width": 1, "dash": "dot"}, "marker": diamonds}
    yield _points(view.validation, has_log) | dotted | {"name": f"{name}, validation"} | hover
    ring = {"symbol": "circle-open", "size": 18, "color": INK, "line": {"color": INK, "width": 2}}
    best = slice(0) if view.best is None else slice(view.best, view.best + 1)
    found = Curve(view.validation.x[best], view.validation.y[best])
    yield _points(found, has_log) | {"mode": "markers", "marker": ring, "name": "best validation"} | hover
    plan = {"mode": "lines", "line": {"color": MARK, "width": 1.5, "dash": "dot"}, "showlegend": False}
    yield _points(thinned(view.planned)) | plan | {"name": "planned"} | hover
    done = {"mode": "lines", "line": {"color": GREEN, "width": 2.5}, "showlegend": False}
    yield _points(thinned(view.rate)) | done | {"name": "learning rate"} | hover
    yield _points(thinned(view.norm)) | done | {"name": "gradient norm, smoothed"} | hover
    limit = None if state.plan is None else state.plan.clip_norm
    ends = [] if limit is None else [0, max(view.num_steps, view.step, 1)]
    line = _points(Curve(np.array(ends), np.full(len(ends), limit or 0.0)))
    yield line | plan | {"name": "clipped above", "hovertemplate": "clipped above %{y}<extra></extra>"}


def _points(curve: Curve, has_log: bool = False) -> dict[str, Any]:
    """As plotly takes them: nothing where there is no logarithm."""
    values = [None if has_log and not one > 0 else float(one) for one in curve.y]
    return {"x": curve.x.tolist(), "y": values}


def print_(state: State, view: View) -> Figure:
    """The view for print."""
    drawing = Figure(figsize=(10, 4.2), layout="constrained")
    top, rate, norm = drawing.subplot_mosaic([["top", "top"], ["rate", "norm"]], height_ratios=[2, 1]).values()
    name = spelt(state.show)
    _line(top, view.raw, color=MARK, linewidth=0.6, alpha=0.6, label=f"{name}, each step")
    _line(top, view.smoothed, color=BLUE, linewidth=2, label=f"{name}, smoothed")
    _line(top, view.validation, color=VERMILLION, linewidth=1, linestyle=":", marker="D", label=f"{name}, validation")
    _line(rate, view.planned, color=MARK, linestyle=":")
    _line(rate, view.rate, color=GREEN)
    _line(norm, view.norm, color=GREEN)
    top.set(ylabel=name, yscale=state.axis if len(view.raw.y) + len(view.validation.y) else "linear")
    for axes, words in zip((rate, norm), SMALL, strict=True):
        axes.set_title(words, fontsize=9)
    for axes in (top, rate, norm):
        axes.set(xlim=(0, max(view.num_steps, view.step, 1)), xlabel="step")
    if top.lines:
        top.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=8)
    return drawing


def _line(axes: Axes, curve: Curve, **look: Any) -> None:
    if len(curve.x):
        axes.plot(*thinned(curve), **look)
