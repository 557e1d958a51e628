"""What a recipe's precision does on a CPU."""

from pathlib import Path

import pytest
from recipes.small_recipes import write_recipe
from training.tiny_runs import RECIPE

from vmamba_edu.recipes import read_recipe, train_recipe
from vmamba_edu.recipes.recipe import RecipeError


def losses(folder: Path, precision: str) -> list[float]:
    recipe = write_recipe(folder, RECIPE, train="16", precision=f'"{precision}"')
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
