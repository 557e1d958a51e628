"""Laws of the operators, on every engine that can be run in bulk: what must hold whatever the numbers are.

The Triton engine keeps these laws too; under its interpreter it is too slow for drawn inputs, and has tests of its own.
"""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from scans import cast, draw_scan, needs, relative_error, scan_arguments
from torch import Tensor
from vmamba_kernels import bidirectional_scan, causal_conv1d, selective_scan

SCANNERS = ("reference", "associative", "numba")
FAST = ("numba",)
TIME_AXIS = ("u", "delta", "B", "C", "z")
scanners = pytest.mark.parametrize("engine", SCANNERS)
EXACT = 1e-12  # of float64: rounding only


def scan(engine: str, arguments: dict[str, Any], **changes: Any) -> tuple[Tensor, Tensor]:
    return selective_scan(**(arguments | changes), return_last_state=True, backend=needs(engine))


def on_time_axis(arguments: dict[str, Any], act: Any) -> dict[str, Any]:
    """The same scan with `act` done to everything that has one entry a token (a constant map has none)."""
    length = arguments["u"].shape[-1]
    has_time = {name for name in TIME_AXIS if name in arguments and arguments[name].dim() > 2}
    assert all(arguments[name].shape[-1] == length for name in has_time)
    return {name: act(x) if name in has_time else x for name, x in arguments.items()}


@pytest.mark.parametrize("engine", ["associative", "numba"])
@given(arguments=scan_arguments())
def test_engines_agree_with_the_specification(engine: str, arguments: dict[str, Any]) -> None:
    expected = scan("reference", arguments)
    for ours, truth in zip(scan(engine, arguments), expected, strict=True):
        assert relative_error(ours, truth) <= EXACT


@pytest.mark.parametrize("engine", ["associative", "numba"])
@given(arguments=scan_arguments(max_length=20, max_dim=6))
@settings(max_examples=30)
def test_gradients_agree_with_the_specification(engine: str, arguments: dict[str, Any]) -> None:
    def gradients(backend: str) -> dict[str, Tensor]:
        leaves = {n: x.clone().requires_grad_() for n, x in arguments.items() if isinstance(x, Tensor)}
        y, last_state = scan(backend, arguments | leaves)
        weights = torch.linspace(-1, 2, y.numel(), dtype=y.dtype).view_as(y)
        objective = (weights * y).sum() + (last_state**2).sum()
        found = torch.autograd.grad(objective, list(leaves.values()), materialize_grads=True)
        return dict(zip(leaves, found, strict=True))

    truth = gradients("reference")
    for name, ours in gradients(engine).items():
        assert relative_error(ours, truth[name]) <= 1e-10, name


@pytest.mark.parametrize("engine", ["associative", "numba"])
@given(arguments=scan_arguments(max_length=100))
@settings(max_examples=40)
def test_float32_is_at_most_four_times_as_far_off_as_the_specification(engine: str, arguments: dict[str, Any]) -> None:
    single = cast(arguments, torch.float32)
    double = cast(single, torch.float64)
    signed = ("u", "B", "C", "D", "initial_state")
    no_cancelling = {name: x.abs() if name in signed else x for name, x in double.items()}
    exact, terms = scan("reference", double), scan("reference", no_cancelling)
    for ours, plain, truth, size in zip(scan(engine, single), scan("reference", single), exact, terms, strict=True):
        # One output whose terms cancel can come out right by luck: no less than one rounding of the terms is asked for.
        rounding = torch.finfo(torch.float32).eps * float(size.abs().max() / truth.abs().max().clamp_min(1e-30))
        assert relative_error(ours, truth) <= 4 * max(relative_error(plain, truth), rounding)


@scanners
@given(arguments=scan_arguments())
@settings(max_examples=25)
def test_reading_backwards_is_flip_scan_flip(engine: str, arguments: dict[str, Any]) -> None:
    flipped = on_time_axis(arguments, lambda x: x.flip(-1)) | {"reverse": not arguments["reverse"]}
    y, last_state = scan(engine, arguments)
    y_flipped, last_flipped = scan(engine, flipped)
    assert relative_error(y_flipped.flip(-1), y) <= EXACT
    assert relative_error(last_flipped, last_state) <= EXACT


