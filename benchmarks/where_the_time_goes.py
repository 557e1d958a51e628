"""Where the numba scan's time goes: its parts one by one, as the kernel calls them, on a tile in the first cache.

    python benchmarks/where_the_time_goes.py          # a minute; writes results/parts-cpu.json and the README's table

All figures are CPU time of one thread for VideoMamba-Ti, 8 frames, in milliseconds, the least of many tries: a part of
the kernel is called again and again on the same tile, and its time multiplied by the tiles of the whole. The whole is a
call of the public function. Python's part in it is a call with next to nothing to compute, right after a whole scan: a
scan drives all that Python and torch need out of the nearer caches, and one call finds there what the one before it has
left. What the parts do not explain is memory: inputs that have to come from further away than the first cache.
"""

import argparse
import sys
from collections.abc import Callable
from functools import cache
from inspect import unwrap
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from vmamba_kernels import selective_scan

from benchmarks import machine, report, tables
from benchmarks.measure import thread_seconds
from benchmarks.shapes import Shape, draw_scan, shapes

TRIES = 100
ROUNDS = 400  # of a part, in one try


@cache
def parts() -> dict[str, Callable[..., None]]:
    """Each part, for a tile of a block, as a function of (rounds, scan, tile, block, ahead)."""
    from numba import njit
    from vmamba_kernels.machine import flush_denormals, restore_denormals
    from vmamba_kernels.numba_scan import apply_gate, carry_states, prepare_steps

    def states(rounds, scan, tile, block, ahead):
        mode = flush_denormals()
        for _ in range(rounds):
            for s in range(block.shape[1]):
                needed = ahead, 0, 0, 0
                carry_states(scan, block[:, s], scan.B[0, 0], scan.C[0, 0], tile, needed, s, 0, tile.shape[1])
        restore_denormals(mode)

    def steps(rounds, scan, tile, block, ahead):
        mode = flush_denormals()
        for _ in range(rounds):
            prepare_steps(scan.delta[0].T, scan.u[0].T, tile, block, tile.shape[1], True)
        restore_denormals(mode)

    def gate(rounds, scan, tile, block, ahead):
        mode = flush_denormals()
        for _ in range(rounds):
            apply_gate(ahead[0].T, scan.z[0].T, tile, tile.shape[1])
        restore_denormals(mode)

    # Without reference counts, as in a kernel. Unwrapped: a type checker put around every function of a library, as
    # tests do, cannot be compiled.
    used = {"states: exponential, update, read-out": states, "softplus, Δ u and D u": steps, "gate": gate}
    return {name: njit(_nrt=False, nogil=True)(unwrap(part)) for name, part in used.items()}


def workplace(shape: Shape) -> tuple[Any, ...]:
    """(scan, tile, block, ahead): the first tile of the first block of a scan, prepared as the kernel prepares it."""
    from vmamba_kernels import numba_cpu, numba_scan
    from vmamba_kernels.direction import Direction
    from vmamba_kernels.kernel_launch import lanes

    one_tile = Shape(shape.model, lanes(torch.float32), shape.frames, 1, numba_cpu.SCAN_TILE, shape.state)
    x = draw_scan(one_tile)
    names = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
    directions = [Direction(*(x[name] for name in names), None, True, False, False)]
    tensors = [*numba_cpu._in_memory(directions), torch.empty_like(x["u"]), torch.empty(1, *x["A"].shape)]
    arrays = [None if tensor is None else tensor.numpy() for tensor in tensors]
    work = numba_cpu._forward_work(arrays, numba_cpu._options(directions), 1)
    scan = work.arguments[0][0]
    tile, blocks = (torch.empty(shape).numpy() for shape in work.workspace)
    block = blocks[:, 0]
    tile[:], block[:] = 0.01, 0.0
    numba_scan.prepare_rates(scan, block, 0, lanes(torch.float32))
    return scan, tile, block, scan.u.copy("K")


def measure(shape: Shape, tries: int = TRIES) -> dict[str, Any]:
    """Milliseconds of one thread: {"parts": {name: ms}, "whole": ms, "floor": ms}."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        place = workplace(shape)
        vectors = place[1].shape[1] * place[1].shape[2]
        found = {}
        for name, part in parts().items():
            seconds = _least(lambda part=part: part(ROUNDS, *place), tries) / ROUNDS
            found[name] = 1e3 * seconds * shape.tokens / vectors
        whole, tiny = _call(shape), _call(Shape(shape.model, place[1].shape[2], shape.frames, 1, 1, shape.state))
        found["the call through Python"] = 1e3 * _least(tiny, tries, before=whole)
        floor = machine.floor(shape, "forward", machine.measure_limits("cpu"))
        return {"parts": found, "whole": 1e3 * _least(whole, tries), "floor": floor["floor"]}
    finally:
        torch.set_num_threads(threads)


def _call(shape: Shape) -> Callable[[], Any]:
    arguments = {name: value for name, value in draw_scan(shape).items() if name != "grad_y"}
    return lambda: selective_scan(**arguments, backend="numba")


def _least(work: Callable[[], Any], tries: int, before: Callable[[], Any] = lambda: None) -> float:
    """Of one try, in seconds; `before` is called before each."""
    work()  # compiles

    def one_try() -> float:
        before()
        return thread_seconds(work)

    return min(one_try() for _ in range(tries))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    about = machine.describe("cpu")
    results = {"machine": about | {"threads": 1}} | measure(shapes()[0])
    report.save(results, "parts-cpu", options.out)
    print(tables.parts_table(results))


if __name__ == "__main__":
    main()
