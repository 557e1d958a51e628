"""Selective copying with and without selection: what lesson 04 trains once, over several seeds.

    python benchmarks/selective_copying.py                        # three seeds, two models each: about a minute
    python benchmarks/selective_copying.py --seeds 0 --steps 20 --out /tmp/try.json   # to see that it runs

Both models are `vmamba_edu.ssm.CopyingModel`, alike but for their layers: in one Δ, B and C are computed from each
token, in the other they are the same for all. Weights, sequences and the sequences that are measured on (on which no
model has been trained but by chance) follow from the seed. Training takes one thread; the seconds are processor time,
which other programs hardly change.

Writes results/selective-copying.json, which the lesson shows.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import mean
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from benchmarks import machine
from vmamba_edu.ssm import CopyingModel, CopyingTask, copying_accuracy, train_copying

OUT = Path(__file__).parent / "results" / "selective-copying.json"
KINDS = {"selective": True, "fixed": False}


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--steps", type=int, default=500, help="of training (default %(default)s)")
    parser.add_argument("--test", type=int, default=2000, help="sequences to measure on (default %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write (default %(default)s)")
    return parser.parse_args(arguments)


def run(task: CopyingTask, kind: str, seed: int, steps: int, test: int) -> dict[str, Any]:
    """Train one model and measure it; its curve is the mean loss of each twentieth of the training."""
    generator = torch.Generator().manual_seed(seed)
    model = CopyingModel(task, selective=KINDS[kind], generator=generator)
    began = time.process_time()
    losses = train_copying(model, task, steps=steps, generator=generator)
    seconds = time.process_time() - began
    unseen = task.draw(test, torch.Generator().manual_seed(1_000_000 + seed))
    each = max(1, steps // 20)
    return {
        "kind": kind,
        "seed": seed,
        "accuracy": round(copying_accuracy(model, *unseen), 4),
        "parameters": sum(p.numel() for p in model.parameters()),
        "cpu_seconds": round(seconds, 2),
        "losses": [round(mean(losses[i : i + each]), 4) for i in range(0, steps, each)],
    }


def measure(task: CopyingTask, seeds: Sequence[int], steps: int, test: int) -> dict[str, Any]:
    """All runs, and the gap between the two kinds: of each seed, the least and the mean."""
    runs = [run(task, kind, seed, steps, test) for seed in seeds for kind in KINDS]
    accuracy = {(one["kind"], one["seed"]): one["accuracy"] for one in runs}
    gaps = [round(accuracy["selective", seed] - accuracy["fixed", seed], 4) for seed in seeds]
    return {
        "machine": machine.describe("cpu"),
        "task": asdict(task),
        "guessing": round(1 / task.values, 4),
        "steps": steps,
        "test_sequences": test,
        "runs": runs,
        "gaps": gaps,
        "mean_gap": round(mean(gaps), 4),
        "least_gap": min(gaps),
    }


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    found = measure(CopyingTask(), options.seeds, options.steps, options.test)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(found, indent=1) + "\n")
    for one in found["runs"]:
        print(
            f"{one['kind']:10} seed {one['seed']}: {one['accuracy']:.1%}, {one['cpu_seconds']:.1f} s of processor time"
        )
    print(f"gap: {found['mean_gap']:.1%} in the mean, {found['least_gap']:.1%} at least")


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    torch.set_num_threads(1)
    main()
