"""How much of a token is left in a state when later ones have been read: what the decay panel computes.

    what remains of token j at token i = exp(A · (Δ_{j+1} + … + Δ_i))

and beside it the same with a constant Δ of the same mean: the difference is what selection does. A backward scan reads
from the end: there i comes before j, and the steps between them are Δ_i … Δ_{j-1}.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vmamba_edu.analysis import Decay
from vmamba_edu.panels.computed.arguments import one_of, within
from vmamba_edu.scan_orders import Direction

SOURCES = ("constant", "random", "clip")
SPREAD = 1.0
"""Standard deviation of log Δ where Δ is random: two of three steps lie within a factor of e of the middle one."""


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps of all channels of a scan over one sequence, and its decay rates.

    Args:
        step: (channels, length) Δ after bias and softplus; positive.
        A: (channels, state) negative.
        described: where they come from, in words.
        direction: which way the scan reads; the steps stand in the order of the tokens either way.

    Raises:
        ValueError: as `analysis.Decay`.
    """

    step: Tensor
    A: Tensor
    described: str
    direction: Direction = "forward"

    def __post_init__(self) -> None:
        Decay(self.step[None], self.A, self.direction)  # says what does not fit

    @cached_property
    def half_lives(self) -> np.ndarray:
        """(channels, state): tokens until half is gone, at the median Δ of each channel."""
        median = self.step.median(dim=-1, keepdim=True).values
        return Decay(median[None], self.A).half_life()[0, :, :, 0].numpy()

    @property
    def most_selective(self) -> int:
        """The channel whose Δ changes most from token to token, by factors.

        Only those count whose slowest state forgets within the sequence, and not at once: with others there would be
        nothing to see. If there are none, all do.
        """
        changes = self.step.log().std(dim=-1, correction=0).numpy()
        slowest = self.half_lives.max(axis=1)
        seen = (slowest > 3) & (slowest < self.step.shape[1] / 3)
        return int(np.where(seen | ~seen.any(), changes, -1).argmax())

    def of(self, channel: int, n: int) -> "tuple[Decay, Decay]":
        """One state of one channel with its own steps, and with the mean of these at every token."""
        step, A = self.step[channel][None, None].double(), self.A[channel, n].reshape(1, 1).double()
        return Decay(step, A, self.direction), Decay(step.mean().expand_as(step), A, self.direction)


