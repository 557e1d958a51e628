"""Train the model of clips and captions that ships with the package.

    python benchmarks/train_moving_digits_video_text.py                                  # ten minutes on two cores
    python benchmarks/train_moving_digits_video_text.py --epochs 1 --out v.safetensors   # to see that it runs

What it writes is vmamba_edu/models/data/moving_digits_video_text.safetensors. Two recipes are followed, one after the
other: by benchmarks/recipes/moving_digits_read.toml a tower learns to read digits, and by moving_digits_video_text.toml
it learns beside a text encoder what captions say. Validation, on combinations of digit and motion that training never
sees, decides between the best weights by their contrast and the last ones, and whether a sentence orders videos by dual
or by fused scores. The test, on other combinations and on digits by other hands, is measured once, after the weights
were rounded to float16. Recipe, vocabulary, seed, steps and what was measured stand in the file.
"""

import argparse
import json
import sys
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from safetensors.torch import save_file

from vmamba_edu.recipes import Recipe, Trained, evaluate, load_trained, read_recipe, train_recipe
from vmamba_edu.training.checkpointing import BEST, LAST

ROOT = Path(__file__).parents[1]
READ = "benchmarks/recipes/moving_digits_read.toml"
RECIPE = "benchmarks/recipes/moving_digits_video_text.toml"
START = "model.start_from"
OUT = ROOT / "vmamba_edu" / "models" / "data" / "moving_digits_video_text.safetensors"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default %(default)s)")
    parser.add_argument("--epochs", type=int, help="other than the recipes'")
    parser.add_argument("--runs", type=Path, default=Path("runs"), help="runs there go on (default %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write (default %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    changes = {"training.seed": options.seed} | ({"training.epochs": options.epochs} if options.epochs else {})
    read, recipe = (read_recipe(ROOT / path, changes) for path in (READ, RECIPE))
    record = make(read, recipe, options.runs, options.out)
    shown = ("script", "seed", "steps", "measured", "rank_by", "reading", "torch")
    print(json.dumps({key: record[key] for key in shown}, indent=1))
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


def make(read: Recipe, recipe: Recipe, runs: Path, out: Path) -> dict:
    """Train by both recipes, measure, write the file; returns the record in it.

    Args:
        read: of a classifier of digits.
        recipe: of the model of clips and captions, whatever it starts from.
        runs: the folder of both runs; what stands there goes on.
        out: the file.
    """
    folders = {name: runs / Path(path).stem for name, path in (("read", READ), ("recipe", RECIPE))}
    train_recipe(read, folders["read"], resume=True, device="cpu")
    started = recipe.changed({START: str(folders["read"] / BEST)})
    train_recipe(started, folders["recipe"], resume=True, device="cpu")
    trained = better(*(load_trained(folders["recipe"] / name, "cpu") for name in (BEST, LAST)))
    # Tied weights are one tensor under two names, which a file of safetensors does not hold: each gets its own.
    weights = {name: value.half().clone().contiguous() for name, value in trained.model.state_dict().items()}
    trained.model.load_state_dict({name: value.float() for name, value in weights.items()})
    digits = evaluate(load_trained(folders["read"], "cpu"), "validation").top1
    told = trained.recipe.changed({START: recipe.tables["model"]["start_from"]})  # and not a folder of this machine
    record = record_of(trained) | {"recipe": told.tables, "reading": {"recipe": READ, "validation": round(digits, 4)}}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, out, {"record": json.dumps(record)})
    return record


def better(*candidates: Trained) -> Trained:
    """The one whose captions and clips of the validation find each other best, by dual scores; of equals the first."""
    return max(candidates, key=lambda trained: evaluate(trained, "validation").measured["dual.r_mean"])


def record_of(trained: Trained) -> dict:
    """What the file says about itself: all that a checkpoint keeps of its recipe, and where it comes from."""
    assert trained.tokeniser is not None
    measured = {split: dict(evaluate(trained, split).measured) for split in ("validation", "test")}
    dual, fused = (measured["validation"][f"{reading}.r_mean"] for reading in ("dual", "fused"))
    return {
        "script": "benchmarks/train_moving_digits_video_text.py",
        "seed": trained.recipe.tables["training"].get("seed", 0),
        "source": RECIPE,
        "recipe": trained.recipe.tables,
        "config": asdict(trained.model.config),
        "classes": trained.classes,
        "tokeniser": trained.tokeniser.tokeniser.to_str(),
        "steps": trained.step,
        "measured": measured,
        "rank_by": "dual" if dual > fused else "fused",
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    torch.set_flush_denormal(True)
    main()
