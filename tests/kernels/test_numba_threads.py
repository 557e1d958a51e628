"""The numba engine among threads, forks and workers: whoever calls, whenever, gets the same numbers and comes back.

Each test is a process of its own, so that what goes wrong (an abort, a hang) ends that process and not the tests.
"""

import os
import sys

import pytest
from numba_scans import run_python

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")

PREPARE = """
import os, sys, threading
import torch
from vmamba_kernels import kernel_launch, numba_cpu
torch.set_num_threads(4)
kernel_launch.WORTH_A_THREAD = 1  # as many threads as there are items

def example(seed):
    generator = torch.Generator().manual_seed(seed)
    x = lambda *shape: torch.randn(*shape, generator=generator)
    u, delta, z, grad = (x(2, 200, 64) for _ in range(4))
    A, B, C = -x(200, 8).abs(), x(2, 1, 8, 64), x(2, 1, 8, 64)
    return grad, (u, delta, A, B, C, x(200), z, x(200), x(2, 200, 8), True, False, False)

def compute(seed):
    grad, arguments = example(seed)
    y, last = numba_cpu.scan_forward(*arguments)
    conv = numba_cpu.conv_forward(arguments[0], arguments[2][:, :4], None, None, True, False)
    return (y, last, conv, *numba_cpu.scan_backward(grad, last, *arguments))

def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a, b))
"""


def test_several_threads_call_at_once() -> None:
    run_python(
        PREPARE
        + """
expected = [compute(seed) for seed in range(6)]
failures = []
def call(seed):
    for _ in range(15):
        if not same(compute(seed), expected[seed]):
            failures.append(seed)
threads = [threading.Thread(target=call, args=(seed,)) for seed in range(6)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert not failures
"""
    )


def test_the_first_calls_may_come_from_several_threads() -> None:
    """Compilation and the making of the pool are not repeated, nor do they fail, when two threads are first at once."""
    run_python(
        PREPARE
        + """
results = []
threads = [threading.Thread(target=lambda: results.append(compute(0))) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
assert len(results) == 4 and all(same(results[0], other) for other in results)
"""
    )


@forks
def test_a_process_forks_after_a_call() -> None:
    run_python(
        PREPARE
        + """
expected = compute(0)
def fork(generations):
    child = os.fork()
    if not child:  # computes, and forks in turn
        right = same(compute(0), expected) and (generations == 1 or fork(generations - 1))
        os._exit(0 if right else 1)  # as multiprocessing ends a child; torch's own threads do not survive an ordinary
        end
    ended_well = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return ended_well and same(compute(0), expected)
assert fork(3)
"""
    )


@forks
def test_a_process_forks_while_another_thread_computes() -> None:
    run_python(
        PREPARE
        + """
expected = compute(0)
stop = threading.Event()
def keep_calling():
    while not stop.is_set():
        compute(1)
thread = threading.Thread(target=keep_calling)
thread.start()
for _ in range(10):
    child = os.fork()
    if not child:
        os._exit(0 if same(compute(0), expected) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
stop.set()
thread.join()
"""
    )


@pytest.mark.parametrize("method", [pytest.param("fork", marks=forks), "spawn"])
def test_workers_of_a_data_loader_call(method: str) -> None:
    script = (
        PREPARE
        + """
class Scans(torch.utils.data.Dataset):
    def __len__(self):
        return 4
    def __getitem__(self, seed):
        torch.set_num_threads(4)  # a worker starts with one thread
        return compute(seed)[0]

if __name__ == "__main__":
    expected = [compute(seed)[0] for seed in range(4)]
    loader = torch.utils.data.DataLoader(Scans(), batch_size=None, num_workers=2, multiprocessing_context="METHOD")
    assert same(list(loader), expected)
""".replace("METHOD", method)
    )
    # A spawned worker imports the main module again, so it must be a file.
    run_python(
        f"import pathlib, runpy, sys, tempfile; folder = tempfile.mkdtemp(); path = pathlib.Path(folder, 'loads.py')\n"
        f"path.write_text({script!r}); sys.argv = [str(path)]\n"
        "import subprocess; sys.exit(subprocess.run([sys.executable, str(path)]).returncode)"
    )


