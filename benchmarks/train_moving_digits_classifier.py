"""Train the classifier of motions that ships with the package.

    python benchmarks/train_moving_digits_classifier.py                                  # some minutes on two cores
    python benchmarks/train_moving_digits_classifier.py --epochs 1 --out c.safetensors   # to see that it runs

What it writes is vmamba_edu/models/data/moving_digits_classifier.safetensors. The recipe is that of
benchmarks/recipes/moving_digits.toml. Validation chooses the epoch; the test split, digits by other hands, is looked at
once, after the weights were rounded to float16. Recipe, seed, steps and both accuracies stand in the file.
"""

import argparse
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from safetensors.torch import save_file

from vmamba_edu.recipes import Trained, evaluate, load_trained, read_recipe, train_recipe

ROOT = Path(__file__).parents[1]
RECIPE = Path("benchmarks/recipes/moving_digits.toml")
OUT = ROOT / "vmamba_edu" / "models" / "data" / "moving_digits_classifier.safetensors"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default %(default)s)")
    parser.add_argument("--epochs", type=int, help="other than the recipe's")
    folder = Path("runs/moving_digits_classifier")
    parser.add_argument("--run-folder", type=Path, default=folder, help="a run there goes on (default %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write (default %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    changes = {"training.seed": options.seed} | ({"training.epochs": options.epochs} if options.epochs else {})
    recipe = read_recipe(ROOT / RECIPE, changes)
    history = train_recipe(recipe, options.run_folder, resume=True, device="cpu")
    trained = load_trained(options.run_folder, "cpu")
    weights = {name: value.half().contiguous() for name, value in trained.model.state_dict().items()}
    trained.model.load_state_dict({name: value.float() for name, value in weights.items()})
    record = record_of(trained, options.seed)
    record["validation_by_step"] = {row["step"]: round(row["accuracy"], 4) for row in history.validation}
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, options.out, {"record": json.dumps(record)})
    print(json.dumps({key: value for key, value in record.items() if key != "recipe"}, indent=1))
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


def record_of(trained: Trained, seed: int) -> dict:
    """What the file says about itself: all that a checkpoint keeps of its recipe, and where it comes from."""
    measured = {split: evaluate(trained, split) for split in ("validation", "test")}
    return {
        "script": "benchmarks/train_moving_digits_classifier.py",
        "seed": seed,
        "source": RECIPE.as_posix(),
        "recipe": trained.recipe.tables,
        "classes": trained.classes,
        "tokeniser": None,
        "steps": trained.step,
        "accuracy": {split: round(float(found.top1), 4) for split, found in measured.items()},
        "clips": {split: found.clips for split, found in measured.items()},
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
