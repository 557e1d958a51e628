"""The Triton engine under Triton's interpreter: every option, layout and dtype on tiny shapes, against a float64 loop.

A process interprets or compiles, as TRITON_INTERPRET said when triton was first imported; tests/conftest.py sets it
where there is no GPU. Where there is one, tests/gpu keeps these laws on it.
"""

import os
import subprocess
import sys

import pytest
import torch
from torch import Tensor
from triton_cases import (
    LAYOUTS,
    SCAN_NAMES,
    Case,
    assert_gradients,
    check_conv,
    check_scan,
    gradients,
    loop_scan,
    relative_error,
    truth,
)
from vmamba_kernels import triton_gpu
from vmamba_kernels.direction import Direction

pytestmark = pytest.mark.skipif(
    not triton_gpu.INTERPRETED, reason="Triton compiles in this process: TRITON_INTERPRET=1 was not set at its import"
)


@pytest.fixture
def cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretend to be a large device, so that every sequence is cut into as many segments as it can be."""
    monkeypatch.setattr(triton_gpu, "processors", lambda device: 10_000)


CASES = {
    "all options": Case(),
    "reversed": Case(reverse=True),
    "without own term": Case(exclude_self=True),
    "reversed without own term": Case(exclude_self=True, reverse=True),
    "nothing optional": Case(optional=(), softplus=False),
    "gate without skip": Case(optional=("z",)),
    "constant B": Case(B="constant"),
    "constant B and C": Case(B="constant", C="constant", reverse=True),
    "groups": Case(dim=6, batch=1, length=6, B=3, C=3),
    "different groups": Case(dim=4, batch=1, length=5, B=1, C=2),
    "one of everything": Case(1, 1, 1, 1),
    "two blocks of channels and states": Case(batch=1, dim=9, length=5, state=5),
    "float64": Case(dtype=torch.float64),
    "bfloat16": Case(dtype=torch.bfloat16),
    "float16": Case(dtype=torch.float16),
}


@pytest.mark.parametrize("name", CASES)
def test_scan_agrees_with_the_loop(name: str) -> None:
    check_scan(triton_gpu, CASES[name])


@pytest.mark.parametrize("layout", [layout for layout in LAYOUTS if layout != "length contiguous"])
def test_scan_reads_any_strides(layout: str) -> None:
    check_scan(triton_gpu, Case(batch=2, dim=3, length=7, layout=layout))


CUT_CASES = {
    "all options": Case(batch=1, length=27),
    "reversed": Case(batch=1, length=27, reverse=True),
    "without own term": Case(length=19, exclude_self=True),
    "whole segments": Case(batch=1, length=16, optional=(), state=5),
    "groups": Case(batch=1, dim=4, length=18, B=2, C="constant", reverse=True),
    "float64": Case(batch=1, length=20, dtype=torch.float64),
}


@pytest.mark.usefixtures("cut")
@pytest.mark.parametrize("name", CUT_CASES)
def test_scan_in_segments_agrees_with_the_loop(name: str) -> None:
    case = CUT_CASES[name]
    direction = Direction(*case.tensors(), *case.options)
    assert triton_gpu.Cut.of([direction], triton_gpu.SCAN_TILES[0]).segments > 1
    check_scan(triton_gpu, case)


def test_gradient_where_chunk_and_segment_are_one(cut: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_gpu, "MIN_SPAN", triton_gpu.gradient_tile(torch.float32).BLOCK_L)
    check_scan(triton_gpu, Case(batch=1, length=14))


def test_only_the_last_state_or_only_y_may_be_differentiated() -> None:
    case = Case(batch=1, length=6)
    tensors = case.tensors()
    expected, leaves = truth(loop_scan, tensors, *case.options)
    grad_y = torch.ones_like(tensors[0])
    actual = triton_gpu.scan_backward(grad_y, None, *tensors, *case.options)
    assert_gradients(actual, gradients(expected, leaves, [grad_y, None]), tensors, 2e-5, SCAN_NAMES)

    expected, leaves = truth(loop_scan, tensors, *case.options)
    grad_last = torch.ones_like(tensors[8])
    nothing = torch.zeros(()).expand(tensors[0].shape)  # as autograd hands over what was not used
    actual = triton_gpu.scan_backward(nothing, grad_last, *tensors, *case.options)
    assert_gradients(actual, gradients(expected, leaves, [None, grad_last]), tensors, 2e-5, SCAN_NAMES)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_whole_is_its_parts_with_the_state_handed_on(reverse: bool) -> None:
    case = Case(batch=1, length=13, reverse=reverse, exclude_self=True, dtype=torch.float64)
    tensors = case.tensors()
    y, last = triton_gpu.scan_forward(*tensors, *case.options)
    ranges = [slice(0, 5), slice(5, 13)]
    state, parts = tensors[8], {}
    for part in reversed(ranges) if reverse else ranges:
        cut = [x if x is None or x.dim() < 3 else x[..., part] for x in tensors[:8]]
        parts[part.start], state = triton_gpu.scan_forward(*cut, state, *case.options)
    assert relative_error(torch.cat([parts[0], parts[5]], -1), y) < 1e-13
    assert relative_error(state, last) < 1e-13


def both(first: Case, second: Case) -> tuple[list[Tensor | None], tuple[bool, ...]]:
    """The arguments of a bidirectional pair on the same tokens."""
    options = (first.softplus, second.softplus, first.exclude_self, second.exclude_self)
    return [*first.tensors(), *second.tensors()], options


PAIRS = {
    "alike": (Case(batch=1, length=9), Case(batch=1, length=9, reverse=True, seed=5)),
    "as VideoMambaPro": (Case(batch=1, length=7), Case(batch=1, length=7, reverse=True, exclude_self=True, seed=5)),
    "unlike": (
        Case(batch=1, length=9, dim=4, B=2, state=5),
        Case(batch=1, length=9, dim=4, C="constant", optional=("D",), reverse=True, softplus=False, seed=5),
    ),
}


@pytest.mark.parametrize("segments", ["whole", "cut"])
@pytest.mark.parametrize("name", PAIRS)
def test_bidirectional_is_the_sum_of_both(name: str, segments: str, request: pytest.FixtureRequest) -> None:
    if segments == "cut":
        request.getfixturevalue("cut")
    first, second = PAIRS[name]
    tensors, options = both(first, second)
    y = triton_gpu.bidirectional_forward(*tensors, *options)
    expected, leaves = truth(
        lambda *x: loop_scan(*x[:9], *first.options)[0] + loop_scan(*x[9:], *second.options)[0], tensors
    )
    assert relative_error(y, expected[0]) <= 2e-6
    grad_y = torch.randn(y.shape, generator=torch.Generator().manual_seed(3))
    actual = triton_gpu.bidirectional_backward(grad_y, *tensors, *options)
    assert_gradients(actual, gradients(expected, leaves, [grad_y]), tensors, 2e-5, f"{SCAN_NAMES} {SCAN_NAMES}")


@pytest.mark.usefixtures("cut")
def test_the_same_bits_at_every_run() -> None:
    case = Case(batch=2, dim=3, length=10)
    tensors = case.tensors()
    runs = []
    for _ in range(2):
        y, last = triton_gpu.scan_forward(*tensors, *case.options)
        runs.append([y, last, *triton_gpu.scan_backward(torch.ones_like(y), last, *tensors, *case.options)])
    assert all(torch.equal(first, second) for first, second in zip(*runs, strict=True))


def test_extreme_values_agree_with_the_loop() -> None:
    """Steps from 1e-8 to 50, A to -1e4, states decayed to nothing, softplus saturated on both sides."""
    case = Case(batch=1, dim=6, length=12, state=2)
    tensors = case.tensors()
    tensors[1] = torch.linspace(-18, 50, 12).expand(1, 6, 12) * torch.tensor([1, -0.3, 0.01, 1, 1, 1.0])[:, None]
    tensors[2] = -torch.tensor([1e-6, 1e-3, 1.0, 30.0, 1e3, 1e4])[:, None] * torch.tensor([1.0, 2.0])
    tensors[7] = torch.zeros(6)
    for softplus in (True, False):
        tensors[1] = tensors[1] if softplus else tensors[1].abs() + 1e-8
        y, last = triton_gpu.scan_forward(*tensors, softplus, False, False)
        expected, leaves = truth(loop_scan, tensors, softplus, False, False)
        for channel in range(6):  # each on its own scale
            assert relative_error(y[:, channel], expected[0][:, channel]) <= 4e-6
        assert relative_error(last, expected[1]) <= 2e-6
        actual = triton_gpu.scan_backward(torch.ones_like(y), torch.ones_like(last), *tensors, softplus, False, False)
        wanted = gradients(expected, leaves, [torch.ones_like(y), torch.ones_like(last)])
        assert_gradients(actual, wanted, tensors, 2e-5, SCAN_NAMES)


def test_a_small_softplus_keeps_its_relative_precision() -> None:
    """One token, so y = softplus(δ): log(1 + exp(δ)) computed as it is written would be off by parts in a thousand."""
    delta = torch.linspace(-80, 25, 64).reshape(8, 8, 1)
    ones = torch.ones(8, 1, 1, 1)
    y, _ = triton_gpu.scan_forward(
        torch.ones(8, 8, 1), delta, -torch.ones(8, 1), ones, ones, None, None, None, None, True, False, False
    )
    exact = torch.nn.functional.softplus(delta.double())
    # The interpreter does not fuse the multiply-add that gives back what x log2(e) loses; up to |x| 2^-24 remains.
    assert ((y.double() - exact) / exact).abs().max() < 1e-5
    assert ((y.double() - exact) / exact)[delta > -12].abs().max() < 1e-6


def test_float32_is_as_exact_as_the_float32_loop_on_a_long_memory() -> None:
    case = Case(batch=1, dim=4, length=64, state=2, optional=(), softplus=False)
    tensors = case.tensors()
    tensors[1] = torch.full_like(tensors[1], 1e-3)
    y, _ = triton_gpu.scan_forward(*tensors, *case.options)
    plain, _ = loop_scan(*tensors, *case.options)
    (exact, _), _ = truth(loop_scan, tensors, *case.options)
    assert relative_error(y, exact) <= 4 * relative_error(plain, exact)


def test_a_nan_leaves_earlier_outputs_untouched() -> None:
    case = Case(batch=1, length=9, exclude_self=True)
    tensors = case.tensors()
    clean, _ = triton_gpu.scan_forward(*tensors, *case.options)
    tensors[0][..., 5], tensors[3][..., 5] = torch.nan, torch.nan
    y, _ = triton_gpu.scan_forward(*tensors, *case.options)
    assert torch.equal(y[..., :5], clean[..., :5])
    assert y[..., 6:].isnan().all()


def test_inputs_stay_as_they_are_and_outputs_are_new() -> None:
    case = Case(batch=1, length=6)
    tensors = case.tensors()
    copies = [x.clone() for x in tensors]
    y, last = triton_gpu.scan_forward(*tensors, *case.options)
    grads = triton_gpu.scan_backward(y, last, *tensors, *case.options)
    assert all(torch.equal(x, copy) for x, copy in zip(tensors, copies, strict=True))
    storages = [x.untyped_storage().data_ptr() for x in (*tensors, y, last, *grads)]
    assert len(set(storages)) == len(storages)


def test_an_empty_batch() -> None:
    case = Case(batch=0)
    tensors = case.tensors()
    y, last = triton_gpu.scan_forward(*tensors, *case.options)
    assert (y.shape, last.shape) == ((0, 5, 11), (0, 5, 3))
    grads = triton_gpu.scan_backward(y, last, *tensors, *case.options)
    assert all(torch.equal(grad, torch.zeros_like(x)) for grad, x in zip(grads, tensors, strict=True))
    x, weight = tensors[0], torch.ones(5, 4)
    assert triton_gpu.conv_forward(x, weight, None, None, True, False).shape == x.shape
    assert torch.equal(triton_gpu.conv_backward(x, x, weight, None, None, True, False)[1], torch.zeros(5, 4))


def test_wide_arguments_widen_the_arithmetic() -> None:
    """float32 tokens with float64 parameters are scanned in float64; y is float32 again."""
    case = Case(batch=1, length=6)
    tensors = [x.double() if i in (2, 5, 7, 8) else x for i, x in enumerate(case.tensors())]
    y, last = triton_gpu.scan_forward(*tensors, *case.options)
    (_, exact), _ = truth(loop_scan, tensors, *case.options)
    assert (y.dtype, last.dtype) == (torch.float32, torch.float64)
    assert relative_error(last, exact) < 1e-13


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize(
    ("shape", "width", "given", "silu"),
    [
        ((2, 5, 11), 4, (True, True), True),
        ((1, 9, 10), 3, (True, False), False),
        ((2, 3, 6), 2, (False, True), False),
        ((1, 2, 1), 4, (False, False), True),
        ((1, 1, 2), 4, (True, True), True),
    ],
)
def test_conv_agrees_with_torch(
    shape: tuple[int, int, int], width: int, given: tuple[bool, bool], silu: bool, reverse: bool
) -> None:
    check_conv(triton_gpu, shape, width, given, silu, reverse)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_conv_in_other_dtypes(dtype: torch.dtype) -> None:
    check_conv(triton_gpu, (1, 3, 9), 4, (True, True), True, False, dtype, "channels contiguous")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_conv_reads_any_strides(layout: str) -> None:
    check_conv(triton_gpu, (2, 3, 6), 3, (True, True), True, True, layout=layout)


def test_where_neither_gpu_nor_interpreter_is_the_engine_says_so() -> None:
    """In a process that compiles: the import works, the reason names the way out, a launch raises it."""
    code = """
import torch
from vmamba_kernels import triton_gpu
from vmamba_kernels.direction import Direction
x = torch.ones(1, 2, 3)
if torch.cuda.is_available():
    raise SystemExit(0)
assert "TRITON_INTERPRET=1" in triton_gpu.availability()
for call in (
    lambda: triton_gpu.scan_forward(x, x, torch.ones(2, 1), torch.ones(2, 1), torch.ones(2, 1), *[None] * 4, 0, 0, 0),
    lambda: triton_gpu.conv_forward(x, torch.ones(2, 4), None, None, True, False),
):
    try:
        call()
    except RuntimeError as error:
        assert str(error) == triton_gpu.availability()
    else:
        raise AssertionError("nothing was raised")
"""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert triton_gpu.availability() is None
