"""The numba engine's scan against the recurrence written out as a loop, and the laws that every scan obeys."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numba_scans import NAMES, DrawnScan, error, loop_gradients, loop_scan, scans
from torch import Tensor
from vmamba_kernels import numba_cpu, selective_scan
from vmamba_kernels.kernel_launch import lanes

# Doubles have 16 digits; a sum over 70 tokens, 64 states or 37 channels loses two or three of them.
DOUBLE = 1e-13
# Below 16 roundings, 1e-6, nothing is compared: where one number is the largest by far, a loop is sometimes exact by
# luck.
SINGLE_FLOOR = 16 * 2.0**-24


def random_like(scan: DrawnScan, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Gradients to come in from y and from the last state."""
    generator = torch.Generator().manual_seed(seed)
    u, A = scan.tensors[0], scan.tensors[2]
    return (
        torch.randn(u.shape, generator=generator).double(),
        torch.randn(u.shape[0], *A.shape, generator=generator).double(),
    )


@settings(max_examples=50)
@given(scans())
def test_float64_agrees_with_the_loop(scan: DrawnScan) -> None:
    for ours, truth in zip(
        numba_cpu.scan_forward(*scan.tensors, *scan.flags), loop_scan(*scan.tensors, *scan.flags), strict=True
    ):
        assert ours.shape == truth.shape
        assert error(ours, truth) < DOUBLE


@settings(max_examples=30)
@given(scans())
def test_float64_gradients_agree_with_the_loop(scan: DrawnScan) -> None:
    incoming = random_like(scan)
    ours = numba_cpu.scan_backward(*incoming, *scan.tensors, *scan.flags)
    for name, x, gradient, truth in zip(
        NAMES, scan.tensors, ours, loop_gradients(scan, *incoming, torch.float64), strict=True
    ):
        assert (gradient is None) == (x is None)
        if x is not None:
            assert gradient.shape == x.shape
            assert gradient.dtype == x.dtype
            assert error(gradient, truth) < 10 * DOUBLE, name


def test_sums_over_many_tokens_keep_their_digits() -> None:
    """The gradients of A, D and the bias are sums over all tokens. One total of 12545 numbers of a sign, as many as 64
    frames have, is off by 3e-6; sums of 64 numbers and of 197 such sums, by less than a fifth of that.
    """
    generator = torch.Generator().manual_seed(0)
    shape = (1, 16, 12545)
    u, delta, z, grad_y = (0.5 + torch.rand(*shape, generator=generator) for _ in range(4))
    B, C = (0.5 + torch.rand(1, 1, 4, shape[2], generator=generator) for _ in range(2))
    A, D, bias = -1.0 - torch.rand(16, 4, generator=generator), torch.rand(16, generator=generator), torch.zeros(16)
    tensors = (u, delta, A, B, C, D, z, bias, None)
    ours = numba_cpu.scan_backward(grad_y, None, *tensors, False, False, False)
    exact = (None if x is None else x.double() for x in tensors)
    truth = numba_cpu.scan_backward(grad_y.double(), None, *exact, False, False, False)
    for place, name in ((2, "A"), (5, "D"), (7, "delta_bias")):
        assert error(ours[place], truth[place]) < 6e-7, name