@scanners
@given(arguments=scan_arguments())
@settings(max_examples=25)
def test_a_whole_is_its_parts_with_the_state_handed_on(engine: str, arguments: dict[str, Any]) -> None:
    length = arguments["u"].shape[-1]
    cut = length // 3 + 1
    if cut >= length:
        return
    parts = [on_time_axis(arguments, lambda x, s=s: x[..., s]) for s in (slice(0, cut), slice(cut, length))]
    first, second = parts[::-1] if arguments["reverse"] else parts
    y_first, state = scan(engine, first)
    y_second, last_state = scan(engine, second | {"initial_state": state})
    together = torch.cat([y_second, y_first] if arguments["reverse"] else [y_first, y_second], dim=-1)
    y, whole = scan(engine, arguments)
    assert relative_error(together, y) <= EXACT
    assert relative_error(last_state, whole) <= EXACT


@scanners
@pytest.mark.parametrize("name", ["u", "B", "C"])
def test_linear_in_input_and_maps(engine: str, name: str) -> None:
    arguments = draw_scan(optional=("z", "delta_bias"), dim=4) | {"delta_softplus": True}
    other = torch.randn_like(arguments[name])
    y = [scan(engine, arguments, **{name: x})[0] for x in (arguments[name], other, 2 * arguments[name] - 3 * other)]
    assert relative_error(2 * y[0] - 3 * y[1], y[2]) <= EXACT


@scanners
@pytest.mark.parametrize("reverse", [False, True])
def test_nothing_is_heard_of_tokens_not_yet_read(engine: str, reverse: bool) -> None:
    arguments = draw_scan(length=12, dim=5) | {"delta_softplus": True, "reverse": reverse}
    poisoned = {name: x.clone() if isinstance(x, Tensor) else x for name, x in arguments.items()}
    for name in TIME_AXIS:
        poisoned[name][..., 7] = torch.nan
    heard, unheard = (slice(0, 8), slice(8, None)) if reverse else (slice(7, None), slice(0, 7))
    y, _ = scan(engine, poisoned)
    assert torch.equal(y[..., unheard], scan(engine, arguments)[0][..., unheard])
    assert y[..., heard].isnan().all()


@scanners
def test_without_its_own_term_a_token_reads_only_the_others(engine: str) -> None:
    arguments = draw_scan(optional=("z",), dim=2, length=6) | {"delta_softplus": True}
    u = arguments["u"].clone().requires_grad_()
    y, last_state = scan(engine, arguments, u=u, exclude_self=True)
    for t in range(6):
        (gradient,) = torch.autograd.grad(y[..., t].sum(), u, retain_graph=True)
        assert (gradient[..., t:] == 0).all()
        assert t == 0 or (gradient[..., t - 1] != 0).all()
    assert relative_error(last_state, scan(engine, arguments)[1]) <= EXACT


@scanners
def test_the_order_of_the_batch_does_not_matter(engine: str) -> None:
    arguments = draw_scan(batch=4, dim=7) | {"delta_softplus": True}
    order = torch.tensor([2, 0, 3, 1])
    has_batch = ("u", "delta", "B", "C", "z", "initial_state")
    shuffled = {n: x[order] if n in has_batch else x for n, x in arguments.items()}
    assert relative_error(scan(engine, shuffled)[0], scan(engine, arguments)[0][order]) <= EXACT


@scanners
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_dtypes_and_inputs_are_kept(engine: str, dtype: torch.dtype) -> None:
    arguments = draw_scan(dtype=dtype) | {"delta_softplus": True}
    before = {name: x.clone() if isinstance(x, Tensor) else x for name, x in arguments.items()}
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, last_state = scan(engine, arguments)
    plain, _ = scan(engine, arguments)
    assert y.dtype == dtype
    assert last_state.dtype == torch.promote_types(dtype, torch.float32)
    assert torch.equal(y, plain)
    for name, x in before.items():
        assert not isinstance(x, Tensor) or torch.equal(arguments[name], x)
    rounded = 2 * torch.finfo(dtype).eps  # one rounding at the end, of a sum that may be larger than its result
    exact, _ = scan("reference", cast(arguments, torch.float64))
    assert relative_error(y, exact) <= max(rounded, 1e-5 if dtype == torch.float32 else 0)