@dataclass(frozen=True)
class State:
    """Whose steps, and which token of which state is followed.

    Args:
        source: "constant" (every Δ is `delta`), "random" (drawn around it, log-normal), or "clip": `measured`.
        delta: the mean Δ of the first two; their A is -1, -2 … -16 (S4D-Real).
        length: their tokens.
        token: j, whose share is followed.
        channel, n: which state of which channel, n counted from 1.
        seed: of the random steps.
        measured: the steps of a block on a clip.
        direction: which way the scan reads.
        measured_backward: the steps of the block's backward scan, which has a Δ of its own; `measured`, read from the
            end, if not given.
    """

    source: str = "constant"
    delta: float = 0.1
    length: int = 128
    token: int = 0
    channel: int = 0
    n: int = 1
    seed: int = 0
    measured: Steps | None = field(default=None, repr=False, compare=False)
    direction: Direction = "forward"
    measured_backward: Steps | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class Histogram:
    """How many of some positive numbers lie around each of some places, evenly spaced in their logarithm."""

    places: np.ndarray
    counts: np.ndarray


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows. "own" is with the steps as they are, "even" with a constant Δ of the same mean."""

    steps: Steps
    A: float
    delta: np.ndarray  # (length,) of the chosen channel
    own: np.ndarray  # (length,) the share of token j left at each token; NaN before it was read
    even: np.ndarray
    matrix_own: np.ndarray  # (window, window) row i, column j: the share of j left at i; NaN before j was read
    matrix_even: np.ndarray
    window: range  # the tokens of the matrices
    half_own: float  # tokens until half of token j was gone, infinite if it never was
    half_even: float
    deltas: Histogram  # of Δ, over the tokens of the chosen channel
    lives: Histogram  # of the half-lives, over all states of all channels


MOST_TOKENS, MOST_DELTA = 2**16, 100
WINDOW = 48
"""Most tokens of a sequence that are shown as a matrix."""


def compute(state: State) -> View:
    """The decay of one token, of its surroundings, and the half-lives of all.

    Raises:
        ValueError: there is no such source, token, channel or state, or Δ is not positive.
    """
    steps = steps_of(state)
    channels, length = steps.step.shape
    places = {"token": (0, length - 1), "channel": (0, channels - 1), "n": (1, steps.A.shape[1])}
    for name, (least, most) in places.items():
        within(name, getattr(state, name), least, most)
    pair = steps.of(state.channel, state.n - 1)
    before = WINDOW // 4 if state.direction == "forward" else WINDOW - WINDOW // 4  # most of it is what comes after
    start = max(0, min(state.token - before, length - WINDOW))
    window = range(start, min(start + WINDOW, length))
    own, even = (_share(decay, state.token) for decay in pair)
    matrix_own, matrix_even = (_matrix(decay, window) for decay in pair)
    half_own, half_even = (_half_life(decay, state.token) for decay in pair)
    A, delta = float(steps.A[state.channel, state.n - 1]), steps.step[state.channel].numpy()
    shares = (own, even, matrix_own, matrix_even, window, half_own, half_even)
    return View(steps, A, delta, *shares, histogram(delta), histogram(steps.half_lives))


def histogram(values: np.ndarray, most: int = 24) -> Histogram:
    """Positive numbers counted in at most `most` intervals of equal width in the logarithm, with an empty one around.

    Each interval is a factor of at least 1.1 wide: rounding does not spread a constant over several.
    """
    logarithms = np.log(np.asarray(values, float).ravel())
    middle, half = (logarithms.max() + logarithms.min()) / 2, (logarithms.max() - logarithms.min()) / 2
    bins = int(np.clip(2 * half // math.log(1.1), 1, most))
    half = max(half, bins * math.log(1.1) / 2)
    half *= 1 + 1e-9  # the largest is inside the last interval, not at its end
    half += 2 * half / bins  # the empty ones
    counts, edges = np.histogram(logarithms, bins + 2, (middle - half, middle + half))
    return Histogram(np.exp((edges[1:] + edges[:-1]) / 2), counts)


def steps_of(state: State) -> Steps:
    """The steps that a state speaks of.

    Raises:
        ValueError: there is no such source or direction, Δ is not positive, or the sequence is empty.
    """
    steps = _steps_of(state)
    return steps if steps.direction == state.direction else replace(steps, direction=state.direction)


def _steps_of(state: State) -> Steps:
    one_of("source", state.source, SOURCES)
    if not 0 < state.delta <= MOST_DELTA:
        raise ValueError(f"delta: expected a number above 0, at most {MOST_DELTA}, got {state.delta}")
    within("length", state.length, 1, MOST_TOKENS)
    if state.source == "clip":
        if state.measured is None:
            raise ValueError("source: 'clip' needs the steps of a block, `measured`, got None")
        return state.measured_backward if state.direction == "backward" and state.measured_backward else state.measured
    step = torch.full((1, state.length), state.delta, dtype=torch.float64)
    if state.source == "random":
        draw = torch.randn(step.shape, generator=torch.Generator().manual_seed(state.seed), dtype=torch.float64)
        step = step * torch.exp(SPREAD * draw - SPREAD**2 / 2)  # the mean of a log-normal
    A = -torch.arange(1, 17, dtype=torch.float64)[None]
    words = {"constant": f"a constant Δ of {state.delta:.3g}", "random": f"a random Δ around {state.delta:.3g}"}
    return Steps(step, A, words[state.source])


def _share(decay: Decay, token: int) -> np.ndarray:
    share = decay.remaining(token)[0, 0, 0].numpy().copy()
    share[_unread(decay, np.arange(len(share)), token)] = np.nan
    return share


def _unread(decay: Decay, at: np.ndarray, token: np.ndarray | int) -> np.ndarray:
    """Whether, at some tokens, others had not been read yet."""
    return at > token if decay.direction == "backward" else at < token


def _matrix(decay: Decay, window: Sequence[int]) -> np.ndarray:
    part = Decay(decay.step[..., window[0] : window[-1] + 1], decay.A, decay.direction)
    columns = np.stack([part.remaining(j)[0, 0, 0].numpy() for j in range(len(window))], axis=1)
    columns[_unread(decay, *np.indices(columns.shape))] = np.nan
    return columns


def _half_life(decay: Decay, token: int) -> float:
    return float(decay.measured_half_life()[0, 0, 0, token])
