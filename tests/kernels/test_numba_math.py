"""The vector functions of the numba engine, number by number: how far they are from the truth, and what they do at the
edges.

float32 is compared with numpy's float64 functions, float64 with numpy's extended precision where the machine has it.
"""

from collections.abc import Callable

import numpy as np
import pytest
from numba import njit
from vmamba_kernels import vector_math
from vmamba_kernels.machine import TARGET, flush_denormals, restore_denormals
from vmamba_kernels.vector_intrinsics import STATES, constant, lane_sums
from vmamba_kernels.vector_memory import load, load_block, store

EXPONENTIAL, SOFTPLUS, SIGMOID, SOFTPLUS_SLOPE = range(4)
WIDER = {np.float32: np.float64, np.float64: np.longdouble}
# Without a fused multiply-add, the product in the argument of an exponential is rounded, as in any plain
# implementation.
needs_fused = pytest.mark.skipif(not TARGET.fused, reason="this processor rounds products before it adds")
needs_extended = pytest.mark.skipif(np.finfo(np.longdouble).nmant < 60, reason="no format wider than float64 here")
floats = pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=needs_extended)])


@njit
def apply(which, x, y):
    mode = flush_denormals()
    for i in range(x.shape[0]):
        v = load(x, (i, 0))
        if which == EXPONENTIAL:
            v = vector_math.exponential(v)
        elif which == SOFTPLUS:
            v = vector_math.softplus(v)
        elif which == SIGMOID:
            v = vector_math.sigmoid(v)
        else:
            v = vector_math.softplus_slope(v)
        store(y, (i, 0), v)
    restore_denormals(mode)


@njit
def decay(steps, rates, states, results):
    """As the scan does it: exp(step · rate) state."""
    for i in range(steps.shape[0]):
        step = load(steps, (i, 0))
        rate, tail = vector_math.rate_in_octaves(load(rates, (i, 0)))
        mark = vector_math.nearest_mark(step, rate)
        w = vector_math.growth_from(mark, step, rate, tail)
        store(results, (i, 0), vector_math.grown(load(states, (i, 0)), mark, w))


