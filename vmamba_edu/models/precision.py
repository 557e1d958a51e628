"""What must not be rounded: the residual stream, the norms, and the system A = -exp(A_log).

The published code writes `.float()` in these places. It means "at least float32": a model in double precision stays in
double precision, and a model in bfloat16 computes these few things in float32.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def at_least_float32(x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
    """x itself in float32 or float64; float16 and bfloat16 come back as float32."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
