"""The states of a channel as strips that fill while a clip is read: one strip a reading, one line a state.

The strips are pictures, drawn once; what moves while one scrubs is the sheet over the part that is still to come, and
the line at its edge. So a step costs the same for 128 tokens and for 12,544.
"""

import math
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
import plotly.graph_objects as go

from vmamba_edu.palette import DIVERGING, INK
from vmamba_edu.panels.parts.clip_strip import as_png

SHARP = 4, 1000
"""A browser blurs what it enlarges: a state is drawn at least so many pixels high, and a strip so many wide."""

BAND = 0.42
"""Half the height of a strip, where the next one is 1 away."""

EMPTY = as_png(np.full((1, 1, 3), 255, np.uint8))

_BELOW, _ABOVE = (matplotlib.colors.to_hex(matplotlib.colormaps[DIVERGING](share)) for share in (0.1, 0.9))
COLOURS_SAY = f"h: <b style='color:{_BELOW}'>below 0</b>, <b style='color:{_ABOVE}'>above 0</b>, n = 1, 2, … downwards"
"""The key to the colours, for the title of an axis."""


def colours(h: np.ndarray) -> np.ndarray:
    """States (length, state) as a picture (state, length, 3), white at zero, each strip on a scale of its own.

    The largest hundredth of the values is cut off: a few would push all others towards white.
    """
    largest = float(np.quantile(np.abs(h), 0.99)) or 1.0
    rgba = matplotlib.colormaps[DIVERGING]((np.clip(h.T / largest, -1, 1) + 1) / 2, bytes=True)
    return np.ascontiguousarray(rgba[..., :3])


def enlarged(picture: np.ndarray) -> np.ndarray:
    """The same with every pixel repeated, so that its edges stay sharp."""
    return picture.repeat(SHARP[0], axis=0).repeat(math.ceil(SHARP[1] / picture.shape[1]), axis=1)


class MemoryStrips:
    """The strips in one subplot of a plotly figure.

    Args:
        length: steps of a reading.
        most: how many strips there may be; those that are not used stay empty.
        axis: which x and y axis of the figure: "3" means x3 and y3.
    """

    def __init__(self, length: int, most: int, axis: str) -> None:
        self.length, self.most, self.axis = length, most, axis
        self.first_image = 0

    def draw(self, figure: go.Figure, states: Sequence[np.ndarray], names: Sequence[str], position: int) -> None:
        """Add the strips to a figure, after whatever pictures it already has."""
        self.first_image = len(figure.layout.images)
        where = {"xref": f"x{self.axis}", "yref": f"y{self.axis}"}
        for band in range(self.most):
            place = {"x": -0.5, "y": band - BAND, "sizex": self.length, "sizey": 2 * BAND}
            figure.add_layout_image(sizing="stretch", layer="below", source=EMPTY, **place, **where)
        sheet = {"type": "rect", "fillcolor": "white", "opacity": 0.88, "line": {"width": 0}, "layer": "above"}
        figure.add_shape(y0=-0.5, y1=self.most - 0.5, x1=self.length - 0.5, x0=0, **sheet, **where)
        # The only trace of the subplot: plotly draws no axes without one.
        line = {"color": INK, "width": 2}
        axes = {"xaxis": where["xref"], "yaxis": where["yref"]}
        figure.add_scatter(mode="lines", line=line, hoverinfo="skip", name="now", **axes)
        self.show(figure, states, names, position)

    def show(self, figure: Any, states: Sequence[np.ndarray], names: Sequence[str], position: int) -> None:
        """Bring a figure with strips up to date, in place; pictures are sent only when they change."""
        for band in range(self.most):
            picture = as_png(enlarged(colours(states[band]))) if band < len(states) else EMPTY
            image = figure.layout.images[self.first_image + band]
            if image.source != picture:
                image.source = picture
        figure.layout.shapes[-1].x0 = position + 0.5
        figure.data[-1].update(x=[position + 0.5] * 2, y=[-0.5, len(states) - 0.5])
        axis = figure.layout[f"yaxis{self.axis}"]
        if axis.ticktext != tuple(names):
            axis.update(tickvals=list(range(len(names))), ticktext=list(names), range=[max(len(names), 1) - 0.5, -0.5])
