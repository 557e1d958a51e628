"""Exponential, softplus and sigmoid of vectors, exact to about one unit in the last place of float32 and of float64.

The decay of a state, Ā = exp(ΔA), is a power of two, 2ᵖ with p = Δ · A log₂e. For any p let k be the whole number
nearest to it; then

    2ᵖ = 2ᵏ (1 + w),    w = 2ᵖ⁻ᵏ − 1,

where w comes from a short polynomial *without* its constant term 1. A long memory has Ā just below 1: then k = 0, and
w = Ā − 1 is known to full relative precision, while Ā itself would be rounded at the seventh digit, the same way at
every step, and after thousands of steps the state would have drifted by thousands of roundings. So the kernels never
form Ā: they carry (k, w) and compute Ā h as s + s w with s = 2ᵏ h, which costs no more than the exponential and its
product with h.

The shorter the way that a polynomial has to go, the fewer coefficients it needs. Think of p on a ruler with M marks an
octave: with j the mark nearest to p, and r = p − j/M what is left, |r| ≤ 1/2M, and

    w = f + (1 + f) (2ʳ − 1),    f = 2^(j/M − k) − 1.

There are M such f, and AVX-512 looks them up in a single register, which has room for 16 of float32 and 8 of float64.
Elsewhere the whole numbers are the only marks: M = 1, and f = 0.
"""

from decimal import Decimal, localcontext

from vmamba_kernels.kernel_compilation import inlined_part
from vmamba_kernels.machine import TARGET
from vmamba_kernels.vector_intrinsics import absolute, constant, fma, horner, look_up, times_two_to, where_less

# log₂ e as an unevaluated sum of two numbers.
LOG2_E_SINGLE = (1.4426950216293335, 1.925963033500956e-08)
LOG2_E_DOUBLE = (1.4426950408889634, 2.0355273740931033e-17)

# log 2 likewise; the first number has so few digits that its product with an exponent is exact.
LOG_2_SINGLE = (0.693145751953125, 1.4286068203094172e-6)
LOG_2_DOUBLE = (0.693147180559663, 2.8235290563031578e-13)

# Marks an octave.
BETWEEN_WHOLE_NUMBERS = TARGET.avx512
MARKS_SINGLE, MARKS_DOUBLE = (16, 8) if BETWEEN_WHOLE_NUMBERS else (1, 1)

# The polynomials below have the least largest relative error that their degree allows (Remez' exchange).

# (2ʳ − 1) / r for |r| ≤ 1/2M, by the number of marks M: 1.1e-8 and 1.1e-7; for float64 less than half a unit in the
# last place. (1.1e-7 counts for little: it is a part of 2ʳ − 1, which is small beside f, or vanishes with r.)
EXP2_SINGLE = {
    1: (0.693147187927, 0.24022649795, 0.0555035743364, 0.00961823749491, 0.00133907354776, 0.000154035123676),
    16: (0.693147181036856, 0.240233551474180, 0.0555041085884650),
}
EXP2_DOUBLE = {
    1: (
        0.6931471805599453112,
        0.2402265069591009789,
        0.05550410866482123653,
        0.009618129107607065669,
        0.001333355814653163286,
        0.0001540353044148067992,
        1.525273370121465649e-5,
        1.321544272423112757e-6,
        1.017812129916570442e-7,
        7.072561701930320513e-9,
        4.445537228154442733e-10,
    ),
    8: (
        0.6931471805599453092,
        0.2402265069591007127,
        0.05550410866482309647,
        0.009618129107627846888,
        0.001333355812701587459,
        0.0001540353041758236141,
        1.525352896608882836e-5,
        1.321548704940052054e-6,
    ),
}
COEFFICIENTS_SINGLE, COEFFICIENTS_DOUBLE = EXP2_SINGLE[MARKS_SINGLE], EXP2_DOUBLE[MARKS_DOUBLE]


def powers_at_marks(marks: int) -> tuple[float, ...]:
    """f = 2^(j/M − k) − 1 for j = 0 … M − 1, with k the whole number nearest to j/M: 0 in the first half, then 1."""
    with localcontext(prec=40):
        return tuple(float(Decimal(2) ** (Decimal(j) / marks - (2 * j >= marks)) - 1) for j in range(marks))


POWERS_SINGLE, POWERS_DOUBLE = powers_at_marks(MARKS_SINGLE), powers_at_marks(MARKS_DOUBLE)

# (eʳ − 1 − r) / r² for |r| ≤ ½ log 2: 2.7e-09 and 2.7e-18.
EXP_SINGLE = (0.500000001338, 0.166666665324, 0.0416664655277, 0.00833336071514, 0.00139335975792, 0.000198577989868)
EXP_DOUBLE = (
    0.5000000000000000001,
    0.1666666666666667096,
    0.04166666666666661845,
    0.008333333333326167481,
    0.001388888888891795532,
    0.0001984126987472074246,
    0.00002480158724574773595,
    2.75572555142969378e-6,
    2.755734961489913405e-7,
    2.510517360276813551e-8,
    2.088937527884967618e-9,
)

# 2 artanh(s) / s as a polynomial in s² for 0 ≤ s ≤ ⅓: 4.0e-9 and 1.2e-18.
ARTANH_SINGLE = (2.00000000792, 0.666663146821, 0.400249102795, 0.279606027472, 0.281783350867)
ARTANH_DOUBLE = (
    2.000000000000000002,
    0.6666666666666613423,
    0.4000000000019032644,
    0.2857142854492502758,
    0.222222241117782413,
    0.1818173978759041713,
    0.1538663545631519569,
    0.1330010249179821038,
    0.1211224908982111223,
    0.08315683955790032935,
    0.1706006292010550955,
)

