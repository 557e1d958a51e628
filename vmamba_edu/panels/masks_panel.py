"""The mask studio: five ways to hide most of a clip from a student, and what each leaves its convolution to see."""

from collections.abc import Iterator
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from plotly.subplots import make_subplots
from torch import Tensor

from vmamba_edu.masking import NAMES
from vmamba_edu.palette import BLUE, INK, MARK, VERMILLION
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.arguments import frames_of
from vmamba_edu.panels.computed.masks_of_clips import (
    DRAWS,
    WIDTH,
    State,
    View,
    attention_of_teacher,
    compute,
)
from vmamba_edu.panels.computed.scan_order_readings import tokens_of
from vmamba_edu.panels.computed.small_models import default_clip
from vmamba_edu.panels.parts.clip_strip import ClipStrip

__all__ = ["Masks", "State", "View", "compute"]

COVER = "#DDDDDD"
"""Lies over what the student does not see."""
TAPS = [[0, VERMILLION], [0.5, VERMILLION], [0.5, BLUE], [1, BLUE]]


class Masks(Panel[State, View]):
    """A clip under one of the five masks of masked pre-training, and the tokens that are left of it.

    Args:
        clip: uint8 frames (time, height, width, 3); a small one if not given.
        patch_size, tubelet_size: how the clip is cut into tokens.
        attention: (time, height · width), what a teacher looks at; that of the shipped digit teacher if not given.
        mask, ratio, seed: see `State`.

    Raises:
        ValueError: the clip cannot be cut so, the attention is of another grid, or there is no such mask or ratio.
    """

    State = State
    compute = staticmethod(compute)
    name = "masks"
    claims = ("M1",)
    plays = "ratio"
    view: View

    def __init__(
        self,
        clip: Tensor | np.ndarray | None = None,
        *,
        patch_size: int = 8,
        tubelet_size: int = 1,
        attention: Tensor | None = None,
        mask: str = "clip_row",
        ratio: float = 0.75,
        seed: int = 0,
    ) -> None:
        given = {"clip": clip, "attention": attention}
        self.given = "".join(f"{name}={name}, " for name, value in given.items() if value is not None)
        self.cut = f"patch_size={patch_size}, tubelet_size={tubelet_size}, "
        frames = frames_of(default_clip() if clip is None else clip)
        grid = tokens_of(frames, patch_size, tubelet_size)
        attention = attention_of_teacher(frames, grid) if attention is None else attention
        self.strip = ClipStrip(grid, frames[::tubelet_size])
        super().__init__(State(grid, mask, ratio, seed, attention))

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        names = [(name.replace("_", " "), name) for name in NAMES]
        return {
            "mask": ipywidgets.Dropdown(options=names, value=self.state.mask, description="mask"),
            "seed": ipywidgets.BoundedIntText(self.state.seed, 0, 9999, description="seed", layout={"width": "11em"}),
            "ratio": ipywidgets.FloatSlider(
                self.state.ratio, min=0, max=1, step=0.05, description="ratio", layout={"width": "100%"}
            ),
        }

    def arrange(self) -> ipywidgets.Box:
        row = ipywidgets.HBox([self.controls["mask"], self.controls["seed"], self.copy], layout={"flex_flow": "wrap"})
        return ipywidgets.VBox([row, self.controls["ratio"], self.canvas, self.caption])

    def figure(self) -> go.Figure:
        titles = ("", f"what the convolution's {WIDTH} taps see", "whole windows")
        specs = [[{"colspan": 2}, None], [{}, {}]]
        figure = make_subplots(
            rows=2, cols=2, specs=specs, subplot_titles=titles, row_heights=[0.62, 0.38], column_widths=[0.56, 0.44],
            horizontal_spacing=0.16, vertical_spacing=0.12,
        )  # fmt: skip
        cover, strangers, taps, bars = self._traces()
        figure.add_heatmap(**cover, row=1, col=1)
        figure.add_scatter(**strangers, row=1, col=1)
        figure.add_heatmap(**taps, row=2, col=1)
        figure.add_bar(**bars, row=2, col=2)
        self.strip.set_stage(figure, row=1, col=1)
        figure.update_xaxes(title="tokens that are left, in order", showgrid=False, row=2, col=1)
        lines = {
            "tickvals": list(range(WIDTH)),
            "ticktext": ["itself", *(f"{back} before" for back in range(1, WIDTH))],
        }
        figure.update_yaxes(range=[WIDTH - 0.5, -0.5], showgrid=False, **lines, row=2, col=1)
        figure.update_xaxes(range=[0, 1.18], tickformat=".0%", tickvals=[0, 0.5, 1], showgrid=False, row=2, col=2)
        figure.update_yaxes(autorange="reversed", row=2, col=2)
        legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
        narrow = {"l": 10, "r": 10, "t": 30, "b": 10}
        figure.update_layout(height=620, margin=narrow, plot_bgcolor="white", font={"color": INK}, legend=legend)
        figure.update_annotations(font_size=14)
        return figure

    def redraw(self, canvas: go.FigureWidget) -> None:
        for trace, changed in zip(canvas.data, self._traces(), strict=True):
            trace.update(changed)

    def _traces(self) -> Iterator[dict[str, Any]]:
        """What covers the clip, the tokens whose window reaches over a gap, the taps, and the five masks compared."""
        view = self.view
        cover = {"colorscale": [[0, COVER], [1, COVER]], "showscale": False, "opacity": 0.92}
        z = _without_nan(self.strip.spread(np.where(view.dropped, 1.0, np.nan)))
        yield {"z": z, "hoverinfo": "skip", **cover}
        x, y = self.strip.place(view.visible[~view.whole])
        marker = {"symbol": "circle", "size": 8, "color": VERMILLION, "line": {"color": "white", "width": 1.5}}
        words = "a token whose convolution reaches over a gap"
        yield {"x": x, "y": y, "mode": "markers", "marker": marker, "name": words, "showlegend": True}
        tap = {"zmin": 0, "zmax": 1, "colorscale": TAPS, "showscale": False, "ygap": 2}
        hover = "token %{x} of those left, tap %{y}<extra></extra>"
        yield {"z": _without_nan(view.true), "hovertemplate": hover, **tap}
        names = [name.replace("_", " ") for name in view.shares]
        text = [f"{share:.0%}, runs of {view.lengths[name]:.1f}" for name, share in view.shares.items()]
        colours = [BLUE if name == self.state.mask else MARK for name in view.shares]
        bars = {"orientation": "h", "textposition": "auto", "showlegend": False, "hoverinfo": "skip"}
        yield {"x": list(view.shares.values()), "y": names, "text": text, "marker": {"color": colours}, **bars}

    def picture(self) -> Figure:
        height, width = self.strip.size
        drawing = Figure(figsize=(10, 10 * height / width + 1.6), layout="constrained")
        stage, taps = drawing.subplots(2, 1, height_ratios=[10 * height / width, 1.2])
        _, rows, columns = self.state.grid
        frames = self.strip.frames
        assert frames is not None  # there is always a clip here
        for x, y, frame in zip(*self.strip.corner(np.arange(len(frames))), frames, strict=True):
            stage.imshow(frame, extent=(x - 0.5, x - 0.5 + columns, y - 0.5 + rows, y - 0.5))
        x, y = self.strip.place(np.flatnonzero(self.view.dropped))
        for left, top in zip(x, y, strict=True):
            stage.fill_between([left - 0.5, left + 0.5], top - 0.5, top + 0.5, color=COVER, linewidth=0)
        stage.plot(*self.strip.place(self.view.visible[~self.view.whole]), "o", color=VERMILLION, markersize=3)
        stage.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))
        stage.set_axis_off()
        if len(self.view.visible):
            taps.imshow(self.view.true, aspect="auto", cmap=ListedColormap([VERMILLION, BLUE]), vmin=0, vmax=1)
        taps.set(xlabel="tokens that are left, in order", yticks=range(WIDTH), ylabel="tap")
        return drawing

    def sentence(self) -> str:
        state, view = self.state, self.view
        time, height, width = state.grid
        name, left, most = state.mask.replace("_", "-").capitalize(), len(view.visible), len(view.dropped)
        start = f"{name} mask, ratio {state.ratio:g}, on {time} × {height} × {width} tokens: {left} of {most} are left"
        if not left:
            return f"{start}, so that nothing but [cls] reaches the student."
        lengths = view.runs[:, 1]
        others = ", ".join(f"{name.replace('_', ' ')} {share:.0%}" for name, share in view.shares.items())
        runs = f"They stand in {len(lengths)} run{'s' * (len(lengths) != 1)}, of {_span(lengths)} tokens each"
        return (
            f"{start}, {_span(view.by_frame)} of each frame. {runs}, that follow each other in the clip. A convolution "
            f"of width {WIDTH} sees true neighbours only at {view.whole.mean():.0%} of the tokens; in the mean of "
            f"{DRAWS} draws: {others}. [cls] always stays and is not counted."
        )

    def code(self) -> str:
        chosen = ", ".join(f"{name}={getattr(self.state, name)!r}" for name in ("mask", "ratio", "seed"))
        return f"from vmamba_edu import panels\n\npanels.masks({self.given}{self.cut}{chosen})"


def _span(counts: np.ndarray) -> str:
    """The smallest and the largest, or the one number that they all are."""
    return f"{counts.min()} to {counts.max()}" if counts.min() < counts.max() else f"{counts.min()}"


def _without_nan(values: np.ndarray) -> np.ndarray:
    """None instead of NaN: JSON knows no NaN."""
    found = values.astype(object)
    found[np.isnan(values)] = None
    return found
