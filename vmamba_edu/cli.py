"""The command `vmamba-edu`: opens the lessons, and says what this machine can do."""

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
    return doctor()


def lab(options: argparse.Namespace, jupyter_options: list[str]) -> int:
    """Bring the reader's copies up to date and open JupyterLab on the first lesson; ends when JupyterLab does."""
    try:
        first = workspace.find_lessons(options.lessons)[0]
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


def _tell(changes: list[workspace.Change], folder: Path) -> None:
    for change in changes:
        if change.sentence:
            print(change.sentence)
    copied = sum(not change.sentence for change in changes)
    if copied:
        print(f"{copied} lesson{'s'[: copied > 1]} copied to {folder}/, where you can change what you like.")


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
    return parser
