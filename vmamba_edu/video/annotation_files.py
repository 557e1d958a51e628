"""Read the tables that data sets themselves hand out, where these say more than a path and a class number.

All are pure: text in, records out; a line that is not as it should be raises ListError ("file:line: expected ...").
"""

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from vmamba_edu.video.records import Record, joined, list_error

EPIC_HEADS = {"verb": 97, "noun": 300}  # classes of EPIC-KITCHENS-100 (arXiv 2006.13256)
COIN_TASKS, COIN_SUBSETS = 180, ("training", "testing")
_EPIC_COLUMNS = ("participant_id", "video_id", "start_timestamp", "stop_timestamp", "narration")
_KINETICS_COLUMNS = ("label", "youtube_id", "time_start", "time_end")


def parse_epic_kitchens(
    lines: Iterable[str],
    *,
    list_file: str = "EPIC_100_train.csv",
    prefix: str = "",
    path: str = "{participant_id}/videos/{video_id}.MP4",
) -> list[Record]:
    """Parse EPIC_100_train.csv or EPIC_100_validation.csv: one action a line, with a verb and a noun.

    ViViT (arXiv 2103.15691, section 4.1) predicts both with a head each; an action is right if both are.

    Args:
        lines: of the file, its header first.
        path: of a video, made of any of the columns.

    Returns:
        Records with labels {"verb": …, "noun": …}, start and end in seconds, and the narration as caption.
    """
    records = []
    for number, row in _rows(lines, (*_EPIC_COLUMNS, "verb_class", "noun_class"), list_file):
        labels = {head: _whole(row[f"{head}_class"], f"{head}_class", list_file, number) for head in EPIC_HEADS}
        for head, label in labels.items():
            if not 0 <= label < EPIC_HEADS[head]:
                raise list_error(list_file, number, f"{head}_class from 0 to {EPIC_HEADS[head] - 1}", str(label))
        start, end = (_seconds(row[f"{side}_timestamp"], list_file, number) for side in ("start", "stop"))
        if end <= start:
            raise list_error(list_file, number, "stop_timestamp after start_timestamp", f"{start} s to {end} s")
        records.append(
            Record(
                joined(prefix, path.format(**row)),
                labels=labels,
                captions=(row["narration"],),
                start=start,
                end=end,
                list_file=list_file,
                line=number,
            )
        )
    return records


def parse_moments_in_time(
    lines: Iterable[str], categories: Mapping[str, int], *, list_file: str = "trainingSet.csv", prefix: str = ""
) -> list[Record]:
    """Parse trainingSet.csv or validationSet.csv of Moments in Time: "path,category,agreements,disagreements".

    Args:
        lines: of the file; it has no header.
        categories: class numbers by name, see `parse_moments_categories`.
    """
    records = []
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row:
            continue
        if len(row) < 2 or row[1] not in categories:
            expected = f'"path,category,…" with one of the {len(categories)} categories'
            raise list_error(list_file, number, expected, repr(",".join(row)))
        records.append(Record(joined(prefix, row[0]), categories[row[1]], list_file=list_file, line=number))
    return records


def parse_moments_categories(lines: Iterable[str], *, list_file: str = "moments_categories.txt") -> dict[str, int]:
    """Parse moments_categories.txt, "category,class number" a line."""
    categories = {}
    for number, line in enumerate(lines, start=1):
        name, comma, label = line.strip().rpartition(",")
        if line.strip():
            if not comma:
                raise list_error(list_file, number, '"category,class number"', repr(line.strip()))
            categories[name] = _whole(label, "class number", list_file, number)
    return categories


def parse_kinetics_annotations(
    lines: Iterable[str],
    classes: Sequence[str] | None = None,
    *,
    list_file: str = "train.csv",
    prefix: str = "",
    path: str = "{label}/{youtube_id}_{time_start:06d}_{time_end:06d}.mp4",
) -> list[Record]:
    """Parse the table of Kinetics-400, -600 or -700: "label,youtube_id,time_start,time_end,split", header first.

    Args:
        classes: names in the order of their numbers; None numbers the names in the file in alphabetical order, as is
            usual.
        path: of a clip, made of the columns; the default is how the usual downloaders name them.
    """
    rows = list(_rows(lines, _KINETICS_COLUMNS, list_file))
    names = sorted({row["label"] for _, row in rows}) if classes is None else list(classes)
    numbers = {name: number for number, name in enumerate(names)}
    records = []
    for line, row in rows:
        if row["label"] not in numbers:
            raise list_error(list_file, line, f"a label among the {len(names)} classes", repr(row["label"]))
        times = {side: _whole(row[side], side, list_file, line) for side in ("time_start", "time_end")}
        name = path.format(**row | times)
        records.append(Record(joined(prefix, name), numbers[row["label"]], list_file=list_file, line=line))
    return records


