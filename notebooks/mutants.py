"""Try how sharp the checks are: change each solution a little, everywhere, and see which changes a check lets through.

    python notebooks/mutants.py                  every exercise of every lesson
    python notebooks/mutants.py 02_time_in_steps recurrence       these lessons, or these exercises
    python notebooks/mutants.py --every 8        an eighth of the changes

The changes are those of Cosmic Ray: another operator, another number, a loop that does not run, a comparison turned
round. A changed solution ("mutant") takes the place of the solution in its lesson, beside the lesson's imports and
functions, and the lesson's own check is run on it. One that is let through either gives the same answers, and then
`SAME_ANSWERS` says why, or shows what the check does not see.
"""

import argparse
import ast
import linecache
import multiprocessing
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nbformat
from tqdm.auto import tqdm

NOTEBOOKS = Path(__file__).parent
SECONDS = 20
"""After which a mutant that still runs counts as rejected: its reader would have noticed."""

DEFINING = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)

SAME_ANSWERS: tuple[tuple[str, str, str], ...] = (
    ("split-projection", "dim=+1)", "of two axes the last is number 1"),
    ("split-projection", "dim=1)", "of two axes the last is number 1"),
    ("hillis-steele", "while distance <= len(a):", "one round more, in which nothing has so distant a partner"),
    ("before-each", "right ^ distance", "right ends in ones from that bit on: to take it away is to subtract"),
    ("chunked-scan", "dim= -1)", "there is one axis"),
    ("chunked-scan", "dim=~0)", "there is one axis"),
    ("chunked-scan", "strict=False", "both are cut alike"),
    ("exp2-parts", "in c[2::-1]:", "four coefficients are drawn: the third last is number 2"),
    ("exp2-parts", "in c[+2::-1]:", "four coefficients are drawn: the third last is number 2"),
    ("saved-states", "t % chunk <= 0", "a remainder is never negative"),
    ("scan-gradient", "range(len(saved) ^ 1, -1, -1)", "an odd number of chunks is drawn: its last bit is taken away"),
    ("scan-gradient", "h[t ^ start]", "start is a multiple of the chunk's size, a power of two"),
    ("kernel", "BLOCK_D | tl.arange", "a tile begins at a multiple of its size, a power of two"),
    ("kernel", "BLOCK_D ^ tl.arange", "a tile begins at a multiple of its size, a power of two"),
    ("kernel", "BLOCK_L | tl.arange", "a tile begins at a multiple of its size, a power of two"),
    ("kernel", "BLOCK_L ^ tl.arange", "a tile begins at a multiple of its size, a power of two"),
    ("tile-kernel", "(t < length)[:, None] * (d < dim)", "of truth values the product is both"),
    ("kernel", "other= 1.0", "what is not there is not stored, whatever it counts as"),
    ("kernel", "other= -1.0", "what is not there is not stored, whatever it counts as"),
    ("kernel", "d != dim, other", "it reads too far and drops what it read: only a guard page would tell"),
    ("kernel", "d <= dim, other", "it reads too far and drops what it read: only a guard page would tell"),
    ("kernel", "d is not dim, other", "it reads too far and drops what it read: only a guard page would tell"),
)
"""What changes nothing in the answer: (how the exercise's name ends, a piece of the changed line, the reason)."""


@dataclass(frozen=True)
class Task:
    """An exercise in a lesson.

    Attributes:
        lesson: name of its file, without the suffix.
        name: grade id of the solution's cell.
        before: what the lesson's cells define up to there.
        solution, check: the text of the two cells.
    """

    lesson: str
    name: str
    before: str
    solution: str
    check: str


@dataclass(frozen=True)
class Mutant:
    """A solution with one change.

    Attributes:
        text: of the whole cell.
        line: the line that changed, as it is now.
    """

    text: str
    line: str


def tasks_of(lesson: Path) -> list[Task]:
    """The exercises of a lesson, in order."""
    found, before, solution = [], [], None
    for cell in nbformat.read(lesson, as_version=4).cells:
        if cell.cell_type != "code":
            continue
        meta = cell.metadata.get("nbgrader", {})
        if meta.get("solution"):
            solution = (meta["grade_id"], cell.source)
        elif meta.get("grade") and solution:
            found.append(Task(lesson.stem, solution[0], "\n".join(before), solution[1], cell.source))
        before.append(definitions(cell.source, everything=not before))
    return found


