"""The retrieval browser: type a caption and see the clips that a model finds for it play; or ask it for a caption."""

import html
import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots
from torch import Tensor

from vmamba_edu.palette import BLUE, INK, MARK
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.galleries import gallery_of
from vmamba_edu.panels.computed.rankings import SHOWN, State, View, compute, in_words
from vmamba_edu.panels.parts.moving_pictures import MovingPictures
from vmamba_edu.panels.parts.playable import MOST
from vmamba_edu.recipes import Trained

__all__ = ["Retrieval", "State", "View", "compute"]

LETTERS = 24
"""Of a line of a caption."""
PLACE = 0.5
"""Where the one clip stands that captions are sought for, as a share of the height."""


class Retrieval(Panel[State, View]):
    """A caption and the clips that fit it best, or a clip and its captions, ranked by a model of video and text.

    Args:
        model: one that is loaded, a checkpoint, the folder of a run, or the name of a shipped one; the shipped model of
            moving digits and their captions if not given.
        clips: paths of videos, or uint8 frames (time, height, width, 3) each; if not given, one for each combination of
            digit and motion that the model's training never saw.
        captions: one for each of the clips.
        find, caption, clip, reading, playing: see `State`; `reading` is by default what validation found better.

    Raises:
        ValueError: the model reads no captions, a clip cannot be read, there are not as many clips as captions, or one
            of the choices cannot be.
    """

    State = State
    compute = staticmethod(compute)
    name = "retrieval"
    claims = ("M4",)
    view: View

    def __init__(
        self,
        model: Trained | str | os.PathLike[str] | None = None,
        clips: Sequence[str | os.PathLike[str] | Tensor | np.ndarray] | None = None,
        captions: Sequence[str] | None = None,
        *,
        find: str = "clips",
        caption: str | None = None,
        clip: int = 0,
        reading: str | None = None,
        playing: bool = True,
    ) -> None:
        named = f"{os.fspath(model)!r}, " if isinstance(model, str | os.PathLike) else "model, " if model else ""
        self.given = named + ("clips=clips, captions=captions, " if clips else "")
        gallery = gallery_of(model, clips, captions)
        self.pictures = MovingPictures(gallery.clips)
        reading = gallery.trained.rank_by if reading is None else reading
        caption = gallery.captions[0] if caption is None else caption
        super().__init__(State(find, caption, clip, reading, playing, gallery))
        self.staged = self._stage()

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        gallery = self.view.gallery
        clips = [(f"{at + 1} · {words}", at) for at, words in enumerate(gallery.captions)]
        choices: dict[str, tuple[str, list[tuple[str, Any]]]] = {
            "find": ("find", [("clips of a caption", "clips"), ("captions of a clip", "captions")]),
            "reading": ("rank by", [("dual scores", "dual"), ("fused scores", "fused")]),
            "clip": ("clip", clips),
        }
        controls = self.lists(choices, "20em")
        controls["clip"].layout.width = "26em"  # whole captions
        controls["caption"] = ipywidgets.Text(
            self.state.caption, description="caption", placeholder="words, then Enter", continuous_update=False
        )
        controls["playing"] = ipywidgets.Checkbox(
            self.state.playing, description="play the clips", indent=False, layout={"width": "9em"}
        )
        self.known = ipywidgets.Dropdown(
            options=[("known captions …", ""), *((words, words) for words in gallery.known)], value="",
            tooltip="captions of the gallery, to pick one", layout={"width": "19em"},
        )  # fmt: skip
        self.known.add_class("vmamba-known").observe(self._picked, "value")
        self._enable(controls)
        return controls

    def arrange(self) -> ipywidgets.Box:
        one = self.controls
        rows = [[one["find"], one["reading"], one["playing"], self.copy], [one["caption"], self.known, one["clip"]]]
        boxes = [ipywidgets.HBox(row, layout={"flex_flow": "row wrap"}) for row in rows]
        return ipywidgets.VBox([*boxes, self.canvas, self.caption])

    def _picked(self, change: Mapping[str, Any]) -> None:
        if change["new"]:
            self.controls["caption"].value = change["new"]

    def _enable(self, controls: Mapping[str, Any]) -> None:
        """Only what is asked by can be changed."""
        controls["clip"].disabled = self.state.find == "clips"
        controls["caption"].disabled = self.known.disabled = self.state.find == "captions"

    def show(self, **changes: Any) -> None:
        super().show(**changes)
        self._enable(self.controls)
        if self.state.caption not in (self.known.value, None):
            self.known.value = ""  # what was typed need not be one of them

    def figure(self) -> go.Figure:
        figure = make_subplots(rows=1, cols=3, column_widths=[0.44, 0.31, 0.25], horizontal_spacing=0.01)
        words, bars = self._traces()
        figure.add_scatter(**words, row=1, col=2)
        figure.add_bar(**bars, row=1, col=3)
        figure.update_yaxes(range=[SHOWN - 0.5, -0.5], visible=False)
        figure.update_xaxes(visible=False, range=[0, 1])
        figure.update_xaxes(visible=True, gridcolor="#EEEEEE", zeroline=False, nticks=4, row=1, col=3)
        narrow = {"l": 5, "r": 10, "t": 10, "b": 10}
        figure.update_layout(height=480, margin=narrow, plot_bgcolor="white", font={"color": INK}, showlegend=False)
        figure.layout.images = self._images()
        self._set_axis(figure)
        return figure

    def redraw(self, canvas: go.FigureWidget) -> None:
        for trace, changed in zip(canvas.data, self._traces(), strict=True):
            trace.update(changed)
        self._set_axis(canvas)
        if self.staged != self._stage():  # pictures are sent only when they change
            canvas.layout.images, self.staged = self._images(), self._stage()

    def _stage(self) -> tuple[Any, ...]:
        """What the pictures depend on."""
        state = self.state
        asked = state.clip if state.find == "captions" else tuple(one.number for one in self.view.shown)
        return state.playing, state.find, asked

    def _set_axis(self, figure: Any) -> None:
        low, high = self._foot(), max(self.view.span[1], 0.0)
        figure.layout.xaxis3.range = [low, high + 0.35 * (high - low or 1)]  # room for the number beside a bar
        title = "cosine" if self.state.reading == "dual" else "logit of a match"
        figure.layout.xaxis3.title.text = title

    def _foot(self) -> float:
        """Where bars begin: at 0, or where a score is negative at the least of all, so that longer is always better."""
        return 0.0 if min(one.score for one in self.view.shown) >= 0 else self.view.span[0]

    def _images(self) -> list[dict[str, Any]]:
        """Each clip twice: playing, and some of its frames side by side."""
        state = self.state
        clips = [one.number for one in self.view.shown] if state.find == "clips" else [state.clip]
        found: list[dict[str, Any]] = []
        high = 0.92 if state.find == "clips" else 3.0
        for row, clip in enumerate(clips):
            middle = float(row) if state.find == "clips" else PLACE * (SHOWN - 1)
            common = {"xref": "x", "yref": "y", "y": middle, "yanchor": "middle", "sizey": high, "layer": "above"}
            playing = {"x": 0.01, "sizex": 0.21, "xanchor": "left", "source": self.pictures.of(clip, state.playing)}
            strip = {"x": 0.25, "sizex": 0.73, "xanchor": "left", "source": self.pictures.strip_of(clip)}
            found += [{**common, **playing, "sizing": "contain"}, {**common, **strip, "sizing": "contain"}]
        return found

    def _traces(self) -> Iterator[dict[str, Any]]:
        """What each candidate is called, and its score."""
        shown = self.view.shown
        rows = [float(row) for row in range(len(shown))]
        marks = ["<br><b>✓ right</b>" if one.is_right else "" for one in shown]
        words = [f"{one.rank} · {_broken(one.words)}{mark}" for one, mark in zip(shown, marks, strict=True)]
        names = {"mode": "text", "textposition": "middle right", "textfont": {"color": INK, "size": 12}}
        yield {"x": [0.02] * len(shown), "y": rows, "text": words, **names, "hoverinfo": "skip", "cliponaxis": False}
        colours = [BLUE if one.is_right else MARK for one in shown]
        hover = {"hoverinfo": "skip", "cliponaxis": False}
        scores = {"base": self._foot(), "x": [one.score - self._foot() for one in shown]}
        scores |= {"text": [f"{one.score:.2f}" for one in shown]}
        look = {"orientation": "h", "width": 0.55, "marker": {"color": colours}, "textposition": "outside"}
        yield {"y": rows, **scores, **look, **hover}

    def picture(self) -> Figure:
        shown = self.view.shown
        drawing = Figure(figsize=(10, 3.6), layout="constrained")
        clips, bars = drawing.subplots(1, 2, width_ratios=[2, 3])
        numbers = [one.number for one in shown] if self.state.find == "clips" else [self.state.clip]
        for row, number in enumerate(numbers):
            strip = np.asarray(self.pictures.strip(number))
            middle, half = (row, 0.45) if self.state.find == "clips" else (PLACE * (SHOWN - 1), 1.5)
            wide = 2 * half * strip.shape[1] / strip.shape[0]
            clips.imshow(strip, extent=(0, wide, middle + half, middle - half))
        clips.set(ylim=(SHOWN - 0.5, -0.5), xlim=(0, max(image.get_extent()[1] for image in clips.images)))
        clips.set_axis_off()
        lengths = [one.score - self._foot() for one in shown]
        colours = [BLUE if one.is_right else MARK for one in shown]
        bars.barh(range(len(shown)), lengths, left=self._foot(), color=colours)
        names = [f"{one.rank} · {one.words}{' ✓' if one.is_right else ''}" for one in shown]
        bars.set_yticks(range(len(shown)), names)
        bars.set(ylim=(SHOWN - 0.5, -0.5), xlabel="cosine" if self.state.reading == "dual" else "logit of a match")
        return drawing

    def sentence(self) -> str:
        return in_words(self.state, self.view)

    def code(self) -> str:
        state = self.state
        names = ("find", "caption" if state.find == "clips" else "clip", "reading", "playing")
        words = ", ".join(f"{name}={getattr(state, name)!r}" for name in names)
        return f"from vmamba_edu import panels\n\npanels.retrieval({self.given}{words})"

    def to_html(
        self, path: str | Path, field: str | None = None, values: Sequence[Any] | None = None, *, progress: bool = True
    ) -> Path:
        """As every panel; it plays the captions of the gallery, or its clips where captions are sought for them."""
        if field is None:
            field = "caption" if self.state.find == "clips" else "clip"
        if field == "caption" and values is None:
            values = list(dict.fromkeys([*self.view.gallery.known[:MOST], self.view.asked]))
        return super().to_html(path, field, values, progress=progress)


def _broken(words: str) -> str:
    """A caption in lines, so that it does not run into what is beside it."""
    return "<br>".join(html.escape(line) for line in textwrap.wrap(words, LETTERS))
