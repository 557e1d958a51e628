"""What a scan has to do, counted, and what a machine can do: the two sides of a roofline.

The scan is the bare one, y_t = C h_t with h_t = exp(Δ_t A) h_{t-1} + Δ_t B_t u_t: no bias, softplus, skip or gate. An
update of one state by one token costs, whoever computes it, one exponential (its product with h included) and three
multiply-adds: x B, Ā h + x B and C h. What differs is the traffic. Fused: each input is read once, y is written once.
Naive, one array operation after the other: Ā and Δ u B are written and read, all states are written and read.
"""

from dataclasses import dataclass, replace
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor

NUMBER = 4
"""Bytes of a float32."""


@dataclass(frozen=True)
class Shape:
    """A scan over `length` tokens, `state` numbers in each of `dim` channels, `batch` times."""

    dim: int = 384
    length: int = 1568
    state: int = 16
    batch: int = 1

    @property
    def tokens(self) -> int:
        """Numbers in u."""
        return self.batch * self.dim * self.length

    @property
    def updates(self) -> int:
        """Updates of a state: numbers in Ā, if anybody writes it down."""
        return self.tokens * self.state


@dataclass(frozen=True)
class Work:
    """What has to be done for one scan: bytes read and written, multiply-adds, exponentials."""

    read: int
    written: int
    multiply_adds: int
    exponentials: int

    @property
    def moved(self) -> int:
        """Bytes in both directions."""
        return self.read + self.written

    @property
    def operations(self) -> int:
        """An exponential counts as one, and so does a multiply-add."""
        return self.multiply_adds + self.exponentials


@dataclass(frozen=True)
class Machine:
    """What a machine can do at best in a second, with all its threads.

    Args:
        name: whose rates these are, in words.
        bytes: moved between memory and processor, half of them read, half written.
        multiply_adds: in single precision.
        exponentials: in single precision, exact to one unit in the last place.
    """

    name: str
    bytes: float
    multiply_adds: float
    exponentials: float


TYPICAL = Machine("typical values of a laptop, not measured", 25e9, 150e9, 10e9)


def fused_work(shape: Shape) -> Work:
    """Each input is read once: u, Δ, B, C and A; y is written."""
    maps = 2 * shape.batch * shape.state * shape.length + shape.dim * shape.state
    return Work(NUMBER * (2 * shape.tokens + maps), NUMBER * shape.tokens, 3 * shape.updates, shape.updates)


def naive_work(shape: Shape) -> Work:
    """As `naive_scan` does it: three arrays of (batch, dim, state, length) go to memory and come back."""
    fused = fused_work(shape)
    big = 3 * NUMBER * shape.updates
    return replace(fused, read=fused.read + big, written=fused.written + big)


def arithmetic_seconds(work: Work, machine: Machine) -> float:
    """Both kinds of arithmetic are done by the same units, so their times add up."""
    return work.multiply_adds / machine.multiply_adds + work.exponentials / machine.exponentials


def memory_seconds(work: Work, machine: Machine) -> float:
    return work.moved / machine.bytes


def floor_seconds(work: Work, machine: Machine) -> float:
    """The least time for this work: memory works beside the arithmetic, so the slower of the two decides."""
    return max(arithmetic_seconds(work, machine), memory_seconds(work, machine))


def naive_scan(
    u: Float[Tensor, "*batch dim length"],
    delta: Float[Tensor, "*batch dim length"],
    A: Float[Tensor, "dim state"],
    B: Float[Tensor, "*batch state length"],
    C: Float[Tensor, "*batch state length"],
) -> Float[Tensor, "*batch dim length"]:
    """The scan as one array operation after the other, as lesson 06 begins: Ā and all states lie in memory."""
    A_bar = torch.exp(delta[..., None, :] * A[..., None])
    h = (delta * u)[..., None, :] * B[..., None, :, :]
    for t in range(1, u.shape[-1]):
        h[..., t] += A_bar[..., t] * h[..., t - 1]
    return (C[..., None, :, :] * h).sum(-2)


def draw_scan(shape: Shape, seed: int = 0) -> dict[str, Tensor]:
    """Arguments of `selective_scan`: steps as Mamba begins, 0.001 to 0.1, and A near -1 … -state but not there.

    At exactly those numbers a kernel could take one exponential a token and raise it to its powers.
    """
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator)

    tokens, maps = (shape.batch, shape.length, shape.dim), (shape.batch, shape.length, shape.state)
    return {
        "u": normal(*tokens).mT,  # the channels of a token lie side by side, as in the models
        "delta": (1e-3 * 100 ** torch.rand(*tokens, generator=generator)).mT,
        "A": -torch.arange(1.0, shape.state + 1) * torch.exp(0.1 * normal(shape.dim, shape.state)),
        "B": normal(*maps).mT,
        "C": normal(*maps).mT,
    }


@cache
def measure_machine(moved: int = 2**27) -> Machine:
    """The rates of this machine, each from code that does nothing else; about two seconds, once a process.

    Args:
        moved: bytes of the copy by which memory is measured. What fits into a cache is faster.

    Raises:
        ImportError: Numba, with which the arithmetic is measured, is not installed.
    """
    from vmamba_edu.analysis.machine_rates import copy_rate, exponential_rate, multiply_add_rate

    threads = torch.get_num_threads()
    words = f"this machine, {threads} thread{'s' * (threads > 1)}, measured"
    return Machine(words, copy_rate(moved), threads * multiply_add_rate(), threads * exponential_rate())
