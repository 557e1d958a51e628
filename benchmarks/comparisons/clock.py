"""How long a training took, in wall time and in processor time, over as many sittings as it needed."""

import json
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.comparisons.runs import write_json
from vmamba_edu.training import Callback
from vmamba_edu.training.logs import Row


class Clock(Callback):
    """Keeps the curve of a run: after every validation the step, the seconds so far, and what was measured.

    Seconds count from the first step to the last, drawing of clips and validations included; starting Python, compiling
    kernels and what is measured after training do not count. A run that goes on from a checkpoint goes on from the
    seconds that it had there.

    Args:
        path: a JSON in the run's folder.
    """

    def __init__(self, path: Path):
        self.path = path
        found = json.loads(path.read_text("utf-8")) if path.exists() else {}
        self.rows: list[dict[str, Any]] = found.get("rows", [])
        self.stopped: dict[str, Any] | None = found.get("stopped")
        self.sittings: int = found.get("sittings", 0)
        self.intervals: list[float] = []

    def on_start(self, step: int, num_steps: int) -> None:
        self.rows = [row for row in self.rows if row["step"] <= step]
        marks = [*self.rows, *([self.stopped] if self.stopped else [])]
        before = next((mark for mark in reversed(marks) if mark["step"] <= step), {"wall": 0.0, "cpu": 0.0})
        self.step, self.sittings = step, self.sittings + (step < num_steps)
        self.began = time.monotonic() - before["wall"], time.process_time() - before["cpu"]
        self.last_step = time.process_time()

    def seconds(self) -> dict[str, float]:
        """Wall and processor seconds of the training so far."""
        wall, cpu = self.began
        return {"wall": round(time.monotonic() - wall, 2), "cpu": round(time.process_time() - cpu, 2)}

    def on_step(self, row: Row) -> None:
        now = time.process_time()
        self.intervals.append(now - self.last_step)
        self.last_step, self.step = now, int(row["step"])

    def on_validation(self, row: Row) -> None:
        measured = {name: round(value, 5) for name, value in row.items() if name not in ("step", "epoch")}
        pace = {"ms_a_step": round(1e3 * statistics.median(self.intervals), 2)} if self.intervals else {}
        self.rows.append({"step": int(row["step"]), **self.seconds(), **pace, **measured})
        self.intervals = []
        self.save()
        self.last_step = time.process_time()

    def on_end(self) -> None:
        self.stopped = {"step": self.step, **self.seconds()}
        self.save()

    def save(self) -> None:
        write_json({"rows": self.rows, "stopped": self.stopped, "sittings": self.sittings}, self.path)

    @property
    def ms_a_step(self) -> float | None:
        """Processor milliseconds a step, the median of the epochs; the first, in which clips are drawn, left out."""
        paces = [row["ms_a_step"] for row in self.rows if "ms_a_step" in row]
        return round(statistics.median(paces[1:] or paces), 2) if paces else None
