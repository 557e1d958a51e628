"""The discretisation lab: one state in continuous time and in steps, by four rules, and where each of them fails."""

from collections.abc import Iterator
from typing import Any

import ipywidgets
import numpy as np
import plotly.graph_objects as go
from matplotlib.figure import Figure
from plotly.subplots import make_subplots

from vmamba_edu.palette import BLUE, GREEN, INK, MARK, PURPLE, QUIET, VERMILLION
from vmamba_edu.panels.base import Panel
from vmamba_edu.panels.computed.discretisation_curves import DELTAS, DURATION, SIGNALS, State, View, compute
from vmamba_edu.ssm import RULES

__all__ = ["Discretisation", "State", "View", "compute"]

LOOK = {
    "zero_order_hold": (BLUE, "circle", "zero-order hold"),
    "euler": (VERMILLION, "x", "Euler"),
    "bilinear": (GREEN, "square", "bilinear"),
    "mamba": (PURPLE, "diamond", "Mamba's code"),
}
EXACT = 1e-16
"""An error of nothing has no place on a log axis: it is drawn here, where float64 ends."""
LARGEST = 1e3
ERROR_TICKS = {1e-16: "10⁻¹⁶", 1e-12: "10⁻¹²", 1e-8: "10⁻⁸", 1e-4: "10⁻⁴", 1: "1"}