@settings(max_examples=20)
@given(scans())
def test_float32_is_as_precise_as_a_float32_loop(scan: DrawnScan) -> None:
    """At most four times the error of plain torch in float32, both against float64 on the same inputs.

    A sum that happens to cancel has no digits left, and one float32 computation may be luckier with it than another. So
    the yardstick is also what a rounding of the inputs to float32 changes in the truth.
    """
    incoming = random_like(scan)
    random = torch.Generator().manual_seed(1)

    def nudged(x: Tensor | None) -> Tensor | None:
        return None if x is None else x * (1 + (torch.rand(x.shape, generator=random).double() - 0.5) * 2.0**-23)

    def both_ways(case: DrawnScan, dtype: torch.dtype) -> tuple[Tensor | None, ...]:
        return *loop_scan(*case.cast(dtype).tensors, *case.flags), *loop_gradients(case, *incoming, dtype)

    truth, plain = both_ways(scan, torch.float64), both_ways(scan, torch.float32)
    rounded = both_ways(replace(scan, tensors=tuple(map(nudged, scan.tensors))), torch.float64)
    single = scan.cast(torch.float32)
    ours = (
        *numba_cpu.scan_forward(*single.tensors, *scan.flags),
        *numba_cpu.scan_backward(*(x.float() for x in incoming), *single.tensors, *scan.flags),
    )
    for name, a, b, c, d in zip(("y", "last", *NAMES), ours, plain, rounded, truth, strict=True):
        if d is not None:
            assert a.dtype == torch.float32
            assert error(a, d) <= max(4 * error(b, d), 4 * error(c, d), SINGLE_FLOOR), name


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@given(scan=scans(max_dim=20, max_length=20, max_state=20, extreme=False))
@settings(max_examples=30)
def test_half_precision_is_computed_in_float32(scan: DrawnScan, dtype: torch.dtype) -> None:
    """The result is that of the same numbers in float32, rounded once."""
    halves = {
        n: x.to(dtype) for n, x in zip(NAMES, scan.tensors, strict=True) if n in "u delta B C z" and x is not None
    }
    half = scan.cast(torch.float32).with_tensors(**halves)
    widened = half.cast(torch.float32)
    incoming = [x.to(dtype).float() for x in random_like(scan)]
    y, last = numba_cpu.scan_forward(*half.tensors, *scan.flags)
    y_wide, last_wide = numba_cpu.scan_forward(*widened.tensors, *scan.flags)
    assert y.dtype == dtype
    assert last.dtype == torch.float32
    assert torch.equal(y, y_wide.to(dtype))
    assert torch.equal(last, last_wide)
    gradients = numba_cpu.scan_backward(incoming[0].to(dtype), incoming[1], *half.tensors, *scan.flags)
    wide = numba_cpu.scan_backward(*incoming, *widened.tensors, *scan.flags)
    for x, ours, truth in zip(half.tensors, gradients, wide, strict=True):
        assert x is None or torch.equal(ours, truth.to(x.dtype))


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-6), (torch.float64, DOUBLE)])
def test_steps_of_any_length(dtype: torch.dtype, tolerance: float) -> None:
    """Δ from 1e-10 to 1e30 and A from -1e-3 to -1e4 leave everything of a state, or nothing, by however many octaves.

    What comes in, Δ u, is of size 1, and so are the gradients, measured in units of Δ.
    """
    generator = torch.Generator().manual_seed(0)
    shape, states = (1, 20, 200), 9
    delta = 10 ** (40 * torch.rand(shape, generator=generator) - 10)
    u, A = (
        torch.randn(shape, generator=generator) / delta,
        -(10 ** (7 * torch.rand(20, states, generator=generator) - 3)),
    )
    B, C = (torch.randn(1, 1, states, 200, generator=generator) for _ in range(2))
    scan = DrawnScan((u, delta, A, B, C, None, None, None, None), False, False, False).cast(torch.float64)
    incoming = random_like(scan)
    ours = scan.cast(dtype)
    for result, truth in zip(
        numba_cpu.scan_forward(*ours.tensors, *ours.flags), loop_scan(*scan.tensors, *scan.flags), strict=True
    ):
        assert error(result, truth) < tolerance
    gradients = numba_cpu.scan_backward(*(x.to(dtype) for x in incoming), *ours.tensors, *ours.flags)
    units = dict(zip(NAMES, (1 / delta, delta, -A, *(torch.ones(()) for _ in NAMES[3:])), strict=True))
    for name, gradient, truth in zip(NAMES, gradients, loop_gradients(scan, *incoming, torch.float64), strict=True):
        if truth is not None:
            assert error(gradient * units[name], truth * units[name]) < 10 * tolerance, name


@settings(max_examples=40)
@given(scans())
def test_reverse_is_flip_scan_flip(scan: DrawnScan) -> None:
    """To the last bit: the kernels see the same numbers in the same order."""

    def flip(x: Tensor | None, name: str) -> Tensor | None:
        return x.flip(-1) if x is not None and (name in "u delta z" or (name in "BC" and x.dim() == 4)) else x

    flipped = scan.with_tensors(**{n: flip(x, n) for n, x in zip(NAMES, scan.tensors, strict=True)})
    softplus, reverse, exclude_self = scan.flags
    y, last = numba_cpu.scan_forward(*scan.tensors, *scan.flags)
    y_flipped, last_flipped = numba_cpu.scan_forward(*flipped.tensors, softplus, not reverse, exclude_self)
    assert torch.equal(y, y_flipped.flip(-1))
    assert torch.equal(last, last_flipped)
    grad_y, grad_last = random_like(scan)
    ours = numba_cpu.scan_backward(grad_y, grad_last, *scan.tensors, *scan.flags)
    theirs = numba_cpu.scan_backward(grad_y.flip(-1), grad_last, *flipped.tensors, softplus, not reverse, exclude_self)
    for name, x, a, b in zip(NAMES, scan.tensors, ours, theirs, strict=True):
        assert x is None or torch.equal(a, flip(b, name)), name


