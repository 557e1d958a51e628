"""Train the classifier of motions that ships with the package.

    python benchmarks/train_moving_digits_classifier.py                                  # some minutes on two cores
    python benchmarks/train_moving_digits_classifier.py --epochs 1 --out c.safetensors   # to see that it runs
    python benchmarks/train_moving_digits_classifier.py --films                          # measure the one that ships

What it writes is vmamba_edu/models/data/moving_digits_classifier.safetensors. The recipe is that of
benchmarks/recipes/moving_digits_films.toml. Validation chooses the epoch; the test split, digits by other hands, is
looked at once, after the weights were rounded to float16: as the recipe has it, as clips whose first and last frame are
seen, and as films that are encoded and given to `classify` with its usual views. Recipe, seed, steps and all that was
measured stand in the file.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from safetensors.torch import save_file
from tqdm.auto import tqdm

from vmamba_edu.recipes import Recipe, Trained, classify, evaluate, load_trained, read_recipe, train_recipe
from vmamba_edu.video import MOTIONS, MovingDigits, read_list, write_clips

ROOT = Path(__file__).parents[1]
RECIPE = Path("benchmarks/recipes/moving_digits_films.toml")
OUT = ROOT / "vmamba_edu" / "models" / "data" / "moving_digits_classifier.safetensors"
FILMS = {"length": 120, "num_frames": 24, "size": 96, "seed": 2024}  # every motion with every digit, each once


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default %(default)s)")
    parser.add_argument("--epochs", type=int, help="other than the recipe's")
    folder = Path("runs/moving_digits_classifier")
    parser.add_argument("--run-folder", type=Path, default=folder, help="a run there goes on (default %(default)s)")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write (default %(default)s)")
    parser.add_argument("--films", action="store_true", help="train nothing: count the films that it is right about")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    if options.films:
        print(json.dumps(right_about_films(load_trained("moving_digits_classifier", "cpu")), indent=1))
        return
    changes = {"training.seed": options.seed} | ({"training.epochs": options.epochs} if options.epochs else {})
    record = make(read_recipe(ROOT / RECIPE, changes), options.run_folder, options.out)
    print(json.dumps({key: value for key, value in record.items() if key != "recipe"}, indent=1))
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


def make(recipe: Recipe, run_folder: Path, out: Path, **films: int) -> dict:
    """Train by the recipe, measure, write the file; returns the record in it.

    Args:
        recipe: of a classifier of motions.
        run_folder: a run that stands there goes on.
        out: the file.
        films: what is otherwise than in FILMS.
    """
    history = train_recipe(recipe, run_folder, resume=True, device="cpu")
    trained = load_trained(run_folder, "cpu")
    weights = {name: value.half().contiguous() for name, value in trained.model.state_dict().items()}
    trained.model.load_state_dict({name: value.float() for name, value in weights.items()})
    record = record_of(trained, **films)
    record["validation_by_step"] = {row["step"]: round(row["accuracy"], 4) for row in history.validation}
    out.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, out, {"record": json.dumps(record)})
    return record


def record_of(trained: Trained, **films: int) -> dict:
    """What the file says about itself: all that a checkpoint keeps of its recipe, and where it comes from."""
    measured = {split: evaluate(trained, split) for split in ("validation", "test")}
    ends = evaluate(trained, "test", overrides={"data.film_frames": 0})
    return {
        "script": "benchmarks/train_moving_digits_classifier.py",
        "seed": trained.recipe.tables["training"].get("seed", 0),
        "source": RECIPE.as_posix(),
        "recipe": trained.recipe.tables,
        "classes": trained.classes,
        "tokeniser": None,
        "steps": trained.step,
        "accuracy": {split: round(float(found.top1), 4) for split, found in measured.items()},
        "clips": {split: found.clips for split, found in measured.items()},
        "first_to_last_frame": {"accuracy": round(float(ends.top1), 4), "clips": ends.clips},
        "films": right_about_films(trained, **films),
        "torch": torch.__version__,
    }


def right_about_films(trained: Trained, **films: int) -> dict:
    """How many films, encoded as H.264 and read back, `classify` is right about, and what it says of the others."""
    made = MovingDigits("test", **FILMS | films)
    with tempfile.TemporaryDirectory() as folder:
        records = read_list(write_clips(made, folder, fps=12), "moving_digits", prefix=folder)
        bar = tqdm(records, desc="films", leave=False)
        said = [classify(trained, record.path, top=1, progress=False)[0].name for record in bar]
    wrong = {made.name(i): name for i, name in enumerate(said) if name != MOTIONS[made.label(i)]}
    return {**FILMS, **films, "right": len(said) - len(wrong), "wrong": wrong}


if __name__ == "__main__":
    main()
