"""The engines of `vmamba_kernels`, through its public functions: allocation, validation and autograd included."""

from functools import partial
from importlib.metadata import version
from typing import Any

import vmamba_kernels
from torch import Tensor

from benchmarks.peers import CONV_GRADIENTS, GRADIENTS, Peer, from_torch

FASTEST = {"cpu": "numba", "cuda": "triton"}
LAYOUTS = ("model", "contiguous")


def make(device: str) -> list[Peer]:
    ours, fast = version("vmamba-edu"), FASTEST[device]
    scan = partial(vmamba_kernels.selective_scan, backend=fast)
    tree = from_torch(partial(vmamba_kernels.selective_scan, backend="associative"), GRADIENTS)
    loop, _ = from_torch(partial(vmamba_kernels.selective_scan, backend="reference"), GRADIENTS)
    conv = from_torch(partial(vmamba_kernels.causal_conv1d, backend=fast), CONV_GRADIENTS)
    both = from_torch(partial(both_directions, backend=fast), GRADIENTS)
    flips = from_torch(partial(with_flips, scan), GRADIENTS)
    return [
        Peer(fast, ours, "selective_scan", *from_torch(scan, GRADIENTS), layouts=LAYOUTS),
        Peer("associative", ours, "selective_scan", *tree, note="the tree in plain torch", states_kept=(5.5, 9.5)),
        Peer("reference", ours, "selective_scan", loop, note="the plain recurrence; its backward is not measured"),
        Peer(fast, ours, "causal_conv1d", *conv, layouts=LAYOUTS),
        Peer(fast, ours, "bidirectional", *both, note="both directions, nothing flipped"),
        Peer(f"{fast}, flipped", ours, "bidirectional", *flips, note="two scans, one of flipped inputs, flipped back"),
    ]


def both_directions(backend: str, **arguments: Any) -> Tensor:
    """A block's pair of scans. Both directions read the same tensors: it is the work that is compared."""
    return vmamba_kernels.bidirectional_scan(arguments, arguments, backend=backend)


def with_flips(scan: Any, **arguments: Any) -> Tensor:
    """The same pair, as the published blocks make it from a scan that only reads forwards."""
    along_time = ("u", "delta", "B", "C", "z")
    flipped = arguments | {name: arguments[name].flip(-1) for name in along_time}
    return scan(**arguments) + scan(**flipped).flip(-1)
