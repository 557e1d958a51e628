"""The frames of a clip as one picture, a narrow gap between them, and numbers of their patches laid over it."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from vmamba_edu.panels.parts.clip_strip import ClipStrip, as_png
from vmamba_edu.panels.parts.film import PALE, Film

GAP = 0.08
"""How wide the space between two frames is, as a share of a frame."""
MOST_PIXELS = 640
"""Of the picture's longer side: more of them would take long to send, and the screen has no more."""


@dataclass(frozen=True, eq=False)
class Mosaic(Film):
    """A `Film` of coloured frames in lines of its own number, whose gaps are narrow however few patches a frame has.

    A unit is still one patch. Cells are counted as those of a `ClipStrip`: the gaps have cells too, narrow ones.
    """

    @property
    def rows(self) -> int:
        return ClipStrip.rows.fget(self)  # type: ignore[attr-defined]

    @cached_property
    def x_edges(self) -> np.ndarray:
        """Where the cells begin and end from left to right, one number more than there are cells."""
        return self._edges(self.columns, self.grid[2])

    @cached_property
    def y_edges(self) -> np.ndarray:
        """The same from top to bottom."""
        return self._edges(self.rows, self.grid[1])

    def _edges(self, frames: int, patches: int) -> np.ndarray:
        widths = ([1.0] * patches + [GAP * max(self.grid[1:])]) * frames
        return np.concatenate([[0.0], np.cumsum(widths[:-1])])

    def token_at(self, x: float, y: float) -> int | None:
        """The token whose patch is there, None between the frames."""
        column, row = (int(np.searchsorted(edges, at)) - 1 for edges, at in ((self.x_edges, x), (self.y_edges, y)))
        return super().token_at(column, row)

    def outline(self, token: int) -> dict[str, float]:
        """The sides of a patch, as those of a rectangle in a figure."""
        (column,), (row,) = self.place(np.array([token]))
        x, y = self.x_edges[column : column + 2], self.y_edges[row : row + 2]
        return {"x0": float(x[0]), "x1": float(x[1]), "y0": float(y[0]), "y1": float(y[1])}

    def drawn(self, pale: bool = False, cut: bool = False) -> np.ndarray:
        """All frames in one picture, uint8 (height, width, 3), white between them; every t-th of longer clips.

        Args:
            pale: in light grey, for colours to stand out.
            cut: with white lines where patches meet.
        """
        assert self.frames is not None
        time, height, width = self.grid
        scale = max(1, round(MOST_PIXELS / max(self.x_edges[-1], self.y_edges[-1])))  # pixels of a patch
        picture = np.full((round(self.y_edges[-1] * scale), round(self.x_edges[-1] * scale), 3), 255, np.uint8)
        for t, frame in enumerate(self.frames[:: len(self.frames) // time][:time]):
            (x,), (y,) = self.corner(np.array([t]))
            top, left = round(self.y_edges[y] * scale), round(self.x_edges[x] * scale)
            part = np.array(Image.fromarray(frame).resize((width * scale, height * scale), Image.Resampling.NEAREST))
            if pale:
                grey = PALE + (255 - PALE) / 255 * part.astype(float).mean(-1, keepdims=True)
                part = np.repeat(grey.round().astype(np.uint8), 3, axis=2)
            if cut and scale > 3:
                part[::scale, :], part[:, ::scale] = 255, 255
            picture[top : top + height * scale, left : left + width * scale] = part
        return picture

    def set_stage(self, figure: go.Figure, **where: int) -> None:
        """Make the units of a subplot of `figure` square and its axes invisible. `where`: its row and col."""
        bare = {"visible": False, "constrain": "domain", **where}
        figure.update_xaxes(range=[0, self.x_edges[-1]], **bare)
        figure.update_yaxes(range=[self.y_edges[-1], 0], scaleanchor="x", **bare)

    def picture_of(self, pale: bool, cut: bool) -> dict[str, object]:
        """The picture as an image of a figure's layout."""
        size = {"x": 0, "y": 0, "sizex": float(self.x_edges[-1]), "sizey": float(self.y_edges[-1])}
        place = {"xref": "x", "yref": "y", "xanchor": "left", "yanchor": "top", "sizing": "stretch", "layer": "below"}
        return {"source": as_png(self.drawn(pale, cut)), **size, **place}