@settings(max_examples=40)
@given(scans(), st.data())
def test_a_whole_is_its_parts_with_the_state_handed_on(scan: DrawnScan, data: st.DataObject) -> None:
    length = scan.tensors[0].shape[2]
    cut = data.draw(st.integers(1, length))
    pieces = [slice(0, cut), slice(cut, length)] if cut < length else [slice(0, length)]
    outputs, state = {}, scan.tensors[8]
    for piece in reversed(pieces) if scan.reverse else pieces:
        part = {
            n: x[..., piece]
            for n, x in zip(NAMES, scan.tensors, strict=True)
            if x is not None and (n in "u delta z" or (n in "BC" and x.dim() == 4))
        }
        handed_on = scan.with_tensors(**part, initial_state=state)
        outputs[piece.start], state = numba_cpu.scan_forward(*handed_on.tensors, *scan.flags)
    y, last = numba_cpu.scan_forward(*scan.tensors, *scan.flags)
    assert torch.equal(torch.cat([outputs[piece.start] for piece in pieces], -1), y)
    assert torch.equal(state, last)


@settings(max_examples=40)
@given(scans(), st.data())
def test_the_past_does_not_see_the_future(scan: DrawnScan, data: st.DataObject) -> None:
    """NaN in token t leaves the outputs before it, in reading direction, as they were."""
    length = scan.tensors[0].shape[2]
    t = data.draw(st.integers(0, length - 1))
    poisoned = {}
    for name, x in zip(NAMES, scan.tensors, strict=True):
        if x is not None and (name in "u delta z" or (name in "BC" and x.dim() == 4)):
            poisoned[name] = x.clone(memory_format=torch.contiguous_format)
            poisoned[name][..., t] = torch.nan
    earlier = slice(t + 1, length) if scan.reverse else slice(0, t)
    y = numba_cpu.scan_forward(*scan.tensors, *scan.flags)[0]
    y_poisoned = numba_cpu.scan_forward(*scan.with_tensors(**poisoned).tensors, *scan.flags)[0]
    assert torch.equal(y[..., earlier], y_poisoned[..., earlier])
    assert y_poisoned[..., t].isnan().all() or scan.exclude_self


