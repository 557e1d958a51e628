"""What it costs that memory comes fresh from the system: long scans, whose tensors are too large to be kept.

    python benchmarks/fresh_memory.py    # a minute; writes results/fresh_memory-cpu.json and the README's table

A tensor of more than 32 MB goes back to the system when it is no longer used, and the next one of its size is new: the
system finds and clears it page by page, at the first touch of each. For such tensors the numba engine asks for pages of
2 MB instead of 4 kB. The same call is timed without and with that, in a process each. Linux with glibc.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from vmamba_kernels import huge_pages, selective_scan

from benchmarks import machine, report, tables
from benchmarks.cases import DIRECTIONS
from benchmarks.measure import wall_seconds
from benchmarks.shapes import Shape, draw_scan, shapes

SHAPES = ("S-64-1", "Ti-64-4")
CALLS = 7


def measure(shape: Shape, direction: str, calls: int = CALLS) -> dict[str, float]:
    """The median of the calls in milliseconds, and the pages a call touches for the first time."""
    call = _call(shape, direction)
    for _ in range(2):  # compiled, and the C library has seen what is asked of it
        call()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    seconds = [wall_seconds(call) for _ in range(calls)]
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    return {"ms": 1e3 * statistics.median(seconds), "faults": faults / calls}


def _call(shape: Shape, direction: str) -> Callable[[], Any]:
    arguments = draw_scan(shape)
    grad_y = arguments.pop("grad_y")
    if direction == "forward":
        return lambda: selective_scan(**arguments, backend="numba")
    inputs = [x.requires_grad_() for x in arguments.values() if isinstance(x, torch.Tensor)]
    return lambda: torch.autograd.grad(selective_scan(**arguments, backend="numba"), inputs, grad_y)


def in_own_process(shape: Shape, direction: str, huge: bool) -> dict[str, Any]:
    """What `measure` finds in a new process, whose engine asks for huge pages, or does not."""
    command = [sys.executable, __file__, "--child", shape.key, direction, "huge" if huge else "usual"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return {"shape": shape.key, "direction": direction, "huge": huge} | json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    known = {shape.key: shape for shape in shapes()}
    if options.child:
        key, direction, pages = options.child
        if pages == "usual":
            huge_pages.LARGE = sys.maxsize
        print(json.dumps(measure(known[key], direction)))
        return
    about = machine.describe("cpu")
    cases = [(known[key], direction, huge) for key in SHAPES for direction in DIRECTIONS for huge in (False, True)]
    records = [in_own_process(*case) for case in cases]
    limits = machine.measure_limits("cpu")
    floors = [{"shape": k, "direction": d} | machine.floor(known[k], d, limits) for k in SHAPES for d in DIRECTIONS]
    sizes = {key: {n: getattr(known[key], n) for n in ("dim", "length", "batch", "state")} for key in SHAPES}
    results = {"machine": about, "shapes": sizes, "measurements": records, "floors": floors}
    report.save(results, "fresh_memory-cpu", options.out)
    print(tables.fresh_memory_table(results))


if __name__ == "__main__":
    main()
