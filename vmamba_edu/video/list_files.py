"""Read the lists in which data sets are published: one line, one video. Nothing here opens a video.

    records = read_list("train.csv", "kinetics400", prefix="/data/kinetics")

A list has no header. Its columns are told apart by a separator: "," in the files that VideoMamba (arXiv 2403.06977)
gives away, a blank by default in its scripts. Lines are split from the right, so a path may hold the separator (as
"air drumming/x.mp4 0" does). The tables that data sets themselves hand out are in `annotation_files`.
"""

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from vmamba_edu.video.records import Label, Record, joined, list_error

PATH_LABEL = ("path", "label")
PATH_LABEL_DURATION = ("path", "label", "duration")
FOLDER_FRAMES_LABEL = ("path", "num_frames", "label")
_MEANING = {
    "path": "a path",
    "label": "a class number",
    "value": "a number to predict",
    "duration": "a duration in seconds",
    "num_frames": "a number of frames",
}


@dataclass(frozen=True)
class ListForm:
    """What the lines of a list look like.

    Attributes:
        columns: in their order, of "path", "label", "value" (regression), "duration" (seconds), "num_frames".
        num_classes: class numbers run from 0 below it; None for regression, or where any number will do.
        extension: added to a path whose last part has no dot.
    """

    columns: tuple[str, ...] = PATH_LABEL
    num_classes: int | None = None
    extension: str = ""

    @property
    def regression(self) -> bool:
        return "value" in self.columns

    def describe(self, separator: str) -> str:
        """The form in words: "path,label (a path, a class number)"."""
        meaning = ", ".join(_MEANING[column] for column in self.columns)
        return f'"{separator.join(self.columns)}" ({meaning})'


def _lvu(num_classes: int | None) -> ListForm:
    """A task of Long-form Video Understanding: classification, or regression where there are no classes."""
    return ListForm(("path", "label" if num_classes else "value", "duration"), num_classes)


# Data sets by name. The lists of ucf101, hmdb51, breakfast and coin are those of Kinetics; so is lvu without durations
# (its untrimmed form). Published scripts read Breakfast and COIN with the sparse Kinetics loader.
LIST_FORMS = {
    "kinetics400": ListForm(PATH_LABEL, 400),
    "kinetics600": ListForm(PATH_LABEL, 600),
    "kinetics700": ListForm(PATH_LABEL, 700),
    "kinetics710": ListForm(PATH_LABEL, 710),
    "ssv2": ListForm(PATH_LABEL, 174),
    "ssv2_frames": ListForm(FOLDER_FRAMES_LABEL, 174),
    "moments_in_time": ListForm(PATH_LABEL, 339),
    "ucf101": ListForm(PATH_LABEL, 101),
    "hmdb51": ListForm(PATH_LABEL, 51),
    "breakfast": ListForm(PATH_LABEL, 10),
    "coin": ListForm(PATH_LABEL, 180),
    "lvu_relation": _lvu(4),
    "lvu_speak": _lvu(5),
    "lvu_scene": _lvu(6),
    "lvu_director": _lvu(10),
    "lvu_genre": _lvu(4),
    "lvu_writer": _lvu(10),
    "lvu_year": _lvu(9),
    "lvu_like": _lvu(None),
    "lvu_view": _lvu(None),
    "pretraining": ListForm(PATH_LABEL, extension=".mp4"),
    "pretraining_frames": ListForm(FOLDER_FRAMES_LABEL),
    "imagenet": ListForm(PATH_LABEL, 1000),
    "moving_digits": ListForm(PATH_LABEL, 12),
    "long_digits": ListForm(PATH_LABEL),
}


def list_form(data_set: str) -> ListForm:
    """The form of a data set's lists; ValueError names those there are."""
    if data_set not in LIST_FORMS:
        raise ValueError(f"data_set must be one of {', '.join(LIST_FORMS)}, but got {data_set!r}; or give a ListForm")
    return LIST_FORMS[data_set]


def read_list(
    path: str | os.PathLike[str],
    data_set: str | ListForm,
    *,
    prefix: str | os.PathLike[str] = "",
    separator: str | None = None,
) -> list[Record]:
    """Read the records of a list file.

    Args:
        path: of the list, "train.csv" for example; an ImageNet list is "filename label".
        data_set: a name in LIST_FORMS, or a form of one's own.
        prefix: folder that is put in front of every path.
        separator: between columns; None takes a blank for "imagenet" and "," otherwise.

    Raises:
        ListError: a line is not of this form; the message is one line: file:line, what was expected, what came.
        ValueError: there is no data set of this name, or the list is empty.
        OSError: the list cannot be read.
    """
    form = list_form(data_set) if isinstance(data_set, str) else data_set
    if separator is None:
        separator = " " if data_set == "imagenet" else ","
    lines = Path(path).read_text("utf-8").splitlines()
    records = parse_list(lines, form, list_file=str(path), prefix=str(prefix), separator=separator)
    if not records:
        raise ValueError(f"path: {path} holds no line; expected lines like {form.describe(separator)}")
    return records


def parse_list(
    lines: Iterable[str], form: ListForm, *, list_file: str = "list", prefix: str = "", separator: str = ","
) -> list[Record]:
    """Parse lines; empty ones are passed over, and count. Raises ListError as `read_list`."""
    return [
        parse_line(line, form, list_file=list_file, number=number, prefix=prefix, separator=separator)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def parse_line(
    line: str, form: ListForm, *, list_file: str = "list", number: int = 1, prefix: str = "", separator: str = ","
) -> Record:
    """Parse one line. Raises ListError as `read_list`."""
    parts = [part.strip() for part in line.strip().rsplit(separator, len(form.columns) - 1)]
    if len(parts) != len(form.columns) or not parts[0]:
        raise list_error(list_file, number, form.describe(separator), repr(line.strip()))
    found: dict[str, Label] = {}
    for column, text in zip(form.columns[1:], parts[1:], strict=True):
        found[column] = _number(text, column, form, list_file, number)
    path = parts[0]
    if form.extension and "." not in path.split("/")[-1]:
        path += form.extension
    frames = found.get("num_frames")
    return Record(
        joined(prefix, path),
        label=found.get("label", found.get("value")),
        num_frames=None if frames is None else int(frames),
        duration=found.get("duration"),
        list_file=list_file,
        line=number,
    )


def _number(text: str, column: str, form: ListForm, list_file: str, line: int) -> Label:
    """The number that stands in a column, checked."""
    kind: Callable[[str], Label] = int if column in ("label", "num_frames") else float
    try:
        number = kind(text)
    except ValueError:
        raise list_error(list_file, line, f"{_MEANING[column]} as {column}", repr(text)) from None
    if column == "label" and form.num_classes and not 0 <= number < form.num_classes:
        raise list_error(list_file, line, f"a class number from 0 to {form.num_classes - 1} as label", repr(text))
    if (column == "num_frames" and number < 1) or (column == "duration" and not 0 < number < math.inf):
        raise list_error(list_file, line, f"{_MEANING[column]} above 0 as {column}", repr(text))
    if not math.isfinite(number):
        raise list_error(list_file, line, f"a finite number as {column}", repr(text))
    return number
