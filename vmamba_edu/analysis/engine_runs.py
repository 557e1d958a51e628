"""One engine and one scan in a fresh process: time, peak memory, and how far its y is from the truth, token by token.

    run(Job("numba", Shape(dim=384, length=1568)))

Each run has a process of its own for three reasons: memory that an earlier run left behind would hide the peak of the
next; Triton decides at its import whether it compiles or interprets, once a process; and what takes too long or too
much memory ends alone. The truth is the reference engine in float64, on the same inputs.
"""

import gc
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vmamba_edu.analysis import fresh_process, observed_cost
from vmamba_edu.analysis.scan_work import Shape, draw_scan, naive_scan

CHILD = "from vmamba_edu.analysis import engine_runs; engine_runs.answer()"
CONTENDERS = ("naive", "reference", "associative", "numba", "triton", "attention")
STRIP = 64
"""Pieces of the sequence, at most, whose largest error is kept."""
SMALL = Shape(dim=16, length=8, state=4)
HEAD = 64
"""Channels of a head of attention."""


@dataclass(frozen=True)
class Job:
    """What to run: a contender, a shape, forward alone or forward and backward.

    Args:
        engine: an engine of `vmamba_kernels`; "naive", as lesson 06 begins; or "attention", of 64 channels a head
            over as many tokens and channels, its weights written down, which computes something else and has no error.
    """

    engine: str
    shape: Shape
    training: bool = False


@dataclass(frozen=True)
class Run:
    """What came of a job.

    Args:
        label: the engine, and where it ran if that is not the obvious place: "triton (interpreted)".
        seconds: the least of several runs, on the clock; in CPU time if torch uses a single thread.
        peak_bytes: the most memory while it ran, less what was there with the inputs. Below a few MiB it is noise.
        errors: for each piece of the sequence the largest error of y, measured by the largest y. Empty for attention.
    """

    job: Job
    label: str
    seconds: float
    peak_bytes: int
    errors: tuple[float, ...]


def run(job: Job, timeout: float = 60, stopped: threading.Event | None = None) -> Run:
    """Do one job. See `run_all`."""
    return run_all([job], timeout, stopped=stopped)[0]


def run_all(
    jobs: Sequence[Job],
    timeout: float = 60,
    *,
    seconds_each: float = 1.0,
    compare: bool = True,
    stopped: threading.Event | None = None,
) -> list[Run]:
    """Do several jobs one after the other in one fresh process, of one Triton mode.

    Args:
        timeout: seconds after which the process is ended.
        seconds_each: a run is repeated for so long, 20 times at most, and the least time counts: whatever else goes on
            on the machine can only add to it.
        compare: whether to compute the truth and the errors, which takes longer than the runs themselves.
        stopped: ends the process soon after it is set, from another thread.

    Raises:
        ValueError: there is no such contender, or it has no gradient.
        RuntimeError: the process failed, was stopped, or took longer than `timeout` seconds.
    """
    for job in jobs:
        if job.engine not in CONTENDERS:
            raise ValueError(f"engine: expected one of {', '.join(map(repr, CONTENDERS))}, got {job.engine!r}")
        if job.training and job.engine == "naive":
            raise ValueError("training: the naive scan writes over its states, so it has no gradient; use associative")
    request = [[asdict(job) for job in jobs], torch.get_num_threads(), seconds_each, compare]
    what = ", ".join(dict.fromkeys(job.engine for job in jobs))
    answers = fresh_process.ask(CHILD, request, what, timeout=timeout, stopped=stopped, environment=_environment())
    return [Run(job, **{**one, "errors": tuple(one["errors"])}) for job, one in zip(jobs, answers, strict=True)]


def _environment() -> dict[str, str]:
    """Of the fresh process: Triton is interpreted where there is no GPU, and only there."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    return environment if torch.cuda.is_available() else environment | {"TRITON_INTERPRET": "1"}


def answer() -> None:
    """What the fresh process does: read jobs from its input, write what came of them to its output."""
    jobs, threads, seconds_each, compare = json.loads(sys.stdin.read())
    torch.set_num_threads(threads)
    found = [_do(Job(job["engine"], Shape(**job["shape"]), job["training"]), seconds_each, compare) for job in jobs]
    sys.stdout.write("\n" + json.dumps(found) + "\n")


def _do(job: Job, seconds_each: float, compare: bool) -> dict[str, Any]:
    device = "cuda" if job.engine == "triton" and torch.cuda.is_available() else "cpu"
    _runner(Job(job.engine, SMALL, job.training), device)()  # compiles, loads, starts threads
    arguments = _arguments(job, device)
    call = _runner(job, device, arguments)
    gc.collect()
    before, peak = observed_cost.memory_of(call, device)
    seconds = _seconds(call, device, seconds_each)
    where = {"cuda": "GPU"}.get(device, "interpreted" if job.engine == "triton" else "")
    label = f"{job.engine} ({where})" if where else job.engine
    errors = _errors(job, arguments) if compare and job.engine != "attention" else []
    return {"label": label, "seconds": seconds, "peak_bytes": max(0, peak - before), "errors": errors}


def _arguments(job: Job, device: str) -> dict[str, Tensor]:
    drawn = draw_scan(job.shape)
    if job.engine == "attention":
        drawn = {name: drawn[name] for name in ("u", "delta")}
    return {name: x.to(device).requires_grad_(job.training) for name, x in drawn.items()}


def _function(engine: str) -> Callable[..., Tensor]:
    from vmamba_kernels import selective_scan

    if engine in ("naive", "attention"):
        return naive_scan if engine == "naive" else _attention
    return partial(selective_scan, backend=engine)


def _attention(u: Tensor, delta: Tensor) -> Tensor:
    """Joint attention with its weights written down: queries and keys from one argument, values from the other."""
    q, v = (x.mT.unflatten(-1, (max(1, x.shape[1] // HEAD), -1)).transpose(1, 2) for x in (u, delta))
    return torch.softmax(q @ q.mT / q.shape[-1] ** 0.5, dim=-1) @ v


def _runner(job: Job, device: str, arguments: dict[str, Tensor] | None = None) -> Callable[[], None]:
    given = arguments or _arguments(job, device)
    function = _function(job.engine)

    def forward() -> None:
        with torch.no_grad():
            function(**given)

    def forward_and_backward() -> None:
        torch.autograd.grad(function(**given).sum(), list(given.values()))

    return forward_and_backward if job.training else forward


def _seconds(call: Callable[[], None], device: str, enough: float) -> float:
    """The least of several calls: on the clock, or, of a single thread, in CPU time, which others hardly change."""
    alone = device == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    taken: list[float] = []
    while not taken or (sum(taken) < enough and len(taken) < 20):
        start = clock()
        call()
        if device == "cuda":
            torch.cuda.synchronize()
        taken.append(clock() - start)
    return min(taken)


def _errors(job: Job, arguments: dict[str, Tensor]) -> list[float]:
    with torch.no_grad():
        y = _function(job.engine)(**arguments).cpu().double()
        truth = _function("reference")(**{name: x.cpu().double() for name, x in arguments.items()})
    worst = (y - truth).abs().amax(dim=(0, 1)) / truth.abs().max()
    return [float(piece.max()) for piece in np.array_split(worst.numpy(), min(STRIP, len(worst)))]
