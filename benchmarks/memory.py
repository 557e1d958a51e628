"""Peak memory of every implementation, each in a process of its own.

    python benchmarks/memory.py                        # VideoMamba-Ti at 8 and 64 frames, every peer: some minutes
    python benchmarks/memory.py --shapes Ti-8-1 --peers ggml
    python benchmarks/memory.py --device cuda

Measured is the largest resident memory from before the inputs are made until the call returns, less what the process
held then, with libraries loaded and everything compiled at a tiny shape. Beside it stands what no implementation can do
without: inputs, output and, for the backward, all gradients. Does not depend on what else the machine is doing.
Needs Linux for the CPU; on a GPU `torch.cuda.max_memory_allocated` tells.
"""

import argparse
import fnmatch
import gc
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from torch import Tensor

from benchmarks import machine, report, tables
from benchmarks.cases import DIRECTIONS, Case
from benchmarks.laws import SMALL
from benchmarks.peers import Missing, Peer, load_peers
from benchmarks.shapes import Shape, draw_scan, shapes

RESULTS = Path(__file__).parent / "results"
SHAPES = ["Ti-8-1", "Ti-64-1"]
TIMEOUT = 120  # seconds a process
# Every larger piece of memory comes from the system and goes back to it at once: what is resident is what is used.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def necessary_bytes(shape: Shape, direction: str) -> int:
    """Inputs and y in float32; with the backward also the gradients of all of them."""
    inputs = 3 * shape.tokens + 2 * shape.batch * shape.state * shape.length + shape.dim * (shape.state + 2)
    numbers = inputs + shape.tokens
    return 4 * numbers * (2 if direction == "forward+backward" else 1)


def peak_bytes(case: Case, device: str) -> int:
    """Peak memory of one call and its inputs. To be called once a process."""
    Case(case.peer, SMALL, case.layout, case.direction).prepare(device)()
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = _prepare(case, device)()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated()
    else:
        before = _resident("VmRSS")
        call = _prepare(case, device)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
        result = call()
        peak = _resident("VmHWM")
    del result
    return peak - before


def _prepare(case: Case, device: str) -> Any:
    """The call, on inputs that own just their memory: in the model, z is a part of something larger."""
    arguments = draw_scan(case.shape, "model", device)
    for name, x in arguments.items():
        if isinstance(x, Tensor) and x.dim() == 3:
            arguments[name] = x.transpose(1, 2).clone(memory_format=torch.contiguous_format).transpose(1, 2)
    if case.direction == "forward":
        del arguments["grad_y"]
    arguments = {name: x for name, x in arguments.items() if name not in case.peer.leaves_out}
    function = case.peer.forward if case.direction == "forward" else case.peer.forward_backward
    return function(arguments)


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(field))


def in_own_process(file: str, case: Case, device: str) -> dict[str, Any]:
    """The record of a case, measured by this script in a new process."""
    command = [sys.executable, __file__, "--device", device, "--child", file, case.peer.name, case.shape.key]
    try:
        done = subprocess.run(
            [*command, case.direction], capture_output=True, text=True, timeout=TIMEOUT, env={**os.environ, **MALLOC}
        )
    except subprocess.TimeoutExpired:
        return case.record(reason=f"took longer than {TIMEOUT} s")
    if done.returncode != 0:
        return case.record(reason=(done.stderr.strip().splitlines() or ["the process was killed"])[-1])
    return case.record(peak=int(done.stdout.split()[-1]), necessary=necessary_bytes(case.shape, case.direction))


def files_and_peers(device: str, wanted: list[str] | None) -> list[tuple[str, Peer]]:
    from benchmarks.peers import FILES

    found = []
    for file in FILES[device]:
        if not wanted or file in wanted or file == "ours":
            peers, _ = load_peers(device, [file])
            names = {name for _, peer in found for name in [peer.name]}
            found += [(file, p) for p in peers if p.operator == "selective_scan" and p.name not in names]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--shapes", nargs="+", default=SHAPES, metavar="NAME")
    parser.add_argument("--peers", nargs="+", metavar="FILE")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    known = shapes((1, 4) if options.device == "cpu" else (1, 4, 16, 64))
    if options.child:
        file, name, key, direction = options.child
        peers, missing = load_peers(options.device, [file])
        if missing:
            raise Missing(missing[file])
        peer = next(p for p in peers if p.name == name and p.operator == "selective_scan")
        shape = next(s for s in known if s.key == key)
        print(peak_bytes(Case(peer, shape, "model", direction), options.device))
        return
    chosen = [s for s in known if any(fnmatch.fnmatch(s.key, pattern) for pattern in options.shapes)]
    cases = [
        (file, Case(peer, shape, "model", direction))
        for shape in chosen
        for file, peer in files_and_peers(options.device, options.peers)
        for direction in DIRECTIONS
        if direction == "forward" or peer.forward_backward
    ]
    records = []
    out = options.out or RESULTS / f"memory-{options.device}.json"
    about = machine.describe(options.device)
    for file, case in cases:
        records.append(in_own_process(file, case, options.device))
        print(f"{case.shape.key} {case.direction} {case.peer.name}: {records[-1]}", file=sys.stderr, flush=True)
        done = [r for r in records if "peak" in r]
        left_out = [r for r in records if "peak" not in r]
        sizes = {s.key: {n: getattr(s, n) for n in ("dim", "length", "batch", "state")} for s in chosen}
        results = {"machine": about, "shapes": sizes, "measurements": done, "skipped": left_out}
        out.write_text(json.dumps(results, indent=1) + "\n")
    print("\n\n".join(tables.memory_tables(results)))
    if not options.out and not options.peers and options.shapes == SHAPES:
        report.write_pages()


if __name__ == "__main__":
    main()
