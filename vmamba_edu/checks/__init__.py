"""The checks of the exercises, by the name of the function that the reader writes.

    checks.half_life(half_life)

Lesson 01 stands in `continuous_systems`, 02 in `discretisation`, 03 in `three_ways`, 04 in `selection`, 05 in `scans`,
06 in `cpu_kernel` and `cpu_backward`, 07 in `gpu_kernel` and `gpu_carry`; what a check does in `exercise`.
"""

from vmamba_edu.checks.chunked_scans import chunked_scan
from vmamba_edu.checks.continuous_systems import half_life, impulse_response, step_response, turning, two_buckets
from vmamba_edu.checks.cpu_backward import saved_states, scan_gradient
from vmamba_edu.checks.cpu_kernel import (
    exp2_parts,
    fused_scan,
    innermost,
    limited_by,
    small_bias,
)
from vmamba_edu.checks.discretisation import (
    bilinear,
    largest_stable_step,
    near_zero,
    steps_too_long,
    which_rule,
    zero_order_hold,
)
from vmamba_edu.checks.exercise import Exercise, Mistake, WrongAnswer
from vmamba_edu.checks.gpu_carry import carry_kernel, join
from vmamba_edu.checks.gpu_kernel import beyond_the_end, idle_processors, interpreted_time, scan_kernel, tile_kernel
from vmamba_edu.checks.prediction import Prediction, compared
from vmamba_edu.checks.scans import before_each, combine, hillis_steele, who_wins, with_a_bend
from vmamba_edu.checks.selection import (
    fixed_on_copying,
    initial_bias,
    no_time_passes,
    selective_recurrence,
    split_projection,
    step_size,
    what_breaks,
)
from vmamba_edu.checks.three_ways import (
    causal_convolution,
    kernel,
    one_more_token,
    recurrence,
    start_of_videomamba,
)
from vmamba_edu.checks.triton_exercise import written

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
    split_projection,
    step_size,
    selective_recurrence,
    initial_bias,
    combine,
    hillis_steele,
    before_each,
    chunked_scan,
    fused_scan,
    exp2_parts,
    saved_states,
    scan_gradient,
    tile_kernel,
    scan_kernel,
    join,
    carry_kernel,
)

__all__ = [
    "EXERCISES",
    "Exercise",
    "Mistake",
    "Prediction",
    "WrongAnswer",
    "before_each",
    "beyond_the_end",
    "bilinear",
    "carry_kernel",
    "causal_convolution",
    "chunked_scan",
    "combine",
    "compared",
    "exp2_parts",
    "fixed_on_copying",
    "fused_scan",
    "half_life",
    "hillis_steele",
    "idle_processors",
    "impulse_response",
    "initial_bias",
    "innermost",
    "interpreted_time",
    "join",
    "kernel",
    "largest_stable_step",
    "limited_by",
    "near_zero",
    "no_time_passes",
    "one_more_token",
    "recurrence",
    "saved_states",
    "scan_gradient",
    "scan_kernel",
    "selective_recurrence",
    "small_bias",
    "split_projection",
    "start_of_videomamba",
    "step_response",
    "step_size",
    "steps_too_long",
    "tile_kernel",
    "turning",
    "two_buckets",
    "what_breaks",
    "which_rule",
    "who_wins",
    "with_a_bend",
    "written",
    "zero_order_hold",
]
