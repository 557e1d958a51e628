"""The command `vmamba-edu`: opens the lessons, says what this machine can do, trains, and uses what was trained."""

import argparse
import os
import sys
from pathlib import Path

from vmamba_edu import workspace

LOOPBACK = "127.0.0.1"


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    parser = _parser()
    options, others = parser.parse_known_args(arguments)
    if options.command == "lab":
        return lab(options, others)
    if others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if options.command == "doctor":
        return doctor()
    return with_models(options)


def lab(options: argparse.Namespace, jupyter_options: list[str]) -> int:
    """Bring the reader's copies up to date and open JupyterLab on the index; ends when JupyterLab does."""
    try:
        first = workspace.find_start(options.lessons)
        if not options.author:
            _tell(workspace.refresh(options.lessons, options.workspace), options.workspace)
            first = options.workspace / first.name
    except (ValueError, OSError) as error:
        print(f"vmamba-edu lab: {error}", file=sys.stderr)
        return 1
    try:
        from jupyterlab.labapp import LabApp
    except ImportError as error:
        print(f"vmamba-edu lab needs JupyterLab ({error}): pip install 'vmamba-edu[lab]'", file=sys.stderr)
        return 1
    LabApp.launch_instance(jupyter_arguments(first, jupyter_options))
    return 0


def jupyter_arguments(first: Path, given: list[str]) -> list[str]:
    """JupyterLab's arguments: ours, each unless the reader gave another, and then the reader's.

    The token that JupyterLab draws stays in force, and it listens on this machine only.
    """
    ours = {"ip": LOOPBACK, "root_dir": str(first.parent.resolve())}
    arguments = [f"--ServerApp.{name}={value}" for name, value in ours.items() if not _gives(given, name)]
    if not _gives(given, "default_url"):
        arguments.append(f"--LabApp.default_url=/lab/tree/{first.name}")
    if hasattr(os, "geteuid") and os.geteuid() == 0 and "--allow-root" not in given:
        arguments.append("--allow-root")  # in containers one is root, and JupyterLab refuses root otherwise
    return arguments + given


def _gives(arguments: list[str], name: str) -> bool:
    names = {argument.split("=")[0].removeprefix("--") for argument in arguments}
    spelled = {spelling.split(".")[-1].replace("-", "_") for spelling in names}
    return name in spelled


def doctor() -> int:
    """Print what was found; the exit status is 1 if something that the course needs is missing."""
    from vmamba_edu.doctor import Verdict, examine, report

    findings = examine()
    print(report(findings))
    return int(any(finding.verdict is Verdict.PROBLEM for finding in findings))


def with_models(options: argparse.Namespace) -> int:
    """Train, or use what was trained; what these commands need is imported here, since it takes seconds."""
    from vmamba_edu.recipes import commands

    answer = commands.run(options)
    for line in answer.complained:
        print(f"vmamba-edu {options.command}: {line}", file=sys.stderr)
    for line in answer.said:
        print(line)
    return answer.status


def _tell(changes: list[workspace.Change], folder: Path) -> None:
    for change in changes:
        if change.sentence:
            print(change.sentence)
    copied = sum(not change.sentence for change in changes)
    if copied:
        print(f"{copied} notebook{'s'[: copied > 1]} copied to {folder}/, where you can change what you like.")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="vmamba-edu", description=__doc__, allow_abbrev=False)
    commands = parser.add_subparsers(dest="command", required=True)
    about = "open the lessons in JupyterLab; JupyterLab's own options pass through (--no-browser, --port 9999, …)"
    opening = commands.add_parser("lab", help=about, description=about, allow_abbrev=False)
    home = Path(__file__).parents[1] / "notebooks"
    opening.add_argument("--lessons", type=Path, default=home, help="where the lessons are (default: %(default)s)")
    opening.add_argument(
        "--workspace",
        type=Path,
        default=Path("my-lessons"),
        help="where your copies are (default: %(default)s in the current folder)",
    )
    opening.add_argument("--author", action="store_true", help="open the lessons themselves instead of copies of them")
    commands.add_parser("doctor", help="say what this machine and this environment can do, and what is missing")
    _add_train(commands)
    _add_evaluate(commands)
    _add_classify(commands)
    _add_retrieve(commands)
    return parser


