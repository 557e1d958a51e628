"""The students' lessons: solutions taken out, everything else as it was, and nothing fails but the stubs."""

import json
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from notebook_scripts import script

from vmamba_edu.checks import EXERCISES

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
student = script("student")

LESSON = nbformat.v4.new_notebook(
    cells=[
        nbformat.v4.new_markdown_cell("Write it."),
        nbformat.v4.new_code_cell(
            "def half(x):\n    ### BEGIN SOLUTION\n    return x / 2\n    ### END SOLUTION",
            metadata={"nbgrader": {"grade": False, "grade_id": "half", "locked": False, "schema_version": 3}
                      | {"solution": True, "task": False}},
        ),
        nbformat.v4.new_code_cell(
            "assert half(4) == 2\n### BEGIN HIDDEN TESTS\nassert half(5) == 2.5\n### END HIDDEN TESTS",
            metadata={"nbgrader": {"grade": True, "grade_id": "half-check", "locked": True, "points": 1}
                      | {"schema_version": 3, "solution": False, "task": False}},
        ),
    ]
)  # fmt: skip


def exercise_cells(lesson: Path) -> list[tuple[str, dict]]:
    """The text and nbgrader's metadata of the cells that have such."""
    cells = nbformat.read(lesson, as_version=4).cells
    return [(cell.source, cell.metadata["nbgrader"]) for cell in cells if "nbgrader" in cell.metadata]


def test_solutions_and_hidden_tests_are_taken_out_and_nothing_else() -> None:
    came = student.without_solutions(LESSON)
    assert came.cells[0].source == "Write it."
    assert came.cells[1].source == "def half(x):\n    # YOUR CODE HERE\n    raise NotImplementedError()"
    assert came.cells[2].source == "assert half(4) == 2"
    assert "SOLUTION" in LESSON.cells[1].source  # what was given is left as it is


def test_a_solution_in_an_ordinary_cell_is_not_handed_out() -> None:
    lesson = nbformat.from_dict(LESSON)
    del lesson.cells[1].metadata["nbgrader"]
    with pytest.raises(RuntimeError, match="Solution region detected in a non-solution cell"):
        student.without_solutions(lesson)


def test_all_lessons_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert student.main(["--to", str(tmp_path / "handed" / "out")]) == 0
    written = sorted((tmp_path / "handed" / "out").iterdir())
    assert [path.name for path in written] == [path.name for path in LESSONS]
    assert f"{len(LESSONS)} lessons without their solutions" in capsys.readouterr().out
    for path in written:
        assert "SOLUTION" not in path.read_text("utf-8")
        nbformat.validate(nbformat.read(path, as_version=4))


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_each_solution_is_followed_by_its_check(lesson: Path) -> None:
    cells = exercise_cells(lesson)
    for (source, solution), (check_source, check) in zip(cells[::2], cells[1::2], strict=True):
        assert solution["solution"]
        assert not solution["grade"]
        assert not solution["locked"]
        assert source.count("### BEGIN SOLUTION") == source.count("### END SOLUTION") == 1
        assert check["grade_id"] == f"{solution['grade_id']}-check"
        assert check["grade"]
        assert check["locked"]
        assert not check["solution"]
        assert check["points"] > 0
        assert check_source.startswith("checks.")
        assert solution["schema_version"] == check["schema_version"] == 3


def test_no_two_cells_of_the_course_share_a_grade_id() -> None:
    ids = [meta["grade_id"] for lesson in LESSONS for _, meta in exercise_cells(lesson)]
    assert len(set(ids)) == len(ids)


def test_every_exercise_stands_in_one_lesson() -> None:
    """Each check that the library has is asked for by one cell, and a cell asks for no other."""
    asked = [
        source.split("checks.")[1].split("(")[0]
        for lesson in LESSONS
        for source, meta in exercise_cells(lesson)
        if meta["grade"]
    ]
    assert sorted(asked) == sorted(exercise.name for exercise in EXERCISES)


@pytest.mark.slow
@pytest.mark.parametrize("lesson", [path for path in LESSONS if exercise_cells(path)], ids=lambda path: path.stem)
def test_only_the_stubs_fail(lesson: Path) -> None:
    """Every check meets its stub; so may a cell that uses what the student has yet to write, and no other fails."""
    notebook = student.without_solutions(nbformat.read(lesson, as_version=4))
    client = NotebookClient(notebook, timeout=300, allow_errors=True, resources={"metadata": {"path": str(NOTEBOOKS)}})
    client.execute()
    unexpected, met = [], set()
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if output.output_type != "error":
                continue
            if output.ename != "NotImplementedError":
                unexpected.append(f"{output.ename}: {output.evalue} in\n{cell.source}")
            met.add(cell.metadata.get("nbgrader", {}).get("grade_id"))
    assert not unexpected
    wanted = {meta["grade_id"] for _, meta in exercise_cells(lesson) if meta["grade"]}
    assert wanted <= met


def test_without_nbgrader_one_line_says_what_to_install(tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nbgrader.preprocessors", None)
    assert student.main(["--to", str(tmp_path)]) == 1
    assert "pip install 'vmamba-edu[classroom]'" in capsys.readouterr().out


def test_the_written_notebook_is_one_that_json_reads(tmp_path: Path) -> None:
    (lesson,) = student.write_all(_folder_with(tmp_path, LESSON), tmp_path / "out")
    assert json.loads(lesson.read_text("utf-8"))["nbformat"] == 4


def _folder_with(folder: Path, notebook: nbformat.NotebookNode) -> Path:
    nbformat.write(notebook, folder / "01_half.ipynb")
    return folder
