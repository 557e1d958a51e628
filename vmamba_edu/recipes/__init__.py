"""Recipes: a TOML file that says what is trained, on what and how; and what one does with the result.

    recipe = read_recipe("benchmarks/recipes/moving_digits.toml")
    train_recipe(recipe, "runs/moving_digits")
    trained = load_trained("runs/moving_digits/best.pt")
    classify(trained, "some_video.mp4")

A recipe need not be a file, and any of its values can be otherwise for once:

    recipe = Recipe("by hand", {"model": {...}, "data": {...}, "objective": {...}, "training": {...}})
    again = recipe.changed({"training.seed": 3})

This is the one place that knows models, data and training together; the command `vmamba-edu` stands on it. `recipe`
reads the file. `data` (with `digits`, `variations`), `build`, `teachers` and `distillation` make what it names,
`prepare` puts that together and trains. `trained` opens what came of it, and `evaluation`, `classification` and
`retrieval` use that.
"""

from vmamba_edu.recipes.classification import Prediction, classify
from vmamba_edu.recipes.evaluation import Evaluation, evaluate
from vmamba_edu.recipes.prepare import Prepared, initial_model, prepare_recipe, train_recipe
from vmamba_edu.recipes.recipe import Recipe, RecipeError, read_recipe
from vmamba_edu.recipes.retrieval import Found, retrieve
from vmamba_edu.recipes.trained import Trained, load_trained

__all__ = [
    "Evaluation",
    "Found",
    "Prediction",
    "Prepared",
    "Recipe",
    "RecipeError",
    "Trained",
    "classify",
    "evaluate",
    "initial_model",
    "load_trained",
    "prepare_recipe",
    "read_recipe",
    "retrieve",
    "train_recipe",
]
