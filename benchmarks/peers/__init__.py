"""Other implementations of the same operators, each in a small file of its own, in one common shape.

A peer prepares its inputs as it likes them best, outside the time taken; what is measured is the call that it returns.
A file has one function `make(device) -> list[Peer]`, which raises `Missing` with a sentence that says what to install.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from benchmarks.measure import Call
from benchmarks.shapes import Layout

GRADIENTS = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
"""The order in which a scan's gradients are given."""

CONV_GRADIENTS = ("x", "weight", "bias")

Prepare = Callable[[dict[str, Any]], Call]
"""From the arguments (`shapes.draw_scan`, `shapes.draw_conv`) to the call that is measured."""

FILES = {
    "cpu": ("ours", "ggml", "jax_scans", "mambapy_scan", "transformers_slow", "torch_conv"),
    "cuda": ("ours", "mamba_ssm_cuda", "causal_conv1d_cuda", "torch_conv"),
}


class Missing(Exception):
    """A peer cannot run here; the message says what to install."""


@dataclass(frozen=True)
class Peer:
    """One implementation of one operator.

    Attributes:
        name: as the tables show it.
        version: of its package.
        operator: "selective_scan", "causal_conv1d" or "bidirectional".
        forward: prepares a call that computes y.
        forward_backward: prepares a call that computes (y, gradients); None if it has none, or none worth quoting.
        read_y: from what `forward` gave to y as a torch tensor (batch, dim, length).
        read_gradients: from what `forward_backward` gave to torch tensors, in the order of GRADIENTS.
        leaves_out: arguments that it has no part for: it does less work than the others.
        note: what a reader of the table should know.
        layouts: memory layouts of the inputs that make a difference to it.
        states_kept: tensors of (batch, dim, length, state) that it holds at once, forward and forward+backward.
        set_threads: makes it use so many threads; None if that cannot be changed while it runs.
    """

    name: str
    version: str
    operator: str
    forward: Prepare
    forward_backward: Prepare | None = None
    read_y: Callable[[Any], Tensor] = lambda y: y
    read_gradients: Callable[[Any], tuple[Tensor, ...]] = lambda result: result[1]
    leaves_out: tuple[str, ...] = ()
    note: str = ""
    layouts: tuple[Layout, ...] = ("model",)
    states_kept: tuple[float, float] = (0, 0)
    set_threads: Callable[[int], None] | None = field(default=torch.set_num_threads)


def load_peers(device: str, names: list[str] | None = None) -> tuple[list[Peer], dict[str, str]]:
    """The peers that can run on a device, and for each file that cannot the reason. `names` picks files."""
    peers, missing = [], {}
    for file in FILES[device]:
        if names and file not in names and file != "ours":
            continue
        try:
            peers += importlib.import_module(f"benchmarks.peers.{file}").make(device)
        except Missing as reason:
            missing[file] = str(reason)
    return peers, missing


def from_torch(function: Callable[..., Tensor], names: tuple[str, ...]) -> tuple[Prepare, Prepare]:
    """(forward, forward_backward) of a differentiable function of torch tensors, called with the arguments by name."""

    def forward(arguments: dict[str, Any]) -> Call:
        inputs = {name: value for name, value in arguments.items() if name != "grad_y"}

        def call() -> Tensor:
            with torch.no_grad():
                return function(**inputs)

        return call

    def forward_backward(arguments: dict[str, Any]) -> Call:
        inputs = {name: value for name, value in arguments.items() if name != "grad_y"}
        inputs |= {name: inputs[name].detach().requires_grad_() for name in names}
        wanted = [inputs[name] for name in names]

        def call() -> tuple[Tensor, tuple[Tensor, ...]]:
            y = function(**inputs)
            return y, torch.autograd.grad(y, wanted, arguments["grad_y"])

        return call

    return forward, forward_backward
