"""Steps of making something faster, each a bar, with the floor that this machine sets. For the page."""

from collections.abc import Mapping

from matplotlib.figure import Figure

from vmamba_edu.palette import BLUE, INK, VERMILLION


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
