"""A video that panels take frames from: a file, frames in memory, or the built-in clip; read when they are needed."""

import os
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vmamba_edu.panels.computed.arguments import frames_of
from vmamba_edu.video import CentreCrop, VideoReadError, moving_digits, read_clip, resize_short_side, video_info

BUILT_IN = "moving_digits(7, 'left', num_frames=64, size=112, seed=3, background='photo').frames"
"""The code of the built-in video."""


@dataclass(frozen=True, eq=False)
class Video:
    """Where frames come from.

    Args:
        name: for the reader.
        num_frames, height, width: of the whole video.
        fps: frames a second, None where nobody knows.
        frames: all of them, uint8 (time, height, width, 3), or None where `path` is read.
    """

    name: str
    num_frames: int
    height: int
    width: int
    fps: float | None = None
    frames: Tensor | None = None
    path: Path | None = None
    _read: dict[Any, np.ndarray] = field(default_factory=dict, repr=False)

    def taken(self, indices: np.ndarray, side: int) -> np.ndarray:
        """Some frames, their middle squares brought to `side` pixels: uint8 (time, side, side, 3).

        Raises:
            ValueError: the file cannot be read any more.
        """
        missing = [int(at) for at in np.unique(indices) if (int(at), side) not in self._read]
        if missing:
            for at, frame in zip(missing, self._squares(missing, side), strict=True):
                self._read[at, side] = frame
        return np.stack([self._read[int(at), side] for at in indices])

    def _squares(self, indices: list[int], side: int) -> np.ndarray:
        if self.frames is not None:
            frames = self.frames[indices]
        else:
            assert self.path is not None
            try:
                frames = read_clip(self.path, indices, short_side=side).frames
            except (VideoReadError, OSError) as error:
                raise ValueError(f"path: {error}") from error
        return CentreCrop(side)(resize_short_side(frames, side)).numpy()


def video_of(source: str | os.PathLike[str] | Tensor | np.ndarray | None, called: str = "path") -> Video:
    """The video that a reader names: a path, frames (time, height, width, 3) in uint8, or None for the built-in one.

    What cannot be read is told as the fault of what is `called` so.

    Raises:
        ValueError: the file cannot be read, or these are no frames.
    """
    if source is None or (isinstance(source, str) and not source.strip()):
        return _in_memory("the built-in clip, a seven that moves left", _built_in())
    if isinstance(source, str | os.PathLike):
        path = Path(source).expanduser()
        try:
            info = video_info(path)
        except (VideoReadError, OSError) as error:
            raise ValueError(f"{called}: expected a video that can be read, got {error}") from error
        return Video(path.name, info.num_frames, info.height, info.width, info.fps, path=path)
    try:
        return _in_memory("the given clip", torch.as_tensor(frames_of(source)))
    except ValueError as error:
        raise ValueError(str(error).replace("expected uint8", "expected a path, or uint8")) from None


@cache
def _built_in() -> Tensor:
    return moving_digits(7, "left", num_frames=64, size=112, seed=3, background="photo").frames


def _in_memory(name: str, frames: Tensor) -> Video:
    num_frames, height, width, _ = frames.shape
    return Video(name, num_frames, height, width, frames=frames)
