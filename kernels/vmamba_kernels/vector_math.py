"""Exponential, softplus and sigmoid of vectors, exact to about one unit in the last place of float32 and of float64.

The decay of a state, Ā = exp(ΔA), is a power of two, 2ᵖ with p = Δ · A log₂e. Put M marks on every octave of p, at
j/M for all whole numbers j, and let m be the mark nearest to p; then

    2ᵖ = 2ᵐ (1 + w),    w = 2ᵖ⁻ᵐ − 1,

where w comes from a short polynomial *without* its constant term 1. A long memory has Ā just below 1: then m = 0, and
w = Ā − 1 is known to full relative precision, while Ā itself would be rounded at the seventh digit, the same way at
every step, and after thousands of steps the state would have drifted by thousands of roundings. So the kernels never
form Ā: they carry (m, w) and compute Ā h as s + s w with s = 2ᵐ h, which costs one product more than the exponential.

The shorter the way from a mark, the fewer coefficients a polynomial needs. Between the whole numbers there are M powers
to know, and AVX-512 looks them up in a single register, which has room for 16 of float32 and 8 of float64. They are
rounded; but whose decay is at such a mark forgets within tens of steps, and gathers no more roundings than that.
Elsewhere M = 1: the whole numbers are the only marks.
"""

from decimal import Decimal, localcontext

from vmamba_kernels.kernel_compilation import inlined_part
from vmamba_kernels.machine import TARGET
from vmamba_kernels.vector_intrinsics import absolute, constant, fma, horner, look_up, times_two_to, where_less

# log₂ e as an unevaluated sum of two numbers.
LOG2_E_SINGLE = (1.4426950216293335, 1.925963033500956e-08)
LOG2_E_DOUBLE = (1.4426950408889634, 2.0355273740931033e-17)

# log 2 likewise; the first number has so few digits that m times it is taken from x without rounding.
LOG_2_SINGLE = (0.693145751953125, 1.4286068203094172e-6)
LOG_2_DOUBLE = (0.693147180559663, 2.8235290563031578e-13)

# Marks an octave.
BETWEEN_WHOLE_NUMBERS = TARGET.avx512
MARKS_SINGLE, MARKS_DOUBLE = (16, 8) if BETWEEN_WHOLE_NUMBERS else (1, 1)


def powers_at_marks(marks: int) -> tuple[float, ...]:
    """2^(j/M) for j = 0 … M − 1."""
    with localcontext(prec=40):
        return tuple(float(Decimal(2) ** (Decimal(j) / marks)) for j in range(marks))


POWERS_SINGLE, POWERS_DOUBLE = powers_at_marks(MARKS_SINGLE), powers_at_marks(MARKS_DOUBLE)

# The polynomials below have the least largest relative error that their degree allows (Remez' exchange), but for one.

