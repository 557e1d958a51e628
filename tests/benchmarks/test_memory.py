"""Peak memory is measured in a process of its own, against what nobody can do without."""

import sys
from pathlib import Path

import pytest
import torch

from benchmarks import memory
from benchmarks.cases import Case
from benchmarks.peers.ours import make as make_ours
from benchmarks.shapes import Shape, draw_scan, shapes

SMALL = Shape("small", dim=3, frames=0, batch=2, length=5, state=4)


def test_necessary_are_inputs_and_output_and_all_their_gradients() -> None:
    arguments = draw_scan(SMALL)
    inputs = sum(x.numel() for name, x in arguments.items() if isinstance(x, torch.Tensor) and name != "grad_y")
    assert memory.necessary_bytes(SMALL, "forward") == 4 * (inputs + arguments["u"].numel())
    assert memory.necessary_bytes(SMALL, "forward+backward") == 2 * memory.necessary_bytes(SMALL, "forward")


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists() or sys.platform != "linux", reason="needs Linux")
def test_the_peak_holds_at_least_what_is_known_to_be_written() -> None:
    """The tree writes at least two tensors of (batch, dim, length, state), the fused kernel none."""
    shape = shapes()[0]
    one_state = 4 * shape.updates
    fused, tree, *_ = make_ours("cpu")
    least = memory.necessary_bytes(shape, "forward")
    found = {
        peer.name: memory.in_own_process("ours", Case(peer, shape, "model", "forward"), "cpu") for peer in (fused, tree)
    }
    assert "peak" in found["numba"], found
    assert 0.9 * least < found["numba"]["peak"] < least + one_state
    assert found["associative"]["peak"] > least + 2 * one_state


def test_a_process_that_fails_is_recorded_with_its_reason() -> None:
    absent = Case(make_ours("cpu")[0], Shape("none", 1, 1, 1, 1), "model", "forward")
    assert memory.in_own_process("ours", absent, "cpu")["reason"]