@scanners
def test_an_empty_batch_is_an_empty_answer(engine: str) -> None:
    y, last_state = scan(engine, draw_scan(batch=0))
    assert y.shape == (0, 3, 9)
    assert last_state.shape == (0, 3, 4)


@scanners
def test_outputs_share_no_memory_with_inputs(engine: str) -> None:
    arguments = draw_scan(length=1, optional=("initial_state",))
    storages = {x.untyped_storage().data_ptr() for x in arguments.values()}
    assert not storages & {x.untyped_storage().data_ptr() for x in scan(engine, arguments)}


@scanners
def test_a_bidirectional_scan_is_the_sum_of_both_readings(engine: str) -> None:
    forward, backward = (draw_scan(seed=seed) | {"delta_softplus": True} for seed in (1, 2))
    y = bidirectional_scan(forward, backward, backend=needs(engine))
    expected = scan("reference", forward)[0] + scan("reference", backward, reverse=True)[0]
    assert relative_error(y, expected) <= EXACT


def test_both_directions_in_one_launch_compute_the_same_with_gradients() -> None:
    from vmamba_kernels.interface import FAST as ENGINES

    sizes = {"batch": 1, "dim": 3, "length": 7, "state": 2}
    forward = draw_scan(seed=1, **sizes)
    backward = draw_scan(seed=2, **sizes, optional=("z",), B_layout="constant") | {"exclude_self": True}
    leaves = [x.requires_grad_() for side in (forward, backward) for x in side.values() if isinstance(x, Tensor)]
    expected = bidirectional_scan(forward, backward, backend="reference")
    truth = torch.autograd.grad((expected**2).sum(), leaves)
    for engine in ENGINES:
        y = bidirectional_scan(forward, backward, backend=needs(engine))
        assert relative_error(y, expected) <= EXACT
        for ours, theirs in zip(torch.autograd.grad((y**2).sum(), leaves), truth, strict=True):
            assert relative_error(ours, theirs) <= 1e-10


@pytest.mark.slow
def test_the_operator_of_both_directions_passes_the_checks_of_torch() -> None:
    from vmamba_kernels import custom_ops
    from vmamba_kernels.interface import FAST as ENGINES

    sides = [draw_scan(1, 2, 4, 2, B_layout="constant", C_layout="grouped", optional=("D",), seed=s) for s in (1, 2)]
    for engine in ENGINES:
        ahead, back = ([*(x.requires_grad_() for x in side.values()), None, None, None] for side in sides)
        for save in (False, True):
            arguments = (*ahead, *back, True, True, False, True, needs(engine), save)
            torch.library.opcheck(custom_ops.bidirectional_scan.registered, arguments)


@pytest.mark.parametrize("engine", ["reference", "associative"])
def test_the_slow_engines_can_be_differentiated_twice(engine: str) -> None:
    arguments = draw_scan(dim=2, length=3, state=2, batch=1)
    names = list(arguments)
    leaves = tuple(arguments[name].requires_grad_() for name in names)

    def function(*tensors: Tensor) -> tuple[Tensor, Tensor]:
        return scan(engine, dict(zip(names, tensors, strict=True)) | {"delta_softplus": True})

    assert torch.autograd.gradgradcheck(function, leaves)


@pytest.mark.parametrize("engine", FAST)
def test_the_fast_engines_refuse_a_second_derivative(engine: str) -> None:
    arguments = draw_scan()
    u = arguments["u"].requires_grad_()
    (gradient,) = torch.autograd.grad((scan(engine, arguments)[0] ** 2).sum(), u, create_graph=True)
    with pytest.raises(RuntimeError, match="selective_scan_backward"):
        gradient.sum().backward()


