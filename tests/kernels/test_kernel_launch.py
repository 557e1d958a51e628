"""What calls alike have in common is worked out once, and holds for the next of them wherever its tensors lie."""

import gc

import numpy as np
import pytest
import torch
from torch import Tensor
from vmamba_kernels import causal_conv1d, kernel_launch, numba_sums, selective_scan
from vmamba_kernels.kernel_launch import Work, lanes, launch


def drawn(*shape: int) -> Tensor:
    return torch.rand(*shape) - 0.5


def arguments(seed: int) -> list[Tensor]:
    """u, delta, A, B, C, D, z and delta_bias of a small scan."""
    torch.manual_seed(seed)
    sequences = [drawn(2, 19, 70) for _ in range(3)]
    maps = [drawn(2, 5, 70) for _ in range(2)]
    return [*sequences[:2], -torch.rand(19, 5), *maps, drawn(19), sequences[2], drawn(19)]


def agree(tensors: list[Tensor], reverse: bool = False) -> None:
    """The engine, outputs and gradients, against the reference."""
    found = []
    for engine in ("numba", "reference"):
        leaves = [x.clone().requires_grad_() for x in tensors]
        y = selective_scan(*leaves, delta_softplus=True, reverse=reverse, backend=engine)
        found.append([y, *torch.autograd.grad(y.square().sum(), leaves)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)


def test_work_is_arranged_once_for_all_tensors_of_one_layout() -> None:
    seen = []

    def work(arrays: list[np.ndarray], terms: int) -> Work:
        seen.append((arrays[0].shape, terms))
        return Work((arrays[0], np.array([terms]), lanes(arrays[0].dtype)), items=1, updates=1)

    for parts in (torch.ones(1, 1, 2, 35), torch.full((1, 1, 2, 35), 3.0)):
        expected = parts[0, 0].sum(0)
        launch(numba_sums.add_teams, work, torch.float32, [parts], 2)
        assert torch.equal(parts[0, 0, 0], expected)
    assert seen == [((1, 1, 2, 35), 2)]
    others = torch.ones(1, 1, 4, 35)
    launch(numba_sums.add_teams, work, torch.float32, [others], 4)  # another shape
    assert (others[0, 0, 0] == 4).all()
    apart = torch.ones(1, 1, 8, 35)[:, :, ::4]
    launch(numba_sums.add_teams, work, torch.float32, [apart], 2)  # the first shape, and other strides
    assert (apart[0, 0, 0] == 2).all()
    launch(numba_sums.add_teams, work, torch.float32, [torch.ones(1, 1, 2, 35)], 1)  # another option
    assert len(seen) == 4


@pytest.mark.parametrize("reverse", [False, True])
def test_tensors_that_were_one_are_told_apart_the_next_time(reverse: bool) -> None:
    first = arguments(0)
    first[1] = first[6] = first[0]
    first[4] = first[3]
    agree(first, reverse)
    agree(arguments(1), reverse)


def test_what_stands_for_absent_arguments_outlives_whoever_made_it() -> None:
    x, weight = drawn(1, 7, 40), drawn(7, 3)
    expected = causal_conv1d(x, weight, backend="numba")
    kernel_launch.zeros.cache_clear()
    gc.collect()
    rubbish = [np.full(size, np.nan, np.float32) for size in range(1, 200)]
    assert torch.equal(causal_conv1d(x, weight, backend="numba"), expected)
    assert rubbish


def test_a_tensor_whose_numbers_stand_elsewhere_is_written_out_first() -> None:
    """torch keeps the negative of a tensor as a mark, and a tensor of zeros as none at all."""
    x, weight = drawn(1, 7, 40), drawn(7, 3)
    conjugate = torch.complex(x, x).conj().imag
    nothing = torch._efficientzerotensor(x.shape)
    assert conjugate.is_neg()
    assert nothing.data_ptr() == 0
    assert torch.equal(causal_conv1d(conjugate, weight, backend="numba"), causal_conv1d(-x, weight, backend="numba"))
    assert not causal_conv1d(nothing, weight, backend="numba").any()


def test_many_layouts_in_turns() -> None:
    for length in (*range(1, 34), 1, 2, 33):
        tensors = [x[..., :length] if x.dim() == 3 else x for x in arguments(length)]
        y = selective_scan(*tensors, delta_softplus=True, backend="numba")
        expected = selective_scan(*tensors, delta_softplus=True, backend="reference")
        torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
