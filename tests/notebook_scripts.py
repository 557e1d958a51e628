"""The scripts of notebooks/ as modules: they stand beside the lessons, and are no package."""

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


@cache
def script(name: str) -> ModuleType:
    """notebooks/NAME.py, under a name that other processes can import it by as well."""
    spec = importlib.util.spec_from_file_location(f"lesson_{name}", NOTEBOOKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
