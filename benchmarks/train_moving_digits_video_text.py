"""Train the model of clips and captions that ships with the package.

    python benchmarks/train_moving_digits_video_text.py                                  # five minutes on two cores
    python benchmarks/train_moving_digits_video_text.py --run runs/retrieval             # with a run that is done
    python benchmarks/train_moving_digits_video_text.py --epochs 1 --out v.safetensors   # to see that it runs

What it writes is vmamba_edu/models/data/moving_digits_video_text.safetensors. The recipe is that of
benchmarks/recipes/retrieval.toml, and the weights are those of its end. Validation, on twelve combinations of digit and
motion that training never sees, decides whether a sentence orders videos by dual or by fused scores. The test, on
twenty-four others and on digits by other hands, is measured after the weights were rounded to float16. Recipe,
vocabulary, seed, steps and what was measured stand in the file.
"""

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch
from safetensors.torch import save_file

from vmamba_edu.recipes import Trained, evaluate, load_trained, read_recipe, train_recipe
from vmamba_edu.training.checkpointing import LAST

ROOT = Path(__file__).parents[1]
RECIPE = "benchmarks/recipes/retrieval.toml"
OUT = ROOT / "vmamba_edu" / "models" / "data" / "moving_digits_video_text.safetensors"


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, help="the folder of a run of this recipe; none is made then")
    parser.add_argument("--seed", type=int, default=0, help="of weights and order (default %(default)s)")
    parser.add_argument("--epochs", type=int, help="other than the recipe's")
    parser.add_argument("--out", type=Path, default=OUT, help="the file to write (default %(default)s)")
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> None:
    options = parse(arguments)
    trained = load_trained(options.run / LAST, "cpu") if options.run else train(options.seed, options.epochs)
    # Tied weights are one tensor under two names, which a file of safetensors does not hold: each gets its own.
    weights = {name: value.half().clone().contiguous() for name, value in trained.model.state_dict().items()}
    trained.model.load_state_dict({name: value.float() for name, value in weights.items()})
    record = record_of(trained)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, options.out, {"record": json.dumps(record)})
    shown = ("script", "seed", "steps", "measured", "rank_by", "torch")
    print(json.dumps({key: record[key] for key in shown}, indent=1))
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")


def train(seed: int, epochs: int | None) -> Trained:
    """The model at the end of the recipe."""
    changes = {"training.seed": seed} | ({"training.epochs": epochs} if epochs else {})
    with tempfile.TemporaryDirectory() as folder:
        train_recipe(read_recipe(ROOT / RECIPE, changes), folder, device="cpu")
        return load_trained(Path(folder) / LAST, "cpu")


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
