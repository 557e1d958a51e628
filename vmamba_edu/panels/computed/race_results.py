"""What a race of the engines has shown so far: agreement, time and memory for one shape, from runs of any shapes."""

from dataclasses import dataclass, field

import numpy as np

from vmamba_edu.analysis.engine_runs import Job, Run
from vmamba_edu.analysis.scan_work import Shape
from vmamba_edu.panels.computed.arguments import one_of

ENGINES = ("reference", "associative", "numba", "triton")
DIMS = (8, 64, 192, 384)
LENGTHS = (32, 256, 512, 1568, 3136)
STATES = (4, 16)
AGREES = 1e-4
"""Of the largest y: an engine in float32 that is further off does not compute the same thing."""
INTERPRETED_UPDATES = 20_000
"""More updates of a state than these would keep Triton's interpreter busy for longer than a minute."""
REFERENCE_TOKENS = 600
"""More tokens than these would keep autograd busy with the reference's loop for longer than a minute."""


@dataclass(frozen=True)
class State:
    """The race: which scan, and what was run so far.

    Args:
        dim, length, state: of the scan, one of DIMS, LENGTHS and STATES.
        training: forward and backward, or forward alone.
        runs: of any shape; those of this one are shown.
    """

    dim: int = 64
    length: int = 256
    state: int = 16
    training: bool = False
    runs: tuple[Run, ...] = field(default=(), repr=False, compare=False)

    @property
    def shape(self) -> Shape:
        return Shape(self.dim, self.length, self.state)


@dataclass(frozen=True, eq=False)
class Lane:
    """One engine. What has not been run has no numbers: NaN, and an empty strip.

    Attributes:
        label: the engine, and where it ran: "triton (interpreted)".
        strip: for each piece of the sequence the largest error of y against the reference in float64, measured by the
            largest y.
        refused: why it is not run, empty if it is.
    """

    label: str
    seconds: float
    peak_bytes: float
    strip: np.ndarray
    refused: str


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows: a lane for each engine, by name; who was fastest; who does not agree."""

    lanes: dict[str, Lane]
    fastest: str | None
    disagree: tuple[str, ...]


def compute(state: State) -> View:
    """The lanes of this shape.

    Raises:
        ValueError: a size is none of those that can be chosen.
    """
    for name, known in (("dim", DIMS), ("length", LENGTHS), ("state", STATES)):
        one_of(name, getattr(state, name), known)
    seen = {run.job.engine: run for run in state.runs if run.job == job_of(state, run.job.engine)}
    lanes = {engine: _lane(state, engine, seen.get(engine)) for engine in ENGINES}
    ran = [engine for engine, lane in lanes.items() if lane.seconds > 0]
    fastest = min(ran, key=lambda engine: lanes[engine].seconds) if ran else None
    disagree = tuple(engine for engine in ran if not lanes[engine].strip.max(initial=0.0) <= AGREES)
    return View(lanes, fastest, disagree)


def _lane(state: State, engine: str, run: Run | None) -> Lane:
    if run is None:
        return Lane(engine, np.nan, np.nan, np.empty(0), refusal(state, engine) or "")
    return Lane(run.label, run.seconds, run.peak_bytes, np.array(run.errors), "")


def job_of(state: State, engine: str) -> Job:
    return Job(engine, state.shape, state.training)


def to_run(state: State) -> list[Job]:
    """What can be run of this shape and is not yet."""
    known = {run.job for run in state.runs}
    jobs = [job_of(state, engine) for engine in ENGINES if refusal(state, engine) is None]
    return [job for job in jobs if job not in known]


def refusal(state: State, engine: str, gpu: bool | None = None) -> str | None:
    """Why an engine is not run on this shape, None if it is.

    Args:
        gpu: whether Triton compiles; looked up if not given.
    """
    import torch

    shape, passes = state.shape, 3 if state.training else 1
    gpu = torch.cuda.is_available() if gpu is None else gpu
    if engine == "triton" and not gpu and passes * shape.updates > INTERPRETED_UPDATES:
        return (
            f"without a GPU it is interpreted, and {shape.updates:,} updates of a state would take minutes: choose at "
            f"most {INTERPRETED_UPDATES // passes:,}"
        )
    if engine == "reference" and state.training and state.length > REFERENCE_TOKENS:
        return f"autograd through its loop of {state.length} tokens would take minutes"
    return None