def parse_ssv2_annotations(
    text: str,
    labels: str,
    *,
    list_file: str = "train.json",
    prefix: str = "",
    extension: str = ".webm",
) -> list[Record]:
    """Parse Something-Something V2's train.json or validation.json with its labels.json.

    Args:
        text: JSON list of {"id", "template", "label"}; the template holds its placeholders in brackets.
        labels: JSON of {template without brackets: "class number"}.

    Returns:
        Records whose captions hold the sentence in "label".
    """
    numbers = {name: int(number) for name, number in _json(labels, "labels.json", dict).items()}
    records = []
    for line, entry in enumerate(_json(text, list_file, list), start=1):
        template = re.sub(r"[\[\]]", "", str(entry.get("template", ""))) if isinstance(entry, dict) else ""
        if template not in numbers or "id" not in entry:
            expected = f'an "id" and a "template" among the {len(numbers)} labels'
            raise list_error(list_file, line, expected, json.dumps(entry)[:120])
        path, sentence = joined(prefix, f"{entry['id']}{extension}"), str(entry.get("label", ""))
        records.append(Record(path, numbers[template], captions=(sentence,), list_file=list_file, line=line))
    return records


def parse_coin_annotations(
    text: str,
    subset: str,
    *,
    list_file: str = "COIN.json",
    prefix: str = "",
    path: str = "{video_id}.mp4",
    trim: bool = False,
) -> list[Record]:
    """Parse COIN.json (arXiv 1903.02874): a film a record, which of 180 tasks it shows, and its steps as captions.

    The form read here is {"database": {video id: {"recipe_type": class number from 0, "class": name of the task,
    "subset": "training" or "testing", "duration": seconds, "start": and "end": seconds of the part with the task,
    "annotation": [{"id", "label": a step in words, "segment": [start, end]}, …]}}}; other keys are passed over. The
    order of the database is kept.

    Args:
        text: of the file.
        subset: "training" or "testing".
        path: of a film, made of video_id, class and recipe_type: the names under which it was saved.
        trim: whether a record means the part from "start" to "end" alone. Published models (VideoMamba,
            arXiv 2403.06977, table 6) read the whole film.
    """
    if subset not in COIN_SUBSETS:
        raise ValueError(f"subset must be one of {', '.join(COIN_SUBSETS)}, but got {subset!r}")
    database = _json(text, list_file, dict).get("database")
    if not isinstance(database, dict):
        raise list_error(list_file, 1, 'an object "database" with an entry a video', type(database).__name__)
    records = []
    for line, (video_id, entry) in enumerate(database.items(), start=1):
        _check_coin(entry, f"{list_file} ({video_id})", line)
        if entry["subset"] != subset:
            continue
        name = path.format(video_id=video_id, **{"class": entry["class"], "recipe_type": entry["recipe_type"]})
        records.append(
            Record(
                joined(prefix, name),
                entry["recipe_type"],
                captions=tuple(step["label"] for step in entry["annotation"]),
                duration=entry["duration"],
                start=entry["start"] if trim else None,
                end=entry["end"] if trim else None,
                list_file=list_file,
                line=line,
            )
        )
    return records


def _check_coin(entry: Any, where: str, line: int) -> None:
    """Raise unless an entry of COIN.json says what is needed of it."""
    entry = entry if isinstance(entry, dict) else {}
    label, steps = entry.get("recipe_type"), entry.get("annotation")
    if not isinstance(label, int) or isinstance(label, bool) or not 0 <= label < COIN_TASKS:
        raise list_error(where, line, f"recipe_type from 0 to {COIN_TASKS - 1}", repr(label))
    if entry.get("subset") not in COIN_SUBSETS:
        raise list_error(where, line, f"subset {' or '.join(COIN_SUBSETS)}", repr(entry.get("subset")))
    start, end, duration = (entry.get(name) for name in ("start", "end", "duration"))
    if not all(isinstance(seconds, int | float) for seconds in (start, end, duration)) or not 0 <= start < end:
        raise list_error(where, line, "start before end, and duration, in seconds", f"{start!r}, {end!r}, {duration!r}")
    if not isinstance(entry.get("class"), str):
        raise list_error(where, line, "a name as class", repr(entry.get("class")))
    if not isinstance(steps, list) or not all(isinstance(s, dict) and isinstance(s.get("label"), str) for s in steps):
        raise list_error(where, line, 'an annotation, a list of steps with a "label"', json.dumps(steps)[:80])


def _rows(lines: Iterable[str], needed: Sequence[str], list_file: str) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows of a table with a header, each with its line."""
    reader = csv.DictReader(lines)
    missing = [column for column in needed if column not in (reader.fieldnames or ())]
    if missing:
        got = ", ".join(reader.fieldnames or ()) or "an empty file"
        raise list_error(list_file, 1, f"a header with {', '.join(needed)}", got)
    for row in reader:
        if any(row[column] is None for column in needed):
            raise list_error(list_file, reader.line_num, f"{len(reader.fieldnames or ())} columns", "fewer")
        yield reader.line_num, row


def _whole(text: str, name: str, list_file: str, line: int) -> int:
    try:
        return int(text)
    except ValueError:
        raise list_error(list_file, line, f"a whole number as {name}", repr(text)) from None


def _seconds(text: str, list_file: str, line: int) -> float:
    """Seconds of "hours:minutes:seconds", the seconds with a fraction."""
    try:
        hours, minutes, seconds = text.split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except ValueError:
        raise list_error(list_file, line, "a time as hours:minutes:seconds", repr(text)) from None


def _json(text: str, list_file: str, kind: type) -> Any:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise list_error(list_file, error.lineno, "JSON", error.msg) from error
    if not isinstance(data, kind):
        raise list_error(list_file, 1, f"a JSON {'object' if kind is dict else 'list'}", type(data).__name__)
    return data
