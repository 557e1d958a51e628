"""The frames of a clip side by side, and the tokens on them: the stage on which panels play."""

import base64
import io
import math
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from PIL import Image

from vmamba_edu.scan_orders import Grid

GAP = 1
"""How many patches wide the space between two frames is."""


@dataclass(frozen=True, eq=False)
class ClipStrip:
    """Where each token of a (time, height, width) grid stands when the frames lie side by side, a unit being one patch.

    `frames` are the pictures below the tokens, uint8 (time, height, width, 3) in pixels, or None.
    """

    grid: Grid
    frames: np.ndarray | None = None

    @property
    def rows(self) -> int:
        """In how many rows the frames lie: more of them for a longer clip, so that none becomes too small to see."""
        return round(math.sqrt(self.grid[0] / 2)) or 1

    @property
    def columns(self) -> int:
        return math.ceil(self.grid[0] / self.rows)

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the whole stage in patches."""
        _, height, width = self.grid
        return self.rows * (height + GAP) - GAP, self.columns * (width + GAP) - GAP

    def corner(self, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The middles of the first patches of frames t, as (x, y) of the shape of t each."""
        _, height, width = self.grid
        return t % self.columns * (width + GAP), t // self.columns * (height + GAP)

    def place(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The middles of tokens, as (x, y) of shape (tokens,) each; y runs down."""
        t, h, w = np.unravel_index(tokens, self.grid)
        x, y = self.corner(t)
        return x + w, y + h

    def spread(self, values: np.ndarray) -> np.ndarray:
        """One number for each token, (length,), as a picture of `size`; NaN between the frames."""
        picture = np.full(self.size, np.nan)
        x, y = self.place(np.arange(len(values)))
        picture[y, x] = values
        return picture

    def set_stage(self, figure: go.Figure, **where: int) -> None:
        """Lay the frames below a subplot of `figure` and make its units square. `where`: its row and col."""
        _, height, width = self.grid
        bare = {"visible": False, "constrain": "domain", **where}
        figure.update_xaxes(range=[-0.5, self.size[1] - 0.5], **bare)
        figure.update_yaxes(range=[self.size[0] - 0.5, -0.5], scaleanchor="x", **bare)
        if self.frames is None:
            return
        look = {"sizing": "stretch", "layer": "below", "xref": "x", "yref": "y", "sizex": width, "sizey": height}
        corners = zip(*self.corner(np.arange(len(self.frames))), self.frames, strict=True)
        # All at once: plotly goes through all that there are for each one that is added.
        figure.layout.images = [
            {"source": as_png(frame), "x": int(x) - 0.5, "y": int(y) - 0.5, **look} for x, y, frame in corners
        ]


def as_png(frame: np.ndarray) -> str:
    """A picture, uint8 (height, width, 3), as the address of a PNG that holds it."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
