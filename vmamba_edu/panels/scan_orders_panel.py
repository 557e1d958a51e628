"""The scan-order theatre: in which order a block reads the tokens of a clip, how far apart that puts neighbours, and
what a channel of the block still holds of what it has read.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots
from torch import Tensor, nn

from vmamba_edu.palette import BLUE, GREEN, INK, PURPLE, QUIET, SEQUENTIAL, VERMILLION
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.arguments import came, frames_of, one_of
from vmamba_edu.panels.computed.memory_of_readings import memory_of
from vmamba_edu.panels.computed.scan_order_readings import State, View, apart, compute, held, tokens_of, where
from vmamba_edu.panels.computed.small_models import default_clip
from vmamba_edu.panels.parts.browser_parts import Player
from vmamba_edu.panels.parts.clip_strip import ClipStrip
from vmamba_edu.panels.parts.memory_strips import COLOURS_SAY, MemoryStrips, colours
from vmamba_edu.scan_orders import ORDERS, PLANS, Reading

__all__ = ["ScanOrders", "State", "View", "compute", "tokens_of"]

MOST_READINGS = max(map(len, PLANS.values()))
"""A plan with fewer readings leaves the traces of the others empty."""
MOST_TOKENS = 2**16
"""More of them are no longer to be seen, nor quick to be drawn."""

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


class ScanOrders(Panel[State, View]):
    """The orders in which a block reads a clip, played on the clip itself.

    Args:
        clip: uint8 frames (time, height, width, 3) to draw below the tokens; a small one if neither clip nor grid is
            given.
        model: a VideoMamba whose memory of the clip is shown; a small one with fresh weights if not given.
        patch_size, tubelet_size: how the clip is cut into tokens; the grid follows from it.
        grid: (time, height, width) tokens, to see the orders alone, without clip and memory.
        block: of the model; 0 is nearest to the pixels.
        channel: of the block, from 0; if not given, the one that hears most of the clip.
        plan: one of `scan_orders.PLANS`.
        position: how many steps have been read.
        directions: "both", "forward" or "backward".

    Raises:
        ValueError: the clip cannot be cut so, or not by this model, or the plan, the position, the block or the channel
            does not exist.
    """

    State = State
    compute = staticmethod(compute)
    name = "scan-orders"
    claims = ("V3",)
    view: View

    def __init__(
        self,
        clip: Tensor | np.ndarray | None = None,
        model: nn.Module | None = None,
        *,
        patch_size: int = 16,
        tubelet_size: int = 1,
        grid: Sequence[int] | None = None,
        block: int = 0,
        channel: int | None = None,
        plan: str = "spatial_first",
        position: int = 0,
        directions: Literal["both", "forward", "backward"] = "both",
    ) -> None:
        if grid is not None:
            _alone(grid, clip, model)
        one_of("plan", plan, PLANS)
        self.cut, self.given = (patch_size, tubelet_size), {"clip": clip is not None, "model": model is not None}
        frames = memory = None
        if grid is None:
            frames = frames_of(default_clip() if clip is None else clip)
            time, height, width = tokens_of(frames, patch_size, tubelet_size)
            cut = {"patch_size": patch_size, "tubelet_size": tubelet_size}
            memory = memory_of(frames, (time, height, width), model, block, **cut)
            channel = memory.busiest(plan) if channel is None else channel
            frames = frames[::tubelet_size]
        else:
            time, height, width = grid
        self.strip = ClipStrip((time, height, width), frames)
        self.strips = MemoryStrips(time * height * width, MOST_READINGS, "3") if memory else None
        super().__init__(State((time, height, width), plan, position, directions, channel or 0, memory))

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        plans = [(name.replace("_", " "), name) for name in PLANS]
        directions = [("both directions", "both"), ("forward", "forward"), ("backward", "backward")]
        position = ipywidgets.IntSlider(
            self.state.position, 0, self.view.length - 1, description="step", layout={"width": "100%"}
        )
        controls = {
            "plan": ipywidgets.Dropdown(options=plans, value=self.state.plan, description="plan"),
            "directions": ipywidgets.Dropdown(
                options=directions, value=self.state.directions, tooltip="directions", layout={"width": "11em"}
            ),
            "position": position,
        }
        if self.state.memory:
            controls["channel"] = ipywidgets.BoundedIntText(
                self.state.channel, 0, self.state.memory.channels - 1, description="channel", layout={"width": "10em"}
            )
        return controls

    def arrange(self) -> ipywidgets.Box:
        slider = self.controls["position"]
        self.player = Player(slider, (500, 200, 80))
        chosen = [control for name, control in self.controls.items() if name != "position"]
        choices = [*chosen, self.player.play, self.player.speed, self.copy]
        return ipywidgets.VBox(
            [ipywidgets.HBox(choices, layout={"flex_flow": "row wrap"}), slider, self.canvas, self.caption]
        )

    def figure(self) -> go.Figure:
        heights = [0.6, 0.16, 0.24] if self.strips else [0.75, 0.25]
        figure = make_subplots(rows=len(heights), cols=1, row_heights=heights, vertical_spacing=0.1)
        figure.add_heatmap(
            z=self._ranks(),
            zmin=0,
            zmax=self.view.length - 1,
            colorscale=SEQUENTIAL,
            opacity=1.0 if self.strip.frames is None else 0.5,
            xgap=1,
            ygap=1,
            colorbar={"title": "read as", "len": heights[0], "y": 1 - heights[0] / 2, "thickness": 12},
            hovertemplate="read as number %{z}<extra></extra>",
            row=1,
            col=1,
        )
        for trace in self._readings():
            figure.add_scatter(**trace, row=1, col=1)
        for trace in self._orders():
            figure.add_scatter(**trace, row=2, col=1)
        self.strip.set_stage(figure, row=1, col=1)
        ends = [math.log10(0.25), math.log10(3 * self.view.length)]
        title = "steps from a token to its neighbour"
        figure.update_xaxes(row=2, col=1, type="log", range=ends, title=title, dtick=1, gridcolor="#EEEEEE")
        figure.update_yaxes(row=2, col=1, type="category", range=self._rows(), gridcolor=QUIET)
        narrow = {"l": 10, "r": 10, "t": 10, "b": 10}
        if self.strips:
            figure.update_xaxes(
                row=3, col=1, title=f"steps read · {COLOURS_SAY}", range=[-0.5, self.view.length - 0.5], showgrid=False
            )
            figure.update_yaxes(row=3, col=1, showgrid=False)
            self.strips.draw(figure, *self._states())
        figure.update_layout(
            height=720 if self.strips else 500,
            margin=narrow,
            plot_bgcolor="white",
            showlegend=False,
            font={"color": INK},
        )
        return figure

    def redraw(self, canvas: go.FigureWidget) -> None:
        heatmap, *scatters = canvas.data if self.strips is None else canvas.data[:-1]
        ranks = self._ranks()
        if not np.array_equal(ranks, heatmap.z):
            heatmap.z = ranks
        for trace, changed in zip(scatters, [*self._readings(), *self._orders()], strict=True):
            trace.update(changed)
        canvas.layout.yaxis2.range = self._rows()
        if self.strips:
            self.strips.show(canvas, *self._states())

    def _states(self) -> tuple[list[np.ndarray], list[str], int]:
        """What the strips show: states, their names, and how far they have been read."""
        read = [one for one in self.view.passes if one.h is not None]
        return [one.h for one in read if one.h is not None], [f"h, {one.name}" for one in read], self.view.position

    def picture(self) -> Figure:
        height, width = self.strip.size
        states, names, position = self._states()
        tall = 10 * height / width + 0.6
        drawing = Figure(figsize=(10, tall + 0.5 * len(states)), layout="constrained")
        axes, *bands = drawing.subplots(1 + len(states), height_ratios=[tall, *[0.5] * len(states)], squeeze=False)[
            :, 0
        ]
        axes.imshow(self.strip.spread(self.view.passes[0].rank), cmap=SEQUENTIAL, vmin=0, vmax=self.view.length - 1)
        for one in self.view.passes:
            colour, _, head = LOOK[one.reading]
            x, y = self.strip.place(one.trail)
            axes.plot(x, y, color=colour)
            axes.plot(x[-1:], y[-1:], marker=head, color=colour, markersize=11, markeredgecolor="white", label=one.name)
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=4, frameon=False)
        for band, h, name in zip(bands, states, names, strict=True):
            band.imshow(colours(h[: position + 1]), aspect="auto", extent=(-0.5, position + 0.5, 0, 1))
            band.set_xlim(-0.5, self.view.length - 0.5)
            band.set_title(name, loc="left", fontsize=8, pad=1)
        for bare in (axes, *bands):
            bare.set_axis_off()
        return drawing

    def sentence(self) -> str:
        time, height, width = self.state.grid
        plan = self.state.plan.replace("_", " ").capitalize()
        start = f"{plan}, {time} × {height} × {width} tokens, step {self.view.position + 1} of {self.view.length}: "
        orders = {one.reading.order: one for one in self.view.passes}
        now = "; ".join(where(one, self.state.grid) for one in self.view.passes)
        return start + now + "." + "".join(apart(one) for one in orders.values()) + self._held()

    def _held(self) -> str:
        """What the memory holds, in words; nothing without a memory."""
        memory = self.state.memory
        if not memory:
            return ""
        holds = "; ".join(held(one, self.view.position) for one in self.view.passes)
        return f" Channel {self.state.channel} of block {memory.block}, in {memory.described}: {holds}."

    def code(self) -> str:
        patch_size, tubelet_size = self.cut
        given = "".join(f"{name}, " for name, there in self.given.items() if there)
        memory = self.state.memory
        what = f"grid={self.state.grid}"
        if memory:
            cut = f"patch_size={patch_size}, tubelet_size={tubelet_size}"
            what = f"{given}{cut}, block={memory.block}, channel={self.state.channel}"
        return (
            f"from vmamba_edu import panels\n\npanels.scan_orders({what}, plan={self.state.plan!r}, "
            f"position={self.state.position}, directions={self.state.directions!r})"
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

    def _rows(self) -> tuple[float, float]:
        """The ends of an axis with a row for each order of the plan."""
        return len({one.reading.order for one in self.view.passes}) - 0.5, -0.5

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


def _alone(grid: Sequence[int], clip: Any, model: Any) -> None:
    """Raise a ValueError unless a grid is one, and has come without what decides the grid by itself."""
    if len(grid) != 3 or min(grid) < 1 or math.prod(grid) > MOST_TOKENS:
        words = f"(time, height, width), each at least 1, and at most {MOST_TOKENS} tokens"
        raise ValueError(f"grid: expected {words}, got {tuple(grid)}")
    for name, given in (("clip", clip), ("model", model)):
        if given is not None:
            raise ValueError(f"{name}: expected none beside a grid, which is for the orders alone, got {came(given)}")
