"""What one line of a list says about one video, image or folder of frames."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

Label = int | float


@dataclass(frozen=True)
class Record:
    """One entry of a list.

    Attributes:
        path: of the video, the image, or the folder of frames, as written, with the list's prefix in front.
        label: class number, or the value to predict (regression); None where there is none.
        labels: class numbers by head, where there are several ("verb", "noun"); else empty.
        captions: sentences about it; else empty.
        num_frames: how many frames a folder holds, where the list says so.
        duration: of the film in seconds, where the list says so.
        start, end: the piece that is meant, in seconds; None for the whole.
        list_file: the list that it comes from; "" if from none.
        line: the line there, from 1; in a JSON list the entry, from 1; 0 if from none.
    """

    path: str
    label: Label | None = None
    labels: Mapping[str, int] = field(default_factory=dict)
    captions: tuple[str, ...] = ()
    num_frames: int | None = None
    duration: int | float | None = None
    start: int | float | None = None
    end: int | float | None = None
    list_file: str = ""
    line: int = 0

    @property
    def where(self) -> str:
        """The place in the list, as errors name it: "train.csv:17"."""
        return f"{self.list_file}:{self.line}" if self.list_file else self.path


class ListError(ValueError):
    """A line of a list is not what it should be. The message is one line: file:line, what was expected, what came."""


def list_error(list_file: str | Path, line: int, expected: str, got: str) -> ListError:
    """The error in its one form."""
    return ListError(f"{list_file}:{line}: expected {expected}, but got {got}")


def joined(prefix: str, path: str) -> str:
    """The path with the list's prefix in front, as os.path.join does: an absolute path stays."""
    return str(Path(prefix) / path) if prefix else path
