"""State-space models: the continuous system, its steps, its three ways to be computed, and what selection changes.

    A = s4d_real(16)
    system = DiagonalSystem(A, B=torch.ones(16), C=torch.ones(16))
    A_bar, B_bar = zero_order_hold(A[None], system.B[None], delta=torch.tensor([0.1]))

`system` holds the equation and its exact answers, `discretisation` the rules that cut time into steps, `dense` the same
for a full matrix A, `initialisation` the matrices that people start from and what they remember, `three_ways` the
recurrence and the convolution, `prefix_scan` the scan as a tree, step by step. `selection` lets each token choose its
Δ, B and C, and `selective_copying` is the task that needs it.
"""

from vmamba_edu.ssm.dense import bilinear_dense, zero_order_hold_dense
from vmamba_edu.ssm.discretisation import RULES, bilinear, euler, expm1_ratio, mamba, stability_limit, zero_order_hold
from vmamba_edu.ssm.initialisation import (
    hippo_legs,
    legs_memory,
    legs_reconstruction,
    mamba_delta_bias,
    s4d_lin,
    s4d_real,
)
from vmamba_edu.ssm.prefix_scan import ScanTrace, blelloch, combine, hillis_steele, sequential
from vmamba_edu.ssm.selection import FixedLayer, Selected, SelectiveLayer, select
from vmamba_edu.ssm.selective_copying import CopyingModel, CopyingTask, copying_accuracy, train_copying
from vmamba_edu.ssm.system import DiagonalSystem, half_life
from vmamba_edu.ssm.three_ways import convolution_kernel, convolve, recur

__all__ = [
    "RULES",
    "CopyingModel",
    "CopyingTask",
    "DiagonalSystem",
    "FixedLayer",
    "ScanTrace",
    "Selected",
    "SelectiveLayer",
    "bilinear",
    "bilinear_dense",
    "blelloch",
    "combine",
    "convolution_kernel",
    "convolve",
    "copying_accuracy",
    "euler",
    "expm1_ratio",
    "half_life",
    "hillis_steele",
    "hippo_legs",
    "legs_memory",
    "legs_reconstruction",
    "mamba",
    "mamba_delta_bias",
    "recur",
    "s4d_lin",
    "s4d_real",
    "select",
    "sequential",
    "stability_limit",
    "train_copying",
    "zero_order_hold",
    "zero_order_hold_dense",
]
