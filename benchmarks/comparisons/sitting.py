"""Running what is missing: each training in a process of its own, a few side by side, with a bar for all of them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from tqdm.auto import tqdm

from benchmarks.comparisons.runs import FOLDERS, RESULTS, Run
from vmamba_edu.training.logs import TRAINING

OUTPUT = "output.txt"  # in a run's folder: what its process said
# Read by the libraries that compute when they are loaded: a training keeps to its threads from the start.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


@dataclass
class Outcome:
    """What became of the runs of a sitting.

    Attributes:
        done: labels.
        failed: label → the last line of what was said, or that time was up.
    """

    done: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


@dataclass
class _Job:
    run: Run
    process: subprocess.Popen
    folders: Path
    log: IO[str]
    began: float
    timed_out: bool = False


def sit(
    runs: Sequence[Run],
    *,
    threads: int = 1,
    jobs: int = 1,
    limit: float = 300.0,
    results: Path = RESULTS,
    folders: Path = FOLDERS,
    after_each: Callable[[], object] = lambda: None,
) -> Outcome:
    """Run them all, in their order. Whatever ends the sitting, the next one goes on where each run has its checkpoint.

    Args:
        runs: what a run needs stands before it.
        threads: of each process.
        jobs: processes at a time.
        limit: wall seconds that a run may take in this sitting; it is then ended, and keeps its checkpoint.
        results, folders: where JSONs, and checkpoints with logs, go.
        after_each: called when a run is over.
    """
    outcome, waiting, working = Outcome(), list(runs), list[_Job]()
    with tqdm(total=len(waiting), desc="comparisons", unit="run") as bar:
        try:
            while waiting or working:
                while waiting and len(working) < jobs and not _waits_for(waiting[0], working):
                    working.append(_start(waiting.pop(0), threads, results, folders))
                bar.set_postfix_str("; ".join(f"{job.run.label}: {_progress(job)}" for job in working))
                time.sleep(0.5)
                for job in [job for job in working if _is_over(job, limit)]:
                    working.remove(job)
                    _note(job, outcome, results, limit)
                    after_each()
                    bar.update()
        finally:
            for job in working:
                _end(job)
    return outcome


def _waits_for(run: Run, working: Sequence[_Job]) -> bool:
    return any(needed.digest == job.run.digest for needed in run.needs for job in working)


def _start(run: Run, threads: int, results: Path, folders: Path) -> _Job:
    folder = run.folder(folders)
    folder.mkdir(parents=True, exist_ok=True)
    spec = {
        **{name: getattr(run, name) for name in ("label", "name", "base", "overrides", "tables", "seed", "digest")},
        "threads": threads,
        "result": str(run.result_path(results)),
        "folder": str(folder),
        "folders": str(folders),
    }
    environment = {**os.environ, **dict.fromkeys(THREAD_VARIABLES, str(threads))}
    log = (folder / OUTPUT).open("w+", encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.comparisons.one_run", json.dumps(spec)],
        cwd=Path(__file__).parents[2],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    return _Job(run, process, folders, log, time.monotonic())


def _progress(job: _Job) -> str:
    """How many steps are done, by the log of training, or how long it has been running."""
    log = job.run.folder(job.folders) / TRAINING
    last = _last_line(log) if log.exists() else ""
    return f"step {last.partition(',')[0]}" if last[:1].isdigit() else f"{time.monotonic() - job.began:.0f} s"


def _last_line(path: Path) -> str:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 2000))
        lines = file.read().decode("utf-8", "replace").replace("\r", "\n").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")


def _is_over(job: _Job, limit: float) -> bool:
    if time.monotonic() - job.began > limit and job.process.poll() is None:
        job.timed_out = True
        _end(job)
    return job.process.poll() is not None


def _note(job: _Job, outcome: Outcome, results: Path, limit: float) -> None:
    """What became of a run that is over."""
    job.log.close()
    if job.process.returncode == 0 and job.run.result_path(results).is_file():
        outcome.done.append(job.run.label)
    elif job.timed_out:
        outcome.failed[job.run.label] = f"took more than {limit:.0f} s; the next sitting goes on from its checkpoint"
    else:
        output = job.run.folder(job.folders) / OUTPUT
        outcome.failed[job.run.label] = f"{_last_line(output)} (all of it: {output})"


def _end(job: _Job) -> None:
    """End a process; what it has is in its checkpoint."""
    job.process.terminate()
    try:
        job.process.wait(10)
    except subprocess.TimeoutExpired:
        job.process.kill()
        job.process.wait()
    job.log.close()
