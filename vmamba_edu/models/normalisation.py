"""The norms before each mixer and after the last: computed in at least float32, returned in the dtype of their weights.

RMS norm divides each token by its root mean square over the channels and scales it; layer norm also subtracts the mean
before and adds a bias after. Both use ε = 1e-5.

Source: `RMSNorm` and `layer_norm_fn` (mamba_ssm/ops/triton/layernorm.py), which round only the result.
"""

from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.precision import at_least_float32

NormName = Literal["rms", "layer"]
EPSILON = 1e-5


class RMSNorm(nn.RMSNorm):
    """y = x / sqrt(mean(x²) + ε) · weight, over the channels; there is no bias."""

    def __init__(self, dim: int):
        super().__init__(dim, eps=EPSILON)

    def forward(self, x: Float[Tensor, "*tokens dim"]) -> Float[Tensor, "*tokens dim"]:
        weight = at_least_float32(self.weight)
        return F.rms_norm(at_least_float32(x), self.normalized_shape, weight, EPSILON).to(self.weight.dtype)


class LayerNorm(nn.LayerNorm):
    """y = (x - mean(x)) / sqrt(var(x) + ε) · weight + bias, over the channels."""

    def __init__(self, dim: int):
        super().__init__(dim, eps=EPSILON)

    def forward(self, x: Float[Tensor, "*tokens dim"]) -> Float[Tensor, "*tokens dim"]:
        weight, bias = at_least_float32(self.weight), at_least_float32(self.bias)
        return F.layer_norm(at_least_float32(x), self.normalized_shape, weight, bias, EPSILON).to(self.weight.dtype)


def make_norm(name: NormName, dim: int) -> RMSNorm | LayerNorm:
    """A fresh norm over `dim` channels."""
    return RMSNorm(dim) if name == "rms" else LayerNorm(dim)
