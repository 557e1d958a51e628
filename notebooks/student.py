"""Make the students' lessons: the same notebooks with the solutions taken out.

    python notebooks/student.py                  write build/student/NN_title.ipynb for every lesson
    python notebooks/student.py --to FOLDER      write them there

A solution stands in its lesson's source between `### BEGIN SOLUTION` and `### END SOLUTION`, in a cell whose nbgrader
metadata says so. nbgrader's own preprocessors take it out, so that what is handed out here is what
`nbgrader generate_assignment` would hand out: in its place stands a stub that raises NotImplementedError.
"""

import argparse
import sys
from pathlib import Path

import nbformat
from nbformat import NotebookNode

NOTEBOOKS = Path(__file__).parent
STUDENT = NOTEBOOKS.parent / "build" / "student"


def without_solutions(lesson: NotebookNode) -> NotebookNode:
    """A lesson as students get it; the lesson itself is left as it is.

    Raises:
        RuntimeError: a solution has no end, or stands in a cell whose metadata does not call it one.
    """
    from nbgrader.preprocessors import ClearHiddenTests, ClearSolutions

    notebook = nbformat.from_dict(lesson)
    for preprocessor in (ClearSolutions(), ClearHiddenTests()):
        notebook, _ = preprocessor.preprocess(notebook, {})
    return notebook


def write_all(notebooks: Path, folder: Path) -> list[Path]:
    """Write the students' version of every lesson of a folder into another; returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for lesson in sorted(notebooks.glob("[0-9]*.ipynb")):
        student = without_solutions(nbformat.read(lesson, as_version=4))
        target = folder / lesson.name
        target.write_text(nbformat.writes(student).rstrip("\n") + "\n", "utf-8", newline="\n")
        written.append(target)
    return written


def main(arguments: list[str] | None = None, notebooks: Path = NOTEBOOKS) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--to", type=Path, default=STUDENT, metavar="FOLDER")
    options = parser.parse_args(arguments)
    try:
        written = write_all(notebooks, options.to)
    except ImportError as error:
        print(f"nbgrader takes the solutions out, and it is missing ({error}): pip install 'vmamba-edu[classroom]'")
        return 1
    print(f"{len(written)} lessons without their solutions are in {options.to}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
