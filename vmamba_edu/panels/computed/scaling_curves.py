"""What a scan and an attention cost as clips get longer: what the memory panel computes, from closed formulas.

Three curves, since attention has two prices. Its weights, one for each pair of tokens, are quadratic in the length.
Whoever writes them down pays that in memory; torch's fused attention computes them piece by piece and never does, so
that its memory is linear, as the scan's is. The operations are quadratic in both cases.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from vmamba_edu.analysis import Cost, Observed, cost
from vmamba_edu.models.registry import MODELS
from vmamba_edu.panels.computed.arguments import one_of
from vmamba_edu.panels.computed.machine_memory import SHARE, gigabytes

FRAMES = (2, 4, 8, 16, 32, 64, 128)
SIZES = (64, 112, 224, 336)
BYTES = MappingProxyType({"float32": 4, "bfloat16": 2})
SCANS = ("videomamba_tiny", "videomamba_small", "videomamba_middle", "videomambapro_tiny")
ATTENTIONS = MappingProxyType({"joint": "joint_space_time", "divided": "divided_space_time"})
MOST_OPERATIONS = 1e12
"""What would take more operations than these, half a minute or so on two cores, is not measured."""


@dataclass(frozen=True)
class State:
    """What is compared, for which clips.

    Args:
        scan: one of SCANS.
        attention: "joint" (every patch looks at every patch of the clip) or "divided" (at its place in all frames, then
            at its frame): a TimeSformer of the width and depth of the scan model.
        size: side of a frame in pixels, patches of 16.
        frames: of the clip that the sentence speaks of, one of FRAMES.
        precision: "float32" or "bfloat16" throughout.
        training: forward and backward pass, or forward alone.
        free: bytes of memory that are free on this machine, None if it is not known.
        measured: what was measured so far, of any shape.
        rate: operations a second of a matrix product in float32 on this machine, None if it is not known.
    """

    scan: str = "videomamba_tiny"
    attention: str = "joint"
    size: int = 224
    frames: int = 16
    precision: str = "float32"
    training: bool = False
    free: int | None = field(default=None, compare=False)
    measured: tuple[Observed, ...] = field(default=(), repr=False, compare=False)
    rate: float | None = field(default=None, compare=False)


@dataclass(frozen=True, eq=False)
class Curve:
    """One model over FRAMES: bytes of activations, operations, and the exponents of tokens that fit them best.

    `seconds` are those of the operations, in float32: at the speed of a matrix product, which is a floor, or, where
    something was measured (`calibrated`), at the speed that was seen there. Empty where no speed is known.
    """

    name: str
    bytes: np.ndarray
    flops: np.ndarray
    bytes_exponent: float
    flops_exponent: float
    seconds: np.ndarray
    calibrated: bool


@dataclass(frozen=True, eq=False)
class Points:
    """What was measured of one model: frames, peak bytes and seconds each; exponents where there are two or more."""

    name: str
    frames: np.ndarray
    bytes: np.ndarray
    seconds: np.ndarray
    bytes_exponent: float
    seconds_exponent: float


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows."""

    tokens: np.ndarray  # for each of FRAMES
    curves: Mapping[str, Curve]  # "scan", "fused" attention and "explicit" attention
    crossing_bytes: int | None  # frames from which explicit attention needs more memory than the scan
    crossing_flops: int | None
    measured: Mapping[str, Points]  # "scan" and "fused"
    free: int | None


def compute(state: State) -> View:
    """The three curves, where they cross, and what was measured of them.

    Raises:
        ValueError: one of the fields is none of those that can be chosen.
    """
    _check(state)
    jobs = {"scan": job_of(state, "scan"), "fused": job_of(state, "fused")}
    costs = {name: [_cost(state, job, frames) for frames in FRAMES] for name, job in jobs.items()}
    tokens = np.array([one.patches for one in costs["scan"]])
    memory = {name: [_bytes(state, one) for one in several] for name, several in costs.items()}
    memory["explicit"] = [_explicit_bytes(state, one) for one in costs["fused"]]
    names = {"scan": state.scan, "fused": f"{state.attention} attention, fused"}
    names["explicit"] = f"{state.attention} attention, weights written down"
    measured = {name: _points(names[name], state, job) for name, job in jobs.items()}
    curves = {
        key: _curve(state, names[key], tokens, memory[key], costs[source], measured.get(key))
        for key, source in (("scan", "scan"), ("fused", "fused"), ("explicit", "fused"))
    }
    more_bytes = _first(lambda f: _explicit_bytes(state, _cost(state, jobs["fused"], f)) > _bytes_of(state, jobs, f))
    more_flops = _first(lambda f: _flops(state, jobs["fused"], f) > _flops(state, jobs["scan"], f))
    return View(tokens, curves, more_bytes, more_flops, measured, state.free)


