"""What a fused scan and a naive one move through memory, tensor by tensor, up to some chunk of the sequence."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from vmamba_edu.analysis.scan_work import (
    NUMBER,
    TYPICAL,
    Machine,
    Shape,
    Work,
    arithmetic_seconds,
    floor_seconds,
    fused_work,
    memory_seconds,
    naive_work,
)
from vmamba_edu.panels.computed.arguments import one_of, within

CHUNK = 64
"""Tokens in a chunk, as in the CPU kernel."""
DIMS = (192, 384, 768, 1152)
LENGTHS = (512, 1568, 12544)
STATES = (8, 16, 64)
TENSORS = ("u", "Δ", "B", "C", "Ā", "ΔuB", "h", "y")
INTENSITIES = np.logspace(-2, 3, 101)
"""Operations a byte at which the roof is drawn."""


@dataclass(frozen=True)
class State:
    """Which scan, how far it has come, and on which machine.

    Args:
        dim, length, state: of the scan; one of DIMS, LENGTHS and STATES.
        chunk: chunks of 64 tokens that have been read, from 0 to `chunks_of(length)`.
        machine: whose roof is drawn.
    """

    dim: int = 384
    length: int = 1568
    state: int = 16
    chunk: int = 6
    machine: Machine = field(default=TYPICAL, repr=False)


@dataclass(frozen=True, eq=False)
class Side:
    """One way to do the scan.

    Attributes:
        read, written: bytes so far, by tensor.
        path: bytes moved after each chunk, from none to all.
        kept: bytes that wait in registers, or in the first cache, for the next chunk.
        work: of the whole scan.
        intensity: operations a byte.
        reachable: operations a second that the machine allows at that intensity.
        seconds: the least time for the whole scan, and what its arithmetic and its memory take of it.
    """

    read: Mapping[str, int]
    written: Mapping[str, int]
    path: np.ndarray
    kept: int
    work: Work
    intensity: float
    reachable: float
    seconds: float
    arithmetic: float
    memory: float


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows."""

    tokens: int  # read so far
    ends: np.ndarray  # tokens read after each number of chunks
    fused: Side
    naive: Side
    roof: np.ndarray  # operations a second at each of INTENSITIES
    forgotten: int  # bytes of Ā, Δ u B and h that the fused kernel has computed so far and never written


def chunks_of(length: int) -> int:
    """Chunks of a sequence; the last one may be shorter."""
    return -(-length // CHUNK)


def compute(state: State) -> View:
    """The traffic up to the chunk, and the roofline of the whole scan.

    Raises:
        ValueError: a size is none of those that can be chosen, or the chunk is beyond the end.
    """
    for name, known in (("dim", DIMS), ("length", LENGTHS), ("state", STATES)):
        one_of(name, getattr(state, name), known)
    within("chunk", state.chunk, 0, chunks_of(state.length))
    ends = np.minimum(CHUNK * np.arange(chunks_of(state.length) + 1), state.length)
    tokens = int(ends[state.chunk])
    fused, naive = (_side(state, tokens, ends, is_naive) for is_naive in (False, True))
    roof = np.minimum(INTENSITIES * state.machine.bytes, _peak(naive.work, state.machine))
    return View(tokens, ends, fused, naive, roof, 3 * NUMBER * tokens * state.dim * state.state)


def _peak(work: Work, machine: Machine) -> float:
    """Operations a second of this mixture of multiply-adds and exponentials, were there no memory to wait for."""
    return work.operations / arithmetic_seconds(work, machine)


def _side(state: State, tokens: int, ends: np.ndarray, naive: bool) -> Side:
    shape = Shape(state.dim, state.length, state.state)
    work = naive_work(shape) if naive else fused_work(shape)
    read, written = traffic(state.dim, state.state, tokens, naive)
    path = np.array([sum(map(_total, traffic(state.dim, state.state, int(end), naive))) for end in ends], dtype=float)
    seconds = floor_seconds(work, state.machine)
    return Side(
        read,
        written,
        path,
        NUMBER * state.dim * state.state,
        work,
        work.operations / work.moved,
        work.operations / seconds,
        seconds,
        arithmetic_seconds(work, state.machine),
        memory_seconds(work, state.machine),
    )


def traffic(dim: int, state: int, tokens: int, naive: bool) -> tuple[dict[str, int], dict[str, int]]:
    """Bytes read and written for so many tokens, by tensor. A is read once, with the first token, and left out."""
    small, maps, big = (NUMBER * tokens * size for size in (dim, state, dim * state if naive else 0))
    read = {"u": small, "Δ": small, "B": maps, "C": maps, "Ā": big, "ΔuB": big, "h": big, "y": 0}
    written = {"u": 0, "Δ": 0, "B": 0, "C": 0, "Ā": big, "ΔuB": big, "h": big, "y": small}
    return read, written


def _total(amounts: Mapping[str, int]) -> int:
    return sum(amounts.values())


def amount(number: float) -> str:
    """Bytes in words."""
    for unit, size in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:g} bytes"
