"""How a run shows that it goes on: a bar everywhere, and a curve that grows in a notebook."""

import base64
import html
import io
import time
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from vmamba_edu.training.logs import Callback, Row


class ProgressBar(Callback):
    """A bar over all steps, with the latest loss and what the last validation measured."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._said: dict[str, str] = {}

    def on_start(self, step: int, num_steps: int) -> None:
        self._bar = tqdm(total=num_steps, initial=step, desc="training", unit="step")

    def on_step(self, row: Row) -> None:
        self._said["loss"] = f"{row['loss']:.3g}"
        self._bar.set_postfix(self._said, refresh=False)
        self._bar.update()

    def on_validation(self, row: Row) -> None:
        measured = {name: value for name, value in row.items() if name not in ("step", "epoch")}
        self._said |= {f"validation {name}": f"{value:.3g}" for name, value in measured.items()}
        self._bar.set_postfix(self._said)

    def on_end(self) -> None:
        if self._bar is not None:
            self._bar.close()


class LiveCurve(Callback):
    """One picture below a notebook's cell, redrawn in place as training goes on; outside a notebook it does nothing.

        train(model, objective, data, settings, callbacks=[LiveCurve()])

    Args:
        name: which number to draw, of training and, where it is measured, of validation.
        seconds: between two drawings; drawing takes some 50 ms, so once a second costs a twentieth.

    Raises:
        ImportError: IPython runs, but matplotlib is not installed (extra `lab`).
    """

    def __init__(self, name: str = "loss", seconds: float = 1.0):
        self.name = name
        self.seconds = seconds
        self.training: list[tuple[float, float]] = []
        self.validation: list[tuple[float, float]] = []
        self._handle: Any = None
        self._drawn = float("-inf")
        self._is_shown = _in_ipython()
        if self._is_shown:
            try:
                import matplotlib  # noqa: F401
            except ImportError as error:
                raise ImportError("a live curve needs matplotlib: pip install 'vmamba-edu[lab]'") from error

    def on_step(self, row: Row) -> None:
        self._take(self.training, row)

    def on_validation(self, row: Row) -> None:
        self._take(self.validation, row)

    def on_end(self) -> None:
        self._drawn = float("-inf")  # the last state is drawn, however fresh the one before
        self._draw()

    def _take(self, points: list[tuple[float, float]], row: Row) -> None:
        if self.name in row:
            points.append((row["step"], row[self.name]))
            self._draw()

    def _draw(self) -> None:
        if (
            not self._is_shown
            or time.monotonic() - self._drawn < self.seconds
            or not (self.training or self.validation)
        ):
            return
        from IPython.display import display

        picture = _Drawn(self.png(), self.sentence())
        if self._handle is None:
            self._handle = display(picture, display_id=True)
        else:
            self._handle.update(picture)
        self._drawn = time.monotonic()

    def sentence(self) -> str:
        """What the picture shows, in words."""
        parts = [
            f"{kind} from {points[0][1]:.3g} to {points[-1][1]:.3g} at step {points[-1][0]:.0f}"
            for kind, points in (("training", self.training), ("validation", self.validation))
            if points
        ]
        return f"The {self.name} by step: {', '.join(parts)}."

    def png(self) -> bytes:
        """The picture. It is drawn without pyplot, whose global figure belongs to the reader."""
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 3), layout="constrained")
        axes = figure.subplots()
        for label, points, style in (("training", self.training, "-"), ("validation", self.validation, "o-")):
            if points:
                axes.plot(*zip(*points, strict=True), style, label=label, linewidth=1)
        axes.set_xlabel("step")
        axes.set_ylabel(self.name)
        axes.legend()
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
        return buffer.getvalue()


@dataclass(frozen=True)
class _Drawn:
    """A picture as PNG with its sentence, which JupyterLab shows to a reader's software only if it stands in HTML."""

    data: bytes
    alt: str

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, Any]:
        coded = base64.b64encode(self.data).decode("ascii")
        picture = f'<img src="data:image/png;base64,{coded}" alt="{html.escape(self.alt)}" style="max-width:100%">'
        return {"text/html": picture, "image/png": coded, "text/plain": self.alt}


def _in_ipython() -> bool:
    import sys

    shell = sys.modules.get("IPython")  # a notebook has imported it long before
    return shell is not None and shell.get_ipython() is not None