@settings(max_examples=30)
@given(scans(), st.sampled_from([torch.float32, torch.float64]))
def test_gradients_do_not_depend_on_the_threads_or_the_run(scan: DrawnScan, dtype: torch.dtype) -> None:
    scan, incoming = scan.cast(dtype), [x.to(dtype) for x in random_like(scan)]
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3, 2):
            torch.set_num_threads(threads)
            results.append(
                numba_cpu.scan_forward(*scan.tensors, *scan.flags)
                + numba_cpu.scan_backward(*incoming, *scan.tensors, *scan.flags)
            )
    finally:
        torch.set_num_threads(before)
    for other in results[1:]:
        assert all(b is None if a is None else torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


def test_teams_of_any_width_give_the_same() -> None:
    """Of so many channels that teams are wider than any drawn scan has blocks, and the last block is not whole."""
    batch, dim, states, length = 2, 20 * lanes(torch.float64) + 3, 5, 200
    random = torch.Generator().manual_seed(0)
    u, delta, B, C = (torch.randn(batch, n, length, generator=random).double() for n in (dim, dim, states, states))
    inputs = u, delta, -torch.rand(dim, states, generator=random).double(), B, C
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            leaves = [x.clone().requires_grad_() for x in inputs]
            y = selective_scan(*leaves, delta_softplus=True, backend="numba")
            results.append([y.detach(), *torch.autograd.grad(y.sin().sum(), leaves)])
    finally:
        torch.set_num_threads(before)
    leaves = [x.clone().requires_grad_() for x in inputs]
    y = selective_scan(*leaves, delta_softplus=True, backend="associative")
    truth = [y.detach(), *torch.autograd.grad(y.sin().sum(), leaves)]
    for i, expected in enumerate(truth):
        assert all(torch.equal(result[i], results[0][i]) for result in results)
        torch.testing.assert_close(results[0][i], expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=30)
@given(scans())
def test_inputs_stay_as_they_were_and_outputs_are_new(scan: DrawnScan) -> None:
    copies = [None if x is None else x.clone() for x in scan.tensors]
    incoming = random_like(scan)
    outputs = numba_cpu.scan_forward(*scan.tensors, *scan.flags) + numba_cpu.scan_backward(
        *incoming, *scan.tensors, *scan.flags
    )
    for x, copy in zip(scan.tensors, copies, strict=True):
        assert x is None or torch.equal(x, copy)
    given_memory = {x.untyped_storage().data_ptr() for x in (*scan.tensors, *incoming) if x is not None}
    own_memory = [x.untyped_storage().data_ptr() for x in outputs if x is not None]
    assert not given_memory.intersection(own_memory)
    assert len(set(own_memory)) == len(own_memory)


def test_outputs_lie_in_memory_as_their_inputs_do() -> None:
    """The models keep (batch, length, dim); the next projection must not have to copy."""
    by_token = torch.randn(2, 40, 32).transpose(1, 2)
    tensors = (by_token, by_token.abs(), -torch.rand(32, 4), torch.randn(2, 1, 4, 40), torch.randn(2, 1, 4, 40))
    y, _ = numba_cpu.scan_forward(*tensors, None, None, None, None, False, False, False)
    assert y.stride() == by_token.stride()
    gradients = numba_cpu.scan_backward(y, None, *tensors, None, None, None, None, False, False, False)
    assert all(a.stride() == b.stride() for a, b in zip(gradients, tensors, strict=False))


@pytest.mark.parametrize("constant", [False, True])
def test_a_batch_of_nothing(constant: bool) -> None:
    def empty(*shape: int) -> Tensor:
        return torch.zeros(0, *shape)

    tensors = (empty(5, 7), empty(5, 7), -torch.rand(5, 3), *[torch.rand(5, 3) if constant else empty(1, 3, 7)] * 2)
    options = (torch.rand(5), empty(5, 7), torch.rand(5), empty(5, 3))
    y, last = numba_cpu.scan_forward(*tensors, *options, True, False, False)
    assert y.shape == (0, 5, 7)
    assert last.shape == (0, 5, 3)
    gradients = numba_cpu.scan_backward(y, last, *tensors, *options, True, False, False)
    for x, gradient in zip((*tensors, *options), gradients, strict=True):
        assert gradient.shape == x.shape
        assert not gradient.any()


class Scan(torch.autograd.Function):
    """The engine's forward and backward, with nothing in between."""

    @staticmethod
    def forward(ctx, flags, *tensors):
        ctx.flags = flags
        ctx.save_for_backward(*tensors)
        return numba_cpu.scan_forward(*tensors, *flags)

    @staticmethod
    def backward(ctx, grad_y, grad_last):
        return None, *numba_cpu.scan_backward(grad_y, grad_last, *ctx.saved_tensors, *ctx.flags)


@pytest.mark.parametrize("flags", [(True, False, False), (False, True, False), (True, True, True)])
def test_finite_differences(flags: tuple[bool, bool, bool]) -> None:
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    batch, dim, states, length = 1, 3, 3, 5
    leaves = (
        normal(batch, dim, length),
        normal(batch, dim, length).abs() + 0.1,
        -normal(dim, states).abs(),
        normal(batch, 1, states, length),
        normal(dim, states),
        normal(dim),
        normal(batch, dim, length),
        normal(dim).abs(),
        normal(batch, dim, states),
    )
    assert torch.autograd.gradcheck(lambda *x: Scan.apply(flags, *x), [x.requires_grad_() for x in leaves])


def test_no_last_gradient_is_a_last_gradient_of_zero() -> None:
    x = torch.randn(1, 4, 9)
    tensors = (x, x.abs(), -torch.rand(4, 3), torch.randn(1, 1, 3, 9), torch.randn(1, 1, 3, 9), None, None, None, None)
    flags = (False, False, False)
    without = numba_cpu.scan_backward(x, None, *tensors, *flags)
    with_zeros = numba_cpu.scan_backward(x, torch.zeros(1, 4, 3), *tensors, *flags)
    assert all(b is None if a is None else torch.equal(a, b) for a, b in zip(without, with_zeros, strict=True))


@settings(max_examples=20)
@given(scans(max_dim=6, max_length=70, max_state=9), st.integers(1, 9), st.booleans())
def test_both_directions_are_their_sum_whatever_they_differ_in(
    scan: DrawnScan, states: int, exclude_self: bool
) -> None:
    """One launch for two scans that share neither states, nor groups, nor options."""
    u, _, _, *_ = scan.tensors
    batch, dim, length = u.shape
    random = torch.Generator().manual_seed(states)
    draw = [torch.randn(s, generator=random, dtype=u.dtype) for s in ((dim, states), (batch, dim, states, length))]
    other = (u * 0.5, u.abs(), -draw[0].abs(), draw[0], draw[1], None, u, None, None)  # B constant, C of each channel
    softplus, _, without_self = scan.flags
    options = (*scan.tensors, *other, softplus, False, without_self, exclude_self)
    y, *saved = numba_cpu.bidirectional_and_save(*options)
    assert torch.equal(numba_cpu.bidirectional_forward(*options), y)
    ahead, back = (softplus, False, without_self), (False, True, exclude_self)
    expected = numba_cpu.scan_forward(*scan.tensors, *ahead)[0] + numba_cpu.scan_forward(*other, *back)[0]
    assert error(y, expected) < DOUBLE
    truth = (
        *numba_cpu.scan_backward(expected, None, *scan.tensors, *ahead),
        *numba_cpu.scan_backward(expected, None, *other, *back),
    )
    for given_states in (saved, None):
        gradients = numba_cpu.bidirectional_backward(expected, *options, saved=given_states)
        for ours, theirs in zip(gradients, truth, strict=True):
            assert (ours is None) == (theirs is None)
            assert ours is None or error(ours, theirs) < DOUBLE
