"""Systems, their initialisations, and the two ways to run them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.signal import lti

from vmamba_edu.ssm import (
    DiagonalSystem,
    convolution_kernel,
    convolve,
    half_life,
    hippo_legs,
    legs_memory,
    legs_reconstruction,
    mamba_delta_bias,
    recur,
    s4d_lin,
    s4d_real,
    zero_order_hold,
)


def test_responses_agree_with_scipy() -> None:
    A, B, C = s4d_real(4), torch.tensor([1.0, -2.0, 0.5, 1.0]).double(), torch.tensor([0.3, 1.0, 1.0, -1.0]).double()
    time = torch.linspace(0, 3, 31, dtype=torch.float64)
    reference = lti(torch.diag(A).numpy(), B[:, None].numpy(), C[None].numpy(), np.array([[0.5]]))
    system = DiagonalSystem(A, B, C, D=0.5)
    # SciPy simulates; its steps are exact for these inputs up to the matrix exponential's rounding.
    _, impulse = reference.impulse(T=time.numpy())
    _, step = reference.step(T=time.numpy())
    np.testing.assert_allclose(system.impulse_response(time).numpy(), impulse, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(system.step_response(time).numpy(), step, rtol=1e-9, atol=1e-11)


def test_a_system_of_complex_states_turns_as_it_fades() -> None:
    system = DiagonalSystem(torch.tensor([-0.5 + 2j]), torch.tensor([1.0 + 0j]), torch.tensor([1.0 + 0j]))
    time = torch.linspace(0, 4, 9)
    torch.testing.assert_close(system.impulse_response(time), torch.exp(-0.5 * time) * torch.cos(2 * time))


def test_after_its_half_life_half_is_left() -> None:
    A = torch.cat([s4d_real(3) + 0j, s4d_lin(3)])
    torch.testing.assert_close((A * half_life(A)).exp().abs(), torch.full((6,), 0.5, dtype=torch.float64))
    assert half_life(torch.tensor([0.0, 0.1])).tolist() == [math.inf] * 2


def test_vectors_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="expected three vectors of one length"):
        DiagonalSystem(s4d_real(3), torch.ones(2), torch.ones(3))
    with pytest.raises(ValueError, match="num_states: expected at least 1, got 0"):
        s4d_real(0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_recurrence_and_convolution_are_the_same(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    A = (s4d_lin(4) if dtype.is_complex else s4d_real(4)).expand(3, 4)
    B, C = torch.randn(3, 4, dtype=dtype), torch.randn(3, 4, dtype=dtype)
    u = torch.randn(2, 3, 50, dtype=torch.float64)
    A_bar, B_bar = zero_order_hold(A, B, torch.full((3,), 0.1, dtype=torch.float64))
    y = recur(A_bar, B_bar, C, u)
    torch.testing.assert_close(y, convolve(u, convolution_kernel(A_bar, B_bar, C, 50)), rtol=1e-10, atol=1e-10)
    assert y.dtype == torch.float64


def test_a_system_that_changes_with_time_is_no_convolution() -> None:
    A_bar, B_bar, C = (torch.rand(6, 2, 3).double() for _ in range(3))
    u = torch.randn(1, 2, 6).double()
    h, last = torch.zeros(2, 3).double(), None
    for t in range(6):
        h = A_bar[t] * h + B_bar[t] * u[0, :, t, None]
        last = (C[t] * h).sum(-1)
    torch.testing.assert_close(recur(A_bar, B_bar, C, u)[0, :, -1], last)
    with pytest.raises(ValueError, match="a selective system changes at every step and is no convolution"):
        convolution_kernel(A_bar, B_bar, C, 6)


def test_legs_remembers_the_whole_past_as_a_polynomial() -> None:
    """A signal that is a polynomial of lower degree than there are states is remembered; a shorter memory forgets."""
    length = 400
    time = torch.linspace(-1, 1, length, dtype=torch.float64)
    x = 0.5 - time + 2 * time**3
    errors = []
    for states in (2, 8):
        past = legs_reconstruction(legs_memory(x, states)[-1], length)
        errors.append((past - x).abs().mean().item())
    # The bilinear rule follows the equation to about 1 / length; two states cannot hold a cubic at all.
    assert errors[1] < 0.01
    assert errors[0] > 10 * errors[1]


def test_legs_projects_on_legendre_polynomials() -> None:
    """The coefficients are those of the best polynomial, found here by least squares on the same samples."""
    torch.manual_seed(0)
    length, states = 1000, 6
    position = (2 * np.arange(length) + 1) / length - 1
    x = torch.from_numpy(np.sin(4 * position) + position**2)
    fitted = np.polynomial.legendre.legfit(position, x.numpy(), states - 1)
    normalised = torch.from_numpy(fitted) / (2 * torch.arange(states).double() + 1).sqrt()
    # The first samples are held by a rule of steps as long as the past itself: 1 / length is what it can promise.
    torch.testing.assert_close(legs_memory(x, states)[-1], normalised, rtol=0, atol=5e-3)


def test_the_diagonal_of_hippo_is_s4d_real() -> None:
    A, B = hippo_legs(6)
    assert torch.equal(A.diagonal(), s4d_real(6))
    assert A[2, 1].item() == pytest.approx(-math.sqrt(5 * 3))
    assert A[1, 2].item() == 0
    assert B.square().tolist() == pytest.approx([1, 3, 5, 7, 9, 11])


def test_mambas_first_steps_lie_where_they_should() -> None:
    delta = F.softplus(mamba_delta_bias(4000, torch.Generator().manual_seed(0)).double())
    assert delta.min() >= 1e-3 - 1e-8
    assert delta.max() <= 0.1 + 1e-6
    assert (delta < 0.01).double().mean().item() == pytest.approx(0.5, abs=0.03)  # half of a logarithm's range
    with pytest.raises(ValueError, match="expected 0 < smallest <= largest"):
        mamba_delta_bias(3, torch.Generator(), smallest=0.2)
