"""JAX on the CPU: the recurrence as `lax.scan` and as `lax.associative_scan`, jitted, with gradients by `jax.vjp`.

Inputs stand time first, as `lax.scan` wants them. Unrolling its loop was tried and changed nothing.
"""

from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Call
from benchmarks.peers import GRADIENTS, Missing, Peer

BY_TIME = ("u", "delta", "B", "C", "z")


def make(device: str) -> list[Peer]:
    try:
        import jax
    except ImportError:
        raise Missing("JAX is not installed: pip install 'vmamba-edu[bench]'") from None
    kinds = {"JAX lax.scan": (recurrence, (0.5, 4.5)), "JAX associative_scan": (tree, (7.5, 26))}
    return [_peer(name, jax.__version__, function, kept) for name, (function, kept) in kinds.items()]


def recurrence(step: Any, x: Any, A: Any, B: Any, C: Any) -> Any:
    """y (length, batch, dim), one token after the other."""
    import jax.numpy as jnp
    from jax import lax

    def advance(h: Any, now: tuple) -> tuple:
        step, x, B, C = now
        h = jnp.exp(step[..., None] * A) * h + x[..., None] * B[:, None]
        return h, (h * C[:, None]).sum(-1)

    return lax.scan(advance, jnp.zeros((*step.shape[1:], A.shape[1])), (step, x, B, C))[1]


def tree(step: Any, x: Any, A: Any, B: Any, C: Any) -> Any:
    """The same as a parallel prefix scan."""
    import jax.numpy as jnp
    from jax import lax

    def both(first: tuple, second: tuple) -> tuple:
        return second[0] * first[0], second[0] * first[1] + second[1]

    _, h = lax.associative_scan(both, (jnp.exp(step[..., None] * A), x[..., None] * B[:, :, None]), axis=0)
    return (h * C[:, :, None]).sum(-1)


def _peer(name: str, version: str, scan: Any, states_kept: tuple[float, float]) -> Peer:
    import jax
    import jax.numpy as jnp

    def operator(u: Any, delta: Any, A: Any, B: Any, C: Any, D: Any, z: Any, delta_bias: Any) -> Any:
        step = jax.nn.softplus(delta + delta_bias)
        return (scan(step, step * u, A, B, C) + D * u) * jax.nn.silu(z)

    @jax.jit
    def with_gradients(grad_y: Any, *inputs: Any) -> Any:
        y, pull = jax.vjp(operator, *inputs)
        return y, pull(grad_y)

    only_y = jax.jit(operator)

    def arrays(arguments: dict[str, Any], names: tuple[str, ...]) -> list[Any]:
        tensors = (arguments[n].permute(2, 0, 1) if n in (*BY_TIME, "grad_y") else arguments[n] for n in names)
        return [jnp.array(x.contiguous().numpy()) for x in tensors]

    def forward(arguments: dict[str, Any]) -> Call:
        inputs = arrays(arguments, GRADIENTS)
        return lambda: jax.block_until_ready(only_y(*inputs))

    def forward_backward(arguments: dict[str, Any]) -> Call:
        inputs = arrays(arguments, ("grad_y", *GRADIENTS))
        return lambda: jax.block_until_ready(with_gradients(*inputs))

    def gradients(result: Any) -> tuple[Tensor, ...]:
        found = (torch.tensor(jax.device_get(x)) for x in result[1])
        return tuple(x.permute(1, 2, 0) if n in BY_TIME else x for n, x in zip(GRADIENTS, found, strict=True))

    return Peer(
        name,
        version,
        "selective_scan",
        forward,
        forward_backward,
        read_y=lambda y: torch.tensor(jax.device_get(y)).permute(1, 2, 0),
        read_gradients=gradients,
        states_kept=states_kept,
        set_threads=None,
    )
