"""Reads the reference data of tests/reference: what the published implementations computed, written down once.

VMAMBA_EDU_REFERENCE=FOLDER reads another folder instead, such as the full data that tests/reference is a selection of.
"""

import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

FOLDER = Path(os.environ.get("VMAMBA_EDU_REFERENCE", Path(__file__).parent / "reference"))


def load_reference(name: str) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Load one case, e.g. `load_reference("01_scan_basic")`; see tests/reference/README.md for the tensors' names.

    Returns:
        The tensors by name (empty for a case that is JSON only) and the JSON that describes them.

    Raises:
        ValueError: there is no such case; the message lists those that exist.
    """
    description, tensors = FOLDER / f"{name}.json", FOLDER / f"{name}.safetensors"
    if not description.exists():
        raise ValueError(f"name: no reference case {name!r}; there are {', '.join(reference_names())}")
    return (load_file(tensors) if tensors.exists() else {}), json.loads(description.read_text("utf-8"))


def reference_names(prefix: str = "") -> list[str]:
    """The names of all cases that begin with `prefix`, in order: `reference_names("01_")` is the selective scan."""
    return sorted(path.stem for path in FOLDER.glob("*.json") if path.stem.startswith(prefix))
