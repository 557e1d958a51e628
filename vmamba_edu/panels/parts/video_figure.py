"""A look at a reader's video as a figure: its frames with values over them, and bars beside them; drawn and printed."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import plotly.graph_objects as go
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from vmamba_edu.palette import BLUE, INK, MARK
from vmamba_edu.panels.parts.mosaic import Mosaic
from vmamba_edu.panels.parts.video_looks import FramesAndBars

MOST_WORDS = 16
"""Bars that have room for words beside them."""
MOST_ROOM = 1.6
"""Where their axis ends: in a narrow window a whole bar still has room for "over 99.99 %" behind it."""
STANDOFF = 6
"""Pixels between the name of a bar and where it begins."""


def drawn(look: FramesAndBars, stage: Mosaic, patch: int) -> go.Figure:
    """The figure. `patch` is outlined where the look asks for one."""
    titles = [look.title, look.bars_title]
    figure = make_subplots(rows=1, cols=2, column_widths=[0.58, 0.42], horizontal_spacing=0.19, subplot_titles=titles)
    over, bars = _traces(look, stage)
    figure.add_heatmap(**over, row=1, col=1)
    figure.add_bar(**bars, row=1, col=2)
    stage.set_stage(figure, row=1, col=1)
    figure.update_xaxes(range=[0, MOST_ROOM], tickformat=".0%", tickvals=[0, 0.5, 1], showgrid=False, row=1, col=2)
    # A line where the bars begin: without it the name of a short bar and the words behind it read as one.
    foot = {"showline": True, "linecolor": MARK, "ticklabelstandoff": STANDOFF}
    figure.update_yaxes(autorange="reversed", type="category", automargin=True, showgrid=False, **foot, row=1, col=2)
    pictures = [stage.picture_of(look.pale, look.cut)]
    narrow, shapes = {"l": 10, "r": 10, "t": 40, "b": 10}, [_outline(look, stage, patch)]
    figure.update_layout(images=pictures, shapes=shapes, height=_height(stage), margin=narrow)
    figure.update_layout(plot_bgcolor="white", font={"color": INK}, showlegend=False)
    figure.update_annotations(font_size=14)
    return figure


def redraw(canvas: go.FigureWidget, look: FramesAndBars, stage: Mosaic, patch: int, *, pictures_too: bool) -> None:
    """Change a figure in place; what did not change is not sent. `pictures_too`: whether the frames look otherwise."""
    layout = canvas.layout
    for trace, changed in zip(canvas.data, _traces(look, stage), strict=True):
        for name, value in changed.items():
            if not np.array_equal(trace[name], value):
                trace[name] = value
    for annotation, title in zip(layout.annotations, (look.title, look.bars_title), strict=True):
        if annotation.text != title:
            annotation.text = title
    layout.shapes = [_outline(look, stage, patch)]
    if pictures_too:
        layout.images = [stage.picture_of(look.pale, look.cut)]
        layout.xaxis.range, layout.yaxis.range = [0, stage.x_edges[-1]], [stage.y_edges[-1], 0]
        layout.height = _height(stage)


def _height(stage: Mosaic) -> int:
    return 320 if stage.rows == 1 else 420


def _outline(look: FramesAndBars, stage: Mosaic, patch: int) -> dict[str, Any]:
    line = {"color": INK, "width": 3}
    return {"type": "rect", "xref": "x", "yref": "y", "line": line, "visible": look.asks, **stage.outline(patch)}


def _traces(look: FramesAndBars, stage: Mosaic) -> Iterator[dict[str, Any]]:
    """What lies over the frames, and the bars."""
    length = int(np.prod(stage.grid))
    values = np.full(length, np.nan) if look.values is None else look.values
    words = [""] * length if look.told is None else look.told
    names = (f"frame {t}, row {h}, column {w}" for t, h, w in np.ndindex(*stage.grid))
    yield {
        "x": stage.x_edges,
        "y": stage.y_edges,
        "z": stage.cells(values),
        "text": stage.cells_of([f"{name}<br>{one}" for name, one in zip(names, words, strict=True)]),
        "colorscale": look.scale,
        "zmin": look.least,
        "zmax": look.largest,
        "opacity": look.opacity,
        "showscale": False,
        "hoverongaps": False,
        "hovertemplate": "%{text}<extra></extra>",
    }
    yield {
        "x": [share for _, share, _ in look.bars],
        "y": [label for label, _, _ in look.bars],
        "text": [words for _, _, words in look.bars],
        "orientation": "h",
        "textposition": "outside" if len(look.bars) <= MOST_WORDS else "none",
        "cliponaxis": False,
        "hovertemplate": "%{y}: %{text}<extra></extra>",
        "marker": {"color": look.colours or [BLUE]},
    }


def printed(look: FramesAndBars, stage: Mosaic, patch: int) -> Figure:
    """The same for print."""
    width, height = stage.x_edges[-1], stage.y_edges[-1]
    drawing = Figure(figsize=(10, 3.2 if stage.rows == 1 else 4), layout="constrained")
    frames, bars = drawing.subplots(1, 2, width_ratios=[0.6, 0.4])
    frames.imshow(stage.drawn(look.pale, look.cut), extent=(0, width, height, 0))
    if look.values is not None:
        _lay_over(frames, look, stage)
    if look.asks:
        x0, x1, y0, y1 = (stage.outline(patch)[side] for side in ("x0", "x1", "y0", "y1"))
        frames.plot([x0, x1, x1, x0, x0], [y0, y0, y1, y1, y0], color=INK, linewidth=2)
    frames.set_title(look.title, fontsize=10)
    frames.set_axis_off()
    bars.barh(range(len(look.bars)), [share for _, share, _ in look.bars], color=look.colours)
    bars.set_yticks(range(len(look.bars)), [label for label, _, _ in look.bars])
    for place, (_, share, words) in enumerate(look.bars[:MOST_WORDS]):
        bars.text(share + 0.02, place, words, va="center", fontsize=8)
    bars.set(xlim=(0, 1.4), ylim=(max(len(look.bars), 1) - 0.5, -0.5), xticks=[0, 0.5, 1])
    bars.set_title(look.bars_title, fontsize=10)
    bars.xaxis.set_major_formatter("{x:.0%}")
    return drawing


def _lay_over(axes: Axes, look: FramesAndBars, stage: Mosaic) -> None:
    """Values over the frames, in matplotlib's own terms."""
    assert look.values is not None
    scale, alpha = look.scale, look.opacity if look.opacity < 1 else None
    if not isinstance(scale, str):
        scale = LinearSegmentedColormap.from_list("over frames", [(place, _rgba(colour)) for place, colour in scale])
    values = np.ma.masked_invalid(stage.spread(look.values))
    edges = (stage.x_edges, stage.y_edges)
    axes.pcolormesh(*edges, values, cmap=scale, alpha=alpha, vmin=look.least, vmax=look.largest)


def _rgba(colour: str) -> Any:
    """A colour of the browser as matplotlib writes it."""
    if not colour.startswith("rgba("):
        return colour
    red, green, blue, alpha = (float(part) for part in colour.removeprefix("rgba(").removesuffix(")").split(","))
    return red / 255, green / 255, blue / 255, alpha
