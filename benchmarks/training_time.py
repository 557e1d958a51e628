"""How long the small VideoMamba of the recipe has to be taught until it is right, by the clock and on all processors.

    python benchmarks/training_time.py              # three seeds: four minutes; writes results/training-cpu.json
    python benchmarks/training_time.py --seeds 0 --out /tmp/try.json

Each seed is trained in a process of its own, on as many threads as there are processors. After every epoch the model is
measured on the test split too; nothing is chosen by that, and it does not count. All else counts from the first step
on: drawing the clips, validations, checkpoints. Starting Python does not.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from torch import nn

from benchmarks import machine, report, tables
from benchmarks.comparisons.clock import Clock
from benchmarks.comparisons.measures import classify, labels_of, share
from vmamba_edu.recipes import read_recipe
from vmamba_edu.recipes.build import frames_of
from vmamba_edu.recipes.data import make_split
from vmamba_edu.recipes.prepare import prepare_recipe
from vmamba_edu.training import train
from vmamba_edu.training.data_order import Samples
from vmamba_edu.training.logs import Row

RECIPE = Path(__file__).parent / "recipes" / "moving_digits.toml"


class TestedClock(Clock):
    """A clock that stands still while the model is measured on the test split."""

    def __init__(self, path: Path, model: nn.Module, test: Samples):
        super().__init__(path)
        self.model, self.test, self.labels = model, test, labels_of(test)

    def on_validation(self, row: Row) -> None:
        super().on_validation(row)
        wall, cpu = time.monotonic(), time.process_time()
        self.model.eval()
        self.rows[-1]["test"] = share(classify(self.model, self.test) == self.labels)
        wall_began, cpu_began = self.began
        self.began = wall_began + time.monotonic() - wall, cpu_began + time.process_time() - cpu
        self.last_step = time.process_time()


def measure(seed: int) -> dict[str, Any]:
    """One training, an epoch a row."""
    recipe = read_recipe(RECIPE).changed({"training.seed": seed})
    prepared = prepare_recipe(recipe, "cpu")
    test = make_split(recipe, "test", frames_of(prepared.model))
    bystanders = machine.Bystanders()
    with tempfile.TemporaryDirectory() as folder:
        clock = TestedClock(Path(folder) / "clock.json", prepared.model, test)
        train(
            prepared.model,
            prepared.objective,
            prepared.train,
            prepared.settings,
            validation=prepared.validation,
            run_folder=Path(folder) / "run",
            callbacks=[clock],
        )
    return {"seed": seed, "others": round(bystanders.average(), 2), "epochs": clock.rows}


def in_own_process(seed: int) -> dict[str, Any]:
    """What `measure` finds in a new process."""
    done = subprocess.run(
        [sys.executable, __file__, "--child", str(seed)], check=True, stdout=subprocess.PIPE, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], help="default: 0 1 2")
    parser.add_argument("--out", type=Path, help="another file, and the page stays as it is")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child is not None:
        print(json.dumps(measure(options.child)))
        return
    results = {"machine": machine.describe("cpu"), "runs": [in_own_process(seed) for seed in options.seeds]}
    results["machine"]["others"] = max(run["others"] for run in results["runs"])
    report.save(results, "training-cpu", options.out)
    print(tables.training_table(results))


if __name__ == "__main__":
    main()
