"""How sharp the checks are: a solution changed a little is rejected, or computes the same."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from notebook_scripts import script

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
LESSONS = sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))
mutants = script("mutants")
TASKS = [task for lesson in LESSONS for task in mutants.tasks_of(lesson)]
BLUNT = mutants.Task(
    lesson="09_blunt",
    name="double",
    before="import math",
    solution="def double(x):\n    ### BEGIN SOLUTION\n    return x * 2\n    ### END SOLUTION",
    check="assert double(2) == 4",  # 2 * 2, 2 + 2 and 2 ** 2 are the same
)


def test_a_blunt_check_lets_mutants_through() -> None:
    lines = {mutant.line for mutant in mutants.mutants_of(BLUNT) if mutants.is_let_through(BLUNT, mutant.text)}
    assert lines == {"return x + 2", "return x ** 2"}


def test_only_the_solution_is_changed() -> None:
    task = mutants.Task("l", "n", "", f"ONE = 1 + 1\n{BLUNT.solution}", BLUNT.check)
    assert all(mutant.text.startswith("ONE = 1 + 1\n") for mutant in mutants.mutants_of(task))


def test_what_comes_before_is_defined_and_not_run() -> None:
    source = "%matplotlib inline\nimport math\nN = 3\nx = 1 / 0\n\ndef f():\n    return N\n\nf()"
    assert mutants.definitions(source).split("\n") == ["import math", "N = 3", "def f():", "    return N"]


def test_a_mutant_that_never_ends_is_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutants, "SECONDS", 1)
    assert not mutants.is_let_through(BLUNT, "def double(x):\n    while True:\n        pass")


@pytest.mark.slow
@pytest.mark.parametrize("lesson", sorted({task.lesson for task in TASKS}))
def test_no_check_lets_a_wrong_solution_through(lesson: str) -> None:
    """One change in twenty-four: `make mutants` tries them all."""
    command = [sys.executable, "notebooks/mutants.py", lesson, "--every", "24"]
    run = subprocess.run(command, cwd=NOTEBOOKS.parent, capture_output=True, text=True, timeout=500)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.count(f"{lesson}, ") == sum(task.lesson == lesson for task in TASKS)


def run(folder: Path, check: str) -> subprocess.CompletedProcess[str]:
    """The script as people run it, on a course of one lesson with one exercise."""

    def cell(source, **meta):
        shared = {"schema_version": 3, "task": False, "locked": False}
        return nbformat.v4.new_code_cell(source, metadata={"nbgrader": meta | shared})

    lesson = nbformat.v4.new_notebook(
        cells=[
            cell(BLUNT.solution, grade=False, grade_id="double", solution=True),
            cell(check, grade=True, grade_id="double-check", points=1, solution=False),
        ]
    )
    nbformat.write(lesson, folder / "09_blunt.ipynb")
    shutil.copy(NOTEBOOKS / "mutants.py", folder)
    command = [sys.executable, "mutants.py", "double"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)


def test_the_script_says_what_it_found(tmp_path: Path) -> None:
    came = run(tmp_path, BLUNT.check)
    assert came.returncode == 1
    assert "09_blunt, double:" in came.stdout
    assert "2 let through" in came.stdout
    assert "return x ** 2    ← not seen by the check" in came.stdout


def test_a_check_that_rejects_the_solution_is_an_error(tmp_path: Path) -> None:
    came = run(tmp_path, "assert False")
    assert came.returncode == 1
    assert "09_blunt, double: its check does not take the lesson's own solution" in came.stderr
