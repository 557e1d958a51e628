"""The released initialisation, as it really comes out.

Mamba gives the map that makes Δ an initialisation of its own, so that softplus(bias) covers 0.001 to 0.1, and marks it
"not to be drawn again". VideoMamba then walks over all linear maps and draws them again: the mark is set too late to
be seen. So at the start the bias of Δ is 0, and the step of every channel is about softplus(0) = 0.69. Every released
model began there, and so do ours.

Source: `_init_weights` and `segm_init_weights` (videomamba/video_sm/models/videomamba.py), in the order they act.
"""

import math

from torch import nn

from vmamba_edu.models.mixer import Mixer


def initialise_linear_(module: nn.Module) -> None:
    """Every linear map: weights from a normal distribution of σ = 0.02, cut off at ±2; no bias."""
    for linear in module.modules():
        if isinstance(linear, nn.Linear):
            nn.init.trunc_normal_(linear.weight, std=0.02)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)


def shrink_outputs_(module: nn.Module, depth: int) -> None:
    """The last map of every mixer is drawn again and divided by √depth, so that the sum of all blocks does not grow."""
    for mixer in module.modules():
        if isinstance(mixer, Mixer):
            bound = 1 / math.sqrt(mixer.inner_dim)  # Kaiming's uniform rule at a = √5 is ±1/√fan_in
            nn.init.uniform_(mixer.out_proj.weight, -bound / math.sqrt(depth), bound / math.sqrt(depth))
