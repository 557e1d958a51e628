"""Resolve the environment anew and write constraints.txt: `make constraints PYTHON=python3.11 TORCH=2.13.0`.

Nothing is installed: pip only reports what it would install. Run it on Linux with the oldest Python that pyproject.toml
admits (Debian 12 carries 3.11.2), for a version that installs there installs on the newer ones too.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = "test,bench"  # test has classroom and scale
# torch's CUDA builds pin their own triton, and they alone need these packages.
LEFT_OUT = re.compile(r"vmamba-edu|triton|nvidia-.*|cuda-.*")
HEADER = """\
# The exact versions that are tested, of everything in the extras [lab], [test], [classroom], [scale] and [bench].
# Use: pip install -c constraints.txt -e ".[lab]". The ranges that the library itself asks for stand in pyproject.toml.
# Not here: triton, which torch itself pins on some platforms, NVIDIA's packages, and what only Windows and macOS need.
# Written by `make constraints` (see .ci/constraints.py) with Python {version}; edit pyproject.toml, not this file.
"""


def resolve(torch_version: str, pip_options: list[str]) -> dict[str, str]:
    """Ask a fresh pip what it would install; returns versions by normalised name."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        report = Path(folder, "report.json")
        command = [
            f"{folder}/bin/python",
            "-m",
            "pip",
            "install",
            "--dry-run",
            "--ignore-installed",
            "--report",
            report,
        ]
        subprocess.run([*command, *pip_options, f"torch=={torch_version}", f"{ROOT}[{EXTRAS}]"], check=True)
        entries = [entry["metadata"] for entry in json.loads(report.read_text("utf-8"))["install"]]
    return {re.sub(r"[-_.]+", "-", entry["name"]).lower(): entry["version"] for entry in entries}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", required=True, help="the version of torch, on which most others depend")
    options, pip_options = parser.parse_known_args()
    versions = resolve(options.torch, pip_options)
    lines = [
        f"{name}=={version.split('+')[0]}\n"  # 2.13.0+cpu and 2.13.0+cu130 are both 2.13.0
        for name, version in sorted(versions.items())
        if not LEFT_OUT.fullmatch(name)
    ]
    header = HEADER.format(version=".".join(map(str, sys.version_info[:3])))
    (ROOT / "constraints.txt").write_text(header + "".join(lines), "utf-8")


if __name__ == "__main__":
    main()
