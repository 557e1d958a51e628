"""When to stop: once validation has not become better for a while."""

import math
from dataclasses import dataclass
from typing import Literal

Mode = Literal["min", "max"]


@dataclass
class EarlyStop:
    """Watches one number that validation measures, keeps its best, and counts how long ago that was.

    Args:
        monitor: the number's name among what is measured, such as "loss" or "accuracy".
        mode: whether smaller ("min") or larger ("max") is better.
        patience: validations without a better one after which training stops; None for never.
    """

    monitor: str = "loss"
    mode: Mode = "min"
    patience: int | None = None
    best: float = math.nan
    waited: int = 0

    def update(self, measured: dict[str, float]) -> bool:
        """Take in one validation; returns whether it is the best so far.

        A value that is not a number is never the best.

        Raises:
            ValueError: validation does not measure what is monitored.
        """
        if self.monitor not in measured:
            raise ValueError(f"monitor: expected one of {', '.join(measured)}, got {self.monitor!r}")
        value = measured[self.monitor]
        is_better = value < self.best if self.mode == "min" else value > self.best
        if is_better or (math.isnan(self.best) and not math.isnan(value)):
            self.best, self.waited = value, 0
            return True
        self.waited += 1
        return False

    @property
    def says_stop(self) -> bool:
        """Whether patience has run out."""
        return self.patience is not None and self.waited >= self.patience

    def state_dict(self) -> dict[str, float | int]:
        """What it has seen, for a checkpoint."""
        return {"best": self.best, "waited": self.waited}

    def load_state_dict(self, state: dict[str, float | int]) -> None:
        """Go on from what a checkpoint says."""
        self.best, self.waited = float(state["best"]), int(state["waited"])
