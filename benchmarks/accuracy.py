"""How far every float32 engine is from float64, against the step Δ and the length L.

    python benchmarks/accuracy.py                      # a few minutes
    python benchmarks/accuracy.py --lengths 197 --out mine.json

Every step of a sequence is the same Δ, so that whatever an exponential rounds off is rounded off the same way at every
token: a small Δ and a long sequence are the hardest test. Of two sequences, one of random numbers and one of numbers of
one sign whose state builds up, the worse counts. The truth is the reference engine in float64 on the same numbers, for
gradients the associative engine in float64 (autograd through the reference's loop takes hours).
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
import vmamba_kernels
from torch import Tensor

from benchmarks import machine, report, tables
from benchmarks.laws import relative_error

RESULTS = Path(__file__).parent / "results"
STEPS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
LENGTHS = (197, 1569, 12545)  # tokens of 1, 8 and 64 frames
DIM, STATE = 16, 16
ENGINES = {"cpu": ("reference", "associative", "numba"), "cuda": ("reference", "associative", "triton")}
DIFFERENTIATED = ("u", "delta", "A", "B", "C", "D", "z")


def draw(step: float, length: int, one_sign: bool, device: str = "cpu") -> dict[str, Tensor]:
    """Arguments in float32: every step Δ, A near -1 … -16."""
    generator = torch.Generator().manual_seed(length)

    def numbers(*size: int) -> Tensor:
        if one_sign:
            return 0.5 + torch.rand(*size, generator=generator)
        return torch.randn(*size, generator=generator)

    arguments = {
        "u": numbers(1, DIM, length),
        "delta": torch.full((1, DIM, length), step),
        "A": -torch.arange(1.0, STATE + 1) * torch.exp(0.1 * torch.randn(DIM, STATE, generator=generator)),
        "B": numbers(1, STATE, length),
        "C": numbers(1, STATE, length),
        "D": numbers(DIM),
        "z": numbers(1, DIM, length),
        "grad_y": numbers(1, DIM, length),
    }
    return {name: x.to(device) for name, x in arguments.items()}


def scan(arguments: dict[str, Tensor], engine: str) -> Tensor:
    with torch.no_grad():
        return vmamba_kernels.selective_scan(**{n: arguments[n] for n in DIFFERENTIATED}, backend=engine)


def gradients(arguments: dict[str, Tensor], engine: str) -> tuple[Tensor, ...]:
    inputs = {name: arguments[name].detach().requires_grad_() for name in DIFFERENTIATED}
    y = vmamba_kernels.selective_scan(**inputs, backend=engine)
    return torch.autograd.grad(y, list(inputs.values()), arguments["grad_y"])


def errors(step: float, length: int, device: str = "cpu") -> dict[str, dict[str, float]]:
    """Engine → the worst relative error of y and of the gradients (left out for the reference) over both sequences."""
    worst: dict[str, dict[str, float]] = {engine: {} for engine in ENGINES[device]}
    for one_sign in (False, True):
        arguments = draw(step, length, one_sign, device)
        exact = {name: x.double() for name, x in arguments.items()}
        y, exact_gradients = scan(exact, "reference"), gradients(exact, "associative")
        for engine, found in worst.items():
            found["y"] = max(found.get("y", 0.0), relative_error(scan(arguments, engine), y))
            if engine != "reference":
                pairs = zip(gradients(arguments, engine), exact_gradients, strict=True)
                worst_gradient = max(relative_error(ours, truth) for ours, truth in pairs)
                found["gradients"] = max(found.get("gradients", 0.0), worst_gradient)
    return worst


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--steps", nargs="+", type=float, default=STEPS)
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    out = options.out or RESULTS / f"accuracy-{options.device}.json"
    results: dict[str, Any] = {"machine": machine.describe(options.device), "measurements": []}
    for length in options.lengths:
        for step in options.steps:
            for engine, found in errors(step, length, options.device).items():
                results["measurements"].append({"engine": engine, "step": step, "length": length} | found)
        out.write_text(json.dumps(results, indent=1) + "\n")
    print("\n\n".join(tables.accuracy_tables(results)))
    if not options.out and tuple(options.steps) == STEPS and tuple(options.lengths) == LENGTHS:
        report.write_pages()


if __name__ == "__main__":
    main()