def _add(commands: argparse._SubParsersAction, name: str, about: str, examples: str) -> argparse.ArgumentParser:
    """A command with examples below its options, and the options that all of them share."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=about,
        description=about,
        epilog=f"examples:\n{examples}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto takes a GPU where there is one")
    return parser


def _add_train(commands: argparse._SubParsersAction) -> None:
    train = _add(
        commands,
        "train",
        "train a model by a recipe, a TOML file",
        """  vmamba-edu train benchmarks/recipes/moving_digits.toml
  vmamba-edu train my_recipe.toml --run-folder runs/second
  vmamba-edu train my_recipe.toml --run-folder runs/second --resume    (after it was stopped or killed)""",
    )
    train.add_argument("recipe", type=Path, help="what to train, on what, and how")
    train.add_argument("--run-folder", type=Path, help="where checkpoints and logs go (default: runs/NAME_OF_RECIPE)")
    train.add_argument("--resume", action="store_true", help="go on from the run folder's last checkpoint")


def _add_evaluate(commands: argparse._SubParsersAction) -> None:
    evaluate = _add(
        commands,
        "evaluate",
        "measure how often a trained model is right",
        """  vmamba-edu evaluate runs/moving_digits
  vmamba-edu evaluate runs/kinetics/best.pt --split test --chunks 4 --crops 3""",
    )
    evaluate.add_argument("checkpoint", type=Path, help="a checkpoint, or the folder of a run (its best)")
    evaluate.add_argument("--split", choices=("train", "validation", "test"), default="validation")
    _add_views(evaluate, chunks=1, crops=1)


def _add_classify(commands: argparse._SubParsersAction) -> None:
    classify = _add(
        commands,
        "classify",
        "say what a video shows, with probabilities",
        """  vmamba-edu classify holiday.mp4 --checkpoint runs/kinetics
  vmamba-edu classify holiday.mp4 --checkpoint runs/kinetics/last.pt --chunks 10 --classes my_names.txt
  vmamba-edu classify seven.mp4 --checkpoint moving_digits_classifier    (it comes with the package)""",
    )
    classify.add_argument("video", type=Path, help="any file that FFmpeg decodes")
    which = "a checkpoint, the folder of a run, or the name of a model that comes with the package"
    classify.add_argument("--checkpoint", type=Path, required=True, help=which)
    classify.add_argument("--classes", type=Path, help="names of the classes, one a line (default: the checkpoint's)")
    classify.add_argument("--top", type=_count, default=5, help="how many classes (default: %(default)s)")
    _add_views(classify, chunks=4, crops=3)


def _add_retrieve(commands: argparse._SubParsersAction) -> None:
    retrieve = _add(
        commands,
        "retrieve",
        "find the videos that a sentence describes",
        """  vmamba-edu retrieve "a seven moves left" --videos my_videos --checkpoint runs/digits_and_words""",
    )
    retrieve.add_argument("sentence", help="what the video should show, in quotes")
    retrieve.add_argument("--videos", type=Path, required=True, help="a folder; folders in it are searched too")
    retrieve.add_argument("--checkpoint", type=Path, required=True, help="of a model of video and text, or its folder")
    retrieve.add_argument("--top", type=_count, default=5, help="how many videos (default: %(default)s)")


def _add_views(parser: argparse.ArgumentParser, chunks: int, crops: int) -> None:
    parser.add_argument("--chunks", type=_count, default=chunks, help="clips of each video (default: %(default)s)")
    parser.add_argument("--crops", type=_count, default=crops, help="squares of each clip (default: %(default)s)")


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text!r}")
    return int(text)
