"""Figures for the page: plain matplotlib, each shown together with the sentence that says what there is to see."""

import base64
import html
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from einops import rearrange
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from vmamba_edu.palette import BLACK, BLUE, DIVERGING, GREEN, INK, ORANGE, PURPLE, QUIET, SKY, VERMILLION

LINES = (BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, BLACK)
DASHES = ("-", "--", "-.", ":", "-", "--", "-.")
"""Told apart without colour too."""


@dataclass(frozen=True)
class Picture:
    """A figure with its text alternative, ready to be the last expression of a cell."""

    figure: Figure
    alt: str

    def png(self) -> bytes:
        buffer = io.BytesIO()
        self.figure.savefig(buffer, format="png", dpi=100, bbox_inches="tight")
        return buffer.getvalue()

    def _repr_mimebundle_(self, **kwargs: Any) -> dict[str, str]:
        png = base64.b64encode(self.png()).decode()
        image = f'<img src="data:image/png;base64,{png}" alt="{html.escape(self.alt)}" style="max-width:100%">'
        return {"text/html": image, "image/png": png, "text/plain": self.alt}


def show(figure: Figure, *, alt: str) -> Picture:
    """Show a figure with `alt`, the sentence for those who cannot see it.

    Raises:
        ValueError: there is no such sentence.
    """
    if len(alt.split()) < 3:
        raise ValueError(f"alt: expected a sentence that says what the figure shows, got {alt!r}")
    return Picture(figure, alt)


def filmstrip(frames: UInt8[Tensor, "time height width 3"], labels: Sequence[str] = ()) -> Figure:
    """The frames of a clip side by side, with a label below each."""
    figure = Figure(figsize=(12, 12 / len(frames) * frames.shape[1] / frames.shape[2] + 0.3), layout="constrained")
    for axes, frame, label in zip(_row(figure, len(frames)), frames, [*labels, *[""] * len(frames)], strict=False):
        axes.imshow(frame.numpy())
        _bare(axes).set_xlabel(label)
    return figure


def cut_into_patches(frame: UInt8[Tensor, "height width 3"], patch_size: int) -> Figure:
    """A frame, and the same frame with its patches pulled apart and the first and the last of them numbered.

    Raises:
        ValueError: the patches do not fit into the frame.
    """
    height, width, _ = frame.shape
    if height % patch_size or width % patch_size:
        raise ValueError(f"patch_size: expected a divisor of {height} and {width}, got {patch_size}")
    gap = max(2, patch_size // 5)
    patches = rearrange(frame.numpy(), "(h p) (w q) c -> h w p q c", p=patch_size, q=patch_size)
    pulled = np.pad(patches, [(0, 0), (0, 0), (0, gap), (0, gap), (0, 0)], constant_values=255)
    apart = rearrange(pulled, "h w p q c -> (h p) (w q) c")
    figure = Figure(figsize=(9, 4.5 * height / width), layout="constrained")
    whole, pieces = figure.subplots(1, 2)
    _bare(whole).imshow(frame.numpy())
    _bare(pieces).imshow(apart)
    number_of = {"first": (0, 0, 0), "last": (height // patch_size - 1, width // patch_size - 1, -1)}
    total = height * width // patch_size**2
    for row, column, number in number_of.values():
        corner = (column * (patch_size + gap) + patch_size / 2, row * (patch_size + gap) + patch_size / 2)
        pieces.annotate(str(number % total), corner, ha="center", va="center", fontsize=9, backgroundcolor="white")
    return figure


def state_maps(maps: Float[Tensor, "rows time height width"], labels: Sequence[str]) -> Figure:
    """A row of pictures for each map over the clip: orange above zero, purple below, each row on its own scale."""
    rows, time = maps.shape[:2]
    figure = Figure(figsize=(12, 12 / time * rows * maps.shape[2] / maps.shape[3] + 0.4), layout="constrained")
    grid = np.atleast_2d(figure.subplots(rows, time, squeeze=False))
    for row, (line, label) in enumerate(zip(maps, labels, strict=True)):
        # The largest few values would push all others towards white.
        largest = float(np.quantile(line.abs().numpy(), 0.99)) or 1.0
        for t, picture in enumerate(line):
            _bare(grid[row, t]).imshow(picture.numpy(), cmap=DIVERGING, vmin=-largest, vmax=largest)
        grid[row, 0].set_ylabel(label, rotation=0, ha="right", va="center")
    for t in range(time):
        grid[-1, t].set_xlabel(f"frame {t}")
    return figure


def curves(
    x: Float[Tensor, " points"],
    lines: Mapping[str, Float[Tensor, " points"]],
    *,
    xlabel: str,
    ylabel: str,
    log: Literal["", "x", "y", "xy"] = "",
    marks: Mapping[str, float] | None = None,
) -> Figure:
    """Lines over one axis, each with its name at its side of the legend and a dash pattern of its own.

    Args:
        lines: what to draw, by name; at most seven.
        log: which axes count in powers of ten.
        marks: places on the x axis to point out, by name.
    """
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots()
    for (name, y), colour, dashes in zip(lines.items(), LINES, DASHES, strict=False):
        axes.plot(x.numpy(), y.numpy(), label=name, color=colour, linestyle=dashes, linewidth=2)
    for name, place in (marks or {}).items():
        axes.axvline(place, color=QUIET, linestyle=":")
        axes.annotate(name, (place, 1), xycoords=("data", "axes fraction"), xytext=(3, -3), textcoords="offset points")
        axes.texts[-1].set(va="top", color=INK)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.set_xscale("log" if "x" in log else "linear")
    axes.set_yscale("log" if "y" in log else "linear")
    axes.spines[["top", "right"]].set_visible(False)
    axes.axhline(0, color=QUIET, linewidth=0.8, zorder=0)
    if len(lines) > 1:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def ladder(milliseconds: Mapping[str, float], floor: float | None = None) -> Figure:
    """A bar for each step, the first on top, on a logarithmic axis; each says its time and what it is of the first.

    Args:
        milliseconds: by name, in the order in which they were reached.
        floor: the least time that this machine needs, drawn as a line.

    Raises:
        ValueError: a time is not positive.
    """
    if any(not value > 0 for value in [*milliseconds.values(), 1 if floor is None else floor]):
        raise ValueError(f"milliseconds, floor: expected positive times, got {dict(milliseconds)} and {floor}")
    names, times = list(milliseconds), list(milliseconds.values())
    figure = Figure(figsize=(9, 0.42 * len(names) + 0.9), layout="constrained")
    axes = figure.subplots()
    least = min([*times, *([] if floor is None else [floor])]) / 2
    axes.barh(names, [time - least for time in times], left=least, color=BLUE, height=0.6)
    for row, time in enumerate(times):
        faster = f", {_short(times[0] / time)}×" if row else ""
        words = f"{_short(time)} ms{faster}"
        axes.annotate(words, (time, row), (4, 0), textcoords="offset points", va="center", color=INK)
    if floor is not None:
        axes.axvline(floor, color=VERMILLION, linestyle="--")
        axes.annotate(f"floor {floor:.2g} ms", (floor, -0.45), (4, 2), textcoords="offset points", color=VERMILLION)
    axes.set(xscale="log", xlabel="time (ms)", xlim=(least, max(times) * 6), ylim=(len(names) - 0.5, -0.9))
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(left=False)
    return figure


def _short(number: float) -> str:
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _row(figure: Figure, columns: int) -> np.ndarray:
    return np.atleast_1d(figure.subplots(1, columns, squeeze=False)[0])


def _bare(axes: Axes) -> Axes:
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes
