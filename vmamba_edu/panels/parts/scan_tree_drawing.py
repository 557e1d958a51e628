"""A scan drawn: time runs down, a column for each place, a line wherever two pairs meet."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from vmamba_edu.palette import BLUE, GREEN, INK, QUIET, VERMILLION
from vmamba_edu.panels.computed.scan_tree_steps import Progress
from vmamba_edu.ssm.prefix_scan import Level

COLOURS = {"forward": BLUE, "reduce": BLUE, "distribute": VERMILLION, "finish": GREEN}
PASSING = "#E3E3E3"
DENSE = 16
"""Up to so many places every one is numbered, and values have two digits after the point."""

Stroke = tuple[tuple[float, float], tuple[float, float]]


def axes_of(progress: Progress) -> dict[str, dict[str, Any]]:
    """Ranges and ticks of a drawing."""
    places, depth = len(progress.a), progress.trace.depth
    dense = {"tickmode": "linear", "tick0": 0, "tickangle": 0}
    return {
        "x": {"range": [-0.7, places - 0.3], "dtick": 1 if places <= DENSE // 2 else 4, **dense},
        "y": {"range": [depth + 0.6, -0.6], "dtick": 1 if depth <= DENSE else 5, **dense},
    }


def traces(progress: Progress) -> Iterator[dict[str, Any]]:
    """The lines of one drawing, time running down: quiet ones first, what has just happened last."""
    levels, done, places = progress.trace.levels, progress.done, len(progress.a)
    still: list[Stroke] = []
    made: list[Stroke] = []
    now: list[Stroke] = []
    to_come: list[Stroke] = []
    for number, level in enumerate(levels, 1):
        target = now if number == done else made if number < done else to_come
        for join in level.joins:
            target += lines_of(level.phase, join, number)
        still += [((t, number - 1), (t, number)) for t in range(places) if t not in written_in(level)]
    colour = COLOURS.get(progress.phase, INK)
    yield strokes(still, PASSING, 1)
    yield strokes(to_come, QUIET, 1, "dot")
    yield strokes(made, INK, 1.5)
    yield strokes(now, colour, 3.5)
    yield _places(progress, colour)


def _places(progress: Progress, colour: str) -> dict[str, Any]:
    """A dot at each place of the last level done, with its pair."""
    places = len(progress.a)
    words = [f"place {t}<br>a = {a:.6g}<br>b = {b:.6g}" for t, (a, b) in enumerate(pairs_of(progress))]
    level = progress.trace.levels[progress.done - 1] if progress.done else None
    fresh = written_in(level) if level else set()
    colours = [colour if t in fresh else INK for t in range(places)]
    sizes = [11 if t in fresh else 7 for t in range(places)]
    common = {"x": list(range(places)), "y": [progress.done] * places, "mode": "markers"}
    hover = {"text": words, "hoverinfo": "text"}
    return {**common, **hover, "marker": {"color": colours, "size": sizes}}


def table(tree: Progress, loop: Progress) -> dict[str, Any]:
    """a and b of every place of both, as text; a tree that was filled up has places that the loop has not."""
    places = len(tree.a)
    digits, size = (2, 12 if places <= 8 else 10) if places <= DENSE else (1, 8)
    rows = [[short(value, digits) for value in row] for row in (tree.a, tree.b, loop.a, loop.b)]
    text = [row + [""] * (places - len(row)) for row in rows]
    values = {"x": list(range(places)), "y": ["a", "b", "loop's a", "loop's b"], "z": np.zeros((4, places))}
    return {**values, "text": text, "texttemplate": "%{text}", "textfont": {"size": size, "color": INK}}


def written_in(level: Level) -> set[int]:
    """The places that hold something new after a level. On the way down both ends of a join do."""
    return {place for join in level.joins for place in (join if level.phase == "distribute" else join[1:])}


def lines_of(phase: str, join: tuple[int, int], level: int) -> list[Stroke]:
    """The lines of one combination: from both places above to where its result stands."""
    source, target = join
    above, below = level - 1, level
    lines: list[Stroke] = [((target, above), (target, below))]
    if source != target:
        lines.append(((source, above), (target, below)))
    if phase == "distribute":  # the left child is handed its parent's prefix
        lines.append(((target, above), (source, below)))
    return lines


def strokes(lines: Sequence[Stroke], colour: str, width: float, dash: str | None = None) -> dict[str, Any]:
    """Many lines as one trace, a gap after each."""
    x = [value for start, end in lines for value in (start[0], end[0], None)]
    y = [value for start, end in lines for value in (start[1], end[1], None)]
    line: dict[str, Any] = {"color": colour, "width": width} | ({"dash": dash} if dash else {})
    return {"x": x, "y": y, "mode": "lines", "line": line, "hoverinfo": "skip"}


def pairs_of(progress: Progress) -> Iterator[tuple[float, float]]:
    return zip(progress.a.tolist(), progress.b.tolist(), strict=True)


def short(value: float, digits: int) -> str:
    """A number in few letters: 0.5 is .5, and what is too large is written in powers of ten."""
    if value == 0:
        return "0"
    if not 0.5 * 10**-digits < abs(value) < 1e3:
        return f"{value:.0e}".replace("e-0", "e-").replace("e+0", "e")
    text = f"{value:.{digits}f}" if abs(value) < 100 else f"{value:.0f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return text.replace("0.", ".", 1) if text.startswith(("0.", "-0.")) else text
