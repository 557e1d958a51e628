"""Cut long films into clips that overlap: the sliding windows of LVU.

Source: VideoMamba (arXiv 2403.06977, table 7), datasets/lvu.py, "trimmed" and "time_stride".
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

from vmamba_edu.video.records import Record


@dataclass(frozen=True)
class Window:
    """A piece of a film, in seconds from its beginning."""

    start: int | float
    end: int | float

    def frames(self, fps: int | float) -> tuple[int, int]:
        """First and last frame as published: seconds times the mean frame rate, cut to whole numbers."""
        return int(self.start * fps), int(self.end * fps)


def sliding_windows(duration: int | float, length: int | float = 60, stride: int = 16) -> list[Window]:
    """Windows of `length` seconds that start every `stride` seconds.

    A film shorter than `length` is one window. Otherwise they start at 0, stride, 2 stride, ... below floor(duration);
    one that reaches beyond the film ends with it, and is kept if at least half of `length` is left.

    Args:
        duration: of the film, in seconds.
        length, stride: in seconds; the published defaults.
    """
    for name, value in (("duration", duration), ("length", length), ("stride", stride)):
        if not (value > 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a positive number of seconds, but got {value}")
    if duration < length:
        return [Window(0.0, float(duration))]
    starts = range(0, int(duration), stride)
    windows = [Window(float(start), float(min(start + length, duration))) for start in starts]
    return [
        window for window in windows if window.start + length <= duration or window.end - window.start >= length / 2
    ]


def cut_into_windows(records: Iterable[Record], length: int | float = 60, stride: int = 16) -> list[Record]:
    """Make every record one record a window, so that each clip is a sample of its own; the path stays the film's.

    Raises:
        ValueError: a record has no duration; the message names its line.
    """
    cut = []
    for record in records:
        if record.duration is None:
            raise ValueError(f"records: {record.where} has no duration; sliding windows need it in seconds")
        windows = sliding_windows(record.duration, length, stride)
        cut += [replace(record, start=window.start, end=window.end) for window in windows]
    return cut
