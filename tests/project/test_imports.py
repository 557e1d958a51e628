"""What an import brings along, and which way the arrows point."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    *("numba", "llvmlite", "triton"),
    *("plotly", "matplotlib", "ipywidgets", "IPython", "jupyterlab", "jupytext", "nbformat", "nbgrader"),
    *("decord", "av", "sklearn", "scipy", "transformers", "pandas", "PIL"),
}


def modules_after(code: str) -> set[str]:
    """Top-level names in sys.modules after `code` ran in a fresh interpreter."""
    told = "import json, sys; print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{told}"], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.fixture(scope="module")
def with_torch() -> set[str]:
    return modules_after("import torch")


@pytest.mark.parametrize("package", ["vmamba_kernels", "vmamba_edu"])
def test_importing_a_package_brings_nothing_heavier_than_torch(with_torch, package):
    assert (modules_after(f"import {package}") - with_torch) & HEAVY == set()


def test_the_kernels_need_nothing_of_the_course(with_torch):
    """Beside torch's own modules: itself and the standard library."""
    brought = modules_after("import vmamba_kernels") - with_torch
    assert {name for name in brought if name not in sys.stdlib_module_names} <= {"vmamba_kernels"}


def test_torch_itself_does_not_import_triton(with_torch):
    """tests/conftest.py relies on it: it asks torch for a GPU before it settles Triton's mode."""
    assert "triton" not in with_torch


def test_no_picture_waits_for_a_grammar():
    """Plotly imports jsonschema, which compiles one where rfc3987_syntax is installed: see pyproject.toml."""
    brought = modules_after("from vmamba_edu.panels import state_decay")
    assert {"plotly", "jsonschema"} <= brought
    assert "rfc3987_syntax" not in brought


def test_the_command_answers_without_torch():
    assert "torch" not in modules_after("import vmamba_edu.cli")


def test_the_arrows_point_one_way():
    done = subprocess.run(["lint-imports", "--no-cache"], cwd=ROOT, capture_output=True, text=True, env=environment())
    assert done.returncode == 0, done.stdout


def environment() -> dict[str, str]:
    """With the commands of this environment on the path, activated or not."""
    import os

    return {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
