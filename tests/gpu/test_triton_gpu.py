"""The laws of the Triton engine on a real device: the interpreter's cases, then the shapes of VideoMamba."""

import itertools

import pytest
import torch
from triton_cases import (
    LAYOUTS,
    Case,
    check_conv,
    check_scan,
    gradients,
    loop_scan,
    relative_error,
    truth,
)
from vmamba_kernels import triton_gpu

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA or ROCm device here"),
]
SIZES = [(1, 1, 1, 1), (1, 65, 17, 1), (3, 33, 100, 16), (2, 64, 64, 64), (70, 130, 9, 4)]
DTYPES = [torch.float32, torch.bfloat16, torch.float16, torch.float64]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("softplus", "reverse", "exclude_self"), list(itertools.product([False, True], repeat=3)))
def test_options(softplus: bool, reverse: bool, exclude_self: bool, dtype: torch.dtype) -> None:
    case = Case(2, 70, 37, 5, softplus=softplus, reverse=reverse, exclude_self=exclude_self, dtype=dtype)
    check_scan(triton_gpu, case, "cuda")


@pytest.mark.parametrize("B", ["constant", 1, 2])
@pytest.mark.parametrize("C", ["constant", 1, 3])
@pytest.mark.parametrize("optional", [(), ("z",), ("D", "delta_bias", "initial_state")], ids=str)
def test_input_maps(B: int | str, C: int | str, optional: tuple[str, ...]) -> None:
    check_scan(triton_gpu, Case(2, 12, 41, 6, B=B, C=C, optional=optional), "cuda")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "size", [(1, 1, 1, 1), (1, 65, 17, 1), (3, 33, 100, 16), (2, 64, 64, 64), (70, 130, 9, 4)], ids=str
)
def test_sizes_and_strides(size: tuple[int, int, int, int], layout: str) -> None:
    check_scan(triton_gpu, Case(*size, layout=layout), "cuda")


@pytest.mark.parametrize("segments", ["whole", "cut"])
def test_whole_and_cut_sequences(segments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_gpu, "processors", lambda device: 1 if segments == "whole" else 10_000)
    for reverse in (False, True):
        check_scan(triton_gpu, Case(2, 48, 1000, 16, reverse=reverse, layout="channels contiguous"), "cuda")


@pytest.mark.parametrize("layout", ["length contiguous", "channels contiguous"])
def test_the_same_bits_at_every_run_at_the_size_of_the_model(layout: str) -> None:
    case = Case(1, 384, 1569, 16, layout=layout)
    tensors = case.tensors("cuda")
    runs = []
    for _ in range(3):
        y, last = triton_gpu.scan_forward(*tensors, *case.options)
        runs.append([y, last, *triton_gpu.scan_backward(y, last, *tensors, *case.options)])
    assert all(torch.equal(first, other) for run in runs[1:] for first, other in zip(runs[0], run, strict=True))


def test_the_size_of_the_model_against_the_loop() -> None:
    check_scan(triton_gpu, Case(1, 384, 1569, 16, layout="channels contiguous"), "cuda")


@pytest.mark.parametrize("segments", ["whole", "cut"])
def test_bidirectional_is_the_sum_of_both(segments: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(triton_gpu, "processors", lambda device: 1 if segments == "whole" else 10_000)
    first = Case(2, 66, 150, 16, layout="channels contiguous")
    second = Case(2, 66, 150, 8, B="constant", optional=("D",), reverse=True, exclude_self=True, seed=4)
    tensors = [*first.tensors("cuda"), *second.tensors("cuda")]
    options = (first.softplus, second.softplus, first.exclude_self, second.exclude_self)
    y = triton_gpu.bidirectional_forward(*tensors, *options)
    expected, leaves = truth(
        lambda *x: loop_scan(*x[:9], *first.options)[0] + loop_scan(*x[9:], *second.options)[0], tensors
    )
    assert relative_error(y, expected[0]) <= 2e-6
    grad_y = torch.randn_like(y)
    for found, wanted in zip(
        triton_gpu.bidirectional_backward(grad_y, *tensors, *options),
        gradients(expected, leaves, [grad_y]),
        strict=True,
    ):
        assert (found is None) == (wanted is None)
        assert found is None or relative_error(found, wanted) <= 2e-5


def test_a_long_memory_is_as_exact_as_the_float32_loop() -> None:
    case = Case(1, 32, 2000, 4, optional=(), softplus=False)
    tensors = case.tensors("cuda")
    tensors[1] = torch.full_like(tensors[1], 1e-3)
    y, _ = triton_gpu.scan_forward(*tensors, *case.options)
    plain, _ = loop_scan(*tensors, *case.options)
    (exact, _), _ = truth(loop_scan, tensors, *case.options)
    assert relative_error(y, exact) <= 4 * relative_error(plain, exact)


def test_offsets_beyond_32_bits() -> None:
    """The last channels of a view whose channels lie 2^31 / 8 elements apart, in five gigabytes of float16."""
    stride = 2**31 // 8
    memory = torch.zeros(9 * stride + 16, dtype=torch.float16, device="cuda")
    case = Case(1, 10, 16, 2, dtype=torch.float16)
    tensors = case.tensors("cuda")
    far = memory.as_strided((1, 10, 16), (0, stride, 1))
    near, _ = triton_gpu.scan_forward(*tensors, *case.options)
    far.copy_(tensors[0])
    assert torch.equal(triton_gpu.scan_forward(far, *tensors[1:], *case.options)[0], near)


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("width", [2, 3, 4])
def test_conv(width: int, reverse: bool, layout: str, dtype: torch.dtype) -> None:
    for given, silu in (((True, True), True), ((False, False), False)):
        check_conv(triton_gpu, (2, 67, 133), width, given, silu, reverse, dtype, layout, "cuda")
