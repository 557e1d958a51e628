"""A clip as a film, frames in the order of time from left to right, and weights of its patches laid over it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
import plotly.graph_objects as go

from vmamba_edu.palette import DIVERGING
from vmamba_edu.panels.parts.clip_strip import ClipStrip, as_png

IN_A_LINE = 8
"""Most frames that lie beside each other."""
PALE = 120
"""How bright black becomes, of 255: colours have to stand out against the frames."""


@dataclass(frozen=True, eq=False)
class Film(ClipStrip):
    """A `ClipStrip` whose frames lie in lines of at most `IN_A_LINE`, and whose background is one pale picture."""

    @property
    def rows(self) -> int:
        return math.ceil(self.grid[0] / IN_A_LINE)

    def background(self) -> np.ndarray:
        """All frames in one grey picture, uint8 (height, width, 3), white between them; every t-th of longer clips."""
        assert self.frames is not None
        time, rows, columns = self.grid
        frames = self.frames[:: len(self.frames) // time][:time].astype(float).mean(-1)
        high, wide = frames.shape[1] // rows, frames.shape[2] // columns
        picture = np.full((self.size[0] * high, self.size[1] * wide), 255.0)
        for x, y, frame in zip(*self.corner(np.arange(time)), frames, strict=True):
            part = PALE + (255 - PALE) / 255 * frame[: rows * high, : columns * wide]
            picture[y * high : (y + rows) * high, x * wide : (x + columns) * wide] = part
        return np.repeat(picture.round().astype(np.uint8)[..., None], 3, axis=2)

    def set_background(self, figure: go.Figure, axis: str, **where: int) -> None:
        """Lay the frames below one subplot of `figure`: "2" stands for its axes x2 and y2. `where`: its row and col."""
        bare = {"visible": False, "constrain": "domain", **where}
        figure.update_xaxes(range=[-0.5, self.size[1] - 0.5], **bare)
        figure.update_yaxes(range=[self.size[0] - 0.5, -0.5], scaleanchor=f"x{axis}", **bare)
        place = {"x": -0.5, "y": -0.5, "sizex": self.size[1], "sizey": self.size[0], "sizing": "stretch"}
        picture = as_png(self.background())
        figure.add_layout_image(source=picture, layer="below", xref=f"x{axis}", yref=f"y{axis}", **place)

    def cells(self, values: np.ndarray) -> np.ndarray:
        """Numbers, (length,), on their places; None between the frames, since JSON knows no NaN."""
        picture = self.spread(values).astype(object)
        picture[picture != picture] = None  # NaN alone is not equal to itself
        return picture

    def token_at(self, x: float, y: float) -> int | None:
        """The token whose patch is there, None between the frames."""
        column, row = round(x), round(y)
        inside = 0 <= row < self.size[0] and 0 <= column < self.size[1]
        token = self.spread(np.arange(int(np.prod(self.grid))))[row, column] if inside else math.nan
        return None if math.isnan(token) else int(token)

    def names(self) -> np.ndarray:
        """What each patch is called, on its place."""
        return self.cells_of([f"frame {t}, row {h}, column {w}" for t, h, w in np.ndindex(*self.grid)])

    def cells_of(self, words: Sequence[str]) -> np.ndarray:
        """Words, one for each token, on their places."""
        picture = np.full(self.size, "", dtype=object)
        x, y = self.place(np.arange(len(words)))
        picture[y, x] = words
        return picture

    def frame_of(self, token: int, axis: str) -> dict[str, Any]:
        """The outline of a patch as a shape of a figure."""
        (x,), (y,) = self.place(np.array([token]))
        around = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
        return {"type": "rect", "xref": f"x{axis}", "yref": f"y{axis}", **{k: float(v) for k, v in around.items()}}


def roots(weights: np.ndarray) -> np.ndarray:
    """Weights as colours show them: the root of their size as a share of the largest, with their sign; in [-1, 1].

    One weight, on the patch itself or on the first token read, is often ten times the others, which would look like
    nothing: "the largest" is what a fiftieth of them is above.
    """
    size = np.abs(weights)
    largest = float(np.quantile(size, 0.98)) or float(size.max(initial=0.0)) or 1.0
    return np.sign(weights) * np.sqrt(np.clip(size / largest, 0, 1))


def over_frames() -> list[tuple[float, str]]:
    """A diverging colour scale that lets through what lies below where there is nothing to show."""
    scale = []
    for share in np.linspace(0, 1, 21):
        # From the palette's middle outwards, but not to its ends: they are too dark to be told apart.
        red, green, blue, _ = matplotlib.colormaps[DIVERGING](0.5 + (share - 0.5) * 0.8, bytes=True)
        scale.append((float(share), f"rgba({red},{green},{blue},{min(0.92, 2.2 * abs(share - 0.5)):.2f})"))
    return scale