@pytest.mark.parametrize("engine", FAST)
def test_the_operator_passes_the_checks_of_torch(engine: str) -> None:
    from vmamba_kernels import custom_ops

    arguments = draw_scan(dtype=torch.float32)
    inputs = [arguments[n].requires_grad_() for n in ("u", "delta", "A")]
    inputs += [arguments["B"].requires_grad_(), arguments["C"][:, None].detach().requires_grad_()]
    operator = torch.ops.vmamba.selective_scan.default
    for save in (False, True):
        options = (True, False, False, needs(engine), save)
        torch.library.opcheck(operator, (*inputs, None, arguments["z"], None, None, *options))
    x, weight = torch.randn(2, 3, 9, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    torch.library.opcheck(custom_ops.causal_conv1d.registered, (x, weight, None, None, True, False, engine))


@pytest.mark.parametrize("engine", ["numba", "triton"])
def test_outputs_and_gradients_lie_in_memory_as_the_inputs_do(engine: str) -> None:
    """The models keep channels side by side, and what follows the operators is fastest if that stays so.

    The operators must also say so to torch's compiler, which plans with the strides that their fake kernels give.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode

    def transposed(*shape: int) -> Tensor:
        return torch.randn(*shape).transpose(-1, -2).requires_grad_()

    def strides() -> list[tuple[int, ...]]:
        u, delta, z, B = transposed(2, 9, 4), transposed(2, 9, 4), transposed(2, 9, 4), transposed(2, 9, 3)
        A, weight, state = transposed(3, 4), transposed(4, 4), transposed(2, 3, 4)
        y = selective_scan(u, delta, A, B, B * 1.5, z=z, initial_state=state, backend=needs(engine))
        x = causal_conv1d(u, weight, backend=engine)
        leaves = (u, delta, z, B, A, weight, state)
        gradients = torch.autograd.grad((y.sum(), x.sum()), leaves)
        return [tensor.stride() for tensor in (y, x, *gradients)]

    real = strides()
    assert real[:6] == [(36, 1, 4)] * 5 + [(27, 1, 3)]
    with FakeTensorMode():
        assert strides() == real


@pytest.mark.slow
@pytest.mark.parametrize("engine", FAST)
def test_a_compiled_function_around_the_scan_computes_the_same(engine: str) -> None:
    arguments = draw_scan(dtype=torch.float32)
    u = arguments.pop("u").requires_grad_()
    needs(engine)

    def function(u: Tensor) -> Tensor:
        return selective_scan(2 * u, **arguments, delta_softplus=True, backend=engine).sin().sum()

    compiled = torch.compile(function, backend="aot_eager", fullgraph=True)
    assert relative_error(compiled(u), function(u)) <= 1e-6
    (ours,), (truth,) = torch.autograd.grad(compiled(u), u), torch.autograd.grad(function(u), u)
    assert relative_error(ours, truth) <= 1e-6


@pytest.mark.parametrize("width", [2, 3, 4])
@pytest.mark.parametrize("engine", ["reference", "numba"])
@pytest.mark.parametrize("length", [1, 2, 7, 33])
def test_the_convolution_is_that_of_torch(engine: str, width: int, length: int) -> None:
    generator = torch.Generator().manual_seed(width * 100 + length)
    x, weight, bias, before = (
        torch.randn(*shape, generator=generator, dtype=torch.float64, requires_grad=True)
        for shape in ((2, 5, length), (5, width), (5,), (2, 5, width - 1))
    )
    theirs = torch.nn.functional.conv1d(torch.cat([before, x], -1), weight[:, None], bias, groups=5)
    ours = causal_conv1d(x, weight, bias, initial_state=before, backend=needs(engine))
    assert relative_error(ours, theirs) <= EXACT
    gated = causal_conv1d(x, weight, bias, "silu", initial_state=before, backend=engine)
    truth = torch.nn.functional.silu(theirs)
    assert relative_error(gated, truth) <= EXACT
    weights = torch.randn(*truth.shape, generator=generator, dtype=torch.float64)
    leaves = (x, weight, bias, before)
    for a, b in zip(*(torch.autograd.grad((weights * y).sum(), leaves) for y in (gated, truth)), strict=True):
        assert relative_error(a, b) <= 1e-11


@pytest.mark.parametrize("engine", ["reference", "numba"])
def test_the_anticausal_convolution_is_flip_convolve_flip(engine: str) -> None:
    x, weight, after = torch.randn(2, 5, 9), torch.randn(5, 4), torch.randn(2, 5, 3)
    ours = causal_conv1d(x, weight, initial_state=after, reverse=True, backend=needs(engine))
    flipped = causal_conv1d(x.flip(-1), weight, initial_state=after.flip(-1), backend="reference").flip(-1)
    assert relative_error(ours, flipped) <= 1e-6
    longer = causal_conv1d(torch.cat([x, after], -1), weight, reverse=True, backend=engine)
    assert relative_error(ours, longer[..., :9]) <= 1e-6
