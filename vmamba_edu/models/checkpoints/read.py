"""Reading a checkpoint file: tensors by name, and nothing that could run.

A .pth file is a pickle, and a pickle can call any function while it is read. torch's own restricted reader
(`weights_only=True`) allows tensors and containers. Published files hold the arguments of the training run as well, so
here it also allows what those are made of: `argparse.Namespace`, NumPy's scalars and dtypes, which hold values and
do nothing. They are allowed for the one call alone.

Source: what `save_model` (videomamba/video_sm/utils.py) and `main` (videomamba/image_sm/main.py) put into their files.
"""

import argparse
import pickle
import pickletools
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from vmamba_edu.models.checkpoints.report import CheckpointError, first_few

PICKLES = (".pth", ".pt", ".bin")
SUFFIXES = (".safetensors", *PICKLES)
ENTRIES = ("model", "module", "state_dict")  # where the published files keep the weights, in the published order
PICKLE_ERRORS = (
    *(pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, IndexError, TypeError, AttributeError),
    *(OSError, OverflowError),  # what a damaged length may end in
)
HINT = "download it again"


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """The weights in a file, on the CPU, whatever the layout: the entry `model` or `module`, or the whole.

    Args:
        path: a .safetensors, .pth, .pt or .bin file.

    Raises:
        FileNotFoundError, IsADirectoryError: there is no such file, or it is a folder.
        CheckpointError: it is no checkpoint, is cut off, holds code, or holds no tensors.
    """
    check_file(path)
    return weights_in(_read(path), path.name)


def check_file(path: Path) -> None:
    """Raise unless this could be a checkpoint, judged by its first bytes.

    Raises:
        FileNotFoundError, IsADirectoryError, CheckpointError: as `read_checkpoint`.
    """
    if path.is_dir():
        raise IsADirectoryError(f"source: expected a file ({', '.join(SUFFIXES)}), got the folder {path}")
    if not path.is_file():
        raise FileNotFoundError(f"source: there is no file {path}")
    if path.suffix not in SUFFIXES:
        raise CheckpointError(f"source: expected a name ending in {', '.join(SUFFIXES)}, got {path.name}")
    with path.open("rb") as file:
        start = file.read(200).lstrip().lower()
    if not start:
        raise CheckpointError(f"source: {path.name} is empty; {HINT}")
    if start.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"source: {path.name} is a pointer of Git LFS, not the file itself; run `git lfs pull`")
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        page = "a web page, perhaps an error or a log-in that was saved in its place"
        raise CheckpointError(f"source: {path.name} is no checkpoint but {page}; {HINT}")


def _read(path: Path) -> Any:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise CheckpointError(
                f"source: {path.name} is cut off, or no .safetensors file ({error}); {HINT}"
            ) from None
    try:
        with torch.serialization.safe_globals(inert_types()):
            return torch.load(path, map_location="cpu", weights_only=True)
    except PICKLE_ERRORS as error:
        raise CheckpointError(f"source: {path.name} {_what_is_wrong(path, str(error))}") from None


def inert_types() -> list[Any]:
    """What a checkpoint may hold beside tensors and containers: values that do nothing when they are read."""
    scalar = np._core.multiarray.scalar  # type: ignore[attr-defined]
    dtypes = {type(np.dtype(code)) for code in "?bhilqBHILQefd"}
    # NumPy 2 moved `scalar`; older files call it by its old name.
    return [argparse.Namespace, np.dtype, *dtypes, scalar, (scalar, "numpy.core.multiarray.scalar")]


def _what_is_wrong(path: Path, message: str) -> str:
    """Why torch's restricted reader gave up: code, or a file that is not whole. It does not say so in few words."""
    found = re.search(r"GLOBAL ([\w.]+)", message)
    names = [found[1]] if found else _names_called(path)
    if not names:
        return f"is cut off or damaged, or no checkpoint at all; {HINT}"
    return (
        f"is a pickle that asks for {first_few(names)}. That may be code: nothing was run, and nothing loaded. Ask "
        "for a .safetensors file; or, if you trust who made it, save its tensors alone"
    )


def _names_called(path: Path) -> list[str]:
    """What a pickle that torch did not write would import, found without reading it as one; [] if it is not whole."""
    names, strings = [], [""]
    try:
        with path.open("rb") as file:
            for opcode, argument, _ in pickletools.genops(file):
                if opcode.name in ("GLOBAL", "INST"):
                    names.append(str(argument).replace(" ", "."))
                elif opcode.name == "STACK_GLOBAL":
                    names.append(".".join(strings[-2:]))
                elif isinstance(argument, str):
                    strings.append(argument)
    except PICKLE_ERRORS:
        return []
    return names


def weights_in(content: Any, name: str) -> dict[str, Tensor]:
    """The tensors of a checkpoint in whatever layout; `name` is what to call it in an error.

    Raises:
        CheckpointError: there are none.
    """
    weights = content
    for entry in ENTRIES:
        if isinstance(content, Mapping) and isinstance(content.get(entry), Mapping):
            weights = content[entry]
            break
    if not isinstance(weights, Mapping):
        raise CheckpointError(f"source: expected weights by name in {name}, got {type(weights).__name__}")
    tensors = {str(key): value for key, value in weights.items() if isinstance(value, Tensor)}
    if not tensors:
        raise CheckpointError(
            f"source: there are no weights in {name}, only {first_few(map(str, weights)) or 'nothing'}"
        )
    return tensors
