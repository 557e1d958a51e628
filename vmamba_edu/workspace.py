"""The reader's own copy of the lessons: brought up to date without ever losing what the reader made.

What happens to a lesson's copy when the lesson comes in a newer version depends on what the reader did with it:

- nothing: the newer version takes its place;
- run it, but left the text alone: the copy with its outputs moves to `earlier/`, the newer version takes its place;
- changed it: the copy stays, and the newer version is placed beside it as `NN_title.new.ipynb`, once;
- deleted it: the lesson is copied afresh, newer version or not. Deleting a copy is how one starts over.

So that "changed" can be told, a small file remembers a digest of what was copied. The digest covers the text of the
cells alone, for merely running and saving a notebook rewrites most of the rest. Where that file was lost or damaged, a
copy that differs from its lesson counts as changed.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MANIFEST = ".vmamba-edu.json"
EARLIER = "earlier"
INDEX = "index.ipynb"


@dataclass(frozen=True)
class Change:
    """One thing that `refresh` did, with a sentence for the reader ("" for what need not be said)."""

    path: Path
    sentence: str = ""


@dataclass(frozen=True)
class Record:
    """What the reader was given of one lesson: the digest of the copy in place and that of the newest version."""

    copied: str
    newest: str


def refresh(lessons: Path, workspace: Path) -> list[Change]:
    """Bring the copies in `workspace` up to date with the notebooks in `lessons`.

    Returns:
        What was written, in the order of the lessons; empty if everything was up to date.

    Raises:
        ValueError: `lessons` holds no lessons.
        OSError: `workspace` cannot be written; nothing of the reader's is touched then.
    """
    sources = find_lessons(lessons)
    workspace.mkdir(parents=True, exist_ok=True)
    records = _read_manifest(workspace)
    changes: list[Change] = []
    for source in sources:
        records[source.name], change = _refresh_lesson(source, workspace / source.name, records.get(source.name))
        changes += change
    _write_manifest(workspace, records)
    return changes


def find_start(lessons: Path) -> Path:
    """The notebook that is opened first: the index of the lessons, or the first lesson where there is none.

    Raises:
        ValueError: there are no lessons.
    """
    found = find_lessons(lessons)
    return next((notebook for notebook in found if notebook.name == INDEX), found[0])


def find_lessons(lessons: Path) -> list[Path]:
    """The notebooks of a folder of lessons, the first lesson first.

    Raises:
        ValueError: there are none.
    """
    found = sorted(lessons.glob("*.ipynb"))
    if not found:
        raise ValueError(
            f"lessons: expected a folder with lessons (NN_title.ipynb), and {lessons} holds none; "
            "give the folder `notebooks` of a checkout of the project"
        )
    return found


def _refresh_lesson(source: Path, copy: Path, record: Record | None) -> tuple[Record, list[Change]]:
    text = source.read_bytes()
    newest = digest(text)
    up_to_date = Record(copied=newest, newest=newest)
    if not copy.exists():
        _write(copy, text)
        return up_to_date, [Change(copy, f"{copy.name}: your copy was gone, here is a fresh one." if record else "")]
    words = digest(copy.read_bytes())
    if words == newest:
        return up_to_date, []
    if record is None or words != record.copied:
        return _place_beside(text, copy, record or Record(copied="", newest=""))
    sentence = _keep_outputs(copy)
    _write(copy, text)
    return up_to_date, [Change(copy, sentence)]


def _place_beside(text: bytes, copy: Path, record: Record) -> tuple[Record, list[Change]]:
    """Offer the newer version of a lesson that the reader changed, unless it was offered before."""
    offer = Record(copied=record.copied, newest=digest(text))
    beside = copy.with_name(f"{copy.stem}.new.ipynb")
    words = digest(beside.read_bytes()) if beside.exists() else None
    if offer.newest in (record.newest, words):
        return offer, []
    kept = ""
    if words == record.newest:
        kept = " " + _keep_outputs(beside)
    elif words is not None:  # the reader works in the one that was offered last
        beside = _free_name(beside)
    _write(beside, text)
    sentence = f"{copy.name}: you changed it, so your copy stays. There is a newer version beside it: {beside.name}."
    return offer, [Change(beside, (sentence + kept).rstrip())]


def _keep_outputs(copy: Path) -> str:
    """Before a copy that was only run is replaced: put its outputs out of the way, and say so."""
    content = copy.read_bytes()
    if not any(cell.get("outputs") for cell in _cells(content)):
        return ""
    kept = _free_name(copy.parent / EARLIER / copy.name)
    _write(kept, content)
    return f"{copy.name}: there is a newer version. Yours, with its outputs, moved to {EARLIER}/{kept.name}."


def digest(notebook: bytes) -> str:
    """A digest of the text of a notebook's cells; of all bytes if it cannot be read as a notebook."""
    try:
        content = json.dumps([_words(cell) for cell in _cells(notebook)], sort_keys=True).encode()
    except (ValueError, KeyError, TypeError, AttributeError):
        content = notebook
    return hashlib.sha256(content).hexdigest()


def _words(cell: dict[str, Any]) -> list[Any]:
    source = cell["source"]
    return [cell["cell_type"], source if isinstance(source, str) else "".join(source), cell.get("attachments", {})]


def _cells(notebook: bytes) -> Iterator[dict[str, Any]]:
    return iter(json.loads(notebook)["cells"])


def _free_name(path: Path) -> Path:
    """`path`, or `stem.2.ipynb`, `stem.3.ipynb` … if that name is taken."""
    number = 1
    candidate = path
    while candidate.exists():
        number += 1
        candidate = path.with_name(f"{path.stem}.{number}{path.suffix}")
    return candidate


def _write(path: Path, content: bytes) -> None:
    """Write whole or not at all: an interrupted copy must not look like a lesson that the reader changed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".part")
    unfinished.write_bytes(content)
    os.replace(unfinished, path)


def _read_manifest(workspace: Path) -> dict[str, Record]:
    try:
        entries = json.loads((workspace / MANIFEST).read_text("utf-8"))["lessons"]
        return {name: Record(copied=entry["copied"], newest=entry["newest"]) for name, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}  # lost or damaged: then every copy that differs counts as changed


def _write_manifest(workspace: Path, records: dict[str, Record]) -> None:
    lessons = {name: {"copied": record.copied, "newest": record.newest} for name, record in sorted(records.items())}
    about = "What was copied here, so that your changes can be told from ours. Safe to delete."
    _write(workspace / MANIFEST, (json.dumps({"about": about, "lessons": lessons}, indent=1) + "\n").encode())
