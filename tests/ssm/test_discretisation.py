"""The four rules against SciPy, against the differential equation itself, and against what each is exact for."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import solve_ivp
from scipy.signal import cont2discrete

from vmamba_edu.ssm import (
    RULES,
    bilinear,
    bilinear_dense,
    euler,
    expm1_ratio,
    hippo_legs,
    mamba,
    s4d_lin,
    s4d_real,
    stability_limit,
    zero_order_hold,
    zero_order_hold_dense,
)

DELTAS = (1e-6, 0.01, 0.3, 2.0)


def discretised_by_scipy(a: complex, b: complex, delta: float, method: str) -> tuple[complex, complex]:
    zero, one = torch.zeros(1, 1).double().numpy(), torch.ones(1, 1).double().numpy()
    A_bar, B_bar, *_ = cont2discrete((a * one, b * one, one, zero), delta, method=method)
    return A_bar[0, 0], B_bar[0, 0]


@pytest.mark.parametrize("delta", DELTAS)
@pytest.mark.parametrize("a", [-1.0, -16.0, 0.5, -0.5 + 3j])
def test_agrees_with_scipy(a: complex, delta: float) -> None:
    A, B = torch.tensor([[a]], dtype=torch.complex128), torch.tensor([[0.7]], dtype=torch.complex128)
    step = torch.tensor([delta], dtype=torch.float64)
    for rule, name in ((zero_order_hold, "zoh"), (euler, "euler"), (bilinear, "bilinear")):
        expected = discretised_by_scipy(a, 0.7, delta, name)
        # SciPy divides by differences where ours does not: the last digits of its answer are what is allowed for.
        assert [x.item() for x in rule(A, B, step)] == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_zero_order_hold_solves_the_equation_for_a_held_input() -> None:
    a, b, delta, inputs = -1.7, 0.6, 0.25, [1.0, -2.0, 0.5, 3.0]
    A_bar, B_bar = zero_order_hold(*(torch.tensor([[x]], dtype=torch.float64) for x in (a, b)), torch.tensor([delta]))
    h = 0.0
    solved = 0.0
    for x in inputs:
        h = (A_bar * h + B_bar * x).item()
        solved = solve_ivp(lambda _, y, x=x: a * y + b * x, (0, delta), [solved], rtol=1e-10, atol=1e-12).y[0, -1]
    assert h == pytest.approx(solved, rel=1e-8)


def test_mambas_rule_is_exact_for_a_pulse_at_the_end_of_each_step() -> None:
    """Then the state is the sum of the decayed pulses, each of area Δ x."""
    a, b, delta, inputs = -3.0, 0.6, 0.5, [1.0, -2.0, 0.5]
    A_bar, B_bar = mamba(*(torch.tensor([[x]], dtype=torch.float64) for x in (a, b)), torch.tensor([delta]))
    h = 0.0
    for x in inputs:
        h = (A_bar * h + B_bar * x).item()
    pulses = [b * delta * x * math.exp(a * delta * steps_ago) for steps_ago, x in zip((2, 1, 0), inputs, strict=True)]
    assert h == pytest.approx(sum(pulses), rel=1e-12)


@pytest.mark.parametrize(("rule", "order"), [("zero_order_hold", None), ("euler", 1), ("bilinear", 2), ("mamba", 1)])
def test_how_fast_the_error_falls_with_the_step(rule: str, order: int | None) -> None:
    """The response to a step of the input, at time 1: halving Δ halves or quarters the error, or there is none."""
    A, B = torch.tensor([[-2.0]], dtype=torch.float64), torch.tensor([[1.0]], dtype=torch.float64)
    truth = (1 - math.exp(-2.0)) / 2
    errors = []
    for steps in (64, 128, 256):
        A_bar, B_bar = RULES[rule](A, B, torch.tensor([1 / steps], dtype=torch.float64))
        h = sum((A_bar**k * B_bar).item() for k in range(steps))
        errors.append(abs(h - truth))
    if order is None:
        assert max(errors) < 1e-14
    else:
        ratios = [errors[0] / errors[1], errors[1] / errors[2]]
        assert ratios == pytest.approx([2**order] * 2, rel=0.03)


def test_stability_limits_are_where_the_decay_stops() -> None:
    A = torch.cat([s4d_real(4) + 0j, s4d_lin(4)])[None]
    B = torch.ones_like(A)
    limit = stability_limit("euler", A)
    for share, stable in ((0.99, True), (1.01, False)):
        inside = torch.stack([euler(A[:, [n]], B[:, [n]], share * limit[:, n])[0].abs() < 1 for n in range(A.shape[1])])
        assert inside.all() if stable else not inside.any()
    for name in ("zero_order_hold", "bilinear", "mamba"):
        assert stability_limit(name, A).isinf().all()
        assert (RULES[name](A, B, torch.tensor([50.0], dtype=torch.float64))[0].abs() < 1).all()
    assert stability_limit("euler", torch.tensor([0.0, 1.0])).tolist() == [0.0, 0.0]
    with pytest.raises(ValueError, match="rule: expected one of 'zero_order_hold', 'euler', 'bilinear', 'mamba'"):
        stability_limit("tustin", A)


@given(st.floats(-700, 5), st.floats(-20, 20))
def test_expm1_ratio_is_the_mean_of_the_exponential(real: float, imaginary: float) -> None:
    """(exp(x) - 1) / x = ∫₀¹ exp(x s) ds, here by 200 Gauss-Legendre points: exact to rounding for such x."""
    x = torch.tensor(complex(real, imaginary), dtype=torch.complex128)
    import numpy as np

    nodes, weights = np.polynomial.legendre.leggauss(200)
    mean = (np.exp(x.item() * (nodes + 1) / 2) * weights).sum() / 2
    assert expm1_ratio(x).item() == pytest.approx(mean, rel=1e-11, abs=1e-12)


def test_expm1_ratio_near_zero() -> None:
    """Where numerator and denominator vanish: value and derivative, on both sides of where the series takes over."""
    x = torch.tensor([0.0, 1e-18, -1e-9, 9.9e-4, 1.01e-3, -0.5], dtype=torch.float64, requires_grad=True)
    expected = [1 + v / 2 + v * v / 6 + v**3 / 24 + v**4 / 120 for v in x.tolist()[:-1]] + [-math.expm1(-0.5) / 0.5]
    assert expm1_ratio(x).tolist() == pytest.approx(expected, rel=1e-14)
    assert torch.autograd.gradcheck(expm1_ratio, x[:-1].detach().requires_grad_())
    (gradient,) = torch.autograd.grad(expm1_ratio(x).sum(), x)
    assert gradient[0].item() == 0.5


def test_a_state_that_does_not_fade_adds_up_its_input() -> None:
    zero, one = torch.zeros(1, 1), torch.ones(1, 1)
    assert [x.item() for x in zero_order_hold(zero, one, torch.tensor([0.25]))] == [1.0, 0.25]


def test_a_step_for_every_token() -> None:
    """Δ and B with time in front, as selection gives them: each step is discretised by itself."""
    A = s4d_real(3, torch.float32).expand(2, 3)
    delta, B = torch.rand(5, 2), torch.rand(5, 2, 3)
    for rule in RULES.values():
        together = rule(A, B, delta)
        for t in range(5):
            for whole, single in zip(together, rule(A, B[t], delta[t]), strict=True):
                assert torch.equal(whole[t], single)


@pytest.mark.parametrize("delta", DELTAS)
def test_dense_rules_agree_with_scipy_and_with_the_diagonal_ones(delta: float) -> None:
    A, B = hippo_legs(5)
    zero, one = torch.zeros(1, 1).numpy(), torch.ones(1, 5).numpy()
    for ours, name in ((zero_order_hold_dense, "zoh"), (bilinear_dense, "bilinear")):
        expected = cont2discrete((A.numpy(), B[:, None].numpy(), one, zero), delta, method=name)
        A_bar, B_bar = ours(A, B, delta)
        torch.testing.assert_close(A_bar, torch.from_numpy(expected[0]), rtol=1e-11, atol=1e-13)
        torch.testing.assert_close(B_bar, torch.from_numpy(expected[1][:, 0]), rtol=1e-11, atol=1e-13)
    diagonal = s4d_real(5)
    step = torch.tensor([delta], dtype=torch.float64)
    for dense, rule in ((zero_order_hold_dense, zero_order_hold), (bilinear_dense, bilinear)):
        full, single = dense(torch.diag(diagonal), B, delta), rule(diagonal[None], B[None], step)
        torch.testing.assert_close(full[0].diagonal(), single[0][0], rtol=1e-12, atol=1e-14)
        torch.testing.assert_close(full[1], single[1][0], rtol=1e-12, atol=1e-14)


def test_a_diagonal_given_to_a_dense_rule_is_sent_where_it_belongs() -> None:
    with pytest.raises(ValueError, match=r"a diagonal A goes to vmamba_edu\.ssm\.zero_order_hold"):
        zero_order_hold_dense(torch.ones(3, 2), torch.ones(3), 0.1)