def definitions(source: str, everything: bool = False) -> str:
    """The imports, functions, classes and constants of a cell, without what takes time.

    Args:
        source: of the cell.
        everything: all but what is only shown; of the first cell, which sets up what the others need.
    """
    kept = []
    for node in ast.parse("\n".join(line for line in source.splitlines() if not line.startswith(("%", "!")))).body:
        constant = isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        text = ast.unparse(node)
        if constant or isinstance(node, DEFINING) or (everything and not isinstance(node, ast.Expr)):
            kept.append(text)
    return "\n".join(kept)


def mutants_of(task: Task) -> Iterator[Mutant]:
    """Every change of Cosmic Ray's operators to the lines between the solution's markers."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    lines = task.solution.splitlines()
    first, last = (next(i for i, line in enumerate(lines) if mark in line) for mark in ("### BEGIN", "### END"))
    for name in operator_names():
        if "Variable" in name:  # these two want to be told which variables
            continue
        occurrence = 0
        while (text := mutate_code(task.solution, get_operator(name)(), occurrence)) is not None:
            occurrence += 1
            changed = [i for i, (a, b) in enumerate(zip(lines, text.splitlines(), strict=False)) if a != b]
            if changed and first < changed[0] < last:
                yield Mutant(text, text.splitlines()[changed[0]].strip())


def check(task: Task, text: str) -> None:
    """Run the lesson's check on this text in place of the solution; raises what the check raises."""
    name = f"<{task.name}>"
    linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)  # compilers look for the source
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(task.before, space)  # the lesson's own code
    signal.signal(signal.SIGALRM, _too_long)
    signal.alarm(SECONDS)
    try:
        exec(compile(text, name, "exec"), space)
        exec(task.check, space)
    finally:
        signal.alarm(0)


def is_let_through(task: Task, text: str) -> bool:
    """Whether the check takes it."""
    try:
        check(task, text)
    except Exception:
        return False
    return True


def survivors(task: Task, mutants: Sequence[Mutant]) -> list[Mutant]:
    """The mutants that the check lets through, tried in a process of their own: some break more than themselves.

    Raises:
        ValueError: the lesson's own solution is not let through, so that this would say nothing.
    """
    pool, found = _process(), []
    try:
        try:
            pool.submit(check, task, task.solution).result()
        except Exception as error:
            raise ValueError(
                f"{task.lesson}, {task.name}: its check does not take the lesson's own solution"
            ) from error
        for mutant in tqdm(mutants, desc=task.name, leave=False):
            try:
                if pool.submit(is_let_through, task, mutant.text).result():
                    found.append(mutant)
            except BrokenProcessPool:  # it took the process with it, and would have taken the reader's
                pool = _process()
    finally:
        pool.shutdown(cancel_futures=True)
    return found


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn"))


def _too_long(*_: object) -> None:
    raise TimeoutError


def reason(task: Task, mutant: Mutant) -> str:
    """Why a mutant computes the same, as `SAME_ANSWERS` has it; "" if it does not say."""
    found = (why for name, piece, why in SAME_ANSWERS if task.name.endswith(name) and piece in mutant.line)
    return next(found, "")


def main(arguments: list[str] | None = None, notebooks: Path = NOTEBOOKS) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("only", nargs="*", metavar="LESSON_OR_EXERCISE")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="try only every N-th mutant")
    options = parser.parse_args(arguments)
    lessons = sorted(notebooks.glob("[0-9]*.ipynb"))
    tasks = [task for lesson in lessons for task in tasks_of(lesson)]
    chosen = [task for task in tasks if not options.only or {task.lesson, task.name} & set(options.only)]
    open_cases = 0
    for task in chosen:
        mutants = list(mutants_of(task))[:: options.every]
        through = survivors(task, mutants)
        open_cases += sum(not reason(task, mutant) for mutant in through)
        print(f"{task.lesson}, {task.name}: {len(mutants)} mutants, {len(through)} let through")
        for mutant in through:
            print(f"    {mutant.line}    {reason(task, mutant) or '← not seen by the check'}")
    return int(open_cases > 0)


if __name__ == "__main__":
    sys.exit(main())
