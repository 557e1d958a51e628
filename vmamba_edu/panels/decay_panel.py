"""State decay: how long a state remembers a token, and what it does to that memory that Δ looks at the input."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots
from torch import Tensor, nn

from vmamba_edu.palette import BLUE, INK, QUIET, SEQUENTIAL, VERMILLION
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.decay_of_blocks import steps_of_block, steps_of_directions
from vmamba_edu.panels.computed.decay_shares import Histogram, State, Steps, View, compute
from vmamba_edu.panels.computed.small_models import default_clip
from vmamba_edu.scan_orders import Direction

__all__ = ["State", "StateDecay", "View", "compute", "steps_of_block"]

OWN, EVEN = {"color": BLUE, "width": 3}, {"color": VERMILLION, "width": 2, "dash": "dash"}


class StateDecay(Panel[State, View]):
    """How much of token j is left in a state at token i, for steps Δ that are constant, random, or a block's own.

    Args:
        clip: uint8 frames (time, height, width, 3); a small one if not given.
        model: a VideoMamba or VideoMambaPro for such a clip; a small one with fresh weights if not given.
        patch_size, tubelet_size: how the small model cuts the clip.
        block: whose scan is looked at, from 0.
        steps: Δ and A of the reader's own instead of clip and model.
        source, delta, length, token, channel, n, direction: see `State`; the channel whose Δ changes most if not given.

    Raises:
        ValueError: the clip does not fit the model, or there is no such token, channel or state.
    """

    State = State
    compute = staticmethod(compute)
    name = "state-decay"
    claims = ("S4", "P1")
    plays = "token"
    view: View

    def __init__(
        self,
        clip: Tensor | np.ndarray | None = None,
        model: nn.Module | None = None,
        *,
        steps: Steps | None = None,
        patch_size: int = 16,
        tubelet_size: int = 1,
        block: int = 0,
        source: str = "clip",
        delta: float = 0.1,
        length: int = 128,
        token: int = 0,
        channel: int | None = None,
        n: int = 1,
        direction: Direction = "forward",
    ) -> None:
        given = {"clip": clip, "model": model, "steps": steps}
        self.given = "".join(f"{name}={name}, " for name, value in given.items() if value is not None)
        self.cut = {"patch_size": patch_size, "tubelet_size": tubelet_size, "block": block}
        backward = None
        self.directions: tuple[Direction, ...] = ("forward", "backward")
        if steps is None:
            both = steps_of_directions(default_clip() if clip is None else clip, model, **self.cut)
            self.directions, steps, backward = tuple(both), both["forward"], both.get("backward")
        if direction not in self.directions:
            raise ValueError(f"direction: expected 'forward', which is all that this model reads, got {direction!r}")
        if channel is None:
            channel = steps.most_selective if source == "clip" else 0
        chosen = State(source, delta, length, token, channel, n, direction=direction)
        super().__init__(replace(chosen, measured=steps, measured_backward=backward))

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        sources = [("constant Δ", "constant"), ("random Δ", "random"), ("Δ of a clip", "clip")]
        channels, length = self.view.steps.step.shape
        self.ranges = {"token": (0, length - 1), "channel": (0, channels - 1), "n": (1, self.view.steps.A.shape[1])}
        readings = [(name, name) for name in self.directions]
        least, most = self._span_of_delta()
        narrow = {"layout": {"width": "8em"}, "style": {"description_width": "auto"}}
        return {
            "source": ipywidgets.Dropdown(options=sources, value=self.state.source, description="steps"),
            "delta": ipywidgets.FloatLogSlider(
                self.state.delta,
                min=least,
                max=most,
                step=0.05,
                description="mean Δ",
                disabled=self.state.source == "clip",
            ),
            "direction": ipywidgets.Dropdown(
                options=readings, value=self.state.direction, description="scan", layout={"width": "16em"}
            ),
            "channel": ipywidgets.BoundedIntText(
                self.state.channel, *self.ranges["channel"], description="channel", **narrow
            ),
            "n": ipywidgets.BoundedIntText(self.state.n, *self.ranges["n"], description="state n", **narrow),
            "token": ipywidgets.IntSlider(
                self.state.token, *self.ranges["token"], description="token j", layout={"width": "100%"}
            ),
        }

    def _span_of_delta(self) -> tuple[float, float]:
        """The ends of its slider, as powers of ten: the usual ones, or further out in steps of the slider."""
        now = 20 * math.log10(self.state.delta)
        return min(-3.0, math.floor(now) / 20), max(0.5, math.ceil(now) / 20)

    def arrange(self) -> ipywidgets.Box:
        chosen = [control for name, control in self.controls.items() if name != "token"]
        row = ipywidgets.HBox([*chosen, self.copy], layout={"flex_flow": "row wrap"})
        return ipywidgets.VBox([row, self.controls["token"], self.canvas, self.caption])

    def show(self, **changes: Any) -> None:
        """As every panel; where the steps change, what there is no longer of is brought into its range."""
        if changes.get("source", self.state.source) != self.state.source:
            trial = compute(replace(self.state, source=changes["source"], token=0, channel=0, n=1))
            channels, length = trial.steps.step.shape
            most = {"token": length - 1, "channel": channels - 1, "n": trial.steps.A.shape[1]}
            changes = {name: min(getattr(self.state, name), most[name]) for name in most} | changes
            super().show(**changes)
            self.controls["delta"].disabled = self.state.source == "clip"
            for name, largest in most.items():
                self.controls[name].max = largest
        else:
            super().show(**changes)
        for name, control in self.controls.items():
            control.value = getattr(self.state, name)

    def figure(self) -> go.Figure:
        figure = make_subplots(
            rows=3,
            cols=3,
            specs=[[{"colspan": 2}, None, {}], [{}, {}, {}], [{}, {"colspan": 2}, None]],
            row_heights=[0.37, 0.4, 0.23],
            horizontal_spacing=0.11,
            vertical_spacing=0.14,
            subplot_titles=("", "the steps", "Δ as it is", "Δ constant", "half-lives", "", ""),
        )
        places = [(1, 1)] * 3 + [(1, 3)] * 2 + [(3, 1)] * 2 + [(3, 2)] * 2
        for trace, (row, column) in zip(self._traces(), places, strict=True):
            figure.add_scatter(**trace, row=row, col=column)
        common = {"colorscale": SEQUENTIAL, "coloraxis": "coloraxis", "hoverongaps": False}
        hover = "token %{x} at token %{y}: %{z:.2g}<extra></extra>"
        for column, matrix in zip((1, 2), self._matrices(), strict=True):
            figure.add_heatmap(**matrix, **common, hovertemplate=hover, row=2, col=column)
        bar = {"title": "tokens", "tickprefix": "10<sup>", **_beside(figure.layout.yaxis5)}
        hover = "channel %{y}, n = %{x}: 10<sup>%{z:.2f}</sup> tokens<extra></extra>"
        bar |= {"ticksuffix": "</sup>", "dtick": 1}
        lives = {"colorscale": SEQUENTIAL, "colorbar": bar, "hovertemplate": hover}
        figure.add_heatmap(**self._half_lives(), **lives, row=2, col=3)
        self._dress(figure)
        return figure

    def _dress(self, figure: go.Figure) -> None:
        figure.update_xaxes(title="token i", range=self._all_tokens(), row=1, col=1, showgrid=False)
        figure.update_yaxes(title="share of token j left", range=[-0.02, 1.02], row=1, col=1, gridcolor=QUIET)
        figure.update_xaxes(title="token", row=1, col=3, showgrid=False)
        figure.update_yaxes(title="Δ", type="log", row=1, col=3, dtick=1, exponentformat="power", showgrid=False)
        for column in (1, 2):
            figure.update_xaxes(title="token j", constrain="domain", row=2, col=column)
            figure.update_yaxes(autorange="reversed", row=2, col=column)
        figure.update_yaxes(title="token i", row=2, col=1)
        figure.update_xaxes(title="n", dtick=4, row=2, col=3)
        figure.update_yaxes(title="channel", autorange="reversed", row=2, col=3)
        logarithmic = {"type": "log", "showgrid": False, "row": 3}
        figure.update_xaxes(title="Δ of this channel", col=1, dtick="D2", **logarithmic)
        figure.update_xaxes(title="half-lives of all states, in tokens", col=2, dtick=1, **logarithmic)
        figure.update_yaxes(rangemode="tozero", gridcolor="#EEEEEE", row=3)
        figure.update_yaxes(title="tokens", row=3, col=1)
        figure.update_yaxes(title="states", row=3, col=2)
        bar = {"title": "share", **_beside(figure.layout.yaxis)}
        figure.update_layout(
            height=780,
            margin={"l": 10, "r": 10, "t": 40, "b": 10},
            plot_bgcolor="white",
            font={"color": INK},
            legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
            coloraxis={"colorscale": SEQUENTIAL, "cmin": 0, "cmax": 1, "colorbar": bar},
        )

    def redraw(self, canvas: go.FigureWidget) -> None:
        *lines, own, even, half_lives = canvas.data
        if canvas.layout.xaxis.range != tuple(self._all_tokens()):
            canvas.layout.xaxis.range = self._all_tokens()
        for line, changed in zip(lines, self._traces(), strict=True):
            line.update(changed)
        for heatmap, changed in zip((own, even), self._matrices(), strict=True):
            heatmap.update(changed)
        changed = self._half_lives()
        if not np.array_equal(half_lives.z, changed["z"]):
            half_lives.update(changed)

    def _all_tokens(self) -> list[float]:
        last = len(self.view.own) - 1
        return [-0.02 * last - 0.5, 1.02 * last + 0.5]

    def _traces(self) -> Iterator[dict[str, Any]]:
        """Both curves, the moments when half is gone, both kinds of steps, and the histograms."""
        view, first = self.view, self.state.token
        tokens = np.arange(len(view.own))
        read = slice(first, None) if self._forward else slice(None, first + 1)
        curve = {"x": tokens[read], "mode": "lines"}
        yield {**curve, "y": view.own[read], "line": OWN, "name": "Δ as it is"}
        yield {**curve, "y": view.even[read], "line": EVEN, "name": "same mean, constant"}
        ahead = 1 if self._forward else -1
        halves = [first + ahead * tokens_ for tokens_ in (view.half_own, view.half_even) if np.isfinite(tokens_)]
        dots = {"symbol": "circle-open", "size": 11, "color": INK, "line": {"width": 2}}
        yield {"x": halves, "y": [0.5] * len(halves), "mode": "markers", "marker": dots, "name": "half is gone"}
        hidden = {"mode": "lines", "showlegend": False}
        yield {"x": tokens, "y": view.delta, "line": OWN | {"width": 1.5}, **hidden}
        mean = float(view.delta.mean())
        yield {"x": tokens[[0, -1]], "y": [mean, mean], "line": EVEN, **hidden}
        life = float(view.steps.half_lives[self.state.channel, self.state.n - 1])
        for counted, now, line in ((view.deltas, mean, EVEN), (view.lives, life, {"color": INK, "width": 2})):
            yield _steps_up_to(counted) | {"line": {"color": BLUE, "width": 1, "shape": "hvh"}, **hidden}
            yield {"x": [now, now], "y": [0, max(counted.counts)], "line": line, **hidden}

    @property
    def _forward(self) -> bool:
        return self.state.direction == "forward"

    def _matrices(self) -> Iterator[dict[str, Any]]:
        places = list(self.view.window)
        for matrix in (self.view.matrix_own, self.view.matrix_even):
            shares = matrix.astype(object)
            shares[np.isnan(matrix)] = None  # JSON knows no NaN
            yield {"x": places, "y": places, "z": shares}

    def _half_lives(self) -> dict[str, Any]:
        lives = np.log10(self.view.steps.half_lives)
        channels, states = lives.shape
        return {"x": np.arange(1, states + 1), "y": np.arange(channels), "z": lives.astype(np.float32)}

    def picture(self) -> Figure:
        drawing = Figure(figsize=(10, 3), layout="constrained")
        curves, own, even = drawing.subplots(1, 3, width_ratios=[2, 1, 1])
        curves.plot(self.view.own, color=BLUE, label="Δ as it is")
        curves.plot(self.view.even, color=VERMILLION, linestyle="--", label="same mean, constant")
        curves.set(xlabel="token i", ylabel=f"share left of token {self.state.token}", ylim=(-0.02, 1.02))
        curves.legend(frameon=False)
        ends = (self.view.window[0] - 0.5, self.view.window[-1] + 0.5)
        for axes, matrix, title in (
            (own, self.view.matrix_own, "Δ as it is"),
            (even, self.view.matrix_even, "constant"),
        ):
            axes.imshow(matrix, cmap=SEQUENTIAL, vmin=0, vmax=1, extent=(*ends, *ends[::-1]))
            axes.set(title=title, xlabel="token j")
        return drawing

    def sentence(self) -> str:
        view, state = self.view, self.state
        lives, delta = view.steps.half_lives, view.delta
        later = min(20, len(view.own) - 1 - state.token if self._forward else state.token)
        then = state.token + (later if self._forward else -later)
        own, even = (share[then] for share in (view.own, view.even))
        end = "" if self._forward else ", read from the end"
        return (
            f"Token {state.token} in state n = {state.n} of channel {state.channel} (A = {view.A:.3g}), with "
            f"{view.steps.described}{end}: Δ is {delta.mean():.3g} in the mean, {delta.min():.3g} to "
            f"{delta.max():.3g}. Half of it is gone after {_tokens(view.half_own)}, with a constant Δ of that mean "
            f"after {_tokens(view.half_even)}; {later} tokens later {own:.1%} and {even:.1%} are left. The half-lives "
            f"of all {lives.size} states run from {lives.min():.3g} to {lives.max():.3g} tokens, the median is "
            f"{np.median(lives):.3g}."
        )

    def code(self) -> str:
        state = self.state
        cut = "" if "steps=" in self.given else "".join(f"{name}={value}, " for name, value in self.cut.items())
        return (
            f"from vmamba_edu import panels\n\npanels.state_decay({self.given}{cut}source={state.source!r}, "
            f"delta={state.delta!r}, length={state.length}, token={state.token}, channel={state.channel}, n={state.n}, "
            f"direction={state.direction!r})"
        )


def _steps_up_to(counted: Histogram) -> dict[str, Any]:
    return {"x": counted.places, "y": counted.counts, "fill": "tozeroy", "fillcolor": "rgba(0, 114, 178, 0.25)"}


def _beside(axis: Any) -> dict[str, Any]:
    """Where a colour bar stands: right of the figure, as high as a y axis."""
    low, high = axis.domain
    return {"thickness": 10, "len": high - low, "y": (low + high) / 2, "x": 1.01}


def _tokens(number: float) -> str:
    return f"{number:.3g} tokens" if np.isfinite(number) else "more tokens than follow"
