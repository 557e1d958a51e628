"""Historical decay and element contradiction: how far back models look, and why one Ā cannot serve all pairs."""

from collections.abc import Iterator, Mapping
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots
from torch import Tensor, nn

from vmamba_edu.palette import BLUE, GREEN, INK, PURPLE, QUIET, SEQUENTIAL, VERMILLION
from vmamba_edu.panels.base import Panel, in_words
from vmamba_edu.panels.computed.attention_of_models import SideBySide, side_by_side
from vmamba_edu.panels.computed.contradiction_pairs import LENGTHS, State, View, compute
from vmamba_edu.panels.computed.how_far_back import HowFarBack
from vmamba_edu.panels.computed.small_models import default_clip

__all__ = ["ElementContradiction", "State", "View", "compute"]

LOOK = [(BLUE, "solid"), (GREEN, "dash"), (PURPLE, "dot"), (VERMILLION, "dashdot"), (INK, "longdash")]
ALIKE, UNLIKE = BLUE, VERMILLION
RULES = {"one": "one Ā for all", "kinds": "an Ā for each kind", "best": "the best there is"}
LEAST = 1e-5
"""Shares below it are drawn here: a log axis has no place for nothing."""


class ElementContradiction(Panel[State, View]):
    """How far back models look, and tokens of two kinds, which the reader arranges, with what one Ā must do for them.

    Args:
        clip: uint8 frames (time, height, width, 3); a small one if not given.
        model: a model for such a clip, or several by name; if not given, a small VideoMamba, ViViT (model 1) and
            TimeSformer with fresh weights. VideoMambaPro decays forward as VideoMamba does.
        cells, rule, A_bar, A_bar_b, token, block: see `State`; the last token looks back if none is given.

    Raises:
        ValueError: one of them cannot be, or the clip does not fit the models.
    """

    State = State
    compute = staticmethod(compute)
    name = "contradiction"
    claims = ("P1", "P2")
    plays = "A_bar"
    view: View

    def __init__(
        self,
        clip: Tensor | np.ndarray | None = None,
        model: nn.Module | Mapping[str, nn.Module] | None = None,
        *,
        cells: str = State.cells,
        rule: str = "one",
        A_bar: float = 0.8,
        A_bar_b: float = 0.8,
        token: int | None = None,
        block: int = 0,
    ) -> None:
        self.given = "".join(f"{name}, " for name, there in (("clip", clip), ("model", model)) if there is not None)
        models = side_by_side(default_clip() if clip is None else clip, model, 16)
        if model is None:
            some = {name: one for name, one in models.models.items() if name != "VideoMambaPro"}
            models = SideBySide(some, models.frames, models.described)
        token = len(cells) - 1 if token is None else token
        super().__init__(State(cells, rule, A_bar, A_bar_b, token, block, HowFarBack(models)))
        self._follow()

    @property
    def models(self) -> SideBySide:
        assert self.state.models is not None
        return self.state.models.models

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        state, slider = self.state, {"min": 0.0, "max": 1.0, "step": 0.01, "layout": {"width": "19em"}}
        return {
            "cells": ipywidgets.Text(
                state.cells, description="tokens", continuous_update=False, layout={"width": "19em"}
            ),
            "rule": ipywidgets.Dropdown(
                options=[(words, name) for name, words in RULES.items()],
                value=state.rule,
                description="rule",
                layout={"width": "19em"},
            ),
            "A_bar": ipywidgets.FloatSlider(state.A_bar, description="Ā", **slider),
            "A_bar_b": ipywidgets.FloatSlider(state.A_bar_b, description="Ā at b", **slider),
            "token": ipywidgets.IntSlider(
                state.token, 0, len(state.cells) - 1, description="token i", layout={"width": "19em"}
            ),
            "block": ipywidgets.IntSlider(
                state.block, 0, self.models.depth - 1, description="block", layout={"width": "19em"}
            ),
        }

    def arrange(self) -> ipywidgets.Box:
        self.toggles = []
        for number in range(LENGTHS[1]):
            toggle = ipywidgets.ToggleButton(layout={"width": "2.6em"}, tooltip=f"token {number}: a or b")
            toggle.add_class("vmamba-cell").observe(self._toggled, "value")
            self.toggles.append(toggle)
        row = ipywidgets.HBox([*self.controls.values(), self.copy], layout={"flex_flow": "row wrap"})
        self.cells = ipywidgets.HBox(self.toggles, layout={"flex_flow": "row wrap"})
        self._follow()
        return ipywidgets.VBox([row, self.cells, self.canvas, self.caption])

    def show(self, **changes: Any) -> None:
        """As every panel; where the sequence becomes shorter, the last token looks back."""
        last = len(changes.get("cells", self.state.cells)) - 1
        changes.setdefault("token", min(self.state.token, max(last, 0)))
        block = changes.get("block", self.state.block)
        if self.state.models and not self.state.models.knows(block):
            self.caption.value = in_words(f"Reading the clip up to block {block} …")
        super().show(**changes)
        self._follow()

    def _follow(self) -> None:
        """Bring all controls to the state."""
        state, controls = self.state, self.controls
        controls["token"].max = len(state.cells) - 1
        controls["A_bar"].description = "Ā at a" if state.rule == "kinds" else "Ā"
        controls["A_bar"].disabled, controls["A_bar_b"].disabled = state.rule == "best", state.rule != "kinds"
        for name, control in controls.items():
            control.value = getattr(state, name)
        for toggle, cell in zip(self.toggles, state.cells, strict=False):
            toggle.value, toggle.description = cell == "b", cell
            toggle.button_style = "warning" if cell == "b" else "info"
        self.cells.children = self.toggles[: len(state.cells)]

    def _toggled(self, change: Mapping[str, Any]) -> None:
        at, cells = self.toggles.index(change["owner"]), self.state.cells
        if at < len(cells) and cells[at] != "ab"[change["new"]]:
            self.show(cells=cells[:at] + "ab"[change["new"]] + cells[at + 1 :])

    def figure(self) -> go.Figure:
        above = ("left of a token, later", "|w| by tokens back", "|w| by frames back")
        below = ("what token i keeps", "bright: kept; ○: alike", "pairs that lead over k")
        figure = make_subplots(
            rows=2,
            cols=3,
            horizontal_spacing=0.08,
            vertical_spacing=0.2,
            subplot_titles=(*above, *below),
            row_heights=[0.46, 0.54],
        )
        for column, trace in self._reaches():
            figure.add_scatter(**trace, row=1, col=column)
        for column, bars in self._bars():
            figure.add_bar(**bars, row=2, col=column)
        heat = {"colorscale": SEQUENTIAL, "zmin": 0, "zmax": 1, "showscale": False, "hoverongaps": False}
        hover = "token %{y} keeps %{z:.3f} of token %{x}<extra></extra>"
        figure.add_heatmap(**self._kept(), **heat, hovertemplate=hover, row=2, col=2)
        figure.add_scatter(**self._rings(), row=2, col=2)
        self._dress(figure)
        return figure

    def _dress(self, figure: go.Figure) -> None:
        figure.update_xaxes(title="tokens later", row=1, col=1, showgrid=False)
        figure.update_yaxes(range=[-0.02, 1.02], row=1, col=1, gridcolor="#EEEEEE")
        figure.update_xaxes(title="tokens back", row=1, col=2, showgrid=False)
        log = {"type": "log", "dtick": 1, "exponentformat": "power", "gridcolor": "#EEEEEE"}
        figure.update_yaxes(**log, range=[np.log10(LEAST), 0.1], row=1, col=2)
        figure.update_xaxes(title="frames back", dtick=1 + self.models.grid[0] // 17, row=1, col=3, showgrid=False)
        figure.update_yaxes(**log, range=[np.log10(LEAST), 0.1], row=1, col=3)
        for column, title in ((1, "token j"), (2, "token j"), (3, "token k")):
            figure.update_xaxes(title=title, showgrid=False, tickfont={"size": 10}, row=2, col=column)
        figure.update_xaxes(constrain="domain", row=2, col=2)
        figure.update_yaxes(range=[0, 1.02], gridcolor="#EEEEEE", row=2, col=1)
        figure.update_yaxes(
            title="token i", autorange="reversed", scaleanchor="x5", constrain="domain", showgrid=False, row=2, col=2
        )
        figure.update_yaxes(gridcolor="#EEEEEE", rangemode="tozero", row=2, col=3)
        self._ticks(figure)
        figure.update_layout(
            height=640,
            barmode="relative",
            bargap=0.15,
            margin={"l": 10, "r": 10, "t": 80, "b": 10},
            plot_bgcolor="white",
            font={"color": INK},
            legend={"orientation": "h", "x": 0, "y": 1.1, "yanchor": "bottom"},
        )
        figure.update_annotations(font_size=13)

    def redraw(self, canvas: go.FigureWidget) -> None:
        changed = [trace for _, trace in self._reaches()] + [bars for _, bars in self._bars()]
        changed += [self._kept(), self._rings()]
        for trace, new in zip(canvas.data, changed, strict=True):
            for name in ("x", "y", "z"):
                if name in new and not np.array_equal(trace[name], new[name]):
                    trace[name] = new[name]
        self._ticks(canvas)

    def _ticks(self, figure: go.Figure | go.FigureWidget) -> None:
        """Each token's number with its kind, and the row that looks back."""
        names = [f"{number}<br>{cell}" for number, cell in enumerate(self.state.cells)]
        for axis in ("xaxis4", "xaxis5", "xaxis6"):
            if figure.layout[axis].ticktext != tuple(names):
                figure.layout[axis].update(tickvals=list(range(len(names))), ticktext=names, tickangle=0)
                figure.layout[axis].range = [-0.5, len(names) - 0.5]

    def _reaches(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """What is left of a token, as a band of states and its middle; then both kinds of shares, of every model."""
        for (colour, dash), (name, reach) in zip(LOOK, self.view.reach.items(), strict=False):
            of = {"legendgroup": name, "mode": "lines"}
            line = {"color": colour, "dash": dash, "width": 2}
            if reach.left is None:
                yield 1, {"x": [0, len(reach.by_tokens) - 1], "y": [1, 1], "name": name, "line": line, **of}
            else:
                steps, thin = np.arange(reach.left.shape[1]), {"color": colour, "width": 1}
                for quantile, style in zip(reach.left.round(5), (thin, line, thin), strict=True):
                    yield 1, {"x": steps, "y": quantile, "name": name, "line": style, "showlegend": style is line, **of}
            for column, share in ((2, reach.by_tokens), (3, reach.by_frames)):
                y = np.array([float(f"{max(one, LEAST):.4g}") for one in share])
                yield column, {"x": np.arange(len(y)), "y": y, "name": name, "line": line, "showlegend": False, **of}

    def _bars(self) -> Iterator[tuple[int, dict[str, Any]]]:
        """What the token keeps, those alike and those not apart; then the pairs that pull at each Ā."""
        view, i = self.view, self.state.token
        tokens = np.arange(len(view.A_bar))
        kept, before = view.kept[i], tokens < i
        for name, colour, chosen, over, shape in (
            ("alike: to be kept", ALIKE, view.alike[i], view.alike_over, ""),
            ("unlike: to be forgotten", UNLIKE, ~view.alike[i], view.unlike_over, "/"),
        ):
            look = {"marker": {"color": colour, "pattern": {"shape": shape}}, "name": name, "legendgroup": name}
            yield 1, {"x": tokens, "y": np.where(chosen & before, kept, 0).round(4), **look}
            yield 3, {"x": tokens, "y": over, "showlegend": False, **look}

    def _kept(self) -> dict[str, Any]:
        cells = self.view.kept.round(4).astype(object)
        cells[np.triu_indices(len(cells), 1)] = None
        tokens = list(range(len(cells)))
        return {"x": tokens, "y": tokens, "z": cells}

    def _rings(self) -> dict[str, Any]:
        i, j = np.nonzero(np.tril(self.view.alike, -1))
        ring = {"symbol": "circle", "size": 8, "color": "white", "line": {"width": 2, "color": INK}}
        return {"x": j, "y": i, "mode": "markers", "marker": ring, "hoverinfo": "skip", "showlegend": False}

    def picture(self) -> Figure:
        view, tokens = self.view, np.arange(len(self.view.A_bar))
        drawing = Figure(figsize=(10, 3), layout="constrained")
        reach, kept, pull = drawing.subplots(1, 3)
        for (colour, _), (name, one) in zip(LOOK, view.reach.items(), strict=False):
            reach.semilogy(np.maximum(one.by_tokens, LEAST), color=colour, label=name)
        reach.set(xlabel="tokens back", ylabel="share of |w|")
        reach.legend(frameon=False, fontsize=7)
        kept.imshow(np.where(np.tri(len(tokens), dtype=bool), view.kept, np.nan), cmap=SEQUENTIAL, vmin=0, vmax=1)
        kept.plot(*np.nonzero(np.tril(view.alike, -1))[::-1], "o", markerfacecolor="white", markeredgecolor=INK)
        kept.set(xlabel="token j", ylabel="token i", title="kept; ○ should be")
        pull.bar(tokens, view.alike_over, color=ALIKE, label="alike: to be kept")
        pull.bar(tokens, view.unlike_over, bottom=view.alike_over, color=UNLIKE, hatch="//", label="unlike")
        pull.set(xlabel="token k", title="pairs whose way leads over it")
        pull.axhline(0, color=QUIET)
        pull.legend(frameon=False, fontsize=7)
        for axes in (kept, pull):
            axes.set_xticks(tokens, list(self.state.cells))
        return drawing

    def sentence(self) -> str:
        return f"{self._arranged()} {self._pulled()} {self._reached()}"

    def _arranged(self) -> str:
        state, view, i = self.state, self.view, self.state.token
        rule = {"one": f"One Ā = {state.A_bar:.2f} for all", "best": "The best Ā at every place"}
        rule["kinds"] = f"Ā = {state.A_bar:.2f} at a, {state.A_bar_b:.2f} at b"
        start = f"{state.cells}: {rule[state.rule]}. "
        if i == 0:
            return f"{start}Token 0 has nothing to look back to."
        alike, unlike = (view.kept[i, :i][chosen] for chosen in (view.alike[i, :i], ~view.alike[i, :i]))
        words = [
            f"{values.mean():.2f} of the {len(values)} {kind}"
            for values, kind in ((alike, "alike"), (unlike, "unlike"))
            if len(values)
        ]
        return f"{start}Token {i}, a kind {state.cells[i]}, keeps on average {' and '.join(words)} before it."

    def _pulled(self) -> str:
        view, busiest = self.view, int(np.minimum(self.view.alike_over, self.view.unlike_over).argmax())
        return (
            f"The Ā of token {busiest} stands in the products of {view.alike_over[busiest]} pairs that are alike and "
            f"of {view.unlike_over[busiest]} that are not. Of all pairs {view.kept_alike:.2f} is kept of those alike, "
            f"{view.kept_unlike:.2f} of the others: contradiction {view.value:.2f}, where 0 is perfect and 0.5 as good "
            f"as none. The best any Ā's can do is {view.least:.2f}, by cutting the sequence into {view.pieces} "
            f"piece{'s' * (view.pieces != 1)}; an attention, with a weight for each pair, can reach 0."
        )

    def _reached(self) -> str:
        found = []
        for name, reach in self.view.reach.items():
            tokens, frames = reach.half
            words = f"{name} has half of its |w| within {tokens} token{'s' * (tokens != 1)}, "
            found.append(words + (f"{frames} frame{'s' * (frames != 1)}" if frames else "in its own frame"))
        return f"Looking back in block {self.state.block}, {'; '.join(found)}. Shown: {self.models.described}."

    def code(self) -> str:
        words = ", ".join(f"{name}={getattr(self.state, name)!r}" for name in self.controls)
        return f"from vmamba_edu import panels\n\npanels.contradiction({self.given}{words})"
