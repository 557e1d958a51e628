"""What a run tells while it goes on: rows of numbers, and who listens to them.

A row is a dict: `step` (how many are done), `epoch` (from 1), and the numbers by name. A row of training holds the
`learning_rate`, the `gradient_norm` before clipping and the objective's parts; a row of validation what was measured.
"""

import csv
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from vmamba_edu.models.checkpoints.report import CheckpointError

Row = dict[str, float]
TRAINING, VALIDATION = "training.csv", "validation.csv"


class Callback:
    """Listens to a run. Override what is of interest; whatever is raised ends the run."""

    def on_start(self, step: int, num_steps: int) -> None:
        """Training begins after `step` steps: 0, or as many as the checkpoint has that it goes on from."""

    def on_step(self, row: Row) -> None:
        """A step is done."""

    def on_validation(self, row: Row) -> None:
        """A validation is done."""

    def on_end(self) -> None:
        """Training is over, whatever ended it."""


class Callbacks(Callback):
    """Tells several, in order."""

    def __init__(self, members: Sequence[Callback]):
        self.members = members

    def on_start(self, step: int, num_steps: int) -> None:
        for member in self.members:
            member.on_start(step, num_steps)

    def on_step(self, row: Row) -> None:
        for member in self.members:
            member.on_step(row)

    def on_validation(self, row: Row) -> None:
        for member in self.members:
            member.on_validation(row)

    def on_end(self) -> None:
        for member in self.members:
            member.on_end()


class CsvLog(Callback):
    """Writes training.csv and validation.csv, one row at a time, each on the disk's way before the next step.

    A run that goes on from a checkpoint first drops the rows that came after it, a half-written one too.

    Args:
        folder: where to; it must exist.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        self.folder = Path(folder)

    def on_start(self, step: int, num_steps: int) -> None:
        for name in (TRAINING, VALIDATION):
            kept = [row for row in read_rows(self.folder / name) if row["step"] <= step]
            path = self.folder / name
            if kept:
                unfinished = path.with_name(f".{name}.unfinished")
                self._write(unfinished, kept, "w")
                os.replace(unfinished, path)
            else:
                path.unlink(missing_ok=True)

    def on_step(self, row: Row) -> None:
        self._write(self.folder / TRAINING, [row], "a")

    def on_validation(self, row: Row) -> None:
        self._write(self.folder / VALIDATION, [row], "a")

    def _write(self, path: Path, rows: Sequence[Row], mode: str) -> None:
        try:
            with open(path, mode, newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, rows[0])
                if file.tell() == 0:
                    writer.writeheader()
                writer.writerows(rows)
        except OSError as error:
            advice = "free some space, then go on from the last checkpoint"
            raise CheckpointError(f"{path}: cannot be written ({error.strerror}); {advice}") from error


def read_rows(path: str | os.PathLike[str]) -> list[Row]:
    """The rows of a training.csv or validation.csv, as numbers; none if there is no file. A broken row is left out."""
    if not Path(path).exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [row for texts in csv.DictReader(file) if (row := _as_numbers(texts))]


def _as_numbers(texts: dict[str | Any, str | Any]) -> Row:
    try:
        return {name: int(text) if name in ("step", "epoch") else float(text) for name, text in texts.items()}
    except (TypeError, ValueError):  # fewer fields than the header, or half a number
        return {}


class TensorBoardLog(Callback):
    """Writes what TensorBoard shows: `tensorboard --logdir FOLDER`.

    Raises:
        ImportError: TensorBoard is not installed.
    """

    def __init__(self, folder: str | os.PathLike[str]):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ImportError("a log for TensorBoard needs it: pip install tensorboard") from error
        self.folder = folder
        self._make = SummaryWriter
        self._writer: Any = None

    def on_start(self, step: int, num_steps: int) -> None:
        # What a killed run wrote after its checkpoint, from the next step on, is hidden, not shown twice.
        self._writer = self._make(str(self.folder), purge_step=step + 1 if step else None)

    def on_step(self, row: Row) -> None:
        self._add("training", row)

    def on_validation(self, row: Row) -> None:
        self._add("validation", row)

    def on_end(self) -> None:
        if self._writer is not None:
            self._writer.close()

    def _add(self, group: str, row: Row) -> None:
        for name, value in _numbers(row):
            self._writer.add_scalar(f"{group}/{name}", value, int(row["step"]))


def _numbers(row: Row) -> Iterable[tuple[str, float]]:
    return ((name, value) for name, value in row.items() if name != "step")
