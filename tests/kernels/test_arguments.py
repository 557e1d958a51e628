"""What does not fit is refused by name, with what was expected and what came, on every engine alike."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from scans import draw_scan
from vmamba_kernels import bidirectional_scan, causal_conv1d, engines, selective_scan

WRONG_SCANS: dict[str, tuple[Callable[[dict[str, Any]], dict[str, Any]], type[Exception], str]] = {
    "u of rank 2": (lambda a: {"u": a["u"][0]}, ValueError, r"u: expected \(batch, dim, length\), got \(3, 9\)"),
    "u of integers": (lambda a: {"u": a["u"].long()}, TypeError, r"u: expected a real floating-point.*int64"),
    "A complex": (lambda a: {"A": a["A"].to(torch.complex64)}, TypeError, r"A: .*complex64; complex systems"),
    "A not a tensor": (lambda a: {"A": [1.0]}, TypeError, r"A: expected a torch.Tensor, got list"),
    "A transposed": (lambda a: {"A": a["A"].T}, ValueError, r"A: expected \(dim, state\) = \(3, 3\), got \(4, 3\)"),
    "A in half": (lambda a: {"A": a["A"].half()}, TypeError, r"A: expected float32 or float64, got .*float16; pass A"),
    "delta of another length": (lambda a: {"delta": a["delta"][..., :5]}, ValueError, r"delta: .*\(2, 3, 9\), got"),
    "delta of another dtype": (lambda a: {"delta": a["delta"].float()}, TypeError, r"delta: expected torch.float64"),
    "B transposed": (lambda a: {"B": a["B"].mT}, ValueError, r"B: expected \(dim, state\) = \(3, 4\).*got \(2, 9, 4\)"),
    "groups that do not divide": (
        lambda a: {"C": a["C"][:, None].expand(-1, 2, -1, -1)},
        ValueError,
        r"C: expected a number of groups that divides dim = 3, got 2",
    ),
    "D of another size": (lambda a: {"D": a["D"][:2]}, ValueError, r"D: expected \(dim,\) = \(3,\), got \(2,\)"),
    "z elsewhere": (lambda a: {"z": a["z"].to("meta")}, ValueError, r"z: expected device cpu, that of u, got meta"),
    "initial state of another shape": (
        lambda a: {"initial_state": a["initial_state"].mT},
        ValueError,
        r"initial_state: expected \(batch, dim, state\) = \(2, 3, 4\), got \(2, 4, 3\)",
    ),
    "no tokens": (
        lambda a: {name: a[name][..., :0] for name in ("u", "delta", "B", "C", "z")},
        ValueError,
        r"expected dim, length and state of at least 1",
    ),
    "an unknown engine": (
        lambda a: {"backend": "cuda"},
        ValueError,
        r"backend: expected 'auto' or one of .*got 'cuda'",
    ),
}


@pytest.mark.parametrize("case", WRONG_SCANS)
def test_a_scan_that_does_not_fit_is_refused_by_name(case: str) -> None:
    change, error, message = WRONG_SCANS[case]
    arguments: dict[str, Any] = draw_scan()
    with pytest.raises(error, match=message):
        selective_scan(**(arguments | change(arguments)))


def test_what_has_passed_is_no_licence_for_what_has_not() -> None:
    """Checks that have been passed are remembered."""
    for _ in range(2):
        selective_scan(**draw_scan())
        for change, error, message in WRONG_SCANS.values():
            arguments: dict[str, Any] = draw_scan()
            with pytest.raises(error, match=message):
                selective_scan(**(arguments | change(arguments)))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"x": torch.ones(3, 9)}, ValueError, r"x: expected \(batch, dim, length\), got \(3, 9\)"),
        ({"weight": torch.ones(3, 5)}, ValueError, r"weight: .*width of 2, 3 or 4, got \(3, 5\)"),
        ({"weight": torch.ones(2, 4)}, ValueError, r"weight: expected \(dim, width\) = \(3, 4\), got \(2, 4\)"),
        ({"bias": torch.ones(4)}, ValueError, r"bias: expected \(dim,\) = \(3,\), got \(4,\)"),
        ({"initial_state": torch.ones(2, 3, 4)}, ValueError, r"initial_state: expected \(batch, dim, width - 1\)"),
        ({"activation": "relu"}, ValueError, r"activation: expected None, 'silu'.*got 'relu'"),
        ({"backend": "associative"}, ValueError, r"'associative' computes scans only; use 'reference'"),
        ({"x": torch.ones(2, 3, 9, dtype=torch.int32)}, TypeError, r"x: expected a real floating-point tensor"),
    ],
)
def test_a_convolution_that_does_not_fit_is_refused_by_name(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments = {"x": torch.ones(2, 3, 9), "weight": torch.ones(3, 4)}
    with pytest.raises(error, match=message):
        causal_conv1d(**(arguments | change))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"reverse": True}, TypeError, r"backward: unexpected reverse; expected arguments among"),
        ({"u": None}, TypeError, r"backward: u: expected a torch.Tensor"),
    ],
)
def test_a_direction_that_does_not_fit_is_refused_by_name(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    arguments: dict[str, Any] = draw_scan()
    with pytest.raises(error, match=message):
        bidirectional_scan(arguments, arguments | change)
    missing = {name: x for name, x in arguments.items() if name != "A"}
    with pytest.raises(TypeError, match=r"forward: missing A"):
        bidirectional_scan(missing, arguments)


def test_the_first_ten_arguments_stand_in_the_published_order() -> None:
    a = draw_scan()
    by_name = selective_scan(**{k: v for k, v in a.items() if k != "initial_state"}, delta_softplus=True)
    in_order = selective_scan(a["u"], a["delta"], a["A"], a["B"], a["C"], a["D"], a["z"], a["delta_bias"], True, True)
    assert torch.equal(in_order[0], by_name)
    assert in_order[1].shape == (2, 3, 4)


def test_every_engine_says_whether_it_can_run_and_why_not() -> None:
    found = engines()
    assert list(found) == ["reference", "associative", "numba", "triton"]
    assert found["reference"].available
    assert found["associative"].available
    for engine in found.values():
        assert engine.available == (engine.reason == "")


def test_an_engine_that_cannot_run_here_says_so_when_it_is_asked_for() -> None:
    missing = [engine for engine in engines().values() if not engine.available]
    for engine in missing:
        with pytest.raises(RuntimeError, match=re.escape(engine.reason)):
            selective_scan(**draw_scan(), backend=engine.name)
