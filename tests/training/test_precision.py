"""What a recipe's precision does on a CPU."""

from pathlib import Path

import pytest

from vmamba_edu.recipes import read_recipe, train_recipe
from vmamba_edu.recipes.recipe import RecipeError

RECIPE = """
[model]
name = "videomamba_tiny"
embed_dim = 8
depth = 1
d_state = 4
img_size = 16
patch_size = 8
num_frames = 2

[data]
name = "moving_digits"
train = 16
validation = 8

[objective]
name = "supervised"

[training]
epochs = 1
batch_size = 4
precision = "{precision}"
"""


def losses(folder: Path, precision: str) -> list[float]:
    recipe = folder / f"{precision}.toml"
    recipe.write_text(RECIPE.format(precision=precision), "utf-8")
    return [row["loss"] for row in train_recipe(read_recipe(recipe), None, progress=False).training]


def test_a_recipe_in_bfloat16_learns_as_one_in_float32(tmp_path):
    """Not the same numbers, and near: bfloat16 has 8 bits, 0.4 % an operation, and a loss is the end of some dozen.

    Its clips are drawn in float32, in validation too, where the types are checked as they are here.
    """
    fine, coarse = (losses(tmp_path, precision) for precision in ("float32", "bfloat16"))
    assert len(fine) == len(coarse) == 4
    assert fine != coarse
    assert coarse == pytest.approx(fine, rel=0.05)


def test_a_recipe_in_float16_is_refused(tmp_path):
    with pytest.raises(RecipeError, match="precision: expected 'float32' or 'bfloat16', got 'float16'"):
        losses(tmp_path, "float16")
