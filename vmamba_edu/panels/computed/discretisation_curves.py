"""One state, h' = A h + x and y = Re h, followed in continuous time and by each rule of `ssm.RULES`.

A rule's h_k holds the inputs x_0 … x_k, each sampled at the beginning of its step, so it stands for the time at the end
of step k. A pulse is the exception: as in `ssm.mamba` it comes at the end of its step, here the first one, at time 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vmamba_edu.panels.computed.arguments import one_of
from vmamba_edu.ssm import RULES, DiagonalSystem, stability_limit

DURATION = 10.0
SHORTEST, FASTEST = 1e-3, 100.0
"""The least step, and the largest |Re A| and |Im A|: beyond them the curves take long and show nothing."""
FINE = 600
"""Points of the continuous curve."""
DELTAS = np.logspace(np.log10(0.02), np.log10(2.0), 25)
"""The steps at which the error is looked at."""
SIGNALS = ("step", "pulse", "sine", "square")
OMEGA = 2.0
"""Radians in a unit of time, of the sine and of the square wave."""


@dataclass(frozen=True)
class State:
    """The eigenvalue A = real + i imag in 1 / time, the step Δ, and what comes in."""

    real: float = -1.0
    imag: float = 3.0
    delta: float = 0.25
    signal: str = "step"


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows; mappings are by rule."""

    time: np.ndarray  # (FINE,)
    exact: np.ndarray  # (FINE,) y in continuous time
    steps: np.ndarray  # (steps,) the times of the discrete outputs
    y: Mapping[str, np.ndarray]  # (steps,)
    poles: Mapping[str, complex]  # Ā
    errors: Mapping[str, np.ndarray]  # at each of DELTAS, see `relative_error`
    error: Mapping[str, float]  # at the chosen Δ
    limits: Mapping[str, float]  # the step from which a rule is unstable, infinite if it never is


def compute(state: State) -> View:
    """The continuous and the discrete responses, their poles and their errors.

    Raises:
        ValueError: the state does not decay, the step is not positive or longer than the duration, or the signal is
            unknown.
    """
    one_of("signal", state.signal, SIGNALS)
    if not -FASTEST <= state.real < 0:
        expected = f"a negative number, a state that decays, not below {-FASTEST:g}"
        raise ValueError(f"real: expected {expected}, got {state.real}")
    if not abs(state.imag) <= FASTEST:
        raise ValueError(f"imag: expected a number from {-FASTEST:g} to {FASTEST:g}, got {state.imag}")
    if not SHORTEST <= state.delta <= DURATION:
        raise ValueError(f"delta: expected a step of {SHORTEST:g} to {DURATION:g}, got {state.delta}")
    A = torch.tensor([complex(state.real, state.imag)], dtype=torch.complex128)
    time = np.linspace(0, DURATION, FINE)
    exact = continuous(A, state.signal, time)
    steps, y, poles = _respond(A, state.signal, np.array([state.delta]))
    _, all_y, _ = _respond(A, state.signal, DELTAS)
    largest = float(np.abs(exact).max())
    errors = _errors(A, state.signal, DELTAS, all_y, largest)
    error = _errors(A, state.signal, np.array([state.delta]), y, largest)
    limits = {rule: float(stability_limit(rule, A)[0]) for rule in RULES}
    return View(
        time,
        exact,
        steps[0],
        {rule: y[rule][0] for rule in RULES},
        {rule: complex(poles[rule][0]) for rule in RULES},
        errors,
        {rule: float(error[rule][0]) for rule in RULES},
        limits,
    )


def continuous(A: Tensor, signal: str, time: np.ndarray) -> np.ndarray:
    """y at `time`, from closed formulas; 0 before time 0."""
    one = torch.ones_like(A)
    system = DiagonalSystem(A, one, one)
    since = torch.from_numpy(np.asarray(time, dtype=float))
    began = (since >= 0).double()
    since = since.clamp(min=0)
    if signal == "pulse":
        return (system.impulse_response(since) * began).numpy()
    if signal == "step":
        return (system.step_response(since) * began).numpy()
    if signal == "sine":  # ∫ exp(A (t - s)) sin(ω s) ds
        angle = OMEGA * since
        h = (OMEGA * (torch.exp(A * since) - torch.cos(angle)) - A * torch.sin(angle)) / (A**2 + OMEGA**2)
        return h.real.numpy()
    y = torch.zeros_like(since)
    for number, switch in enumerate(np.arange(0, DURATION, np.pi / OMEGA)):  # 1, then ∓2 at each change of sign
        weight = 1 if number == 0 else 2 * (-1) ** number
        y += weight * system.step_response((since - switch).clamp(min=0)) * (since >= switch)
    return y.numpy()


def _input(signal: str, delta: np.ndarray, k: int) -> np.ndarray:
    """x_k for each step size: the value at the beginning of step k, or a pulse of area 1."""
    time = k * delta
    if signal == "pulse":
        return np.where(k == 0, 1 / delta, 0.0)
    if signal == "step":
        return np.ones_like(delta)
    wave = np.sin(OMEGA * time)
    return wave if signal == "sine" else np.where(np.floor(OMEGA * time / np.pi) % 2 == 0, 1.0, -1.0)


def _respond(A: Tensor, signal: str, deltas: np.ndarray) -> tuple[np.ndarray, dict[str, np.ndarray], dict]:
    """Times, outputs (deltas, steps) and Ā (deltas,) of every rule, all step sizes side by side."""
    step = torch.from_numpy(deltas)[:, None]
    discrete = [rule(A[None], torch.ones_like(A)[None], step) for rule in RULES.values()]
    A_bar = np.stack([pair[0][:, 0, 0].numpy() for pair in discrete])
    B_bar = np.stack([pair[1][:, 0, 0].numpy() for pair in discrete])
    count = int(DURATION / deltas.min() + 1e-9)
    h, y = np.zeros_like(A_bar), np.empty((*A_bar.shape, count))
    with np.errstate(over="ignore", invalid="ignore"):  # an unstable rule may leave the numbers behind
        for k in range(count):
            h = A_bar * h + B_bar * _input(signal, deltas, k)
            y[..., k] = h.real
    return times(signal, deltas, count), dict(zip(RULES, y, strict=True)), dict(zip(RULES, A_bar, strict=True))


def times(signal: str, deltas: np.ndarray, count: int) -> np.ndarray:
    """(deltas, count) when each output is there."""
    return deltas[:, None] * (np.arange(count) + (signal != "pulse"))


def _errors(
    A: Tensor, signal: str, deltas: np.ndarray, y: Mapping[str, np.ndarray], largest: float
) -> dict[str, np.ndarray]:
    """Of each rule the largest error of each step size within the duration, as a share of the largest true output."""
    when = times(signal, deltas, next(iter(y.values())).shape[1])
    inside = when <= DURATION * (1 + 1e-12)
    truth = np.zeros_like(when)
    truth[inside] = continuous(A, signal, when[inside])
    errors = {}
    with np.errstate(over="ignore", invalid="ignore"):
        for rule, outputs in y.items():
            apart = np.where(inside, np.abs(outputs - truth), 0)
            errors[rule] = np.nan_to_num(apart, nan=np.inf).max(axis=1) / largest
    return errors
