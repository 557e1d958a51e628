"""The checks of the exercises, by the name of the function that the reader writes.

    checks.half_life(half_life)

Lesson 01 stands in `continuous_systems`, 02 in `discretisation`, 03 in `three_ways`; what a check does in `exercise`.
"""

from vmamba_edu.checks.continuous_systems import half_life, impulse_response, step_response, turning, two_buckets
from vmamba_edu.checks.discretisation import (
    bilinear,
    largest_stable_step,
    near_zero,
    steps_too_long,
    which_rule,
    zero_order_hold,
)
from vmamba_edu.checks.exercise import Exercise, Mistake, WrongAnswer
from vmamba_edu.checks.prediction import Prediction, compared
from vmamba_edu.checks.three_ways import (
    causal_convolution,
    kernel,
    one_more_token,
    recurrence,
    start_of_videomamba,
)

EXERCISES: tuple[Exercise, ...] = (
    half_life,
    impulse_response,
    step_response,
    zero_order_hold,
    bilinear,
    largest_stable_step,
    recurrence,
    kernel,
    causal_convolution,
)

__all__ = [
    "EXERCISES",
    "Exercise",
    "Mistake",
    "Prediction",
    "WrongAnswer",
    "bilinear",
    "causal_convolution",
    "compared",
    "half_life",
    "impulse_response",
    "kernel",
    "largest_stable_step",
    "near_zero",
    "one_more_token",
    "recurrence",
    "start_of_videomamba",
    "step_response",
    "steps_too_long",
    "turning",
    "two_buckets",
    "which_rule",
    "zero_order_hold",
]
