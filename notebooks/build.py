"""Build the lessons from their sources, the same bytes every time.

    python notebooks/build.py                     write every notebooks/NN_title.ipynb from notebooks/src/NN_title.py
    python notebooks/build.py --check             write nothing; say which lesson differs from its source
    python notebooks/build.py --strip FILE ...    only remove outputs, counts and widget state from these notebooks

A source is a Python file in jupytext's percent format; tags and other metadata of a cell stand on its `# %%` line.
The index of the lessons, index.ipynb, has a source too; the table in it is made from the heads of the others.
A notebook is stored without anything that running it leaves behind, and its cells' ids follow from lesson and
position (`00-first-light-007`), so that two builds can be compared byte for byte.
"""

import argparse
import re
import sys
from pathlib import Path

import jupytext
import nbformat
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).parent
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}

LESSONS_MARK = "<!-- lessons -->"
HEAD = (r"^# # (.+)$", r"^# \| \*\*You will be able to\*\* \| (.+) \|$", r"^# \| \*\*Minutes\*\* \| (.+) \|$")


def build(source: Path) -> str:
    """The text of the notebook that belongs to `source`."""
    lesson = source.stem.replace("_", "-")
    text = source.read_text("utf-8")
    if LESSONS_MARK in text:
        text = text.replace(LESSONS_MARK, "\n# ".join(table_of_lessons(source.parent)))
    notebook = jupytext.reads(text, fmt="py:percent")
    for position, cell in enumerate(notebook.cells):
        cell["id"] = f"{lesson}-{position:03d}"
    return _written(notebook)


def table_of_lessons(sources: Path) -> list[str]:
    """The lines of a table of the lessons: title, what one can do afterwards, minutes; each title opens its lesson.

    Raises:
        ValueError: the head of a lesson lacks one of these.
    """
    rows = ["| lesson | you will be able to | minutes |", "|---|---|---|"]
    for source in sorted(sources.glob("[0-9]*.py")):
        text = source.read_text("utf-8")
        found = [re.search(pattern, text, re.MULTILINE) for pattern in HEAD]
        if not all(found):
            raise ValueError(
                f"{source.name}: expected a title, '**You will be able to**' and '**Minutes**' in its head"
            )
        title, able, minutes = (match[1] for match in found if match)
        rows.append(f"| [{title}]({source.stem}.ipynb) | {able} | {minutes} |")
    return rows


def stripped(notebook_file: Path) -> str:
    """The text of the notebook without what running it has left behind; words, ids and tags stay as they are."""
    return _written(nbformat.read(notebook_file, as_version=4))


def problems(notebooks: Path) -> list[str]:
    """One sentence for each lesson that is not what its source says."""
    found = []
    sources = {source.stem: source for source in _sources(notebooks)}
    for notebook in sorted(notebooks.glob("*.ipynb")):
        if notebook.stem not in sources:
            found.append(f"{notebook.name} has no source: add src/{notebook.stem}.py or delete the notebook.")
    for lesson, source in sources.items():
        notebook = notebooks / f"{lesson}.ipynb"
        if not notebook.exists():
            found.append(f"{notebook.name} is missing. Run: make notebooks")
        elif (difference := _first_difference(notebook.read_bytes(), build(source).encode())) is not None:
            found.append(
                f"{notebook.name} differs from src/{source.name}, first in its line {difference}. The source is what "
                "counts: see that it says what you mean, then run: make notebooks"
            )
    return found


def _written(notebook: NotebookNode) -> str:
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata = nbformat.from_dict(METADATA)  # not what jupytext or JupyterLab left, least of all widget state
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return nbformat.writes(notebook).rstrip("\n") + "\n"


def _first_difference(stored: bytes, built: bytes) -> int | None:
    """Number of the first line that differs, None if there is none."""
    if stored == built:
        return None
    ours, theirs = stored.splitlines(keepends=True), built.splitlines(keepends=True)
    shared = zip(ours, theirs, strict=False)
    return next((n for n, (a, b) in enumerate(shared, 1) if a != b), min(len(ours), len(theirs)) + 1)


def _sources(notebooks: Path) -> list[Path]:
    return sorted((notebooks / "src").glob("*.py"))


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_bytes() != text.encode():
        path.write_text(text, "utf-8", newline="\n")
        print(f"wrote {path}")


def main(arguments: list[str] | None = None, notebooks: Path = NOTEBOOKS) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    task = parser.add_mutually_exclusive_group()
    task.add_argument("--check", action="store_true")
    task.add_argument("--strip", nargs="*", type=Path, metavar="FILE")
    options = parser.parse_args(arguments)
    if options.check:
        found = problems(notebooks)
        print("\n".join(found) or f"{len(_sources(notebooks))} notebooks agree with their sources.")
        return 1 if found else 0
    if options.strip is not None:
        for path in options.strip:
            _write(path, stripped(path))
        return 0
    for source in _sources(notebooks):
        _write(notebooks / f"{source.stem}.ipynb", build(source))
    return 0


if __name__ == "__main__":
    sys.exit(main())
