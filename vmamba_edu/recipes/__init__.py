"""Recipes: a TOML file that says what is trained, on what and how; and what one does with the result.

    recipe = read_recipe("benchmarks/recipes/moving_digits.toml")
    train_recipe(recipe, "runs/moving_digits")
    trained = load_trained("runs/moving_digits/best.pt")
    classify(trained, "some_video.mp4")

This is the one place that knows models, data and training together; the command `vmamba-edu` stands on it. `recipe`
reads the file, `data` and `build` make what it names, `trained` keeps what came of it, `classification` and
`retrieval` use that.
"""

from vmamba_edu.recipes.classification import Prediction, classify, evaluate
from vmamba_edu.recipes.recipe import Recipe, RecipeError, read_recipe
from vmamba_edu.recipes.retrieval import Found, retrieve
from vmamba_edu.recipes.trained import Trained, load_trained, train_recipe

__all__ = [
    "Found",
    "Prediction",
    "Recipe",
    "RecipeError",
    "Trained",
    "classify",
    "evaluate",
    "load_trained",
    "read_recipe",
    "retrieve",
    "train_recipe",
]