def rows(x: np.ndarray, dtype: type) -> np.ndarray:
    """The numbers in rows of one vector, the last row filled with ones."""
    lanes = TARGET.vector_bytes // np.dtype(dtype).itemsize
    padded = np.ones(-(-x.size // lanes) * lanes, dtype)
    padded[: x.size] = x
    return padded.reshape(-1, lanes)


def evaluate(which: int, x: np.ndarray) -> np.ndarray:
    source = rows(x, x.dtype.type)
    target = np.empty_like(source)
    apply(which, source, target)
    return target.reshape(-1)[: x.size]


def units_in_the_last_place(ours: np.ndarray, truth: np.ndarray) -> float:
    """The largest error, in spacings of the numbers of ours around the truth."""
    spacing = np.spacing(np.abs(truth).astype(ours.dtype)).astype(truth.dtype)
    return float(np.max(np.abs(ours.astype(truth.dtype) - truth) / spacing))


def many(dtype: type, low: float, high: float) -> np.ndarray:
    """Numbers of every magnitude between two bounds, and evenly spread ones."""
    random = np.random.default_rng(0)
    tiny = 1e-30 if low > 0 else -1e-30
    magnitudes = np.exp(random.uniform(np.log(abs(tiny)), np.log(max(abs(low), abs(high))), 400_000))
    signed = magnitudes * random.choice([-1.0, 1.0], magnitudes.size)
    x = np.concatenate([signed, random.uniform(low, high, 600_000)]).astype(dtype)
    return x[(x >= low) & (x <= high)]


LOG_2, FACTORIALS = np.log(np.longdouble(2)), np.cumprod(np.arange(1, 27, dtype=np.longdouble))
TWO_TO_R = LOG_2 ** np.arange(1, 27) / FACTORIALS  # the series of (2ʳ − 1) / r
E_TO_R = 1 / FACTORIALS[1:]  # that of (eʳ − 1 − r) / r²


def polynomial_and_series(coefficients: tuple, series: np.ndarray, r: np.ndarray) -> list[np.ndarray]:
    return [np.polynomial.polynomial.polyval(r, np.array(c, np.longdouble)) for c in (coefficients, series)]


@pytest.mark.parametrize(
    ("polynomials", "octave", "series", "errors"),
    [
        (vector_math.EXP2_SINGLE, 1.0, TWO_TO_R, {1: 1.1e-8, 16: 1.3e-7}),
        (vector_math.EXP_SINGLE, LOG_2, E_TO_R, {1: 2.8e-9, 16: 4.3e-8}),
        pytest.param(vector_math.EXP2_DOUBLE, 1.0, TWO_TO_R, {1: 1.1e-16, 8: 1.1e-16}, marks=needs_extended),
        pytest.param(vector_math.EXP_DOUBLE, LOG_2, E_TO_R, {1: 3e-17, 8: 3e-17}, marks=needs_extended),
    ],
)
def test_the_polynomials_are_as_close_as_they_say(
    polynomials: dict, octave: float, series: np.ndarray, errors: dict
) -> None:
    """Those for other processors too, which nothing here computes with."""
    assert polynomials.keys() == errors.keys()
    for marks, coefficients in polynomials.items():
        r = np.linspace(-0.5, 0.5, 10_000, dtype=np.longdouble) * octave / marks
        ours, truth = polynomial_and_series(coefficients, series, r)
        assert np.max(np.abs(ours / truth - 1)) < errors[marks]


def test_with_sixteen_marks_the_growth_is_as_close_as_it_says() -> None:
    r = np.linspace(-1 / 32, 1 / 32, 10_000, dtype=np.longdouble)
    ours, truth = polynomial_and_series(vector_math.EXP2_SINGLE[16], TWO_TO_R, r)
    assert np.max(np.abs(r * (ours - truth))) < 1.6e-9


@needs_fused
@floats
def test_the_exponential_is_within_a_unit_in_the_last_place(dtype: type) -> None:
    low, high = (-87.3, 88.0) if dtype == np.float32 else (-708.3, 709.0)
    x = many(dtype, low, high)
    assert units_in_the_last_place(evaluate(EXPONENTIAL, x), np.exp(x.astype(WIDER[dtype]))) < 1


def every_float32_of_two_binades(low: float) -> np.ndarray:
    first, last = (np.array(x, np.float32).view(np.uint32).item() for x in (low, 4 * low))
    return np.arange(first, last, dtype=np.uint32).view(np.float32)


@needs_fused
def test_the_exponential_of_every_float32_between_a_quarter_and_one() -> None:
    """On both sides of zero."""
    x = every_float32_of_two_binades(0.25)
    for signed in (x, -x):
        assert units_in_the_last_place(evaluate(EXPONENTIAL, signed), np.exp(signed.astype(np.float64))) < 1


@needs_fused
@pytest.mark.parametrize("low", [0.25, 8.0])
def test_the_decay_of_a_state_of_one(low: float) -> None:
    """Of Ā itself the decay has an error of a unit; a little more where there are no marks between whole numbers."""
    steps = rows(every_float32_of_two_binades(low), np.float32)
    results = np.empty_like(steps)
    decay(steps, np.full_like(steps, -1), np.ones_like(steps), results)
    units = units_in_the_last_place(results, np.exp(-steps.astype(np.float64)))
    assert units < (1 if vector_math.BETWEEN_WHOLE_NUMBERS else 1.3)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_exponential_at_the_edges(dtype: type) -> None:
    x = np.array([0.0, -0.0, -1e4, -np.inf, 1e4, np.inf, np.nan], dtype)
    assert np.array_equal(
        evaluate(EXPONENTIAL, x), np.array([1, 1, 0, 0, np.inf, np.inf, np.nan], dtype), equal_nan=True
    )
    beyond = np.linspace(90 if dtype == np.float32 else 710, 5000, 9999).astype(dtype)
    for which, at_left, at_right in ((EXPONENTIAL, 0, np.inf), (SIGMOID, 0, 1)):
        assert np.all(evaluate(which, -beyond) == at_left)
        assert np.all(evaluate(which, beyond) == at_right)


@floats
def test_a_long_memory_is_kept_to_full_precision(dtype: type) -> None:
    """1 − Ā, on which the length of the memory depends, is known as well as Ā itself: Ā is never rounded.

    At the first mark below 1 the power there is rounded, once, and that counts for more: 1 − Ā is small beside it.
    """
    random = np.random.default_rng(0)
    steps, rates = (np.exp(random.uniform(np.log(1e-4), 0, 100_000)).astype(dtype) for _ in range(2))
    steps, rates = rows(steps, dtype), rows(-rates, dtype)
    wide = WIDER[dtype]
    # Among states of size 1 a change of 1 − Ā could not be seen; the product's own rounding is what 2⁻²³ allows for.
    loss = -np.expm1(steps.astype(wide) * rates.astype(wide))
    one_minus = np.empty_like(steps)
    decay_fraction(steps, rates, one_minus)
    error = np.abs(one_minus.astype(wide) + loss) / loss
    assert np.max(error) < 4 * np.finfo(dtype).eps
    assert np.max(error[loss < 0.02]) < 3 * np.finfo(dtype).eps


@njit
def decay_fraction(steps, rates, results):
    """exp(step · rate) − 1 as it stands in (m, w)."""
    for i in range(steps.shape[0]):
        step = load(steps, (i, 0))
        rate, tail = vector_math.rate_in_octaves(load(rates, (i, 0)))
        mark = vector_math.nearest_mark(step, rate)
        w = vector_math.growth_from(mark, step, rate, tail)
        one = constant(step, 1.0, 1.0)
        power = vector_math.grown_to(one, mark)
        store(results, (i, 0), (power - one) + power * w)


@needs_fused
@floats
def test_decay_is_within_two_units_of_the_exact_product(dtype: type) -> None:
    """exp(Δ A) h, the product Δ A not rounded: one unit for the exponential, one for its product with the state."""
    random = np.random.default_rng(0)
    steps = np.exp(random.uniform(np.log(1e-8), np.log(50), 300_000))
    rates = -np.exp(random.uniform(np.log(1e-4), np.log(1e4), 300_000))
    steps[::3] = random.uniform(0, 3, 100_000) / -rates[::3]  # decays of all sizes, not only none and all
    steps, rates, wide = steps.astype(dtype), rates.astype(dtype), WIDER[dtype]
    exponent = steps.astype(wide) * rates.astype(wide)
    kept = exponent > -80
    states = random.uniform(1, 2, kept.sum()).astype(dtype)
    results = np.empty_like(rows(states, dtype))
    decay(rows(steps[kept], dtype), rows(rates[kept], dtype), rows(states, dtype), results)
    ours = results.reshape(-1)[: states.size]
    assert units_in_the_last_place(ours, np.exp(exponent[kept]) * states.astype(wide)) < 2


@floats
@pytest.mark.parametrize(
    ("which", "truth", "units"),
    [
        (SOFTPLUS, lambda x: np.where(x > 20, x, np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))), 4),
        (SIGMOID, lambda x: 1 / (1 + np.exp(-x)), 4),
    ],
)
def test_softplus_and_sigmoid(dtype: type, which: int, truth: Callable, units: float) -> None:
    """A few units in the last place: the exponential's one, and those of the operations around it."""
    x = many(dtype, -80.0, 80.0)
    units = units if TARGET.fused else units + 80  # the rounded product, magnified by the size of the argument
    assert units_in_the_last_place(evaluate(which, x), truth(x.astype(WIDER[dtype]))) < units


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_slope_of_softplus_from_its_value(dtype: type) -> None:
    x = np.linspace(-15, 30, 99_999)  # 20 itself is not among them: there the slope jumps, by 2e-9
    y = np.where(x > 20, x, np.log1p(np.exp(x)))
    truth = np.where(x > 20, 1.0, 1 / (1 + np.exp(-x)))
    ours = evaluate(SOFTPLUS_SLOPE, y.astype(dtype))
    assert np.max(np.abs(ours - truth) / truth) < 8 * np.finfo(dtype).eps
    assert np.all(ours[x > 20] == 1)


@njit
def sums_of_lanes(x, of_blocks, of_vectors):
    for i in range(x.shape[0]):
        store(of_blocks, (i,), lane_sums(load_block(x, (i,))))
        for state in range(of_vectors.shape[1]):
            store(of_vectors, (i, state), lane_sums(load(x, (i, state))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_lanes_of_each_state_are_added(dtype) -> None:
    """A one in each lane of each state by itself, and then whole numbers in all of them: each is counted once."""
    lanes = TARGET.vector_bytes // np.dtype(dtype).itemsize
    x = np.zeros((STATES * lanes, STATES, lanes), dtype)
    x.reshape(STATES * lanes, -1)[np.diag_indices(STATES * lanes)] = 1  # one lane of one state at a time
    x = np.concatenate([x, np.arange(STATES * lanes).reshape(1, STATES, lanes)]).astype(dtype)
    of_blocks, of_vectors = (np.zeros((len(x), STATES), dtype) for _ in range(2))
    sums_of_lanes(x, of_blocks, of_vectors)
    np.testing.assert_array_equal(of_blocks, x.sum(2))
    np.testing.assert_array_equal(of_vectors, x.sum(2))
