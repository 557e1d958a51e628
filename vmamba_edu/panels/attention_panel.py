"""Implied attention: what a patch of a clip draws on in every frame, in models that scan and in models that attend."""

from collections.abc import Iterator, Mapping
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots
from torch import Tensor, nn

from vmamba_edu.models import VideoMambaPro
from vmamba_edu.models.backbone import Backbone
from vmamba_edu.palette import BLUE, DIVERGING, GREEN, INK, PURPLE, QUIET, VERMILLION
from vmamba_edu.panels.base import Panel, in_words
from vmamba_edu.panels.computed.attention_of_models import (
    MOST_MODELS,
    Look,
    SideBySide,
    side_by_side,
    with_a_trained_one,
)
from vmamba_edu.panels.computed.attention_readings import DIRECTIONS, VARIANTS, State, View, busiest_patch, compute
from vmamba_edu.panels.computed.small_models import default_clip
from vmamba_edu.panels.parts.film import Film, over_frames, roots

__all__ = ["ImpliedAttention", "State", "View", "compute"]

LOOK = [
    (BLUE, "circle", "●"),
    (VERMILLION, "square", "■"),
    (GREEN, "diamond", "◆"),
    (PURPLE, "x", "✖"),
    (INK, "triangle-up", "▲"),
]
assert len(LOOK) == MOST_MODELS
CHOICES = {"size": "mean of |w|", "mean": "mean of w", "channel": "one channel"}
SAY = {"size": "mean |w| of all channels", "mean": "mean w of all channels"}
SHARES = "share of all |w| that lies in each frame"


