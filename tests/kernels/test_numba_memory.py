"""The kernels work with raw addresses. Here every tensor ends where memory ends, so that one byte too far is fatal.

The inputs, the outputs and the workspace of the engine all lie between forbidden pages, flush with the one after them
or the one before; the scripts run in processes of their own, which must survive.
"""

import mmap
import sys

import pytest
from numba_scans import run_python

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or mmap.PAGESIZE > 65536, reason="memory protection is set by Linux calls"
)

PREPARE = """
import itertools, random
import torch
from guarded_memory import Guarded
from numba_scans import LAYOUTS, error, lay, loop_conv, loop_scan
from vmamba_kernels import kernel_launch, numba_cpu

torch.set_num_threads(2)
plain_empty, plain_empty_like = torch.empty, torch.empty_like
kernel_launch.WORTH_A_THREAD = 1  # as many threads as there are items

def guard(memory):
    def empty(*shape, dtype=torch.float32):
        return memory.empty(shape[0] if len(shape) == 1 and not isinstance(shape[0], int) else shape, dtype)

    def empty_like(x, dtype=None):
        like = plain_empty_like(x, dtype=dtype or x.dtype)
        return memory.empty((like.numel(),), like.dtype).as_strided(like.shape, like.stride())

    torch.empty, torch.empty_like = empty, empty_like

def unguard():
    torch.empty, torch.empty_like = plain_empty, plain_empty_like
"""

SCANS = """
dtype = torch.{dtype}
random.seed(0)
torch.manual_seed(0)
for dim, length in itertools.product(range(1, 18), range(1, 18)):
    batch, states = random.randint(1, 2), random.choice((1, 2, 3, 4, 5, 8))
    groups = random.choice([g for g in (1, 2, 3) if dim % g == 0])
    layouts = [random.choice(LAYOUTS) for _ in range(6)]
    flags = [random.random() < 0.5 for _ in range(3)]
    sequences = [lay(torch.rand(batch, dim, length, dtype=dtype), layout) for layout in layouts[:4]]
    maps = [
        lay(torch.rand(batch, groups, states, length, dtype=dtype), layout)
        if random.random() < 0.8 else torch.rand(dim, states, dtype=dtype)
        for layout in layouts[4:]
    ]
    u, delta, z, grad_y = sequences
    A = -torch.rand(dim, states, dtype=dtype)
    tensors = [u, delta, A, *maps, torch.rand(dim, dtype=dtype), z, torch.rand(dim, dtype=dtype),
               torch.rand(batch, dim, states, dtype=dtype)]
    grad_last = torch.rand(batch, dim, states, dtype=dtype)
    expected = loop_scan(*(x.double() for x in tensors), *flags)
    memory = Guarded(at_end=random.random() < 0.5)
    inside = [memory.copy(x) for x in tensors]
    incoming = [memory.copy(grad_y), memory.copy(grad_last)]
    guard(memory)
    try:
        y, last = numba_cpu.scan_forward(*inside, *flags)
        gradients = numba_cpu.scan_backward(*incoming, *inside, *flags)
    finally:
        unguard()
    assert error(y, expected[0]) < 1e-5 and error(last, expected[1]) < 1e-5
    assert all(g.isfinite().all() for g in gradients)
    del y, last, gradients, inside, incoming
    memory.check_and_free()
"""

CONVOLUTIONS = """
dtype = torch.{dtype}
random.seed(0)
torch.manual_seed(0)
for dim, length in itertools.product(range(1, 18), range(1, 18)):
    batch, width = random.randint(1, 2), random.randint(2, 4)
    flags = [random.random() < 0.5 for _ in range(2)]
    x, grad_y = (lay(torch.rand(batch, dim, length, dtype=dtype), random.choice(LAYOUTS)) for _ in range(2))
    tensors = [x, *(torch.rand(s, dtype=dtype) for s in ((dim, width), (dim,), (batch, dim, width - 1)))]
    expected = loop_conv(*(x.double() for x in tensors), *flags)
    memory = Guarded(at_end=random.random() < 0.5)
    inside, incoming = [memory.copy(x) for x in tensors], memory.copy(grad_y)
    guard(memory)
    try:
        y = numba_cpu.conv_forward(*inside, *flags)
        gradients = numba_cpu.conv_backward(incoming, *inside, *flags)
    finally:
        unguard()
    assert error(y, expected) < 1e-5
    assert all(g.isfinite().all() for g in gradients)
    del y, gradients, inside, incoming
    memory.check_and_free()
"""

LONGER = """
# Whole vectors, whole tiles and their edges, in the layouts that are loaded and transposed in registers.
dtype = torch.{dtype}
torch.manual_seed(0)
for dim, length, layout, reverse in itertools.product((16, 33), (31, 64, 129), LAYOUTS[:3], (False, True)):
    tensors = [lay(torch.rand(1, dim, length, dtype=dtype), layout) for _ in range(2)]
    tensors += [-torch.rand(dim, 16, dtype=dtype)]
    tensors += [lay(torch.rand(1, 1, 16, length, dtype=dtype), layout) for _ in range(2)]
    tensors += [torch.rand(dim, dtype=dtype), tensors[0].clone(), torch.rand(dim, dtype=dtype)]
    tensors += [torch.rand(1, dim, 16, dtype=dtype)]
    memory = Guarded(True)
    inside = [memory.copy(x) for x in tensors]
    guard(memory)
    try:
        y, last = numba_cpu.scan_forward(*inside, True, reverse, False)
        gradients = numba_cpu.scan_backward(inside[0], last, *inside, True, reverse, False)
        z = numba_cpu.conv_forward(inside[0], inside[2][:, :4], None, None, True, reverse)
        more = numba_cpu.conv_backward(inside[6], inside[0], inside[2][:, :4], None, None, True, reverse)
    finally:
        unguard()
    del y, last, gradients, z, more, inside
    memory.check_and_free()
"""


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("script", [SCANS, CONVOLUTIONS, LONGER], ids=["scans", "convolutions", "longer"])
def test_nothing_beyond_a_tensor_is_touched(script: str, dtype: str) -> None:
    run_python(PREPARE + script.format(dtype=dtype))


def test_the_guard_kills() -> None:
    """The test above can fail: one byte too far ends the process, one byte changed beside a tensor is noticed."""
    prepare = "import ctypes, torch; from guarded_memory import Guarded; "
    beyond = "x = Guarded(at_end=True).empty((5,)); ctypes.string_at(x.data_ptr(), 21)"
    with pytest.raises(AssertionError, match="exit status -11"):
        run_python(prepare + beyond)
    beside = "m = Guarded(at_end=False); x = m.empty((5,)); ctypes.memset(x.data_ptr() + 20, 0, 1); m.check_and_free()"
    with pytest.raises(AssertionError, match="wrote beside a tensor"):
        run_python(prepare + beside)
