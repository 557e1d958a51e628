"""The matrices A that people start from, and what each makes a state remember.

`hippo_legs` is the full matrix behind S4: its states hold the coefficients of the past in Legendre polynomials, which
`legs_memory` and `legs_reconstruction` let one see. `s4d_lin` and `s4d_real` keep a diagonal only; Mamba starts from
the real one. `mamba_delta_bias` is its choice of steps.
"""

import math

import torch
from jaxtyping import Complex, Float
from torch import Tensor


def hippo_legs(
    num_states: int, dtype: torch.dtype = torch.float64
) -> tuple[Float[Tensor, "state state"], Float[Tensor, " state"]]:
    """A and B of HiPPO-LegS: A[n, k] = -√(2n+1) √(2k+1) below the diagonal, -(n+1) on it, 0 above; B[n] = √(2n+1).

    Source: HiPPO (arXiv 2008.07669) theorem 2; S4 (arXiv 2111.00396) eq. 2 uses it in a system that does not change
    with time.
    """
    _check_states(num_states)
    n = torch.arange(num_states, dtype=dtype)
    root = (2 * n + 1).sqrt()
    below = torch.tril(root[:, None] * root, diagonal=-1)
    return -(below + torch.diag(n + 1)), root


def legs_memory(x: Float[Tensor, " length"], num_states: int) -> Float[Tensor, "length state"]:
    """The states of HiPPO-LegS after each sample of x: the whole past so far, in `num_states` numbers.

    The system stretches its time with the past it holds: h' = (A h + B x) / t. It is followed by the bilinear rule with
    t counted in samples (HiPPO, §2.4 and appendix B.3), in the dtype of x.
    """
    A, B = hippo_legs(num_states, x.dtype)
    identity = torch.eye(num_states, dtype=x.dtype)
    h, history = torch.zeros(num_states, dtype=x.dtype), []
    for k, sample in enumerate(x, start=1):
        half = A / (2 * k)
        h = torch.linalg.solve(identity - half, (identity + half) @ h + B / k * sample)
        history.append(h)
    return torch.stack(history)


def legs_reconstruction(h: Float[Tensor, " state"], length: int) -> Float[Tensor, " length"]:
    """What a state of `legs_memory` says of the `length` samples that it has read: Σ_n h_n √(2n+1) P_n(position).

    Position runs over the past from -1 (the first sample) to 1 (now); P_n is Legendre's polynomial of degree n.
    """
    position = (2 * torch.arange(length, dtype=h.dtype) + 1) / length - 1
    before, polynomial, past = torch.zeros_like(position), torch.ones_like(position), torch.zeros_like(position)
    for n, coefficient in enumerate(h):
        past = past + coefficient * math.sqrt(2 * n + 1) * polynomial
        after = ((2 * n + 1) * position * polynomial - n * before) / (n + 1)  # Bonnet's recursion
        before, polynomial = polynomial, after
    return past


def s4d_real(num_states: int, dtype: torch.dtype = torch.float64) -> Float[Tensor, " state"]:
    """A[n] = -(n + 1): the diagonal of `hippo_legs`. Mamba and VideoMamba start every channel from it.

    Source: S4D (arXiv 2206.11893) §4.1; Mamba (arXiv 2312.00752) §3.6.
    """
    _check_states(num_states)
    return -torch.arange(1, num_states + 1, dtype=dtype)


def s4d_lin(num_states: int) -> Complex[Tensor, " state"]:
    """A[n] = -1/2 + i π n, complex128: states that all fade alike and turn at the frequencies of a Fourier series.

    Source: S4D (arXiv 2206.11893) eq. 9.
    """
    _check_states(num_states)
    n = torch.arange(num_states, dtype=torch.float64)
    return torch.complex(torch.full_like(n, -0.5), math.pi * n)


def mamba_delta_bias(
    dim: int, generator: torch.Generator, *, smallest: float = 1e-3, largest: float = 0.1
) -> Float[Tensor, " dim"]:
    """The bias whose softplus is Mamba's first Δ: drawn between `smallest` and `largest`, evenly in its logarithm.

    VideoMamba's released code draws these too and then overwrites them with 0, so that its Δ starts at softplus(0) =
    0.69 in every channel.

    Source: Mamba (arXiv 2312.00752) §3.6; `Mamba.__init__` (mamba_ssm/modules/mamba_simple.py).
    """
    if not 0 < smallest <= largest:
        raise ValueError(f"smallest, largest: expected 0 < smallest <= largest, got {smallest} and {largest}")
    share = torch.rand(dim, generator=generator, dtype=torch.float64)
    delta = torch.exp(math.log(smallest) + share * (math.log(largest) - math.log(smallest)))
    bias = delta + torch.log(-torch.expm1(-delta))  # the inverse of softplus
    return bias.float()


def _check_states(num_states: int) -> None:
    if num_states < 1:
        raise ValueError(f"num_states: expected at least 1, got {num_states}")
