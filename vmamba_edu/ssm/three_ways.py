"""One discrete system, computed as a recurrence and as a convolution; the third way, a scan, is `prefix_scan`.

    y = recur(A_bar, B_bar, C, u)
    y = convolve(u, convolution_kernel(A_bar, B_bar, C, length))    # the same, if the system does not change with time

Shapes: u and y (batch, dim, length); A_bar, B_bar and C (dim, state), or for the recurrence (length, dim, state) where
they change from step to step. Complex states are read by their real part.

Source: S4 (arXiv 2111.00396) §2.3 and 2.4; VideoMamba (arXiv 2403.06977) eq. 4.
"""

import torch
from jaxtyping import Float, Inexact
from torch import Tensor


def recur(
    A_bar: Inexact[Tensor, "*time dim state"],
    B_bar: Inexact[Tensor, "*time dim state"],
    C: Inexact[Tensor, "*time dim state"],
    u: Float[Tensor, "batch dim length"],
) -> Float[Tensor, "batch dim length"]:
    """h_t = Ā h_{t-1} + B̄ u_t, y_t = C h_t, from h_{-1} = 0: O(length), one step after the other."""
    length = u.shape[-1]
    A_bar, B_bar, C = (x.expand(length, *x.shape[-2:]) for x in (A_bar, B_bar, C))
    h, y = torch.zeros(len(u), *A_bar.shape[1:], dtype=A_bar.dtype), []
    for t in range(length):
        h = A_bar[t] * h + B_bar[t] * u[..., t, None]
        y.append((C[t] * h).sum(dim=-1).real)
    return torch.stack(y, dim=-1)


def convolution_kernel(
    A_bar: Inexact[Tensor, "*time dim state"],
    B_bar: Inexact[Tensor, "*time dim state"],
    C: Inexact[Tensor, "*time dim state"],
    length: int,
) -> Float[Tensor, "dim length"]:
    """K[k] = C Ā^k B̄: what an input k steps ago still adds to the output.

    Raises:
        ValueError: the system changes with time, so that there is no one kernel.
    """
    if A_bar.dim() != 2:
        raise ValueError(
            f"A_bar: expected (dim, state), got {tuple(A_bar.shape)}: a selective system changes at every step and is "
            "no convolution; use `recur` or a scan"
        )
    powers = A_bar[..., None] ** torch.arange(length)
    return ((B_bar * C)[..., None] * powers).sum(dim=1).real


def convolve(
    u: Float[Tensor, "batch dim length"], kernel: Float[Tensor, "dim length"]
) -> Float[Tensor, "batch dim length"]:
    """y[t] = Σ_k K[k] u[t - k], by fast Fourier transforms: O(length log length), all steps at once.

    The transforms are twice as long as the sequence: a circular convolution would let the end reach the beginning.
    """
    length = u.shape[-1]
    spectrum = torch.fft.rfft(u, n=2 * length) * torch.fft.rfft(kernel, n=2 * length)
    return torch.fft.irfft(spectrum, n=2 * length)[..., :length]
