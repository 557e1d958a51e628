"""Which trainings comparisons take, where each keeps its result, and which are done."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.comparisons.definition import BENCHMARKS, Comparison, Tables, resolve
from vmamba_edu.training.checkpointing import BEST

RESULTS = BENCHMARKS / "results" / "comparisons"
FOLDERS = BENCHMARKS.parent / "runs" / "comparisons"
PROTOCOL = 1  # to be raised when what a run does or measures changes: results of another protocol are not used
MENTION = "run:"


@dataclass(frozen=True)
class Run:
    """One training.

    Attributes:
        label: "comparison/variant/seed", of the comparison that asked first.
        base: the file of the recipe that was changed.
        overrides: what was changed in it, the seed apart.
        tables: the recipe; a value "run: DIGEST" stands for the best checkpoint of that run.
        seed: of clips, order and first weights.
        needs: runs whose checkpoints it starts from.
    """

    label: str
    base: str
    overrides: Tables
    tables: Tables
    seed: int
    needs: tuple["Run", ...] = ()

    @property
    def digest(self) -> str:
        """What is trained and how it is measured, in sixteen digits: the same for the same recipe."""
        return hashlib.sha256(_canonical([PROTOCOL, self.tables]).encode()).hexdigest()[:16]

    @property
    def name(self) -> str:
        """Of its JSON and its folder: the base, the digest, the seed."""
        return f"{Path(self.base).stem}-{self.digest}-seed{self.seed}"

    def result_path(self, results: Path = RESULTS) -> Path:
        return results / f"{self.name}.json"

    def folder(self, folders: Path = FOLDERS) -> Path:
        """Checkpoints and logs; not kept with the project."""
        return folders / self.name


def make_run(comparison: Comparison, variant: str, seed: int) -> Run:
    """The run of a variant with a seed, and those it needs."""
    tables = resolve(comparison, variant, seed)
    needed: list[Run] = []

    def settle(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: settle(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [settle(inner) for inner in value]
        if isinstance(value, str) and value.startswith(MENTION):
            needed.append(make_run(comparison, value.removeprefix(MENTION).strip(), seed))
            return f"{MENTION} {needed[-1].name}"
        return value

    label = f"{comparison.name}/{variant}/seed {seed}"
    return Run(label, comparison.base, dict(comparison.variants[variant]), settle(tables), seed, tuple(needed))


def runs_of(comparison: Comparison, seeds: Sequence[int] | None = None) -> Iterator[Run]:
    """All runs of a comparison: a seed with all its variants, then the next, so that what is there can be compared."""
    for seed in comparison.seeds if seeds is None else seeds:
        for variant in comparison.variants:
            yield make_run(comparison, variant, seed)


def plan(
    comparisons: Sequence[Comparison],
    seeds: Sequence[int] | None = None,
    results: Path = RESULTS,
    folders: Path = FOLDERS,
) -> list[Run]:
    """The runs that are still to be done, each once, what they need before them."""
    planned: dict[str, Run] = {}

    def add(run: Run) -> None:
        for needed in run.needs:
            if not (needed.folder(folders) / BEST).exists():
                add(needed)
        planned.setdefault(run.digest, run)

    for comparison in comparisons:
        for run in runs_of(comparison, seeds):
            if read_result(run, results) is None:
                add(run)
    return list(planned.values())


def read_result(run: Run, results: Path = RESULTS) -> dict[str, Any] | None:
    """What a run left behind, or None if it has not been done."""
    path = run.result_path(results)
    if not path.is_file():
        return None
    found = json.loads(path.read_text("utf-8"))
    return found if found["digest"] == run.digest else None


def collect(comparison: Comparison, results: Path = RESULTS) -> dict[str, dict[int, dict[str, Any]]]:
    """The JSONs of a comparison: variant → seed → what it says, as far as there are any."""
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for variant in comparison.variants:
        by_seed = {seed: read_result(make_run(comparison, variant, seed), results) for seed in comparison.seeds}
        found[variant] = {seed: result for seed, result in by_seed.items() if result is not None}
    return found


def with_paths(tables: Any, folders: Path = FOLDERS) -> Any:
    """The recipe with the paths of checkpoints where it mentions runs."""
    if isinstance(tables, dict):
        return {key: with_paths(value, folders) for key, value in tables.items()}
    if isinstance(tables, str) and tables.startswith(MENTION):
        return str(folders / tables.removeprefix(MENTION).strip() / BEST)
    return tables


def write_json(content: dict[str, Any], path: Path) -> None:
    """Write a JSON that is either whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")
    os.replace(unfinished, path)


def revision() -> str:
    """The commit of the project, and whether what trains differs from it."""
    watched = ["vmamba_edu", "kernels", "benchmarks/comparisons", "benchmarks/recipes"]
    try:
        commit, changed = _git("rev-parse", "--short", "HEAD"), _git("status", "--porcelain", "--", *watched)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}, with changes" if changed else commit


def _git(*command: str) -> str:
    root = BENCHMARKS.parent
    return subprocess.run(["git", *command], cwd=root, capture_output=True, text=True, check=True).stdout.strip()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)