# (2ʳ − 1) / r for |r| ≤ 1/2M, by the number of marks M: 1.1e-8, and for float64 less than half a unit in the last
# place. With 16 marks it is w that comes as close as it can, to 1.6e-9, and so 2ᵐ (1 + w), all of its roundings added,
# just stays within a unit; the first coefficient is log 2 itself, so that the relative error of w vanishes with r.
EXP2_SINGLE = {
    1: (0.693147187927, 0.24022649795, 0.0555035743364, 0.00961823749491, 0.00133907354776, 0.000154035123676),
    16: (0.693147180559945, 0.240234288230857, 0.0555051873741355),
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

# (eʳ − 1 − r) / r² for |r| ≤ log 2 / 2M: 2.7e-9 and 4.3e-8, and for float64 less than 3e-17.
EXP_SINGLE = {
    1: (0.500000001338, 0.166666665324, 0.0416664655277, 0.00833336071514, 0.00139335975792, 0.000198577989868),
    16: (0.5000000000764377767, 0.1666695991269159431, 0.04166682957980387764),
}
EXP_DOUBLE = {
    1: (
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
    ),
    8: (
        0.5000000000000000001,
        0.166666666666668659,
        0.0416666666666656705,
        0.008333333324840279412,
        0.001388888889738113329,
        0.000198421749259396974,
        0.00002480188902924306263,
    ),
}

# Of these, the ones for this processor.
OWN_EXP2_SINGLE, OWN_EXP2_DOUBLE = EXP2_SINGLE[MARKS_SINGLE], EXP2_DOUBLE[MARKS_DOUBLE]
OWN_EXP_SINGLE, OWN_EXP_DOUBLE = EXP_SINGLE[MARKS_SINGLE], EXP_DOUBLE[MARKS_DOUBLE]

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
# that rounds to a mark. Taking away what was added gives the place of the mark.
ROUND_SINGLE = 1.5 * 2.0**23
ROUND_DOUBLE = 1.5 * 2.0**52
MARK_SINGLE = ROUND_SINGLE / MARKS_SINGLE
MARK_DOUBLE = ROUND_DOUBLE / MARKS_DOUBLE

# Beyond ± this exponent 2ᵖ is 0 or infinite in either type.
LARGEST_EXPONENT = 4096.0

# A state may decay by more octaves than that in a single step. Up to here, what is left of p after rounding it stays so
# small that w is finite; then 2ᵐ decides, and the state is gone.
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
    """m for p = step · rate. The number of the mark stands in the lowest bits, for the next functions to read."""
    return fma(step, rate, constant(step, MARK_SINGLE, MARK_DOUBLE))


@inlined_part
def place_of(mark):
    """m itself, on the ruler."""
    return mark - constant(mark, MARK_SINGLE, MARK_DOUBLE)


@inlined_part
def growth_from(mark, step, rate, rate_tail):
    """w = 2ᵖ⁻ᵐ − 1 for p = step · (rate + rate_tail)."""
    r = fma(step, rate_tail, fma(step, rate, -place_of(mark)))
    return r * horner(r, OWN_EXP2_SINGLE, OWN_EXP2_DOUBLE)


@inlined_part
def above_whole(mark):
    """2^(m − ⌊m⌋)."""
    if BETWEEN_WHOLE_NUMBERS:
        return look_up(mark, POWERS_SINGLE, POWERS_DOUBLE)
    return constant(mark, 1.0, 1.0)


@inlined_part
def grown_to(value, mark):
    """value · 2ᵐ."""
    return times_two_to(value * above_whole(mark), place_of(mark))


@inlined_part
def grown(value, mark, w):
    """value · 2ᵐ (1 + w)."""
    s = grown_to(value, mark)
    return fma(s, w, s)


# Functions of one vector.


@inlined_part
def mark_and_growth(x):
    """(m, w) with eˣ = 2ᵐ (1 + w), where w = eʳ − 1 for |r| ≤ log 2 / 2M; x is at most LARGEST_EXPONENT.

    The decay, above, wants few instructions, and this a w with hardly an error: r itself is its first term.
    """
    bounded = where_less(x, -LARGEST_EXPONENT, -LARGEST_EXPONENT, x)
    mark = nearest_mark(bounded, constant(x, LOG2_E_SINGLE[0], LOG2_E_DOUBLE[0]))
    m = place_of(mark)
    r = fma(-m, constant(x, LOG_2_SINGLE[0], LOG_2_DOUBLE[0]), bounded)
    r = fma(-m, constant(x, LOG_2_SINGLE[1], LOG_2_DOUBLE[1]), r)
    return mark, fma(r * r, horner(r, OWN_EXP_SINGLE, OWN_EXP_DOUBLE), r)


@inlined_part
def exponential(x):
    """eˣ; may be infinite already above 2¹²⁷ (float64: 2¹⁰²³), the half of the largest number."""
    mark, w = mark_and_growth(where_less(LARGEST_EXPONENT, x, LARGEST_EXPONENT, x))
    power = above_whole(mark)
    return times_two_to(fma(power, w, power), place_of(mark))


@inlined_part
def softplus(x):
    """log(1 + eˣ) = max(x, 0) + log(1 + e⁻|x|), and x itself above 20; log(1 + q) = 2 artanh(q / (2 + q))."""
    q = exponential(-absolute(x))
    s = q / (q + 2.0)
    logarithm = s * horner(s * s, ARTANH_SINGLE, ARTANH_DOUBLE)
    smooth = where_less(x, 0.0, 0.0, x) + logarithm
    return where_less(SOFTPLUS_IS_IDENTITY_ABOVE, x, x, smooth)


@inlined_part
def softplus_slope(y):
    """The derivative of softplus where its value is y: 1 − e⁻ʸ, precise for small y too; 1 where it is the identity."""
    mark, w = mark_and_growth(-y)
    power = grown_to(constant(y, 1.0, 1.0), mark)
    return where_less(SOFTPLUS_IS_IDENTITY_ABOVE, y, 1.0, (1.0 - power) - power * w)


@inlined_part
def sigmoid(x):
    """1 / (1 + e⁻ˣ)."""
    return 1.0 / (exponential(-x) + 1.0)


@inlined_part
def silu(x):
    """x sigmoid(x)."""
    return x / (exponential(-x) + 1.0)
