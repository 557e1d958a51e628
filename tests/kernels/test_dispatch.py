"""A call goes straight to its engine where only a derivative is asked for, and through torch's dispatcher elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.utils.flop_counter import FlopCounterMode
from vmamba_kernels import bidirectional_scan, causal_conv1d, custom_ops, selective_scan
from vmamba_kernels.dispatch import Operator


def scan(u: Tensor, other: Tensor, A: Tensor, B: Tensor) -> Tensor:
    return selective_scan(u, other, A, B, B, z=other, delta_softplus=True, backend="numba")


def both(u: Tensor, other: Tensor, A: Tensor, B: Tensor) -> Tensor:
    side = {"u": u, "delta": other, "A": A, "B": B, "C": B, "delta_softplus": True}
    return bidirectional_scan(side, side | {"z": u}, backend="numba")


def conv(u: Tensor, other: Tensor, A: Tensor, B: Tensor) -> Tensor:
    return causal_conv1d(u, A, activation="silu", backend="numba")


CALLS = {"selective_scan": scan, "bidirectional_scan": both, "causal_conv1d": conv}
calls = pytest.mark.parametrize("name", list(CALLS))


def draw(requires_grad: bool = False) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    u, other, A, B = (torch.randn(*s, generator=generator) for s in ((2, 5, 9), (2, 5, 9), (5, 4), (2, 4, 9)))
    return tuple(x.requires_grad_(requires_grad) for x in (u, other, -A.abs(), B))


@contextmanager
def registered(name: str) -> Iterator[list[str]]:
    """Counts what goes through the dispatcher."""
    operator: Operator = getattr(custom_ops, name)
    seen, real = [], operator.registered

    def spy(*arguments: Any) -> Any:
        seen.append(name)
        return real(*arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operator, "registered", spy)
        yield seen


@calls
def test_a_plain_call_goes_straight_there_and_back(name: str) -> None:
    tensors = draw(requires_grad=True)
    with registered(name) as seen, registered(f"{name}_backward") as seen_backward:
        CALLS[name](*tensors).sum().backward()
        with torch.no_grad():
            CALLS[name](*tensors)
        CALLS[name](*draw())
    assert not seen
    assert not seen_backward
    assert tensors[0].grad is not None


@calls
def test_both_ways_compute_the_same(name: str) -> None:
    straight, through = draw(requires_grad=True), draw(requires_grad=True)
    y = CALLS[name](*straight)
    with registered(name) as seen, FlopCounterMode(display=False):
        other = CALLS[name](*through)
        other.square().sum().backward()
    y.square().sum().backward()
    assert seen
    assert torch.equal(y, other)
    for ours, theirs in zip(straight, through, strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        assert ours.grad is None or torch.equal(ours.grad, theirs.grad)


class Marked(Tensor):
    """A tensor that is more than a tensor."""


LOOKING_ON: dict[str, Callable[[], AbstractContextManager]] = {
    "fake tensors": FakeTensorMode,
    "a counter": lambda: FlopCounterMode(display=False),
}


@calls
@pytest.mark.parametrize("who", list(LOOKING_ON))
def test_a_mode_sees_the_call(name: str, who: str) -> None:
    with LOOKING_ON[who](), registered(name) as seen:
        CALLS[name](*draw())
    assert seen == [name]


@calls
def test_a_tensor_of_another_kind_sees_the_call(name: str) -> None:
    u, *others = draw()
    with registered(name) as seen:
        CALLS[name](u.as_subclass(Marked), *others)
    assert seen == [name]


@calls
def test_tensors_without_data_have_a_result_without_data(name: str) -> None:
    tensors = draw(requires_grad=True)
    with registered(name) as seen:
        y = CALLS[name](*(x.to("meta") for x in tensors))
    assert seen == [name]
    assert y.is_meta
    assert y.shape == CALLS[name](*tensors).shape


@calls
def test_many_calls_are_mapped_by_torch(name: str) -> None:
    u, *others = draw()
    several = torch.stack([u, 2 * u])
    with registered(name) as seen:
        ours = torch.func.vmap(lambda x: CALLS[name](x, *others))(several)
    assert seen == [name]
    assert torch.equal(ours, torch.stack([CALLS[name](x, *others) for x in several]))


@calls
def test_torch_func_differentiates(name: str) -> None:
    u, *others = draw()
    ours = torch.func.grad(lambda x: CALLS[name](x, *others).sum())(u)
    (truth,) = torch.autograd.grad(CALLS[name](u.requires_grad_(), *others).sum(), u)
    assert torch.equal(ours, truth)


@calls
def test_a_forward_derivative_is_refused_and_never_lost(name: str) -> None:
    u, *others = draw()
    with pytest.raises(NotImplementedError, match="forward mode"):
        torch.func.jvp(lambda x: CALLS[name](x, *others), (u,), (torch.ones_like(u),))
    with forward_ad.dual_level(), pytest.raises(NotImplementedError, match="forward mode"):
        CALLS[name](forward_ad.make_dual(u, torch.ones_like(u)), *others)


@calls
def test_gradient_checkpointing_computes_the_same(name: str) -> None:
    from torch.utils.checkpoint import checkpoint

    straight, again = draw(requires_grad=True), draw(requires_grad=True)
    CALLS[name](*straight).sum().backward()
    checkpoint(CALLS[name], *again, use_reentrant=False).sum().backward()
    assert torch.equal(straight[0].grad, again[0].grad)
