"""One training in a process of its own: `python -m benchmarks.comparisons.one_run '{"label": …}'`.

Goes on from the checkpoint of its folder, if there is one. Ends with 0 when the result is written.
"""

import json
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numba
import numpy as np
import torch

from benchmarks.comparisons.clock import Clock
from benchmarks.comparisons.measures import gradient_by_frame, measure_classes, measure_motions
from benchmarks.comparisons.runs import PROTOCOL, revision, with_paths, write_json
from benchmarks.machine import Bystanders, describe
from vmamba_edu.recipes import Recipe, Trained, evaluate, initial_model, load_trained, train_recipe
from vmamba_edu.recipes.data import make_split


def run(spec: dict[str, Any]) -> dict[str, Any]:
    """Train, measure, write; returns what was written.

    Args:
        spec: label, name, base, overrides, tables, seed, digest and threads of the run, and the paths result, folder
            and folders.
    """
    torch.set_num_threads(spec["threads"])
    folder = Path(spec["folder"])
    recipe = Recipe(spec["label"], with_paths(spec["tables"], Path(spec["folders"])))
    bystanders, clock = Bystanders(), Clock(folder / "clock.json")
    history = train_recipe(recipe, folder, resume=True, device="cpu", callbacks=[clock])
    trained = load_trained(folder, "cpu")
    best = next(row for row in history.validation if row["step"] == trained.step)
    written = {
        **{name: spec[name] for name in ("digest", "label", "base", "overrides", "seed")},
        "protocol": PROTOCOL,
        "recipe": spec["tables"],
        "steps": int(history.training[-1]["step"]),
        "parameters": sum(parameter.numel() for parameter in trained.model.parameters()),
        "validation": {name: round(value, 5) for name, value in best.items()},
        **measure(trained, recipe),
        "seconds": {name: clock.rows[-1][name] for name in ("wall", "cpu")},
        "ms_a_step": clock.ms_a_step,
        "sittings": clock.sittings,
        "curve": clock.rows,
        "machine": describe("cpu") | {"others_busy": round(bystanders.average(), 2)},
        "versions": {"numba": numba.__version__, "numpy": np.__version__, "python": platform.python_version()},
        "git": revision(),
    }
    write_json(written, Path(spec["result"]))
    return written


def measure(trained: Trained, recipe: Recipe) -> dict[str, Any]:
    """What the run is compared by: of its best weights by validation, on the test split."""
    kind = recipe.tables["objective"]["name"]
    if kind == "masked_alignment":
        return {}
    if kind == "video_text":
        return {"retrieval": nested(evaluate(trained, "test", progress=False).measured)}
    data = make_split(recipe, "test", trained.frames)
    told = recipe.tables["data"].get("label", "motion")
    if recipe.tables["data"]["name"] != "moving_digits" or told != "motion":
        return measure_classes(trained.model, data)
    start = gradient_by_frame(initial_model(recipe, "cpu"), data)
    return measure_motions(trained.model, data) | {
        "gradient": {"start": start, "end": gradient_by_frame(trained.model, data)}
    }


def nested(measured: Mapping[str, float]) -> dict[str, Any]:
    """Numbers whose names have parts, "dual.txt_r1", as tables inside a table."""
    tables: dict[str, Any] = {}
    for name, value in measured.items():
        *outer, last = name.split(".")
        table = tables
        for part in outer:
            table = table.setdefault(part, {})
        table[last] = value
    return tables


if __name__ == "__main__":
    run(json.loads(sys.argv[1]))
