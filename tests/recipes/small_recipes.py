"""Recipes that are trained in seconds, and videos to use them on."""

from pathlib import Path

from vmamba_edu.video import moving_digits, write_video

CLASSIFY = """
[model]
name = "videomamba_tiny"
embed_dim = 32
depth = 2
img_size = 32
patch_size = 16
num_frames = 4
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

[objective]
name = "video_text"

[objective.weights]
words = 0.5

[training]
epochs = 1
batch_size = 8
"""


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
