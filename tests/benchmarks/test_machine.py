"""The floor is a sum that can be done by hand, and the machine's limits are measured, not assumed."""

import pytest
import torch

from benchmarks import machine
from benchmarks.machine import Limits, bytes_moved, floor, measure_limits
from benchmarks.shapes import Shape, draw_scan

SMALL = Shape("small", dim=3, frames=0, batch=2, length=5, state=4)


def test_bytes_are_those_of_the_tensors() -> None:
    arguments = draw_scan(SMALL)
    each = {name: x.numel() * x.itemsize for name, x in arguments.items() if isinstance(x, torch.Tensor)}
    forward = sum(each[name] for name in ("u", "delta", "z", "B", "C")) + each["u"]  # y is as large as u
    assert bytes_moved(SMALL, "forward") == forward
    backward = sum(each[n] for n in ("u", "delta", "z", "B", "C", "grad_y")) + sum(
        each[n] for n in ("u", "delta", "z", "B", "C")
    )
    assert bytes_moved(SMALL, "forward+backward") == forward + backward


def test_arithmetic_adds_up_and_memory_works_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    updates, tokens = 2 * 3 * 5 * 4, 2 * 3 * 5
    limits = Limits(multiply_adds=1000.0, exponentials=100.0)
    arithmetic = 1e3 * (3 * updates / 1000 + (updates + 3 * tokens) / 100)
    for copy, expected in ((0.0, arithmetic), (1e6, 1e9)):
        monkeypatch.setattr(machine, "copy_seconds", lambda moved, device, copy=copy: copy)
        found = floor(SMALL, "forward", limits)
        assert found["floor"] == pytest.approx(expected)
        assert found["exponentials"] + found["multiply_adds"] == pytest.approx(arithmetic)


def test_gradients_cost_more_than_the_forward_scan() -> None:
    limits = Limits(1e9, 1e9)
    for part in ("exponentials", "multiply_adds"):
        assert floor(SMALL, "forward+backward", limits)[part] > floor(SMALL, "forward", limits)[part]


def test_a_limit_is_the_best_that_was_seen() -> None:
    assert Limits(1, 20).or_better(Limits(2, 10)) == Limits(2, 20)


def test_an_exponential_costs_several_multiply_adds() -> None:
    """Its polynomial alone is five of them: were the probes' work optimised away, this would not hold."""
    limits = measure_limits("cpu")
    assert limits.exponentials > 0
    assert limits.multiply_adds > 2 * limits.exponentials


def test_the_probes_compute_what_they_count() -> None:
    from vmamba_kernels import probes

    multiply_adds, exponentials = probes.probes()
    numbers = probes.numbers_in_a_block()
    memory = torch.linspace(-3, 3, 2 * probes.ROWS * numbers).reshape(2 * probes.ROWS, numbers)
    before = memory.double()
    exponentials(memory.numpy(), 1)
    x = before[: probes.ROWS]
    truth = x * torch.exp(x * before[0])
    torch.testing.assert_close(memory[probes.ROWS :].double(), truth, rtol=3e-7, atol=0)
    memory = before.float()
    multiply_adds(memory.numpy(), 1)
    a, b, c, d, factor, summand = before[:6]
    truth = sum(x * factor + summand for x in (a, b, c, d))
    torch.testing.assert_close(memory[0].double(), truth, rtol=1e-6, atol=1e-6)


def test_the_machine_is_described_without_its_names() -> None:
    about = machine.describe("cpu")
    assert {"cpu", "threads", "torch", "python", "date", "commit"} <= about.keys()
    assert not any("/" in str(value) for value in about.values())
