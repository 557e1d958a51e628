"""The three scans: one result, different depth and work."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vmamba_edu.ssm import blelloch, combine, hillis_steele, sequential

LENGTHS = [1, 2, 3, 7, 8, 13, 64]


def drawn(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(length)
    return tuple(torch.rand(length, generator=generator, dtype=torch.float64) * 2 - 1 for _ in range(2))


@pytest.mark.parametrize("length", LENGTHS)
def test_all_three_are_the_recurrence(length: int) -> None:
    a, b = drawn(length)
    h, expected = torch.zeros(()).double(), []
    for t in range(length):
        h = a[t] * h + b[t]
        expected.append(h)
    for scan in (sequential, hillis_steele, blelloch):
        torch.testing.assert_close(scan(a, b).h, torch.stack(expected), rtol=1e-12, atol=1e-12)


@given(st.lists(st.floats(-2, 2), min_size=6, max_size=6))
def test_in_which_order_neighbours_are_joined_does_not_matter(numbers: list[float]) -> None:
    first, second, third = (tuple(pair) for pair in torch.tensor(numbers).double().reshape(3, 2))
    left, right = combine(combine(first, second), third), combine(first, combine(second, third))
    torch.testing.assert_close(torch.stack(left), torch.stack(right), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("length", LENGTHS)
def test_depth_and_work(length: int) -> None:
    a, b = drawn(length)
    levels = math.ceil(math.log2(length))
    assert (sequential(a, b).depth, sequential(a, b).work) == (length - 1, length - 1)
    assert hillis_steele(a, b).depth == levels
    assert hillis_steele(a, b).work == sum(length - 2**k for k in range(levels))
    size = 2**levels
    assert blelloch(a, b).depth == 2 * levels + 1
    assert blelloch(a, b).work == 2 * (size - 1) + size


@pytest.mark.parametrize("scan", [sequential, hillis_steele, blelloch])
def test_every_level_reads_only_what_the_level_before_wrote(scan) -> None:
    """All of a level may happen at once: no place is written twice in it."""
    a, b = drawn(13)
    for level in scan(a, b).levels:
        written = [into for _, into in level.joins]
        assert len(written) == len(set(written))


def test_what_is_not_two_vectors_is_refused() -> None:
    with pytest.raises(ValueError, match="expected two vectors of one length"):
        blelloch(torch.ones(3), torch.ones(4))
