"""The same rules where A is a full matrix, as HiPPO's is: then the exponential is that of a matrix.

Shapes: A (state, state), B (state,), Δ one number for all states. Diagonal matrices are cheaper: see `discretisation`.
"""

import torch
from jaxtyping import Float
from torch import Tensor


def zero_order_hold_dense(
    A: Tensor, B: Tensor, delta: float
) -> tuple[Float[Tensor, "state state"], Float[Tensor, " state"]]:
    """Ā = exp(ΔA) and B̄ = A⁻¹ (exp(ΔA) - I) B, from one exponential and without the inverse, so A may be singular.

    An input that is held constant is a further state that never changes: x' = 0. The exponential of the larger matrix
    Δ [[A, B], [0, 0]] carries Ā and B̄ side by side.
    """
    states = _states(A, B)
    joint = torch.zeros(states + 1, states + 1, dtype=A.dtype, device=A.device)
    joint[:states, :states], joint[:states, states] = delta * A, delta * B
    exponential = torch.linalg.matrix_exp(joint)
    return exponential[:states, :states], exponential[:states, states]


def bilinear_dense(A: Tensor, B: Tensor, delta: float) -> tuple[Float[Tensor, "state state"], Float[Tensor, " state"]]:
    """Ā = (I - ΔA/2)⁻¹ (I + ΔA/2) and B̄ = (I - ΔA/2)⁻¹ ΔB, by solving rather than inverting."""
    identity = torch.eye(_states(A, B), dtype=A.dtype, device=A.device)
    half = delta / 2 * A
    solved = torch.linalg.solve(identity - half, torch.cat([identity + half, delta * B[:, None]], dim=1))
    return solved[:, :-1], solved[:, -1]


def _states(A: Tensor, B: Tensor) -> int:
    if A.dim() != 2 or A.shape[0] != A.shape[1] or B.shape != A.shape[:1]:
        raise ValueError(
            f"A, B: expected a square A and a B of its height, got {tuple(A.shape)} and {tuple(B.shape)}; "
            "a diagonal A goes to vmamba_edu.ssm.zero_order_hold"
        )
    return len(B)