class ImpliedAttention(Panel[State, View]):
    """What a patch draws on: the row of its token in the matrix that a scan implies, or that softmax made.

    Click a patch, or choose it by frame, row and column.

    Args:
        clip: uint8 frames (time, height, width, 3); a small one if not given.
        model: one model for such a clip, or several by name, at most five: VideoMamba, VideoMambaPro, ViViT or
            TimeSformer. If not given, a small one of each, with fresh weights, and before them the classifier that
            comes with the package, which has learned, where the clip is of its kind: 4 frames of 32 × 32 pixels.
        patch_size: how the small models cut the clip.
        frame, row, column: the patch that asks; the one with most to see if not given.
        block, direction, weights, channel, variant, matrix: see `State`; the first model's matrix if not given.

    Raises:
        ValueError: the clip does not fit the models, or there is no such patch, block, channel or choice.
    """

    State = State
    compute = staticmethod(compute)
    name = "implied-attention"
    claims = ("P1", "P3", "S4")
    plays = "frame"
    view: View

    def __init__(
        self,
        clip: Tensor | np.ndarray | None = None,
        model: nn.Module | Mapping[str, nn.Module] | None = None,
        *,
        patch_size: int = 16,
        frame: int | None = None,
        row: int | None = None,
        column: int | None = None,
        block: int = 0,
        direction: str = "both",
        weights: str = "size",
        channel: int = 0,
        variant: str = "own",
        matrix: str | None = None,
    ) -> None:
        self.given = "".join(f"{name}, " for name, there in (("clip", clip), ("model", model)) if there is not None)
        self.given += "" if model is not None else f"patch_size={patch_size}, "
        if model is None:
            models = with_a_trained_one(clip, patch_size)
        else:
            models = side_by_side(default_clip() if clip is None else clip, model, patch_size)
        patch = busiest_patch(models.frames, models.grid)
        frame, row, column = (
            first if given is None else given for first, given in zip(patch, (frame, row, column), strict=True)
        )
        self.film = Film(models.grid, models.frames)
        matrix = next(iter(models.models)) if matrix is None else matrix
        super().__init__(State(frame, row, column, block, direction, weights, channel, variant, matrix, models))
        for trace in self.canvas.data[: len(models.models)]:
            trace.on_click(self._clicked)

    @property
    def models(self) -> SideBySide:
        assert self.state.models is not None
        return self.state.models

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        state, sizes = self.state, dict(zip(("frame", "row", "column"), self.models.grid, strict=True))
        sizes["block"] = self.models.depth
        controls: dict[str, ipywidgets.ValueWidget] = {
            name: ipywidgets.IntSlider(
                getattr(state, name), 0, size - 1, description=name, disabled=size == 1, layout={"width": "19em"}
            )
            for name, size in sizes.items()
        }
        directions = [(f"{name} direction{'s' * (name == 'both')}", name) for name in DIRECTIONS]
        choices = {"direction": ("scans read", directions)}
        choices["weights"] = ("weights", [(words, name) for name, words in CHOICES.items()])
        if any(isinstance(model, VideoMambaPro) for model in self.models.models.values()):
            choices["variant"] = ("Pro variant", [(name.replace("_", " "), name) for name in VARIANTS])
        choices["matrix"] = ("matrix of", [(name, name) for name in self.models.models])
        controls |= self.lists(choices, "21em")  # "VideoMambaPro, fresh" is to be read
        if self.models.channels:
            controls["channel"] = ipywidgets.BoundedIntText(
                state.channel, 0, self.models.channels - 1, description="channel", layout={"width": "10em"}
            )
            controls["channel"].disabled = state.weights != "channel"
        return controls

    def show(self, **changes: Any) -> None:
        """As every panel; where a clip has to be read by other blocks first, the sentence says that it is."""
        new = {name: changes.get(name, getattr(self.state, name)) for name in Look._fields}
        if new["block"] in range(self.models.depth) and not self.models.knows(Look(**new)):
            self.caption.value = in_words(f"Reading the clip up to block {new['block']} …")
        super().show(**changes)
        if "channel" in self.controls:
            self.controls["channel"].disabled = self.state.weights != "channel"
        for name, control in self.controls.items():
            control.value = getattr(self.state, name)

    def _clicked(self, trace: Any, points: Any, selector: Any) -> None:
        token = self.film.token_at(points.xs[0], points.ys[0]) if points.xs else None
        if token is not None:
            t, h, w = (int(i) for i in np.unravel_index(token, self.models.grid))
            self.show(frame=t, row=h, column=w)

    def figure(self) -> go.Figure:
        count, lines = len(self.view.drawn), self.film.rows
        strips = [110.0 * lines + 20] * count
        height = sum(strips) + 330
        figure = make_subplots(
            rows=count + 1,
            cols=2,
            specs=[[{"colspan": 2}, None]] * count + [[{}, {}]],
            row_heights=[*strips, 290.0],
            vertical_spacing=34 / height,
            column_widths=[0.62, 0.38],
            horizontal_spacing=0.1,
            subplot_titles=[*self._titles(), SHARES, self._matrix_title()],
        )
        scale = {"zmin": -1, "zmax": 1, "colorscale": over_frames(), "showscale": False, "hoverongaps": False}
        hover = "%{text}<br>w = %{customdata:.2e}<extra></extra>"
        for row, cells in enumerate(self._cells(), start=1):
            figure.add_heatmap(**cells, **scale, text=self.film.names(), hovertemplate=hover, row=row, col=1)
        for line in self._lines():
            figure.add_scatter(**line, row=count + 1, col=1)
        shown = {"coloraxis": "coloraxis", "hovertemplate": "token %{y} of token %{x}<extra></extra>"}
        figure.add_heatmap(**self._matrix(), **shown, row=count + 1, col=2)
        for row in range(1, count + 1):
            self.film.set_background(figure, str(row), row=row, col=1)
        figure.update_layout(shapes=self._shapes(), height=height)
        self._dress(figure, count + 1)
        return figure

    def _dress(self, figure: go.Figure, last: int) -> None:
        figure.update_xaxes(title="frame", dtick=1 + self.film.grid[0] // 17, showgrid=False, row=last, col=1)
        figure.update_yaxes(
            range=[0, 1.05], tickformat=".0%", gridcolor="#EEEEEE", zerolinecolor=QUIET, row=last, col=1
        )
        figure.update_xaxes(title="is drawn on: token j", constrain="domain", showgrid=False, row=last, col=2)
        figure.update_yaxes(
            title="asks: token i", scaleanchor=f"x{last + 1}", constrain="domain", showgrid=False, row=last, col=2
        )
        figure.update_yaxes(autorange="reversed", row=last, col=2)
        bar = {"thickness": 10, "len": 260, "lenmode": "pixels", "y": 0, "yanchor": "bottom", "x": 1.0}
        bar |= {"tickvals": [-100, -50, 0, 50, 100], "ticktext": ["−largest", "−¼", "0", "¼", "largest"]}
        figure.update_layout(
            coloraxis={"colorscale": DIVERGING, "cmin": -100, "cmax": 100, "colorbar": bar},
            margin={"l": 10, "r": 10, "t": 30, "b": 10},
            plot_bgcolor="white",
            font={"color": INK},
            showlegend=False,  # the titles of the films have the colours and signs of the lines
        )
        figure.update_annotations(font_size=14)

    def redraw(self, canvas: go.FigureWidget) -> None:
        changed = [*self._cells(), *({"y": line["y"]} for line in self._lines()), self._matrix()]
        for trace, new in zip(canvas.data, changed, strict=True):
            for name, value in new.items():  # what did not change is not sent: a matrix is large
                if not np.array_equal(trace[name], value):
                    trace[name] = value
        for shape, new in zip(canvas.layout.shapes, self._shapes(), strict=True):
            for name in ("x0", "x1", "y0", "y1"):
                if shape[name] != new[name]:
                    shape[name] = new[name]
        titles = [*self._titles(), SHARES, self._matrix_title()]
        for annotation, title in zip(canvas.layout.annotations, titles, strict=True):
            if annotation.text != title:
                annotation.text = title

    def _cells(self) -> Iterator[dict[str, Any]]:
        for drawn in self.view.drawn.values():
            yield {
                "z": self.film.cells(roots(drawn.weights).round(3)),
                "customdata": self.film.cells(np.array([float(f"{w:.3g}") for w in drawn.weights])),
            }

    def _lines(self) -> Iterator[dict[str, Any]]:
        for (colour, symbol, _), (name, drawn) in zip(LOOK, self.view.drawn.items(), strict=False):
            look = {"line": {"color": colour, "width": 2}, "marker": {"color": colour, "symbol": symbol, "size": 8}}
            yield {
                "x": list(range(len(drawn.per_frame))),
                "y": drawn.per_frame.round(4),
                "mode": "lines+markers",
                "name": name,
                **look,
            }

    def _matrix(self) -> dict[str, Any]:
        """In hundredths, a byte each: a matrix is the largest thing that is sent."""
        window = self.view.window
        hundredths = (100 * roots(self.view.matrix)).round().astype(np.int8)
        return {"z": hundredths, "x0": window[0], "dx": 1, "y0": window[0], "dy": 1}

    def _shapes(self) -> list[dict[str, Any]]:
        """Outlines of the patch in every film, its frame among the shares, and its row of the matrix."""
        last, window = len(self.view.drawn) + 1, self.view.window
        black = {"line": {"color": INK, "width": 3}}
        outlines = [self.film.frame_of(self.view.token, str(row)) | black for row in range(1, last)]
        dashed = {"type": "line", "line": {"color": INK, "width": 1, "dash": "dot"}}
        here = {"x0": self.state.frame, "x1": self.state.frame, "y0": 0, "y1": 1.05}
        across = {"x0": window[0] - 0.5, "x1": window[-1] + 0.5, "y0": self.view.token, "y1": self.view.token}
        places = [{**here, "xref": f"x{last}", "yref": f"y{last}"}]
        places.append({**across, "xref": f"x{last + 1}", "yref": f"y{last + 1}"})
        return [*outlines, *(dashed | place for place in places)]

    def _titles(self) -> list[str]:
        return [
            f"<span style='color:{colour}'>{sign}</span> <b>{name}</b> · {self._reading(name)}"
            for (colour, _, sign), name in zip(LOOK, self.view.drawn, strict=False)
        ]

    def _reading(self, name: str) -> str:
        """How a model looks, in words."""
        state, model = self.state, self.models.models[name]
        if not isinstance(model, Backbone):
            return "softmax, mean of all heads"
        kind = ""
        if isinstance(model, VideoMambaPro):
            kind = (model.config.variant if state.variant == "own" else state.variant).replace("_", " ") + ", "
        if not self.view.drawn[name].reads:
            return f"{kind}does not read {state.direction}"
        directions = "both directions" if state.direction == "both" else state.direction
        what = SAY[state.weights] if state.weights != "channel" else f"w of channel {state.channel}"
        return f"{kind}{directions}, {what}"

    def _matrix_title(self) -> str:
        return f"w of {self.state.matrix}"

    def picture(self) -> Figure:
        height, width = self.film.size
        drawing = Figure(figsize=(10, len(self.view.drawn) * (10 * height / width + 0.3)), layout="constrained")
        all_axes = drawing.subplots(len(self.view.drawn), squeeze=False)[:, 0]
        (x,), (y,) = self.film.place(np.array([self.view.token]))
        for axes, (name, drawn) in zip(all_axes, self.view.drawn.items(), strict=True):
            axes.imshow(self.film.background(), extent=(-0.5, width - 0.5, height - 0.5, -0.5))
            weights = self.film.spread(roots(drawn.weights))
            axes.imshow(weights, cmap=DIVERGING, vmin=-1, vmax=1, alpha=0.2 + 0.7 * np.abs(np.nan_to_num(weights)))
            axes.plot(x, y, "s", markerfacecolor="none", markeredgecolor=INK, markersize=16, markeredgewidth=2)
            axes.set_title(f"{name} · {self._reading(name)}", loc="left", fontsize=9)
            axes.set_axis_off()
        return drawing

    def sentence(self) -> str:
        state, view, (_, height, width) = self.state, self.view, self.models.grid
        start = f"Row {state.row}, column {state.column} of frame {state.frame} asks in block {state.block}. "
        found = []
        for name, drawn in view.drawn.items():
            if not drawn.reads:
                found.append(f"{name} does not read {state.direction}")
                continue
            t, rest = divmod(drawn.strongest, height * width)
            own, below = drawn.per_frame[state.frame], (drawn.weights < 0).mean()
            words = f"{name} draws most on frame {t}, row {rest // width}, column {rest % width}, and {own:.0%} of |w|"
            signs = f"; {below:.0%} of its weights are negative" if below else ""
            found.append(f"{words} lies in its own frame{signs}")
        tokens = len(view.window)
        matrix = (
            f" In the matrix of {state.matrix} {view.diagonal:.1%} of all |w| stands on the diagonal, of each token's "
            f"own term; were all weights alike it would be {1 / tokens:.1%}."
        )
        colours = " Colour grows as the root of |w|; the largest fiftieth are cut off."
        return f"{start}{'. '.join(found)}.{matrix}{colours} Shown: {self.models.described}."

    def code(self) -> str:
        names = ("frame", "row", "column", "block", "direction", "weights", "channel", "variant", "matrix")
        words = ", ".join(f"{name}={getattr(self.state, name)!r}" for name in names)
        return f"from vmamba_edu import panels\n\npanels.implied_attention({self.given}{words})"
