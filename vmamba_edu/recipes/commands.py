"""What the commands `train`, `evaluate`, `classify` and `retrieve` do and say; the command line prints it."""

import argparse
from dataclasses import dataclass, field
from pathlib import Path

from vmamba_edu import recipes
from vmamba_edu.recipes.data import read_classes
from vmamba_edu.recipes.retrieval import list_videos
from vmamba_edu.training import NotFiniteError
from vmamba_edu.video.errors import VideoReadError

WRONG, INTERRUPTED = 2, 130


@dataclass
class Answer:
    """What a command has to say.

    Attributes:
        said: lines for the reader.
        complained: lines about what went wrong, one a trouble.
        status: with which the process ends; 0 if all went well.
    """

    said: list[str] = field(default_factory=list)
    complained: list[str] = field(default_factory=list)
    status: int = 0


def run(options: argparse.Namespace) -> Answer:
    """Run one of the commands; the status is 2, with one line that says what to do, if it cannot be done."""
    command = {"train": train, "evaluate": evaluate, "classify": classify, "retrieve": retrieve}[options.command]
    try:
        return command(options)
    except KeyboardInterrupt:
        advice = "; --resume goes on" if options.command == "train" else ""
        return Answer(complained=[f"interrupted{advice}"], status=INTERRUPTED)
    except (ValueError, TypeError, OSError, ImportError, VideoReadError, NotFiniteError) as error:
        return Answer(complained=[" ".join(str(error).split())], status=WRONG)


def train(options: argparse.Namespace) -> Answer:
    """Train by a recipe, and say what came of it."""
    folder = options.run_folder or Path("runs") / options.recipe.stem
    recipe = recipes.read_recipe(options.recipe)
    history = recipes.train_recipe(recipe, folder, resume=options.resume, device=options.device)
    steps = history.training[-1]["step"] if history.training else 0
    said = [f"{history.ended} after {steps} steps; checkpoints and logs are in {folder}"]
    if history.validation:
        measured = {name: value for name, value in history.validation[-1].items() if name not in ("step", "epoch")}
        said.append("validation: " + ", ".join(f"{name} {value:.4g}" for name, value in measured.items()))
    return Answer(said)


def evaluate(options: argparse.Namespace) -> Answer:
    """Say how good a trained model is on a split of its recipe's data."""
    trained = recipes.load_trained(options.checkpoint, options.device)
    found = recipes.evaluate(trained, options.split, num_chunks=options.chunks, num_crops=options.crops)
    if found.views is not None:
        views = options.chunks * options.crops
        shown = f"{found.split}: {found.clips} videos, {views} view{'s'[: views > 1]} each"
        return Answer([shown, f"top-1 {100 * found['top1']:.2f} %, top-5 {100 * found['top5']:.2f} %"])
    if "gallery" in found.measured:
        return Answer(_tell_recall(found))
    measured = ", ".join(f"{name} {value:.4g}" for name, value in found.measured.items())
    return Answer([f"{found.split}: {found.clips} clips, {measured}"])


def _tell_recall(found: recipes.Evaluation) -> list[str]:
    """A table of recall in percent."""
    size, chance = int(found["gallery"]), found["chance_r1"]
    galleries = found.clips // size
    of_clips = f"{galleries} {'galleries' if galleries > 1 else 'gallery'} of {size} clips, one for each caption"
    lines = [f"{found.split}: {of_clips}; by chance R@1 is {chance:.2f} %", f"{'':22}   R@1    R@5   R@10"]
    for direction, key in (("text → video", "img"), ("video → text", "txt")):
        for reading in ("dual", "fused"):
            recalls = " ".join(f"{found[f'{reading}.{key}_r{k}']:6.2f}" for k in (1, 5, 10))
            lines.append(f"{f'{direction}, {reading}':22}{recalls}")
    if found["captions"]:
        of_all = f"  of all {int(found['captions'])} captions"
        recalls = " ".join(f"{found[f'all.txt_r{k}']:6.2f}" for k in (1, 5, 10))
        lines.append(f"{of_all:22}{recalls}")
    return lines


def classify(options: argparse.Namespace) -> Answer:
    """Name the likeliest classes of a video."""
    trained = recipes.load_trained(options.checkpoint, options.device)
    predictions = recipes.classify(
        trained,
        options.video,
        num_chunks=options.chunks,
        num_crops=options.crops,
        top=options.top,
        classes=read_classes(options.classes) if options.classes else None,
    )
    return Answer([f"{100 * prediction.probability:6.2f} %  {prediction.name}" for prediction in predictions])


def retrieve(options: argparse.Namespace) -> Answer:
    """Name the videos that fit a sentence best."""
    trained = recipes.load_trained(options.checkpoint, options.device)
    found, broken = recipes.retrieve(trained, options.sentence, list_videos(options.videos), top=options.top)
    lines = [f"{one.match:6.2f}  {one.similarity:6.3f}  {one.path}" for one in found]
    return Answer([" match  cosine", *lines], [f"left out: {error}" for error in broken])
