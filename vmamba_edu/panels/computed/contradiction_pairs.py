"""Tokens of two kinds in a row, and what one Ā after the other must then do: what the contradiction panel computes.

What token i keeps of token j is a product over the way, Π_{k=j+1..i} Ā_k, and an Ā_k stands in the product of every
pair that has k on its way: of those that are alike, which should be kept, and of those that are not. VideoMambaPro
(arXiv 2406.19006, §3) calls it element contradiction; the measure is that of `analysis.contradiction`, our own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from vmamba_edu.analysis import contradiction
from vmamba_edu.panels.computed.arguments import one_of, within
from vmamba_edu.panels.computed.how_far_back import HowFarBack, Reach

RULES = ("one", "kinds", "best")
LENGTHS = (2, 16)


@dataclass(frozen=True)
class State:
    """Which tokens, how each makes the state forget, and which one looks back.

    Args:
        cells: the tokens in their order, a letter each: "a" or "b". Tokens of one kind are alike.
        rule: "one" (the same Ā at every token), "kinds" (each kind has its own, as if Δ heard the token) or "best" (at
            every place the Ā for which the contradiction is least).
        A_bar: Ā at every token, or at those of kind a.
        A_bar_b: Ā at those of kind b, for the rule "kinds".
        token: i, which looks back, from 0.
        block: of the models whose reach is shown.
        models: how far back they look.
    """

    cells: str = "aabbabbabaab"
    rule: str = "one"
    A_bar: float = 0.8
    A_bar_b: float = 0.8
    token: int = 11
    block: int = 0
    models: HowFarBack | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows; matrices have token i in row i and token j in column j."""

    A_bar: np.ndarray  # (length,) at each token; the first one's is in no product
    kept: np.ndarray  # (length, length) what i keeps of j; 0 where j comes later
    alike: np.ndarray  # (length, length) whether they are of one kind
    alike_over: np.ndarray  # (length,) pairs that are alike and have this token on their way
    unlike_over: np.ndarray
    kept_alike: float  # the mean over all such pairs
    kept_unlike: float
    value: float  # the contradiction
    least: float  # that of the best Ā's
    pieces: int  # into which the best Ā's cut the sequence
    reach: Mapping[str, Reach]


def compute(state: State) -> View:
    """What is kept of whom, how well that serves content, and how far back the models look.

    Raises:
        ValueError: the tokens are not "a" or "b", too few or too many, or another field cannot be.
    """
    _check(state)
    is_a = np.array([cell == "a" for cell in state.cells])
    alike = is_a[:, None] == is_a
    best = best_A_bar(alike)
    other = state.A_bar_b if state.rule == "kinds" else state.A_bar
    A_bar = best if state.rule == "best" else np.where(is_a, state.A_bar, other).astype(float)
    kept = products(A_bar)
    measured, least = (_measure(matrix, alike) for matrix in (kept, products(best)))
    before = np.tri(len(is_a), k=-1, dtype=bool)
    alike_over, unlike_over = (_over(before & pairs) for pairs in (alike, ~alike))
    reach = state.models.block(state.block) if state.models else {}
    pieces = int((best == 0).sum())
    return View(A_bar, kept, alike, alike_over, unlike_over, *measured, least[2], pieces, reach)


def products(A_bar: np.ndarray) -> np.ndarray:
    """(length, length): Π_{k=j+1..i} Ā_k in row i, column j; 1 on the diagonal, 0 above it."""
    length = len(A_bar)
    kept = np.zeros((length, length))
    for i in range(length):
        kept[i, :i] = A_bar[i] * kept[i - 1, :i] if i else 0
        kept[i, i] = 1
    return kept


def best_A_bar(alike: np.ndarray) -> np.ndarray:
    """The Ā at each place with the least contradiction of all; each is 0 or 1.

    The measure is linear in each Ā_k alone, so that some best one is at an end of [0, 1]. An Ā of 0 cuts the sequence
    and all others keep everything: so the best cut into pieces is looked for, each piece's worth being the sum over its
    pairs, and that is found from the left, from best cuts of what comes before.
    """
    length = len(alike)
    before = np.tri(length, k=-1)
    kinds = [before * pairs for pairs in (alike, ~alike)]
    worth = sum(sign * pairs / max(pairs.sum(), 1) for sign, pairs in zip((1, -1), kinds, strict=True))
    best, begins = [0.0], [0]
    for end in range(1, length + 1):
        values = [best[start] + worth[start:end, start:end].sum() for start in range(end)]
        begins.append(int(np.argmax(values)))
        best.append(max(values))
    A_bar = np.ones(length)
    end = length
    while end:
        A_bar[begins[end]] = 0.0
        end = begins[end]
    return A_bar


def _measure(kept: np.ndarray, alike: np.ndarray) -> tuple[float, float, float]:
    found = contradiction(torch.from_numpy(kept), torch.from_numpy(alike.astype(float)))
    return float(found.kept_alike), float(found.kept_unlike), float(found.value)


def _over(pairs: np.ndarray) -> np.ndarray:
    """How many of the pairs (i, j) have each token k on their way, j < k ≤ i."""
    return np.array([pairs[k:, :k].sum() for k in range(len(pairs))])


def _check(state: State) -> None:
    least, most = LENGTHS
    if set(state.cells) - {"a", "b"} or not least <= len(state.cells) <= most:
        raise ValueError(f"cells: expected {least} to {most} letters a or b, got {state.cells!r}")
    one_of("rule", state.rule, RULES)
    for name in ("A_bar", "A_bar_b"):
        if not 0 <= getattr(state, name) <= 1:
            raise ValueError(f"{name}: expected a number in [0, 1], got {getattr(state, name)}")
    within("token", state.token, 0, len(state.cells) - 1)
