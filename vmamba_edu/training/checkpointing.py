"""Checkpoints: files that are either whole or not there, and hold all that a run needs to go on as if nothing was.

A file is written under another name, forced to the disk, and then renamed, which a file system does in one step: who is
killed while writing leaves the last checkpoint as it was. Contents are tensors, numbers, strings, lists and dicts, so
that loading one executes nothing (`torch.load(..., weights_only=True)`).
"""

import errno
import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from vmamba_edu.models.checkpoints.report import CheckpointError
from vmamba_edu.models.state_dicts import list_differences

FORMAT = "vmamba-edu training, 1"
LAST, BEST = "last.pt", "best.pt"

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def save_checkpoint(content: Mapping[str, Any], path: str | os.PathLike[str]) -> Path:
    """Write a checkpoint; what was there under this name stays until the new one is whole.

    Raises:
        CheckpointError: it cannot be written (a full disk, a folder that is read-only or not there).
    """
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.unfinished")  # one name: what a killed run left is overwritten
    try:
        try:
            with _open_to_write(unfinished) as file:
                torch.save({"format": FORMAT, **content}, file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(unfinished, path)
        except BaseException:
            unfinished.unlink(missing_ok=True)
            raise
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:
        cause = _disk_error(error)
        if cause is None:
            raise
        raise _cannot_write(path, cause) from error
    return path


def open_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        CheckpointError: there is none, or it is damaged, or not one of ours.
    """
    path = Path(path)
    if not path.is_file():
        what = "is a folder" if path.is_dir() else "there is no such file"
        raise CheckpointError(f"{path}: {what}; give the {LAST} or {BEST} of a run folder")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise CheckpointError(f"{path}: cannot be read ({error.strerror}); look at its permissions") from error
    except Exception as error:  # torch, pickle and zipfile each have errors of their own for the same thing
        raise CheckpointError(f"{path}: is damaged or no checkpoint; take another one of the run folder") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise CheckpointError(f"{path}: is not a checkpoint of a training run of this version; expected {FORMAT!r}")
    return content


def trained_weights(content: Mapping[str, Any]) -> dict[str, Tensor]:
    """The model's weights in a checkpoint: their moving average where there is one, for that is what was validated."""
    average = content["average"]
    if average is None:
        return content["model"]
    return {name.removeprefix("module."): value for name, value in average.items() if name.startswith("module.")}


def require_same(path: Path, what: str, expected: Mapping[str, Tensor], came: Mapping[str, Tensor]) -> None:
    """Raise unless two state dicts have the same names and shapes.

    Raises:
        CheckpointError: they differ; the message says in what.
    """
    if differences := list_differences(expected, came):
        listed = "; ".join(text if len(text) < 160 else f"{text[:150]} …" for text in differences)
        raise CheckpointError(f"{path}: is of another {what} ({listed}); build it as it was trained, or train anew")


def _open_to_write(path: Path) -> IO[bytes]:
    return open(path, "wb")


def _sync_folder(folder: Path) -> None:
    """Force the renaming itself to the disk, where folders can be opened (not on Windows)."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _disk_error(error: BaseException | None) -> OSError | None:
    """The error of the operating system behind what torch.save raises, which wraps it in a RuntimeError of its own."""
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def _cannot_write(path: Path, cause: OSError) -> CheckpointError:
    advice = "free some space" if cause.errno in _NO_ROOM else "give a run folder that can be written"
    kept = f"; {path.name} is still the one before" if path.exists() else ""
    return CheckpointError(f"{path}: cannot be written ({cause.strerror or cause}); {advice}{kept}")
