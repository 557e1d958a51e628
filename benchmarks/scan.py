"""Time the operators of `vmamba_kernels` side by side with everything else that computes them.

    python benchmarks/scan.py                           # all shapes, all peers that are installed: ten minutes
    python benchmarks/scan.py --quick                   # one small shape, a minute; writes nothing
    python benchmarks/scan.py --shapes 'Ti-8-*' --peers ggml mambapy_scan
    python benchmarks/scan.py --device cuda             # on a GPU: batches to 64, peers mamba-ssm and causal-conv1d
    python benchmarks/scan.py --out mine.json --seconds 2

A shape is named model-frames-batch: Ti-8-1 is VideoMamba-Ti on 8 frames, batch 1. After every shape the results are
written to benchmarks/results/scan-DEVICE.json, so that an interrupted run keeps what it has. A full run also writes the
tables of kernels/README.md. benchmarks/README.md tells how to read them and how to get the peers.
"""

import argparse
import fnmatch
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from benchmarks import laws, machine, report, tables
from benchmarks.cases import DIRECTIONS, OPERATORS, Effort, Expectations, measure_cases, plan
from benchmarks.peers import FILES, Peer, load_peers
from benchmarks.shapes import Shape, shapes

RESULTS = Path(__file__).parent / "results"
BATCHES = {"cpu": (1, 4), "cuda": (1, 4, 16, 64)}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--shapes", nargs="+", metavar="NAME", default=["*"], help="names, or patterns such as 'Ti-*'")
    parser.add_argument("--peers", nargs="+", metavar="FILE", choices=sorted({f for fs in FILES.values() for f in fs}),
                        help="only these files of benchmarks/peers, and our own engines")  # fmt: skip
    parser.add_argument("--operators", nargs="+", choices=OPERATORS, default=OPERATORS)
    parser.add_argument("--threads", type=int, help="as many as torch takes, if not given")
    parser.add_argument(
        "--seconds", type=float, default=Effort.seconds, help="spent on each case (default %(default)s)"
    )
    parser.add_argument("--limit", type=float, default=Effort.limit,
                        help="seconds; a peer whose call takes longer is left out (default %(default)s)")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="the smallest shape only, briefly; writes only to --out")
    parser.add_argument("--out", type=Path, help="the JSON to write")
    return parser.parse_args(arguments)


def run(
    peers: list[Peer],
    missing: dict[str, str],
    chosen: list[Shape],
    operators: tuple[str, ...],
    effort: Effort,
    device: str,
    out: Path | None,
) -> dict[str, Any]:
    """Check, measure, and write to `out` after every shape; returns what was written."""
    about, bystanders = machine.describe(device), machine.Bystanders()
    peers, errors = laws.obeying(peers, device)
    limits = machine.measure_limits(device)
    results: dict[str, Any] = {
        "machine": about,
        "settings": {"seconds": effort.seconds, "limit": effort.limit, "dtype": "float32"},
        "limits": asdict(limits),
        "peers": [
            {"name": p.name, "version": p.version, "operator": p.operator, "leaves_out": p.leaves_out, "note": p.note}
            for p in peers
        ],
        "missing": missing | {n: f"off by {e:.1e}: not timed" for n, e in errors.items() if not e < laws.TOLERANCE},
        "errors": errors,
        "shapes": {},
        "floors": [],
        "measurements": [],
        "skipped": [],
    }
    expected, measured_shapes = Expectations(), []
    for shape, groups in plan(peers, chosen, operators):
        results["shapes"][shape.key] = {name: getattr(shape, name) for name in ("dim", "length", "batch", "state")}
        limits = limits.or_better(machine.measure_limits(device))
        measured_shapes.append(shape)
        results |= {"limits": asdict(limits), "floors": floors(measured_shapes, limits, device)}
        for group in groups:
            measured, skipped = measure_cases(group, expected, effort, device)
            results["measurements"] += measured
            results["skipped"] += skipped
        about |= {"load_after": round(os.getloadavg()[0], 2), "others": round(bystanders.average(), 2)}
        if out:
            out.write_text(json.dumps(results, indent=1) + "\n")
        print(f"{shape.key}: measured", file=sys.stderr, flush=True)
    return results


def floors(chosen: list[Shape], limits: machine.Limits, device: str) -> list[dict[str, Any]]:
    pairs = [(shape, direction) for shape in chosen for direction in DIRECTIONS]
    return [{"shape": s.key, "direction": d} | machine.floor(s, d, limits, device) for s, d in pairs]


def main() -> None:
    options = parse()
    if options.device == "cuda" and not torch.cuda.is_available():
        sys.exit("--device cuda: torch sees no CUDA device here")
    if options.threads:
        torch.set_num_threads(options.threads)
    known = shapes(BATCHES[options.device])
    chosen = [s for s in known if any(fnmatch.fnmatch(s.key, pattern) for pattern in options.shapes)]
    if not chosen:
        sys.exit(f"--shapes: expected names such as {known[0].key}, got {' '.join(options.shapes)}")
    effort = Effort(options.seconds, options.limit)
    if options.quick:
        chosen, effort = chosen[:1], Effort(0.05, options.limit)
    complete = chosen == known and not options.peers and tuple(options.operators) == OPERATORS and not options.quick
    out = options.out or (None if options.quick else RESULTS / f"scan-{options.device}.json")
    peers, missing = load_peers(options.device, options.peers)
    for reason in missing.values():
        print(f"left out: {reason}", file=sys.stderr)
    results = run(peers, missing, chosen, tuple(options.operators), effort, options.device, out)
    print("\n\n".join(tables.timing_tables(results)))
    if complete and not options.out:
        report.write_pages()


if __name__ == "__main__":
    main()