# Adding 1.5 · 2^(bits of the mantissa) rounds to a whole number, which then stands in the lowest bits; the M-th part of
# that rounds to a mark. Taking away what was added gives the number back.
ROUND_SINGLE = 1.5 * 2.0**23
ROUND_DOUBLE = 1.5 * 2.0**52
MARK_SINGLE = ROUND_SINGLE / MARKS_SINGLE
MARK_DOUBLE = ROUND_DOUBLE / MARKS_DOUBLE

# Taking away half an octave less gives, of the marks nearest to a whole number, that number and less than one more.
HALF = 0.5 if BETWEEN_WHOLE_NUMBERS else 0.0
WHOLE_SINGLE = MARK_SINGLE - HALF
WHOLE_DOUBLE = MARK_DOUBLE - HALF

# Beyond ± this exponent 2ᵖ is 0 or infinite in either type.
LARGEST_EXPONENT = 4096.0

# A state may decay by more octaves than that in a single step. Up to here, what is left of p after rounding it stays so
# small that w is finite; then 2ᵏ decides, and the state is gone.
LARGEST_OCTAVES = 2.0**40

SOFTPLUS_IS_IDENTITY_ABOVE = 20.0


# The decay of a state.


@inlined_part
def rate_in_octaves(a):
    """a · log₂ e as an unevaluated sum (rate, rate_tail), so that exp(Δ a) = 2^(Δ rate + Δ rate_tail)."""
    high = constant(a, LOG2_E_SINGLE[0], LOG2_E_DOUBLE[0])
    low = constant(a, LOG2_E_SINGLE[1], LOG2_E_DOUBLE[1])
    rate = a * high
    return rate, fma(a, low, fma(a, high, -rate))


@inlined_part
def nearest_mark(step, rate):
    """The mark nearest to step · rate: its number stands in the lowest bits, for the next two functions to read."""
    return fma(step, rate, constant(step, MARK_SINGLE, MARK_DOUBLE))


@inlined_part
def whole_exponent(mark):
    """k. With marks between the whole numbers a fraction comes along, which `times_two_to` drops."""
    return mark - constant(mark, WHOLE_SINGLE, WHOLE_DOUBLE)


@inlined_part
def fraction_grown(step, rate, rate_tail, mark):
    """w = 2ᵖ⁻ᵏ − 1 for p = step · (rate + rate_tail)."""
    nearest = mark - constant(mark, MARK_SINGLE, MARK_DOUBLE)
    r = fma(step, rate_tail, fma(step, rate, -nearest))
    w = r * horner(r, COEFFICIENTS_SINGLE, COEFFICIENTS_DOUBLE)
    if BETWEEN_WHOLE_NUMBERS:
        f = look_up(mark, POWERS_SINGLE, POWERS_DOUBLE)
        w = fma(f + 1.0, w, f)
    return w


@inlined_part
def grown(value, k, w):
    """value · 2ᵏ (1 + w)."""
    s = times_two_to(value, k)
    return fma(s, w, s)


# Functions of one vector.


@inlined_part
def exponential_parts(x):
    """(k, e) with eˣ = 2ᵏ (1 + e), where e = eʳ − 1 for |r| ≤ ½ log 2; x is at most LARGEST_EXPONENT."""
    bounded = where_less(x, -LARGEST_EXPONENT, -LARGEST_EXPONENT, x)
    round_to_whole = constant(x, ROUND_SINGLE, ROUND_DOUBLE)
    k = fma(bounded, constant(x, LOG2_E_SINGLE[0], LOG2_E_DOUBLE[0]), round_to_whole) - round_to_whole
    r = fma(-k, constant(x, LOG_2_SINGLE[0], LOG_2_DOUBLE[0]), bounded)
    r = fma(-k, constant(x, LOG_2_SINGLE[1], LOG_2_DOUBLE[1]), r)
    return k, fma(r * r, horner(r, EXP_SINGLE, EXP_DOUBLE), r)


@inlined_part
def exponential(x):
    """eˣ; may be infinite already above 2¹²⁷ (float64: 2¹⁰²³), the half of the largest number."""
    k, e = exponential_parts(where_less(LARGEST_EXPONENT, x, LARGEST_EXPONENT, x))
    return times_two_to(e + 1.0, k)


@inlined_part
def softplus(x):
    """log(1 + eˣ) = max(x, 0) + log(1 + e⁻|x|), and x itself above 20; log(1 + e) = 2 artanh(e / (2 + e))."""
    k, e = exponential_parts(-absolute(x))
    e = times_two_to(e + 1.0, k)
    s = e / (e + 2.0)
    logarithm = s * horner(s * s, ARTANH_SINGLE, ARTANH_DOUBLE)
    smooth = where_less(x, 0.0, 0.0, x) + logarithm
    return where_less(SOFTPLUS_IS_IDENTITY_ABOVE, x, x, smooth)


@inlined_part
def softplus_slope(y):
    """The derivative of softplus where its value is y: 1 − e⁻ʸ, precise for small y too; 1 where it is the identity."""
    k, e = exponential_parts(-y)
    power = times_two_to(constant(y, 1.0, 1.0), k)
    return where_less(SOFTPLUS_IS_IDENTITY_ABOVE, y, 1.0, (1.0 - power) - power * e)


@inlined_part
def sigmoid(x):
    """1 / (1 + e⁻ˣ)."""
    return 1.0 / (exponential(-x) + 1.0)


@inlined_part
def silu(x):
    """x sigmoid(x)."""
    return x / (exponential(-x) + 1.0)
