"""Pictures of what was run: `python -m benchmarks.comparisons.pictures` draws them into docs/pictures."""

import statistics
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.comparisons.definition import BENCHMARKS, read_definitions
from benchmarks.comparisons.runs import collect
from vmamba_edu import palette

FOLDER = BENCHMARKS.parent / "docs" / "pictures"
COLOURS = (palette.BLUE, palette.VERMILLION, palette.GREEN, palette.PURPLE, palette.ORANGE, palette.SKY, palette.BLACK)
FLOOR = 1e-20  # smaller shares are drawn here

Results = Mapping[str, Mapping[int, Mapping[str, Any]]]


def gradient_by_frame(results: Results) -> Any:
    """The share of each frame in the gradient of the loss, before the first step and with the trained weights."""
    figure, axes = _axes(2, "share in the gradient, relative")
    for axis, when, title in zip(axes, ("start", "end"), ("before the first step", "trained"), strict=True):
        for colour, (variant, by_seed) in zip(COLOURS, results.items(), strict=False):
            for number, result in enumerate(by_seed.values()):
                shares = [max(share, FLOOR) for share in result["gradient"][when]]
                label = variant.replace("_", " ") if number == 0 else None
                axis.semilogy(range(1, len(shares) + 1), shares, "o-", color=colour, label=label, alpha=0.7)
        axis.set(title=title, xlabel="frame", xticks=range(1, len(shares) + 1))
    axes[0].legend()
    return figure


def accuracy_against_seconds(results: Results) -> Any:
    """Validation accuracy against processor seconds of training, a line a seed."""
    figure, (axis,) = _axes(1, "validation accuracy")
    for colour, (variant, by_seed) in zip(COLOURS, results.items(), strict=False):
        for number, result in enumerate(by_seed.values()):
            seconds, accuracy = [row["cpu"] for row in result["curve"]], [row["accuracy"] for row in result["curve"]]
            label = f"{variant.replace('_', ' ')} (test {_mean(by_seed):.1%})" if number == 0 else None
            axis.plot(seconds, accuracy, "o-", color=colour, label=label, alpha=0.7)
    axis.set(xlabel="seconds of one processor", ylim=(0, 1))
    axis.legend()
    return figure


# By file: the comparison it shows, its text alternative, and what draws it.
PICTURES: Mapping[str, tuple[str, str, Callable[[Results], Any]]] = {
    "gradient_by_frame": (
        "read_out",
        "Share of each frame in the gradient of the loss, before the first step and trained, a line a seed: with [cls] "
        "in front it falls by orders of magnitude from frame to frame, with all tokens averaged it is even.",
        gradient_by_frame,
    ),
    "accuracy_against_seconds": (
        "baseline",
        "Validation accuracy against processor seconds of training, a line a seed.",
        accuracy_against_seconds,
    ),
}


def draw(folder: Path = FOLDER) -> list[Path]:
    """Draw those for which there are runs; returns the files."""
    drawn = []
    comparisons = {comparison.name: comparison for comparison in read_definitions().comparisons}
    for name, (comparison, _, make) in PICTURES.items():
        results = {variant: by_seed for variant, by_seed in collect(comparisons[comparison]).items() if by_seed}
        if results:
            figure = make(results)
            drawn.append(folder / f"{name}.png")
            folder.mkdir(parents=True, exist_ok=True)
            figure.savefig(drawn[-1], dpi=110)
    return drawn


def _axes(count: int, ylabel: str) -> tuple[Any, list[Any]]:
    """A figure of its own that no window knows of."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * count, 3.6), layout="constrained")
    axes = figure.subplots(1, count, sharey=True, squeeze=False)[0]
    axes[0].set_ylabel(ylabel)
    for axis in axes:
        axis.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


def _mean(by_seed: Mapping[int, Mapping[str, Any]]) -> float:
    return statistics.fmean(result["test"]["accuracy"] for result in by_seed.values())


if __name__ == "__main__":
    sys.stdout.writelines(f"{path}\n" for path in draw())