TEAM = """
import numpy as np
from numba import njit
from vmamba_kernels.kernel_compilation import part
from vmamba_kernels.openmp_runtime import HAS_RUNTIME
from vmamba_kernels.thread_team import on_team

@part
def multiply(thread, a, b, product, calls):
    product[thread] = a[thread] * b[thread]
    calls[thread] += 1

@njit(_nrt=False, nogil=True)
def multiply_together(threads, thread, a, b, product, calls):
    on_team(multiply, threads, thread, (a, b, product, calls))
"""


def test_a_team_calls_once_on_each_thread() -> None:
    run_python(
        PREPARE
        + TEAM
        + """
for threads in (1, 2, 3, 4, 2) if HAS_RUNTIME else (1,):
    a, b, product, calls = np.arange(5.0), np.full(5, 2.0), np.zeros(5), np.zeros(5, np.int64)
    multiply_together(threads, 0, a, b, product, calls)
    assert calls.tolist() == [1] * threads + [0] * (5 - threads)
    assert product.tolist() == [2.0 * i if i < threads else 0.0 for i in range(5)]
multiply_together(1, 4, a, b, product, calls)  # alone, in the place of the thread that is named
assert calls[4] == 1 and product[4] == 8
"""
    )


@pytest.mark.parametrize("team", [True, False])
def test_the_thread_count_of_torch_is_honoured(team: bool) -> None:
    """Alone with one thread, or with little to do; else with all. Without OpenMP's team Python's threads take over."""
    run_python(
        PREPARE
        + f"kernel_launch.Team.available = {team} and kernel_launch.Team.available\n"
        + """
asked, compiled = [], kernel_launch._compiled
def recording(*arguments):
    run = compiled(*arguments)
    return lambda threads, thread, *rest: (asked.append((threads, thread)), run(threads, thread, *rest))
kernel_launch._compiled = recording
expected = compute(0)
for threads in (1, 2, 3, 4):
    asked.clear()
    torch.set_num_threads(threads)
    assert same(compute(0), expected)
    most = max(number for number, _ in asked) if kernel_launch.Team.available else 1 + max(i for _, i in asked)
    assert most <= threads and (most == threads or not kernel_launch.Team.available), (asked, threads)
kernel_launch.WORTH_A_THREAD = 1 << 40  # small work stays with the caller
asked.clear()
compute(0)
assert set(asked) == {(1, 0)}
"""
    )


@pytest.mark.parametrize("layer", ["workqueue", "omp", "tbb"])
def test_another_library_has_chosen_a_threading_layer(layer: str) -> None:
    run_python(
        PREPARE
        + """
import numba, numpy as np
numba.config.THREADING_LAYER = "@@"

@numba.njit(parallel=True)
def total(x):
    result = 0.0
    for i in numba.prange(x.size):
        result += x[i]
    return result

expected = compute(0)
try:
    assert total(np.ones(1000)) == 1000
except ValueError as error:  # this layer is not installed
    assert "No threading layer could be loaded" in str(error)
else:
    assert numba.threading_layer() == "@@"
assert same(compute(0), expected)
""".replace("@@", layer)
    )


def test_calls_at_the_very_end_of_a_process() -> None:
    """When Python shuts down it starts no more threads; the engine works on alone."""
    assert "computed" in run_python(
        PREPARE
        + """
import atexit
expected = compute(0)
atexit.register(lambda: print("computed" if same(compute(0), expected) else "differs"))
"""
    )


@pytest.mark.skipif(sys.platform != "linux", reason="reads the mode with glibc's functions")
def test_the_floating_point_mode_is_left_as_it_was() -> None:
    """Denormal numbers are what they were for the caller and for every thread of the team, whatever mode it was in."""
    run_python(
        PREPARE
        + TEAM
        + """
threads = 4 if HAS_RUNTIME else 1
def modes():
    a, b, product, calls = np.full(4, 1e-38, "f4"), np.full(4, 1e-3, "f4"), np.ones(4, "f4"), np.zeros(4, np.int64)
    multiply_together(threads, 0, a, b, product, calls)
    return (product == 0).tolist()
for flush in (False, True, False) * 3:
    torch.set_flush_denormal(flush)
    before = modes()  # a thread of the team has the mode that its maker had when it was made
    assert before[0] == flush
    compute(0)
    assert modes() == before
"""
    )
