"""Cost counted while a model runs: floating-point operations by operator, and the bytes kept for the backward pass.

One multiply-accumulate is two operations, as in torch's own counter. That counter knows matrix products and
convolutions. It does not know our operators, nor attention as torch computes it on a CPU: their formulas stand here and
are handed to it for one count. Nothing is registered globally.

Not counted, as is the custom: additions of the residual, norms, activation functions, softmax, softplus, the gate's
silu. They are linear in the tokens and a few for each channel.
"""

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from vmamba_edu.models.backbone import Backbone

# Of a scan, for each token, channel and state: Δ · A, exp, Ā · h, B · Δu, their sum, C · h, and the sum over states.
STATE_OPERATIONS = 7
TOKEN_OPERATIONS = 4  # for each token and channel: Δ · u, D · u and its sum, the gate


def scan_flops(tokens: int, dim: int, state: int) -> int:
    """Operations of one selective scan with D and z: `tokens` counts those of all samples.

    The exponential is one operation; four of the seven are multiplications. Softplus and silu are not counted.
    """
    return tokens * dim * (STATE_OPERATIONS * state + TOKEN_OPERATIONS)


def count_flops(model: nn.Module, clip: Tensor) -> dict[str, int]:
    """Operations of one forward pass, by operator ("aten.addmm", "vmamba.selective_scan", …).

    Args:
        model: is run as it stands, and really run. Its scans must be computed by "numba" or "triton" ("auto" takes
            them): the slow engines are made of elementwise operations that are not counted.
        clip: as for the model.

    Only products are counted, see the module.

    Raises:
        ValueError: the model's scans were computed by a slow engine.
    """
    from torch.utils.flop_counter import FlopCounterMode  # imports triton

    counter = FlopCounterMode(display=False, custom_mapping=our_formulas())
    with torch.no_grad(), counter:
        model(clip)
    counts = {str(operator): count for operator, count in counter.get_flop_counts().get("Global", {}).items()}
    if isinstance(model, Backbone) and not any(operator.endswith("scan") for operator in counts):
        engines = "expected scans by 'numba' or 'triton', whose operations can be counted"
        raise ValueError(f"model: {engines}; call model.set_backend('auto'), and see vmamba_kernels.engines()")
    return counts


def our_formulas() -> dict[Any, Callable[..., int]]:
    """Operator → formula, for what torch's counter does not know; as `FlopCounterMode(custom_mapping=…)` wants it.

    The library must have been imported: operators are known from then on.
    """
    import vmamba_kernels.interface  # noqa: F401  (defines torch.ops.vmamba)

    operators = torch.ops.vmamba
    return {
        operators.selective_scan: _selective_scan,
        operators.bidirectional_scan: _bidirectional_scan,
        operators.causal_conv1d: _causal_conv1d,
        torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention,
    }


def _selective_scan(u: Any, delta: Any, A: Any, *others: Any, out_shape: Any = None, **options: Any) -> int:
    batch, dim, length = u
    return scan_flops(batch * length, dim, A[1])


def _bidirectional_scan(u: Any, delta: Any, A: Any, *others: Any, out_shape: Any = None, **options: Any) -> int:
    batch, dim, length = u
    return 2 * scan_flops(batch * length, dim, A[1])


def _causal_conv1d(x: Any, weight: Any, *others: Any, out_shape: Any = None, **options: Any) -> int:
    batch, dim, length = x
    return 2 * batch * dim * length * weight[1]


def _attention(query: Any, key: Any, value: Any, *others: Any, out_shape: Any = None, **options: Any) -> int:
    batch, heads, queries, head_dim = query
    return 4 * batch * heads * queries * key[2] * head_dim


def count_saved_bytes(model: nn.Module, clip: Tensor) -> int:
    """Bytes that a forward pass keeps for the backward pass: every tensor that autograd saves, each memory once.

    Parameters and the clip itself are not counted: they are there anyway.
    """
    there = {_memory(x) for x in (clip, *model.parameters(), *model.buffers())}
    saved: WeakSet[_Saved] = WeakSet()  # what autograd has let go of by the end is not counted

    def save(x: Tensor) -> _Saved:
        saved.add(box := _Saved(x.detach()))  # with its history, a saved output would keep itself alive
        return box

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(save, lambda box: box.tensor):
        output = model(clip)  # a name for it: as long as it is there, so is what was saved
    kept = {_memory(box.tensor): box.tensor.untyped_storage().nbytes() for box in saved}
    del output
    return sum(size for memory, size in kept.items() if memory not in there)


class _Saved:
    """A tensor that autograd saved, in a box that is gone when autograd needs it no more."""

    def __init__(self, tensor: Tensor):
        self.tensor = tensor


def _memory(x: Tensor) -> int:
    return x.untyped_storage()._cdata
