"""Model anatomy: what every part of a registered model has, computes and keeps, and the code that it is."""

import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from vmamba_edu.models import list_models
from vmamba_edu.models.registry import MODELS
from vmamba_edu.palette import BLUE, INK, VERMILLION
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.anatomy_parts import Anatomy, Part, anatomy_of, in_words, is_counted

__all__ = ["ModelAnatomy", "State", "View", "compute"]

FRAMES = (2, 4, 8, 16, 32, 64, 96, 128)
SIZES = (64, 112, 224, 336, 448)
QUANTITIES = {"parameters": "parameters", "macs": "multiply-accumulates", "kept": "kept for backward, bytes"}


@dataclass(frozen=True)
class State:
    """Which model, for clips of which size, and which of its parts is looked at.

    Args:
        model: one of `list_models()`.
        frames: of a clip; a model for pictures does not hear of it.
        size: side of a frame in pixels.
        part: the path of a part, such as "layers.0.mixer"; "" is the model itself.
    """

    model: str = "videomamba_tiny"
    frames: int = 8
    size: int = 224
    part: str = "layers.0"


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows: the anatomy, the part, and the number of the stage that the part is in, None if in none."""

    anatomy: Anatomy
    part: Part
    stage: int | None


def compute(state: State) -> View:
    """The anatomy of the model, counted without a number being computed.

    Raises:
        ValueError: there is no such model or part, or the model cannot read such clips.
    """
    anatomy = anatomy_of(state.model, state.frames, state.size)
    if state.part not in anatomy.parts:
        stages = ", ".join(anatomy.stages)
        raise ValueError(f"part: expected one of {stages}, or a part of theirs in {state.model}, got {state.part!r}")
    holds = [n for n, path in enumerate(anatomy.stages) if state.part == path or state.part.startswith(f"{path}.")]
    return View(anatomy, anatomy.parts[state.part], holds[0] if holds else None)


class ModelAnatomy(Panel[State, View]):
    """Parameters, operations and activations of a model, stage by stage; click through to the source.

    Args:
        model, frames, size, part: see `State`; the first block if no part is given.

    Raises:
        ValueError: there is no such model or part, or the model cannot read such clips.
    """

    State = State
    compute = staticmethod(compute)
    name = "model-anatomy"
    claims = ("V4", "T3")
    plays = "frames"
    view: View

    def __init__(
        self, *, model: str = "videomamba_tiny", frames: int = 8, size: int = 224, part: str | None = None
    ) -> None:
        if part is None:
            part = first_block(anatomy_of(model, frames, size))
        super().__init__(State(model, frames, size, part))
        for trace in self.canvas.data:
            trace.on_click(self._clicked)

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        state = self.state
        frames, sizes = (sorted({*known, now}) for known, now in ((FRAMES, state.frames), (SIZES, state.size)))
        return {
            "model": ipywidgets.Dropdown(
                options=[(name, name) for name in list_models()], value=state.model, description="model"
            ),
            "frames": ipywidgets.SelectionSlider(options=frames, value=state.frames, description="frames"),
            "size": ipywidgets.SelectionSlider(options=sizes, value=state.size, description="pixels"),
            "part": ipywidgets.SelectionSlider(
                options=self._options(), value=state.part, description="part", layout={"width": "100%"}
            ),
        }

    def arrange(self) -> ipywidgets.Box:
        self.source = ipywidgets.HTML(self._source(), layout={"width": "100%"}).add_class("vmamba-source-code")
        # The same as the slider above, which takes arrow keys anywhere, as a tree to look over.
        self.tree = ipywidgets.Select(
            options=self._options(), value=self.state.part, rows=16, tooltip="parts", layout={"width": "100%"}
        )
        self.listen(self.tree.add_class("vmamba-tree"), self._chosen)
        chosen = [control for name, control in self.controls.items() if name != "part"]
        above = ipywidgets.HBox([*chosen, self.copy], layout={"flex_flow": "row wrap"})
        wide, wider = {"flex": "1 1 20em", "min_width": "16em"}, {"flex": "2 1 30em", "min_width": "20em"}
        parts = ipywidgets.VBox([self.tree], layout=wide)
        code = ipywidgets.VBox([self.source], layout=wider)
        below = ipywidgets.HBox([parts, code], layout={"flex_flow": "row wrap"})
        self._follow()
        return ipywidgets.VBox([above, self.controls["part"], self.canvas, self.caption, below])

    def long_work(self, changes: Mapping[str, Any]) -> tuple[str, Callable[[], Any]] | None:
        """To count a model that has not been counted."""
        model, frames, size = self._clip_with(changes)
        count = partial(anatomy_of, model, frames, size)
        return None if is_counted(model, frames, size) else (f"Counting {model}", count)

    def show(self, **changes: Any) -> None:
        """As every panel; another model is counted first, and shows its first block if it has no such part."""
        if (new := self._clip_with(changes)) != self._clip_with({}):
            anatomy = anatomy_of(*new)
            if changes.get("part", self.state.part) not in anatomy.parts:
                changes["part"] = first_block(anatomy)
        super().show(**changes)
        self._follow()

    def _clip_with(self, changes: Mapping[str, Any]) -> tuple[str, int, int]:
        """Which model and clips are counted after these changes."""
        model, frames, size = (changes.get(name, getattr(self.state, name)) for name in ("model", "frames", "size"))
        return model, frames, size

    def _chosen(self, change: Any) -> None:
        self.show(part=change["new"])

    def _follow(self) -> None:
        with self.moving_controls():
            options = self._options()
            for several in (self.controls["part"], self.tree):
                if several.options != options:
                    several.options = options
            self.tree.value = self.state.part
            for name, control in self.controls.items():
                if name not in self.later.changes:  # the reader is still turning those
                    control.value = getattr(self.state, name)
        self.controls["frames"].disabled = not hasattr(MODELS[self.state.model], "num_frames")
        source = self._source()
        if self.source.value != source:
            self.source.value = source

    def _clicked(self, trace: Any, points: Any, selector: Any) -> None:
        if points.point_inds:
            self.show(part=self.view.anatomy.stages[points.point_inds[0]])

    def _options(self) -> tuple[tuple[str, str], ...]:
        """All parts as a tree."""
        found = [("the whole model", "")]
        for path, part in self.view.anatomy.parts.items():
            if path:
                *above, own = path.split(".")
                count = f", {in_words(part.parameters)}" if part.parameters else ""
                found.append((f"{'  ' * len(above)}{own} · {part.kind}{count}", path))
        return tuple(found)

    def _source(self) -> str:
        where, text = self.view.part.source
        scrolls = "height:20em;overflow:auto;border:1px solid #B0B0B0;padding:0.5em;line-height:1.35;font-size:90%"
        code = f'<pre tabindex="0" role="region" aria-label="source" style="{scrolls}">{html.escape(text)}</pre>'
        return f"<b>class {self.view.part.kind}</b>, {html.escape(where)}{code}"

    def figure(self) -> go.Figure:
        figure = make_subplots(
            rows=3, cols=1, shared_xaxes=True, vertical_spacing=0.08, subplot_titles=tuple(QUANTITIES.values())
        )
        for row, bars in enumerate(self._bars(), start=1):
            figure.add_bar(**bars, row=row, col=1)
        figure.update_yaxes(gridcolor="#EEEEEE", rangemode="tozero", exponentformat="SI")
        figure.update_xaxes(showgrid=False, type="linear")
        figure.update_layout(
            height=460,
            bargap=0.15,
            showlegend=False,
            margin={"l": 10, "r": 10, "t": 30, "b": 10},
            plot_bgcolor="white",
            font={"color": INK},
        )
        figure.update_annotations(font_size=14)
        self._ticks(figure)
        return figure

    def redraw(self, canvas: go.FigureWidget) -> None:
        for trace, bars in zip(canvas.data, self._bars(), strict=True):
            for name in ("x", "y", "text"):
                if not np.array_equal(trace[name], bars[name]):
                    trace[name] = bars[name]
            if trace.marker.color != bars["marker"]["color"]:
                trace.marker.update(color=bars["marker"]["color"], pattern=bars["marker"]["pattern"])
        self._ticks(canvas)

    def _ticks(self, figure: go.Figure | go.FigureWidget) -> None:
        names = tuple(short(path) for path in self.view.anatomy.stages)
        if figure.layout.xaxis3.ticktext != names:
            for axis in (figure.layout.xaxis, figure.layout.xaxis2, figure.layout.xaxis3):
                axis.update(range=[-0.5, len(names) - 0.5], tickvals=list(range(len(names))), ticktext=names)

    def _bars(self) -> Iterator[dict[str, Any]]:
        """A bar for each stage; the one that the part is in stands out by colour and by stripes."""
        view, anatomy = self.view, self.view.anatomy
        here = [number == view.stage for number in range(len(anatomy.stages))]
        marker = {
            "color": tuple(VERMILLION if one else BLUE for one in here),
            "pattern": {"shape": tuple("/" if one else "" for one in here)},
        }
        for name in QUANTITIES:
            values = [getattr(anatomy.parts[path], name) for path in anatomy.stages]
            words = tuple(
                f"{path}: {in_words(value, 'B' if name == 'kept' else '')}"
                for path, value in zip(anatomy.stages, values, strict=True)
            )
            yield {
                "x": tuple(range(len(values))),
                "y": tuple(values),
                "text": words,
                "textposition": "none",
                "hovertemplate": "%{text}<extra></extra>",
                "marker": marker,
            }

    def picture(self) -> Figure:
        drawing = Figure(figsize=(10, 4), layout="constrained")
        for axes, (words, bars) in zip(
            drawing.subplots(3, sharex=True), zip(QUANTITIES.values(), self._bars(), strict=True), strict=True
        ):
            axes.bar(bars["x"], bars["y"], color=bars["marker"]["color"])
            axes.set_title(words, fontsize=9)
        axes.set_xticks(bars["x"], [short(path) for path in self.view.anatomy.stages], rotation=60, fontsize=7)
        return drawing

    def sentence(self) -> str:
        state, anatomy, part = self.state, self.view.anatomy, self.view.part
        whole = anatomy.whole
        is_clip = hasattr(MODELS[state.model], "num_frames")
        what = f"{state.frames} frames" if is_clip else "a picture"
        blocks = len([path for path in anatomy.stages if path.split(".")[-1].isdigit()])
        start = (
            f"{state.model}, {what} of {state.size} × {state.size}: {in_words(whole.parameters)} parameters, "
            f"{whole.macs / 1e9:.4g} GMAC as counted, {in_words(whole.kept, 'B')} of activations kept for a backward "
            f"pass in float32; {blocks} of its {len(anatomy.stages)} stages are numbered, {in_words(anatomy.loose)} "
            f"parameters stand between them."
        )
        name = part.path or "The whole model"
        shares = [f"{count / of:.1%}" if of else "none" for count, of in self._counts()]
        output = (
            f"hands on {tuple(part.output)}" if part.output else "is read by the part around it, where it is counted"
        )
        return (
            f"{start} {name}, a {part.kind}, has {in_words(part.parameters)} parameters ({shares[0]}), computes "
            f"{part.macs / 1e9:.3g} GMAC ({shares[1]}), keeps {in_words(part.kept, 'B')} ({shares[2]}) and {output}. "
            f"Its source stands in {part.source[0]}."
        )

    def _counts(self) -> list[tuple[int, int]]:
        part, whole = self.view.part, self.view.anatomy.whole
        return [(part.parameters, whole.parameters), (part.flops, whole.flops), (part.kept, whole.kept)]

    def code(self) -> str:
        words = ", ".join(f"{name}={getattr(self.state, name)!r}" for name in ("model", "frames", "size", "part"))
        return f"from vmamba_edu import panels\n\npanels.model_anatomy({words})"


def first_block(anatomy: Anatomy) -> str:
    """The first stage that has a number, or else the first stage."""
    return next((path for path in anatomy.stages if path.split(".")[-1].isdigit()), anatomy.stages[0])


def short(path: str) -> str:
    """The name of a stage below its bar: a block is called by its number alone, with what tells two encoders apart."""
    *above, own = path.split(".")
    kind = next((word for word in ("spatial", "temporal", "decoder") if any(word in name for name in above)), "")
    return f"{kind} {own}".strip()
