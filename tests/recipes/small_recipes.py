"""Recipes that are trained in seconds, and videos to use them on."""

import tomllib
from pathlib import Path
from typing import Any

from vmamba_edu.recipes import Recipe
from vmamba_edu.video import moving_digits, write_video

CLASSIFY = """
[model]
name = "videomamba_tiny"
embed_dim = 32
depth = 2
img_size = 32
patch_size = 16
num_frames = 4
pos_embed_std = 0.3  # published: 0.02, with which it learns later
drop_path_rate = 0.0

[data]
name = "moving_digits"
background = "plain"
train = 480
validation = 60
test = 60

[objective]
name = "supervised"

[training]
epochs = 8
batch_size = 32
learning_rate = 5e-3
warmup_steps = 10
monitor = "accuracy"
mode = "max"
"""

RETRIEVE = """
[model]
name = "video_text"
embed_dim = 8

[model.vision]
img_size = 32
patch_size = 16
num_frames = 4
depth = 1
embed_dim = 16
d_state = 4

[model.text]
dim = 16

[data]
name = "moving_digits"
train = 16
validation = 0
test = 10
held_out = { test = [[7, "left"], [7, "right"], [3, "left"], [3, "right"]] }

[objective]
name = "video_text"

[objective.weights]
words = 0.5

[training]
epochs = 1
batch_size = 8
"""


MASKED = """
[model]
name = "videomamba_masked_tiny"
embed_dim = 16
depth = 2
d_state = 4
img_size = 32
tokens_per_frame = 16
num_frames = 2
drop_path_rate = 0.0

[data]
name = "moving_digits"
background = "plain"
train = 24
validation = 8
test = 24

[objective]
name = "masked_alignment"
teacher = "digit_teacher"
mask = "tube"
mask_ratio = 0.5

[training]
epochs = 1
batch_size = 8
"""


def recipe_of(text: str, **changes: Any) -> Recipe:
    """A recipe with some values replaced: recipe_of(CLASSIFY, **{"training.seed": 3})."""
    return Recipe("r.toml", tomllib.loads(text)).changed(changes)


def write_recipe(folder: Path, text: str, **replaced: str) -> Path:
    """A recipe file with some lines replaced: write_recipe(folder, CLASSIFY, epochs="1")."""
    lines = []
    for line in text.splitlines():
        key = line.split(" = ")[0]
        lines.append(f"{key} = {replaced[key]}" if key in replaced else line)
    path = folder / "recipe.toml"
    path.write_text("\n".join(lines), "utf-8")
    return path


def write_digit(path: Path, digit: int, motion: str, seed: int = 0) -> Path:
    """A film of a moving digit, H.264."""
    sample = moving_digits(digit, motion, num_frames=12, size=(64, 96), split="test", seed=seed)
    return write_video(path, sample.frames, fps=8)
