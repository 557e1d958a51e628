"""The scan-order theatre: in which order a block reads the tokens of a clip, and how far apart that puts neighbours."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots
from torch import Tensor

from vmamba_edu.palette import BLUE, GREEN, INK, PURPLE, QUIET, SEQUENTIAL, VERMILLION
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.clip_strip import ClipStrip
from vmamba_edu.scan_orders import ORDERS, PLANS, Grid, Reading, inverse, neighbour_distances, scan_plan

TRAIL = 12
"""How many tokens back the line behind each reading goes."""

MOST_READINGS = max(map(len, PLANS.values()))
"""A plan with fewer readings leaves the traces of the others empty."""

LOOK = {
    Reading("spatial_first", "forward"): (BLUE, "triangle-right", ">"),
    Reading("spatial_first", "backward"): (VERMILLION, "triangle-left", "<"),
    Reading("temporal_first", "forward"): (GREEN, "triangle-down", "v"),
    Reading("temporal_first", "backward"): (PURPLE, "triangle-up", "^"),
}


NEIGHBOURS = {
    "time": ("next frame", "diamond"),
    "height": ("below", "square"),
    "width": ("beside", "circle"),
}


@dataclass(frozen=True)
class State:
    """Which plan, of which grid (time, height, width) of tokens, after how many steps, and which of its readings."""

    grid: Grid = (8, 4, 4)
    plan: str = "spatial_first"
    position: int = 0
    directions: Literal["both", "forward", "backward"] = "both"


@dataclass(frozen=True)
class Pass:
    """One reading at one moment."""

    reading: Reading
    path: np.ndarray  # (length,) the token read at each step
    rank: np.ndarray  # (length,) the step at which each token is read
    token: int  # the one being read now
    trail: np.ndarray  # (up to TRAIL + 1,) the last tokens read, the current one at the end
    distances: dict[str, int]  # steps between neighbours in time, height and width

    @property
    def name(self) -> str:
        return f"{self.reading.order.replace('_', '-')} {self.reading.direction}"


@dataclass(frozen=True)
class View:
    """What the panel shows."""

    grid: Grid
    position: int
    passes: tuple[Pass, ...]

    @property
    def length(self) -> int:
        return len(self.passes[0].path)


def compute(state: State) -> View:
    """Where each reading of the plan stands after `position` steps.

    Raises:
        ValueError: the plan is unknown, or the position lies outside the sequence.
    """
    time, height, width = state.grid
    length = time * height * width
    if not 0 <= state.position < length:
        raise ValueError(f"position: expected 0 to {length - 1}, the tokens of the grid, got {state.position}")
    readings = [r for r in scan_plan(state.plan) if state.directions in ("both", r.direction)]
    return View(state.grid, state.position, tuple(_read(reading, state) for reading in readings))


def _read(reading: Reading, state: State) -> Pass:
    path = reading.path(state.grid)
    distances = neighbour_distances(path, state.grid)
    return Pass(
        reading=reading,
        path=path.numpy(),
        rank=inverse(path).numpy(),
        token=int(path[state.position]),
        trail=path[max(0, state.position - TRAIL) : state.position + 1].numpy(),
        distances={axis: int(steps[0]) for axis, steps in distances.items() if steps.numel()},
    )


def tokens_of(frames: Tensor | np.ndarray, patch_size: int, tubelet_size: int = 1) -> Grid:
    """The grid of tokens that a clip of frames (time, height, width, 3) is cut into.

    Raises:
        ValueError: the clip cannot be cut into whole patches.
    """
    sizes = (tubelet_size, patch_size, patch_size)
    names = ("frames by tubelet_size", "height by patch_size", "width by patch_size")
    for axis, size, name in zip(frames.shape[:3], sizes, names, strict=True):
        if size < 1 or axis % size:
            raise ValueError(f"clip: expected {name} to divide without remainder, got {axis} by {size}")
    time, height, width = (axis // size for axis, size in zip(frames.shape[:3], sizes, strict=True))
    return time, height, width


class ScanOrders(Panel[State, View]):
    """The orders in which a block reads a clip, played on the clip itself.

    Args:
        clip: uint8 frames (time, height, width, 3) to draw below the tokens, or None for the bare grid.
        patch_size, tubelet_size: how the clip is cut into tokens; the grid follows from it.
        grid: (time, height, width) tokens, where there is no clip.
        plan: one of `scan_orders.PLANS`.
        position: how many steps have been read.
        directions: "both", "forward" or "backward".

    Raises:
        ValueError: the clip cannot be cut so, or the plan or the position does not exist.
    """

    State = State
    compute = staticmethod(compute)
    name = "scan-orders"
    view: View

    def __init__(
        self,
        clip: Tensor | np.ndarray | None = None,
        *,
        patch_size: int = 16,
        tubelet_size: int = 1,
        grid: Sequence[int] = (8, 4, 4),
        plan: str = "spatial_first",
        position: int = 0,
        directions: Literal["both", "forward", "backward"] = "both",
    ) -> None:
        frames, self.cut = None, (patch_size, tubelet_size)
        if clip is not None:
            grid = tokens_of(clip, patch_size, tubelet_size)
            frames = np.asarray(clip)[::tubelet_size]
        time, height, width = grid
        self.strip = ClipStrip((time, height, width), frames)
        super().__init__(State((time, height, width), plan, position, directions))

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        plans = [(name.replace("_", " "), name) for name in PLANS]
        directions = [("both directions", "both"), ("forward", "forward"), ("backward", "backward")]
        position = ipywidgets.IntSlider(
            self.state.position, 0, self.view.length - 1, description="step", layout={"width": "100%"}
        )
        return {
            "plan": ipywidgets.Dropdown(options=plans, value=self.state.plan, description="plan"),
            "directions": ipywidgets.Dropdown(
                options=directions, value=self.state.directions, layout={"width": "11em"}
            ),
            "position": position,
        }

    def arrange(self) -> ipywidgets.Box:
        slider = self.controls["position"]
        self.play = ipywidgets.Play(
            self.state.position, min=0, max=self.view.length - 1, interval=200, show_repeat=False
        )
        self.speed = ipywidgets.Dropdown(
            options=[("slow", 500), ("medium", 200), ("fast", 80)], value=200, layout={"width": "7em"}
        )
        ipywidgets.jslink((self.play, "value"), (slider, "value"))
        ipywidgets.link((self.speed, "value"), (self.play, "interval"))
        choices = [self.controls["plan"], self.controls["directions"], self.play, self.speed, self.copy]
        return ipywidgets.VBox(
            [ipywidgets.HBox(choices, layout={"flex_flow": "row wrap"}), slider, self.canvas, self.caption]
        )

    def figure(self) -> go.Figure:
        figure = make_subplots(rows=2, cols=1, row_heights=[0.75, 0.25], vertical_spacing=0.1)
        figure.add_heatmap(
            z=self._ranks(),
            zmin=0,
            zmax=self.view.length - 1,
            colorscale=SEQUENTIAL,
            opacity=1.0 if self.strip.frames is None else 0.5,
            xgap=1,
            ygap=1,
            colorbar={"title": "read as", "len": 0.75, "y": 0.63, "thickness": 12},
            hovertemplate="read as number %{z}<extra></extra>",
            row=1,
            col=1,
        )
        for trace in self._readings():
            figure.add_scatter(**trace, row=1, col=1)
        for trace in self._orders():
            figure.add_scatter(**trace, row=2, col=1)
        self.strip.set_stage(figure, row=1, col=1)
        ends = [math.log10(0.6), math.log10(3 * self.view.length)]
        figure.update_xaxes(row=2, col=1, type="log", range=ends, title="steps from a token to its neighbour", dtick=1)
        figure.update_yaxes(row=2, col=1, type="category", range=[len(ORDERS) - 0.5, -0.5], gridcolor=QUIET)
        narrow = {"l": 10, "r": 10, "t": 10, "b": 10}
        figure.update_layout(height=500, margin=narrow, plot_bgcolor="white", showlegend=False, font={"color": INK})
        return figure

    def redraw(self, canvas: go.FigureWidget) -> None:
        heatmap, *scatters = canvas.data
        ranks = self._ranks()
        if not np.array_equal(ranks, heatmap.z):
            heatmap.z = ranks
        for trace, changed in zip(scatters, [*self._readings(), *self._orders()], strict=True):
            trace.update(changed)

    def picture(self) -> Figure:
        height, width = self.strip.size
        drawing = Figure(figsize=(10, 10 * height / width + 0.6), layout="constrained")
        axes = drawing.subplots()
        axes.imshow(self.strip.spread(self.view.passes[0].rank), cmap=SEQUENTIAL, vmin=0, vmax=self.view.length - 1)
        for one in self.view.passes:
            colour, _, head = LOOK[one.reading]
            x, y = self.strip.place(one.trail)
            axes.plot(x, y, color=colour)
            axes.plot(x[-1:], y[-1:], marker=head, color=colour, markersize=11, markeredgecolor="white", label=one.name)
        axes.set_axis_off()
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=4, frameon=False)
        return drawing

    def sentence(self) -> str:
        time, height, width = self.state.grid
        plan = self.state.plan.replace("_", " ").capitalize()
        start = f"{plan}, {time} × {height} × {width} tokens, step {self.view.position + 1} of {self.view.length}: "
        orders = {one.reading.order: one for one in self.view.passes}
        now = "; ".join(_where(one, self.state.grid) for one in self.view.passes)
        return start + now + "." + "".join(_apart(one) for one in orders.values())

    def code(self) -> str:
        patch_size, tubelet_size = self.cut
        cut = f"clip, patch_size={patch_size}, tubelet_size={tubelet_size}"
        grid = f"grid={self.state.grid}"
        return (
            f"from vmamba_edu import panels\n\npanels.scan_orders({grid if self.strip.frames is None else cut}, "
            f"plan={self.state.plan!r}, position={self.state.position}, directions={self.state.directions!r})"
        )

    def _ranks(self) -> np.ndarray:
        """When the first reading meets each token; None between the frames, since JSON knows no NaN."""
        ranks = self.strip.spread(self.view.passes[0].rank).astype(object)
        ranks[ranks != ranks] = None  # NaN alone is not equal to itself
        return ranks

    def _readings(self) -> Iterator[dict[str, Any]]:
        """A line and a head for each reading; empty ones up to the number that the largest plan has."""
        for one in self.view.passes:
            colour, symbol, _ = LOOK[one.reading]
            x, y = self.strip.place(one.trail)
            marker = {"symbol": symbol, "size": 16, "color": colour, "line": {"color": "white", "width": 2}}
            yield {"x": x, "y": y, "mode": "lines", "line": {"color": colour, "width": 3}, "hoverinfo": "skip"}
            yield {"x": x[-1:], "y": y[-1:], "mode": "markers", "marker": marker, "hoverinfo": "skip"}
        for _ in range(2 * (MOST_READINGS - len(self.view.passes))):
            yield {"x": [], "y": []}

    def _orders(self) -> Iterator[dict[str, Any]]:
        """How far apart each order puts neighbours; an order that the plan does not use has none."""
        for order in ORDERS:
            found = next((one.distances for one in self.view.passes if one.reading.order == order), {})
            yield {
                "x": list(found.values()),
                "y": [order.replace("_", " ")] * len(found),
                "text": [f"{NEIGHBOURS[axis][0]}: {steps}" for axis, steps in found.items()],
                "mode": "markers+text",
                "textposition": "top center",
                "marker": {"size": 11, "color": INK, "symbol": [NEIGHBOURS[axis][1] for axis in found]},
                "hoverinfo": "skip",
            }


def _where(one: Pass, grid: Grid) -> str:
    t, h, w = (int(i) for i in np.unravel_index(one.token, grid))
    return f"{one.name} reads frame {t}, row {h}, column {w}"


def _apart(one: Pass) -> str:
    names = {"time": "the same place one frame on", "height": "the patch below", "width": "the patch beside it"}
    steps = [f"{names[axis]} is {n} step{'s' * (n != 1)} away" for axis, n in one.distances.items()]
    return f" In {one.reading.order.replace('_', '-')} order {', '.join(steps)}." if steps else ""
