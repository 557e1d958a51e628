"""`python -m vmamba_edu.training RECIPE.toml`: the command `vmamba-edu train`, as launchers want to start it.

torchrun --nproc-per-node 4 -m vmamba_edu.training recipe.toml --run-folder runs/first
accelerate launch --num_processes 4 -m vmamba_edu.training recipe.toml --run-folder runs/first --resume
"""

import contextlib
import os
import sys

from vmamba_edu.cli import main


def run() -> int:
    """Train as the command line says; of several processes the first one speaks, and all complain."""
    if os.environ.get("RANK", "0") == "0":
        return main(["train", *sys.argv[1:]])
    with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
        return main(["train", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(run())
