"""Paired differences with intervals, and what they say of a claim.

For each seed the two sides of an expectation are subtracted: both saw the same clips in the same order, so what a seed
does to both falls away. Of these differences the mean is given, and a two-sided 95 % interval by Student's t with one
degree of freedom fewer than there are seeds (`scipy.stats.t`; SciPy comes with scikit-learn). With three seeds that is
4.3 standard errors to each side: three runs do not say much, and the interval says so.

The rule, the same for all comparisons and fixed before any of them was run, with m the margin of the expectation:

    expects     held if the interval lies    did not hold if it lies
    "above"     above m                      below m
    "below"     below −m                     above −m
    "not above" below m                      above m
    "within"    between −m and m             outside of both

Anything else is "not distinguishable at this scale". Unless all seeds of the definition were run there is no verdict.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.comparisons.definition import Comparison, Expectation

HELD, NOT_HELD, UNCLEAR, NOT_RUN = "held", "did not hold", "not distinguishable at this scale", "not run yet"
CONFIDENCE = 0.95

# Of a comparison: variant → seed → what its JSON says.
Results = Mapping[str, Mapping[int, Mapping[str, Any]]]


@dataclass(frozen=True)
class Interval:
    """Differences of pairs.

    Attributes:
        mean: of them.
        low, high: ends of the 95 % interval of that mean; infinite for a single pair.
        differences: one a seed.
    """

    mean: float
    low: float
    high: float
    differences: tuple[float, ...]


@dataclass(frozen=True)
class Judgement:
    """What came of an expectation.

    Attributes:
        expectation: as it was written.
        verdict: one of HELD, NOT_HELD, UNCLEAR and NOT_RUN.
        interval: None if not all seeds were run.
        left, right: the means of the two sides, None likewise.
    """

    expectation: Expectation
    verdict: str
    interval: Interval | None = None
    left: float | None = None
    right: float | None = None


def paired_interval(differences: Sequence[float]) -> Interval:
    """The mean of differences and its 95 % interval by Student's t.

    Raises:
        ValueError: there is none.
    """
    if not differences:
        raise ValueError("differences: expected at least one, got none")
    mean = statistics.fmean(differences)
    if len(differences) == 1:
        return Interval(mean, -math.inf, math.inf, tuple(differences))
    from scipy.stats import t  # type: ignore[import-untyped]

    error = statistics.stdev(differences) / math.sqrt(len(differences))
    reach = float(t.ppf((1 + CONFIDENCE) / 2, len(differences) - 1)) * error
    return Interval(mean, mean - reach, mean + reach, tuple(differences))


def judge_interval(interval: Interval, expects: str, margin: float) -> str:
    """The rule that stands at the top of this file."""
    low, high = interval.low, interval.high
    is_above, is_below = low > margin, high < -margin  # all of the interval
    held, not_held = {
        "above": (is_above, high < margin),
        "below": (is_below, low > -margin),
        "not above": (high < margin, is_above),
        "within": (low > -margin and high < margin, is_above or is_below),
    }[expects]
    return HELD if held else NOT_HELD if not_held else UNCLEAR


def judge(comparison: Comparison, expectation: Expectation, results: Results) -> Judgement:
    """What the runs of a comparison say of one of its expectations."""
    left = [_value(comparison, expectation.left, results, seed) for seed in comparison.seeds]
    right = [_value(comparison, expectation.right, results, seed) for seed in comparison.seeds]
    if None in left or None in right:
        return Judgement(expectation, NOT_RUN)
    interval = paired_interval([a - b for a, b in zip(left, right, strict=True)])  # type: ignore[operator]
    verdict = judge_interval(interval, expectation.expects, expectation.margin)
    means = [statistics.fmean(side) for side in (left, right)]  # type: ignore[arg-type]
    return Judgement(expectation, verdict, interval, *means)


def look_up(result: Mapping[str, Any], measure: str) -> float | None:
    """A number of a run's JSON by the path of its key: "test.accuracy", "gradient.start.7"; None if it has none.

    Raises:
        KeyError: there is no such key.
    """
    value: Any = result
    for key in measure.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return None if value is None else float(value)


def _value(comparison: Comparison, side: str | float, results: Results, seed: int) -> float | None:
    if not isinstance(side, str):
        return float(side)
    variant, measure = comparison.quantity(side)
    found = results.get(variant, {}).get(seed)
    return None if found is None else look_up(found, measure)
