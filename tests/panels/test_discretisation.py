"""The discretisation lab: the true curve against a numerical integration, rules against the recurrence, controls."""

import cmath
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vmamba_edu import panels
from vmamba_edu.panels.computed.discretisation_curves import (
    DELTAS,
    DURATION,
    OMEGA,
    SIGNALS,
    State,
    compute,
    continuous,
)

real_parts, imaginary_parts = st.floats(-6, -0.1), st.floats(-10, 10)


def signal_at(signal: str, t: float) -> float:
    wave = math.sin(OMEGA * t)
    return {"step": 1.0, "sine": wave, "square": 1.0 if math.floor(OMEGA * t / math.pi) % 2 == 0 else -1.0}[signal]


@pytest.mark.parametrize("signal", [name for name in SIGNALS if name != "pulse"])
@pytest.mark.parametrize("A", [-1 + 3j, -0.5 + 0j, -5 - 8j])
def test_the_continuous_curve_solves_the_equation(A, signal):
    """Against Runge and Kutta's classic method with 20,000 steps, each of which sees one value of a square wave."""
    steps, h, y = 20_000, 0j, [0.0]
    dt = DURATION / steps
    for k in range(steps):
        x0, x1, x2 = (signal_at(signal, (k + part) * dt) for part in (1e-9, 0.5, 1 - 1e-9))
        k1 = A * h + x0
        k2 = A * (h + dt / 2 * k1) + x1
        k3 = A * (h + dt / 2 * k2) + x1
        k4 = A * (h + dt * k3) + x2
        h += dt / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        y.append(h.real)
    time = np.linspace(0, DURATION, steps + 1)
    ours = continuous(torch.tensor([A], dtype=torch.complex128), signal, time)
    # A switch of the square wave falls inside a step of 5e-4, whose input is then wrong by 2.
    np.testing.assert_allclose(ours, y, atol=2e-3 if signal == "square" else 1e-9)


def test_a_pulse_is_answered_by_the_exponential():
    view = compute(State(-0.7, 2.0, 0.1, "pulse"))
    np.testing.assert_allclose(view.exact, np.exp(-0.7 * view.time) * np.cos(2 * view.time), atol=1e-12)


@given(real_parts, imaginary_parts, st.floats(0.02, 2), st.sampled_from(SIGNALS))
@settings(max_examples=20)
def test_each_rule_is_its_own_recurrence(real, imag, delta, signal):
    A = complex(real, imag)
    view = compute(State(real, imag, delta, signal))
    z = A * delta
    B_bar = {
        "zero_order_hold": (cmath.exp(z) - 1) / A,
        "euler": delta,
        "bilinear": delta / (1 - z / 2),
        "mamba": delta,
    }
    A_bar = {
        "zero_order_hold": cmath.exp(z),
        "euler": 1 + z,
        "bilinear": (1 + z / 2) / (1 - z / 2),
        "mamba": cmath.exp(z),
    }
    for rule in A_bar:
        assert view.poles[rule] == pytest.approx(A_bar[rule], rel=1e-9)
        h = 0j
        for k in range(min(20, len(view.steps))):
            x = (1 / delta if k == 0 else 0) if signal == "pulse" else None
            x = signal_at(signal, k * delta) if x is None else x
            h = A_bar[rule] * h + B_bar[rule] * x
            assert view.y[rule][k] == pytest.approx(h.real, rel=1e-6, abs=1e-6)


@given(real_parts, imaginary_parts)
@settings(max_examples=20)
def test_rules_are_exact_for_what_they_are_made_for(real, imag):
    held, pulse = compute(State(real, imag, 0.3, "step")), compute(State(real, imag, 0.3, "pulse"))
    assert held.errors["zero_order_hold"].max() < 1e-9
    assert held.error["zero_order_hold"] < 1e-9
    assert pulse.errors["mamba"].max() < 1e-9
    assert pulse.error["mamba"] < 1e-9


def test_errors_shrink_with_the_order_of_the_rule():
    """Halving a small step halves the error of Euler and of Mamba's code, and quarters the bilinear rule's."""
    errors = compute(State(-1.0, 1.0)).errors
    first, later = 2, 6  # steps of 0.029 and 0.063
    for rule, order in (("euler", 1), ("mamba", 1), ("bilinear", 2)):
        slope = math.log(errors[rule][later] / errors[rule][first]) / math.log(DELTAS[later] / DELTAS[first])
        assert slope == pytest.approx(order, abs=0.2)  # these steps are small, and not infinitely so


@given(real_parts, imaginary_parts)
@settings(max_examples=10)
def test_beyond_its_limit_euler_does_not_forget(real, imag):
    limit = compute(State(real, imag)).limits["euler"]
    assert limit == pytest.approx(-2 * real / (real**2 + imag**2))
    if 0.03 < limit < 4:
        assert abs(compute(State(real, imag, 0.99 * limit)).poles["euler"]) < 1
        assert abs(compute(State(real, imag, 1.01 * limit)).poles["euler"]) > 1
    assert all(
        abs(compute(State(real, imag, 2.0)).poles[rule]) < 1 for rule in ("zero_order_hold", "bilinear", "mamba")
    )


@pytest.fixture
def panel():
    return panels.discretisation()


def test_numbers_that_run_away_can_still_be_drawn_and_said():
    panel = panels.discretisation(real=-8.0, imag=12.0, delta=0.5)
    for trace in panel.canvas.data:
        assert np.isfinite(np.asarray(trace.y, float)).all()
    assert "Euler beyond measure" in panel.sentence()
    assert "it is unstable here" in panel.sentence()


def test_the_sentence_has_the_numbers(panel):
    words = panel.sentence()
    assert "A = -1 + 3 i, Δ = 0.25, input: step" in words
    assert "zero-order hold none" in words
    assert f"Mamba's code {math.exp(-0.25):.3g}" in words
    assert "Euler forgets for steps below 0.2: it is unstable here" in words
    assert "A = -1 - 2 i" in panels.discretisation(imag=-2.0).sentence()


def test_a_step_as_long_as_the_whole_is_one_step():
    view = compute(State(delta=DURATION))
    assert view.steps.tolist() == [DURATION]


def test_what_cannot_be_is_named():
    with pytest.raises(ValueError, match="signal: expected one of 'step', 'pulse', 'sine', 'square', got 'noise'"):
        compute(State(signal="noise"))
    with pytest.raises(
        ValueError, match="real: expected a negative number, a state that decays, not below -100, got 0"
    ):
        compute(State(real=0.0))
    for delta in (0.0, -1.0, 11.0):
        with pytest.raises(ValueError, match=f"delta: expected a step of 0.001 to 10, got {delta}"):
            compute(State(delta=delta))
    with pytest.raises(ValueError, match="imag: expected a number from -100 to 100, got 101"):
        compute(State(imag=101.0))