class Discretisation(Panel[State, View]):
    """A state h' = A h + x, y = Re h, followed exactly and by zero-order hold, Euler, bilinear and Mamba's own rule.

    Args:
        real, imag: the eigenvalue A = real + i imag, in 1 / time; real is negative.
        delta: the step Δ.
        signal: "step" (from 0 to 1 and stay), "pulse" (of area 1), or "sine" or "square" of 2 radians a unit of time.

    Raises:
        ValueError: one of them cannot be.
    """

    State = State
    compute = staticmethod(compute)
    name = "discretisation"
    claims = ("S2", "S3")
    view: View

    def __init__(self, *, real: float = -1.0, imag: float = 3.0, delta: float = 0.25, signal: str = "step") -> None:
        super().__init__(State(real, imag, delta, signal))

    def make_controls(self) -> dict[str, ipywidgets.ValueWidget]:
        state = self.state
        least, most = min(-8.0, state.real), max(12.0, abs(state.imag))
        return {
            "signal": ipywidgets.Dropdown(
                options=[(name, name) for name in SIGNALS], value=state.signal, description="input x"
            ),
            "delta": ipywidgets.FloatSlider(
                state.delta,
                min=min(0.02, state.delta),
                max=max(2.0, state.delta),
                step=0.005,
                readout_format=".3f",
                description="step Δ",
            ),
            "real": ipywidgets.FloatSlider(
                state.real, min=least, max=max(-0.05, state.real), step=0.05, description="Re A"
            ),
            "imag": ipywidgets.FloatSlider(state.imag, min=-most, max=most, step=0.1, description="Im A"),
        }

    def figure(self) -> go.Figure:
        figure = make_subplots(
            rows=2,
            cols=2,
            specs=[[{"colspan": 2}, None], [{}, {}]],
            row_heights=[0.5, 0.5],
            vertical_spacing=0.18,
            horizontal_spacing=0.14,
        )
        for (row, column), trace in self._traces():
            figure.add_scatter(**trace, row=row, col=column)
        figure.update_xaxes(title="time t", range=[-0.1, DURATION + 0.1], gridcolor="#EEEEEE", row=1, col=1)
        figure.update_yaxes(title="output y", range=self._span(), gridcolor="#EEEEEE", row=1, col=1)
        plane = {"range": [-1.6, 1.6], "gridcolor": "#EEEEEE", "zerolinecolor": QUIET, "dtick": 1, "row": 2, "col": 1}
        figure.update_xaxes(title="Re Ā", constrain="domain", **plane)
        figure.update_yaxes(title="Im Ā", scaleanchor="x2", **plane)
        log = {"type": "log", "gridcolor": "#EEEEEE", "row": 2, "col": 2}
        figure.update_xaxes(title="step Δ, in time", tickvals=[0.02, 0.05, 0.1, 0.2, 0.5, 1, 2], **log)
        ticks = {"tickvals": list(ERROR_TICKS), "ticktext": list(ERROR_TICKS.values())}
        ticks |= {"range": [-16.8, np.log10(LARGEST)]}
        figure.update_yaxes(title="largest error / largest y", **ticks, **log)
        legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
        narrow = {"l": 10, "r": 10, "t": 40, "b": 10}
        figure.update_layout(height=640, margin=narrow, plot_bgcolor="white", font={"color": INK}, legend=legend)
        return figure

    def redraw(self, canvas: go.FigureWidget) -> None:
        for trace, (_, changed) in zip(canvas.data, self._traces(), strict=True):
            for name in ("x", "y"):  # nothing else of a trace changes, and plotly looks long at all that it is given
                if not np.array_equal(trace[name], changed[name]):
                    trace[name] = changed[name]
        canvas.layout.yaxis.range = self._span()

    def _span(self) -> list[float]:
        """Room for the true curve and some overshoot: an unstable rule leaves the picture."""
        low, high = min(0.0, self.view.exact.min()), max(0.0, self.view.exact.max())
        return [low - 0.3 * (high - low), high + 0.3 * (high - low)]

    def _traces(self) -> Iterator[tuple[tuple[int, int], dict[str, Any]]]:
        """Each trace with its row and column."""
        view = self.view
        truth = {"mode": "lines", "line": {"color": INK, "width": 3}, "name": "continuous"}
        yield (1, 1), {"x": view.time, "y": view.exact, **truth}
        for rule, (colour, symbol, name) in LOOK.items():
            marker = {"color": colour, "symbol": symbol, "size": 7}
            lines = {"mode": "lines+markers", "line": {"color": colour, "width": 1}, "marker": marker}
            y = np.clip(np.nan_to_num(view.y[rule], nan=1e6), -1e6, 1e6)
            yield (1, 1), {"x": view.steps, "y": y, "name": name, "legendgroup": rule, **lines}
        angle = np.linspace(0, 2 * np.pi, 121)
        circle = {"mode": "lines", "line": {"color": MARK, "width": 2}, "hoverinfo": "skip", "showlegend": False}
        yield (2, 1), {"x": np.cos(angle), "y": np.sin(angle), **circle}
        for rule, (colour, symbol, name) in LOOK.items():
            # Zero-order hold and Mamba's code have the same pole: one is drawn larger and open, around the other.
            outer = rule == "zero_order_hold"
            marker = {"color": colour, "symbol": symbol + "-open" * outer, "size": 16 if outer else 9}
            marker["line"] = {"width": 2}
            pole = view.poles[rule]
            far = {"x": [np.clip(pole.real, -1.55, 1.55)], "y": [np.clip(pole.imag, -1.55, 1.55)]}
            yield (2, 1), {**far, "mode": "markers", "marker": marker, "name": name, "showlegend": False}
        for rule, (colour, symbol, name) in LOOK.items():
            error = np.clip(view.errors[rule], EXACT, LARGEST)
            common = {"name": name, "showlegend": False, "line": {"color": colour, "width": 2}}
            marker = {"color": colour, "symbol": symbol, "size": 6}
            yield (2, 2), {"x": DELTAS, "y": error, "mode": "lines+markers", "marker": marker, **common}
        now = {"mode": "lines", "line": {"color": INK, "width": 2, "dash": "dot"}, "showlegend": False}
        yield (2, 2), {"x": [self.state.delta] * 2, "y": [EXACT, LARGEST], "name": "Δ now", **now}

    def picture(self) -> Figure:
        drawing = Figure(figsize=(10, 3), layout="constrained")
        response, errors = drawing.subplots(1, 2, width_ratios=[2, 1])
        response.plot(self.view.time, self.view.exact, color=INK, linewidth=2, label="continuous")
        marks = {"circle": "o", "x": "x", "square": "s", "diamond": "d"}
        for rule, (colour, symbol, name) in LOOK.items():
            y = np.clip(np.nan_to_num(self.view.y[rule], nan=1e6), -1e6, 1e6)
            style = {"color": colour, "marker": marks[symbol], "markersize": 4, "linewidth": 0.7}
            response.plot(self.view.steps, y, **style, label=name)
            errors.plot(DELTAS, np.clip(self.view.errors[rule], EXACT, LARGEST), color=colour, label=name)
        response.set(xlabel="time t", ylabel="output y", ylim=self._span(), xlim=(0, DURATION))
        errors.set(xscale="log", yscale="log", xlabel="step Δ", ylabel="largest error / largest y")
        response.legend(frameon=False, fontsize=7)
        return drawing

    def sentence(self) -> str:
        state, view = self.state, self.view
        sign = "-" if state.imag < 0 else "+"
        errors = ", ".join(f"{LOOK[rule][2]} {_share(view.error[rule])}" for rule in RULES)
        sizes = ", ".join(f"{LOOK[rule][2]} {abs(view.poles[rule]):.3g}" for rule in RULES)
        limit = view.limits["euler"]
        beyond = "it is unstable here" if state.delta >= limit else "here it is stable"
        return (
            f"A = {state.real:.3g} {sign} {abs(state.imag):.3g} i, Δ = {state.delta:.3g}, input: {state.signal}. The "
            f"largest error, as a share of the largest output: {errors}. |Ā|: {sizes}. Euler forgets for steps below "
            f"{limit:.3g}: {beyond}; the other three are stable at every step."
        )

    def code(self) -> str:
        words = ", ".join(f"{name}={getattr(self.state, name)!r}" for name in ("real", "imag", "delta", "signal"))
        return f"from vmamba_edu import panels\n\npanels.discretisation({words})"


def _share(error: float) -> str:
    if error < 1e-12:
        return "none"
    return "beyond measure" if error > LARGEST else f"{error:.2g}"