def job_of(state: State, which: str) -> dict[str, Any]:
    """The keywords of `analysis.measure` for "scan" or "fused" attention, but for num_frames."""
    common = {"img_size": state.size, "training": state.training}
    if which == "scan":
        return {"model": state.scan, **common}
    config: Any = MODELS[state.scan]
    width = {"embed_dim": config.embed_dim, "depth": config.depth, "num_heads": config.embed_dim // 64}
    return {"model": "timesformer_base_8f", "attention_type": ATTENTIONS[state.attention], **width, **common}


def to_measure(state: State) -> list[dict[str, Any]]:
    """What can be measured here and is not yet, from the smallest: neither too large for the memory nor too long."""
    known = {_key(one) for one in state.measured}
    jobs = [job_of(state, which) | {"num_frames": frames} for frames in FRAMES for which in ("scan", "fused")]
    return [job for job in jobs if refusal(state, job) is None and _key_of(job) not in known]


def refusal(state: State, job: Mapping[str, Any]) -> str | None:
    """Why a job is not measured, None if it is. Measuring is always done in float32."""
    predicted = _cost(state, job, job["num_frames"], bytes_per_number=4)
    need = predicted.training_bytes if state.training else predicted.inference_bytes
    need += 4 * predicted.total_parameters * (2 if state.training else 1)
    if state.free is not None and need > SHARE * state.free:
        return f"needs {gigabytes(need)}, more than {SHARE:.0%} of the {gigabytes(state.free)} that are free"
    operations = predicted.total_flops * _passes(state)
    if operations > MOST_OPERATIONS:
        return f"needs {operations / 1e12:.1f} trillion operations, more than {MOST_OPERATIONS / 1e12:.0f}"
    return None


def _check(state: State) -> None:
    choices: Mapping[str, Any] = {"scan": SCANS, "attention": tuple(ATTENTIONS), "size": SIZES, "frames": FRAMES}
    for name, known in {**choices, "precision": tuple(BYTES)}.items():
        one_of(name, getattr(state, name), known)
    if state.rate is not None and not 0 < state.rate < math.inf:
        raise ValueError(f"rate: expected a positive number, got {state.rate}")


def _cost(state: State, job: Mapping[str, Any], frames: int, bytes_per_number: int | None = None) -> Cost:
    keywords = {name: value for name, value in job.items() if name != "training"} | {"num_frames": frames}
    return cost(**keywords, bytes_per_number=bytes_per_number or BYTES[state.precision])


def _bytes(state: State, one: Cost) -> int:
    return one.training_bytes if state.training else one.inference_bytes


def _bytes_of(state: State, jobs: Mapping[str, Mapping[str, Any]], frames: int) -> int:
    return _bytes(state, _cost(state, jobs["scan"], frames))


def _explicit_bytes(state: State, one: Cost) -> int:
    """Training keeps the weights of all blocks, inference those of one at a time."""
    blocks = 1 if state.training else MODELS[state.scan].depth
    return _bytes(state, one) + one.attention_weights * one.bytes_per_number // blocks


def _flops(state: State, job: Mapping[str, Any], frames: int) -> int:
    return _cost(state, job, frames).total_flops


def _passes(state: State) -> int:
    """Forward passes that one pass is worth: a backward pass takes each product twice more."""
    return 3 if state.training else 1


def _curve(
    state: State, name: str, tokens: np.ndarray, memory: list[int], costs: list[Cost], points: Points | None
) -> Curve:
    b, f = np.array(memory, float), np.array([one.total_flops for one in costs], float)
    rate, calibrated = state.rate, False
    if points is not None and len(points.frames):
        at = [FRAMES.index(frames) for frames in points.frames]
        seen = _passes(state) * f[at] / points.seconds
        rate, calibrated = float(np.exp(np.log(seen).mean())), True
    seconds = _passes(state) * f / rate if rate else np.empty(0)
    return Curve(name, b, f, exponent(tokens, b), exponent(tokens, f), seconds, calibrated)


def exponent(tokens: np.ndarray, values: np.ndarray) -> float:
    """The p for which values ∝ tokensᵖ fits best on log axes, NaN for fewer than two points."""
    if len(tokens) < 2:
        return math.nan
    return float(np.polyfit(np.log(tokens), np.log(values), 1)[0])


def _first(holds: Callable[[int], bool], most: int = FRAMES[-1]) -> int | None:
    """The least number of frames, up to `most`, for which something that stays true becomes true."""
    if not holds(most):
        return None
    low, high = 0, most  # holds(high), and not holds(low)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _points(name: str, state: State, job: Mapping[str, Any]) -> Points:
    keys = {_key_of({**job, "num_frames": frames}): frames for frames in FRAMES}
    found = sorted((keys[_key(one)], one) for one in state.measured if _key(one) in keys)
    frames = np.array([number for number, _ in found], dtype=int)
    memory = np.array([one.peak_bytes for _, one in found], dtype=float)
    seconds = np.array([one.seconds for _, one in found], dtype=float)
    return Points(name, frames, memory, seconds, exponent(frames, memory), exponent(frames, seconds))


def _key(one: Observed) -> tuple:
    return one.model, one.training, tuple(sorted(one.overrides.items()))


def _key_of(job: Mapping[str, Any]) -> tuple:
    overrides = {name: value for name, value in job.items() if name not in ("model", "training")}
    return job["model"], job["training"], tuple(sorted(overrides.items()))
