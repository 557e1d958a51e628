"""Training flushes denormals to zero; whoever calls it does not."""

import pytest
import torch
from numba_scans import run_python
from vmamba_kernels.openmp_runtime import HAS_RUNTIME

from vmamba_edu.training.denormals import run_flushing_denormals

SMALLEST = 5e-324  # a denormal of double precision: what Python computes with shows the mode of its thread
SUPPORTED = torch.set_flush_denormal(False)
pytestmark = pytest.mark.skipif(not SUPPORTED, reason="this processor cannot flush denormals")


def flushes_here() -> bool:
    return SMALLEST * 1.0 == 0.0


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def flushes(denormals: torch.Tensor) -> tuple[bool, bool]:
    """Of all of torch's threads that share this work: whether any does, and whether all do."""
    zero = denormals * 1.0 == 0
    return bool(zero.any()), bool(zero.all())


def test_inside_they_are_zero_in_all_threads_and_outside_in_none(two_threads):
    denormals = torch.full((1 << 20,), 1e-40)  # enough for torch to share out
    assert flushes(denormals) == (False, False)
    assert run_flushing_denormals(lambda _: flushes(denormals)) == (True, True)
    assert flushes(denormals) == (False, False)
    assert not flushes_here()


@pytest.mark.skipif(not HAS_RUNTIME, reason="torch computes without OpenMP here")
def test_the_caller_keeps_no_threads_that_the_training_would_have_to_share_processors_with():
    """With more threads than processors every operator begins by waking them: a small step takes twice as long."""
    run_python("""
import psutil, torch
from vmamba_edu.training.denormals import run_flushing_denormals
torch.set_num_threads(2)

def number_of_threads():
    torch.ones(1 << 20).sum()  # enough for torch to share out
    return psutil.Process().num_threads()

before = number_of_threads()
assert run_flushing_denormals(lambda _: number_of_threads()) == before + 1  # that of the training itself
""")


def test_a_caller_who_flushes_goes_on_flushing():
    torch.set_flush_denormal(True)
    try:
        assert run_flushing_denormals(lambda _: flushes_here())
        assert flushes_here()
    finally:
        torch.set_flush_denormal(False)


def test_errors_come_through_and_the_mode_is_as_before():
    def fail(_: object) -> None:
        raise ArithmeticError("as it is")

    with pytest.raises(ArithmeticError, match="as it is"):
        run_flushing_denormals(fail)
    assert not flushes_here()
