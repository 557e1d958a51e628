"""Before anything is timed: every peer computes what the reference computes in float64, gradients too."""

from typing import Any

import torch
import vmamba_kernels
from torch import Tensor

from benchmarks.peers import CONV_GRADIENTS, GRADIENTS, Peer, from_torch
from benchmarks.peers.ours import both_directions
from benchmarks.shapes import Layout, Shape, draw_conv, draw_scan

SMALL = Shape("small", dim=32, frames=0, batch=2, length=37, state=16)
TOLERANCE = 1e-4
"""Of the largest magnitude: float32 stays far below it on so short a sequence, a forgotten term far above."""


def worst_error(peer: Peer, device: str = "cpu", shape: Shape = SMALL) -> float:
    """The largest difference of y or of a gradient from the reference, as a part of its largest magnitude."""
    return max(_worst_error(peer, device, shape, layout) for layout in peer.layouts)


def _worst_error(peer: Peer, device: str, shape: Shape, layout: Layout) -> float:
    draw = draw_conv if peer.operator == "causal_conv1d" else draw_scan
    arguments = {n: x for n, x in draw(shape, layout, device).items() if n not in peer.leaves_out}
    truth = {n: x.double() if isinstance(x, Tensor) else x for n, x in arguments.items()}
    names = tuple(n for n in (CONV_GRADIENTS if peer.operator == "causal_conv1d" else GRADIENTS) if n in arguments)
    forward, forward_backward = from_torch(TRUTH[peer.operator], names)
    pairs = [(peer.read_y(peer.forward(arguments)()), forward(truth)())]
    if peer.forward_backward:
        found = peer.read_gradients(peer.forward_backward(arguments)())
        pairs += zip(found, forward_backward(truth)()[1], strict=True)
    return max(relative_error(ours, expected) for ours, expected in pairs)


def relative_error(ours: Tensor, truth: Tensor) -> float:
    difference = (ours.detach().cpu().double() - truth.detach().cpu().double()).abs().max()
    return float(difference / truth.detach().abs().max().cpu())


def _scan(**arguments: Any) -> Tensor:
    return vmamba_kernels.selective_scan(**arguments, backend="reference")


def _conv(**arguments: Any) -> Tensor:
    return vmamba_kernels.causal_conv1d(**arguments, backend="reference")


def _both(**arguments: Any) -> Tensor:
    return both_directions("reference", **arguments)


TRUTH = {"selective_scan": _scan, "causal_conv1d": _conv, "bidirectional": _both}


def obeying(peers: list[Peer], device: str) -> tuple[list[Peer], dict[str, float]]:
    """The peers that compute the right numbers, and the errors of all of them."""
    errors = {f"{peer.name} ({peer.operator})": worst_error(peer, device) for peer in peers}
    if device == "cuda":
        torch.cuda.synchronize()
    right = [peer for peer in peers if errors[f"{peer.name} ({peer.operator})"] < TOLERANCE]
    return right, errors
