"""The numba engine's causal convolution against one written out tap by tap, and its laws."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba_scans import LAYOUTS, error, lay, loop_conv
from torch import Tensor
from vmamba_kernels import numba_cpu, numba_cpu_conv

NAMES = ("x", "weight", "bias", "initial_state")
DOUBLE = 1e-14  # at most five terms, and for the taps a sum over the sequence
SINGLE_FLOOR = 12 * 2.0**-24  # where the loop is lucky: a sum over tokens may cancel to a few times its roundings


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[tuple[Tensor | None, ...], bool, bool]:
    """(x, weight, bias, initial_state), silu and reverse; float64."""
    random = torch.Generator().manual_seed(draw(st.integers(0, 2**32 - 1)))

    def normal(*shape: int) -> Tensor:
        return 3 * torch.randn(*shape, generator=random).double()

    batch, dim, length, width = (draw(st.integers(low, high)) for low, high in ((1, 3), (1, 70), (1, 100), (2, 4)))
    tensors = (
        lay(normal(batch, dim, length), draw(st.sampled_from(LAYOUTS))),
        normal(dim, width),
        normal(dim) if draw(st.booleans()) else None,
        normal(batch, dim, width - 1) if draw(st.booleans()) else None,
    )
    return tensors, draw(st.booleans()), draw(st.booleans())


def cast(tensors: tuple[Tensor | None, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    return tuple(None if x is None else x.to(dtype) for x in tensors)


def loop_gradients(
    tensors: tuple[Tensor | None, ...], silu: bool, reverse: bool, grad_y: Tensor
) -> list[Tensor | None]:
    leaves = [None if x is None else x.detach().requires_grad_() for x in tensors]
    given = [x for x in leaves if x is not None]
    gradients = iter(torch.autograd.grad(loop_conv(*leaves, silu, reverse), given, grad_y, materialize_grads=True))
    return [None if x is None else next(gradients) for x in leaves]


def steepness(tensors: tuple[Tensor | None, ...], silu: bool, reverse: bool) -> float:
    """How many roundings of the result one of the sum becomes: silu(v) is v exp(v) for v far below zero."""
    return max(1.0, loop_conv(*tensors, False, reverse).abs().max().item()) if silu else 1.0


def incoming(tensors: tuple[Tensor | None, ...]) -> Tensor:
    return torch.randn(tensors[0].shape, generator=torch.Generator().manual_seed(0)).double()


@settings(max_examples=60)
@given(convolutions())
def test_float64_agrees_with_the_loop(case: tuple) -> None:
    tensors, *flags = case
    assert error(numba_cpu.conv_forward(*tensors, *flags), loop_conv(*tensors, *flags)) < DOUBLE
    grad_y = incoming(tensors)
    ours = numba_cpu.conv_backward(grad_y, *tensors, *flags)
    for name, x, a, b in zip(NAMES, tensors, ours, loop_gradients(tensors, *flags, grad_y), strict=True):
        assert (a is None) == (x is None)
        if x is not None:
            assert a.shape == x.shape
            assert error(a, b) < 10 * DOUBLE, name


@settings(max_examples=60)
@given(convolutions())
def test_float32_is_as_precise_as_a_float32_loop(case: tuple) -> None:
    tensors, *flags = case
    single, grad_y = cast(tensors, torch.float32), incoming(tensors)
    truth = (loop_conv(*tensors, *flags), *loop_gradients(tensors, *flags, grad_y))
    plain = (loop_conv(*single, *flags), *loop_gradients(single, *flags, grad_y.float()))
    ours = (numba_cpu.conv_forward(*single, *flags), *numba_cpu.conv_backward(grad_y.float(), *single, *flags))
    for name, a, b, c in zip(("y", *NAMES), ours, plain, truth, strict=True):
        if c is not None:
            assert a.dtype == torch.float32
            assert error(a, c) <= max(4 * error(b, c), SINGLE_FLOOR * steepness(tensors, *flags)), name


@settings(max_examples=30)
@given(convolutions(), st.sampled_from([torch.float16, torch.bfloat16]))
def test_half_precision_is_computed_in_float32(case: tuple, dtype: torch.dtype) -> None:
    (x, *others), *flags = case
    others, x = cast(tuple(others), torch.float32), x.to(dtype)
    y = numba_cpu.conv_forward(x, *others, *flags)
    assert torch.equal(y, numba_cpu.conv_forward(x.float(), *others, *flags).to(dtype))
    grad = numba_cpu.conv_backward(y, x, *others, *flags)
    wide = numba_cpu.conv_backward(y.float(), x.float(), *others, *flags)
    assert torch.equal(grad[0], wide[0].to(dtype))
    assert all(b is None if a is None else torch.equal(a, b) for a, b in zip(grad[1:], wide[1:], strict=True))


@settings(max_examples=30)
@given(convolutions())
def test_reverse_is_flip_convolve_flip(case: tuple) -> None:
    (x, weight, bias, before), silu, reverse = case

    def flip(tensor: Tensor | None) -> Tensor | None:
        return None if tensor is None else tensor.flip(-1)

    y = numba_cpu.conv_forward(x, weight, bias, before, silu, reverse)
    assert torch.equal(y, flip(numba_cpu.conv_forward(flip(x), weight, bias, flip(before), silu, not reverse)))
    a = numba_cpu.conv_backward(y, x, weight, bias, before, silu, reverse)
    b = numba_cpu.conv_backward(flip(y), flip(x), weight, bias, flip(before), silu, not reverse)
    assert torch.equal(a[0], flip(b[0]))
    # Sums over tokens are taken in the order of memory, which is not the same: one rounding a token, at most.
    assert error(a[1], b[1]) < 10 * DOUBLE
    assert bias is None or error(a[2], b[2]) < 10 * DOUBLE
    assert before is None or torch.equal(a[3], flip(b[3]))


@settings(max_examples=30)
@given(convolutions(), st.data())
def test_a_whole_is_its_parts_with_the_inputs_handed_on(case: tuple, data: st.DataObject) -> None:
    (x, weight, bias, before), silu, _ = case
    cut = data.draw(st.integers(1, x.shape[2]))
    seen = torch.cat([x.new_zeros(*x.shape[:2], weight.shape[1] - 1) if before is None else before, x[..., :cut]], -1)
    first = numba_cpu.conv_forward(x[..., :cut], weight, bias, before, silu, False)
    parts = [first]
    if cut < x.shape[2]:
        handed_on = seen[..., seen.shape[2] - weight.shape[1] + 1 :]
        parts.append(numba_cpu.conv_forward(x[..., cut:], weight, bias, handed_on, silu, False))
    assert torch.equal(torch.cat(parts, -1), numba_cpu.conv_forward(x, weight, bias, before, silu, False))


@settings(max_examples=30)
@given(convolutions(), st.data())
def test_a_token_reaches_as_far_as_the_filter(case: tuple, data: st.DataObject) -> None:
    """NaN in token t leaves all outputs as they were, but that of t and the width − 1 after it."""
    (x, weight, bias, before), silu, reverse = case
    t = data.draw(st.integers(0, x.shape[2] - 1))
    poisoned = x.clone(memory_format=torch.contiguous_format)
    poisoned[..., t] = torch.nan
    y = numba_cpu.conv_forward(poisoned, weight, bias, before, silu, reverse)
    reach = range(t - weight.shape[1] + 1, t + 1) if reverse else range(t, t + weight.shape[1])
    expected = [s in reach for s in range(x.shape[2])]
    assert y.isnan().all((0, 1)).tolist() == expected
    assert y.isnan().any((0, 1)).tolist() == expected


@settings(max_examples=30)
@given(convolutions(), st.integers(1, 20), st.integers(1, 3))
def test_items_of_any_size_join(case: tuple, tokens: int, strands: int) -> None:
    """Small tensors fit into a few items as they are; here they are cut wherever a large one might be."""
    tensors, *flags = case
    grad_y = incoming(tensors)
    y, gradients = numba_cpu.conv_forward(*tensors, *flags), numba_cpu.conv_backward(grad_y, *tensors, *flags)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("FORWARD_ITEM", "BACKWARD_ITEM"):
            patch.setattr(numba_cpu_conv, name, (tokens, strands))
        patch.setattr(numba_cpu_conv, "LONGEST_STRETCH", 16 * tokens)
        assert torch.equal(numba_cpu.conv_forward(*tensors, *flags), y)
        for a, b in zip(numba_cpu.conv_backward(grad_y, *tensors, *flags), gradients, strict=True):
            assert (a is None) == (b is None)
            assert a is None or error(a, b) < DOUBLE


@settings(max_examples=20)
@given(convolutions(), st.sampled_from([torch.float32, torch.float64]))
def test_nothing_depends_on_the_threads_or_the_run(case: tuple, dtype: torch.dtype) -> None:
    tensors, *flags = case
    tensors, copies = cast(tensors, dtype), cast(tensors, dtype)
    grad_y, before, results = incoming(tensors).to(dtype), torch.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            results.append(
                (numba_cpu.conv_forward(*tensors, *flags), *numba_cpu.conv_backward(grad_y, *tensors, *flags))
            )
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(b is None if a is None else torch.equal(a, b) for a, b in zip(results[0], other, strict=True))
    assert all(b is None if a is None else torch.equal(a, b) for a, b in zip(copies, tensors, strict=True))


def test_a_batch_of_nothing() -> None:
    x, weight, bias, before = torch.zeros(0, 5, 7), torch.rand(5, 4), torch.rand(5), torch.zeros(0, 5, 3)
    y = numba_cpu.conv_forward(x, weight, bias, before, True, False)
    assert y.shape == x.shape
    gradients = numba_cpu.conv_backward(y, x, weight, bias, before, True, False)
    for tensor, gradient in zip((x, weight, bias, before), gradients, strict=True):
        assert gradient.shape == tensor.shape
        assert not gradient.any()


class Convolution(torch.autograd.Function):
    """The engine's forward and backward, with nothing in between."""

    @staticmethod
    def forward(ctx, flags, *tensors):
        ctx.flags = flags
        ctx.save_for_backward(*tensors)
        return numba_cpu.conv_forward(*tensors, *flags)

    @staticmethod
    def backward(ctx, grad_y):
        return None, *numba_cpu.conv_backward(grad_y, *ctx.saved_tensors, *ctx.flags)


@pytest.mark.parametrize("flags", [(True, False), (False, True)])
@pytest.mark.parametrize("width", [2, 3, 4])
def test_finite_differences(flags: tuple[bool, bool], width: int) -> None:
    generator = torch.Generator().manual_seed(1)
    shapes = ((2, 3, 5), (3, width), (3,), (2, 3, width - 1))
    leaves = [torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes]
    assert torch.autograd.gradcheck(lambda *x: Convolution.apply(flags, *x), leaves)
