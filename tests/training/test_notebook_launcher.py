"""Training in several processes from a notebook, as docs/scale.md says it."""

import csv
from pathlib import Path

import pytest
from recipes.small_recipes import write_recipe
from training.several_processes import free_port
from training.tiny_runs import RECIPE

from vmamba_edu.training import open_checkpoint
from vmamba_edu.training.checkpointing import LAST

pytest.importorskip("accelerate")
pytest.importorskip("nbclient")

# Threads of torch and of the kernels are at work in the notebook before it is forked: a fork takes none of them along.
WORK = """
import torch
from vmamba_kernels import selective_scan
torch.set_num_threads(2)
torch.rand(512, 512) @ torch.rand(512, 512)
x, B = torch.rand(1, 64, 4096), torch.rand(1, 16, 4096)
selective_scan(x, x, -torch.rand(64, 16), B, B, backend="numba").sum()
"""

ALONE = """
train_recipe(recipe, "alone", progress=False)
"""

# The cell of docs/scale.md, with a port that is free.
LAUNCH = """
import torch
from accelerate import notebook_launcher
from vmamba_edu.recipes import read_recipe, train_recipe

torch.set_num_threads(1)  # a fork takes no other thread along, and would wait for it for ever
recipe = read_recipe("recipe.toml")
notebook_launcher(train_recipe, (recipe, "runs/first"), num_processes=2)
"""


def rows_of(folder: Path) -> list[dict[str, float]]:
    with open(folder / "training.csv", newline="") as file:
        return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]


@pytest.mark.slow
def test_a_notebook_whose_threads_have_worked_trains_in_two_processes(tmp_path):
    import nbformat
    from nbclient import NotebookClient
    from nbformat.v4 import new_code_cell, new_notebook

    write_recipe(tmp_path, RECIPE, drop_path_rate="0.0")
    launch = LAUNCH.replace("num_processes=2", f'num_processes=2, use_port="{free_port()}"')
    notebook = new_notebook(cells=[new_code_cell(code) for code in (WORK, launch, WORK, ALONE)])
    options = {"timeout": 300, "kernel_name": "python3", "resources": {"metadata": {"path": str(tmp_path)}}}
    NotebookClient(notebook, **options).execute()
    nbformat.validate(notebook)

    content = open_checkpoint(tmp_path / "runs" / "first" / LAST)
    assert content["step"] == 6
    assert len(content["others_random"]) == 1  # two processes trained it
    together, alone = rows_of(tmp_path / "runs" / "first"), rows_of(tmp_path / "alone")
    assert len(together) == len(alone) == 6
    # float32, and AdamW's first steps make of a gradient that is nothing but rounding a step of full size
    assert [row["loss"] for row in together] == pytest.approx([row["loss"] for row in alone], rel=1e-2)
    assert together[0]["loss"] == pytest.approx(alone[0]["loss"], rel=1e-6)


def test_the_cell_stands_in_the_docs(repository):
    assert LAUNCH.strip() in (repository / "docs" / "scale.md").read_text("utf-8")
