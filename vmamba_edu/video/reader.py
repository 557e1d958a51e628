"""Read a video: chosen frames as one tensor, and when each is shown.

    clip = read_clip("holiday.mp4", 8)                    # 8 frames, spread evenly
    clip = read_clip("holiday.mp4", [0, 10, 10, 3])       # these, in this order
    clip = read_clip("holiday.mp4", lambda n: range(0, n, 4))
    clip.frames, clip.timestamps                          # (time, height, width, 3) uint8 RGB, (time,) seconds

Every call opens, reads and closes the file: nothing is shared, so calls from several threads at once, and from the
workers of a DataLoader (forked or spawned), need no care. Memory is that of the frames asked for and a few more.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import torch
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from vmamba_edu.video.decode import decode_frames
from vmamba_edu.video.errors import read_error
from vmamba_edu.video.frame_index import FrameIndex, index_frames
from vmamba_edu.video.resizing import check_side
from vmamba_edu.video.sampling import uniform_indices

FrameChoice = SupportsIndex | Iterable | Callable[[int], Iterable] | None


@dataclass(frozen=True, eq=False)
class Clip:
    """Frames of a video.

    Attributes:
        frames: (time, height, width, 3) uint8, RGB, upright.
        timestamps: (time,) float64, seconds from the first frame of the file at which each frame is shown.
        indices: (time,) int64, the number of each frame in the file, from 0.
        fps: mean frame rate of the file, not of the frames chosen.
        path: the file.
    """

    frames: UInt8[Tensor, "time height width 3"]
    timestamps: Float64[Tensor, " time"]
    indices: Int64[Tensor, " time"]
    fps: float
    path: Path


@dataclass(frozen=True)
class VideoInfo:
    """What a video holds: its frames, mean rate (1/s), size of the upright picture (pixels), duration (s)."""

    num_frames: int
    fps: float
    height: int
    width: int
    duration: float


def video_info(path: str | os.PathLike[str]) -> VideoInfo:
    """Say how many frames a video holds, how fast they run and how large they are.

    The frames are counted one by one from the file's packets, since headers are often wrong.

    Raises:
        VideoReadError: as `read_clip`.
    """
    index = index_frames(Path(path))
    _require_whole(index)
    return VideoInfo(index.num_frames, index.fps, index.height, index.width, index.num_frames / index.fps)


def read_clip(path: str | os.PathLike[str], frames: FrameChoice = None, *, short_side: int | None = None) -> Clip:
    """Read frames of a video.

    A file that was cut short (a broken download) says so: without a choice of single frames, VideoReadError gives the
    number of frames that it holds and that it should hold. Those that are there can be read by their indices. Only a
    GIF, an MPEG transport stream and a bare stream do not tell how long they should be: cut short, they are shorter.

    Args:
        path: a video file of any kind that FFmpeg decodes.
        frames: None for all; a number of frames, sampled by `uniform_indices`; frame indices in any order, repeats
            allowed; or a function from the number of frames in the file to such indices.
        short_side: resize each frame so that its short side has as many pixels, as it is decoded: 64 frames of a film
            in full HD are 400 MB, and 13 MB at 224. None keeps the size.

    Raises:
        VideoReadError: the file cannot be read, or not these frames; the message is one line that names the file, the
            cause and the remedy.
        IndexError: an index lies outside the file.
        ImportError: PyAV is not installed (extra `video`).
    """
    return clip_of(index_frames(Path(path)), frames, short_side)


def clip_of(index: FrameIndex, frames: FrameChoice = None, short_side: int | None = None) -> Clip:
    """`read_clip` for a file whose frames were indexed before: who needs its rate to choose frames reads it once."""
    if short_side is not None:
        check_side("short_side", short_side)
    numbers = chosen_frames(frames, index)
    # Decoders run forward: each frame is decoded once, in the file's order, and then put where it was asked for.
    needed, places = np.unique(numbers, return_inverse=True)
    pictures = torch.from_numpy(decode_frames(index, needed, short_side))
    if not np.array_equal(needed, numbers):
        pictures = pictures[torch.from_numpy(places)]
    timestamps = torch.from_numpy(index.seconds[numbers])
    return Clip(pictures, timestamps, torch.from_numpy(numbers), index.fps, index.path)


def chosen_frames(frames: FrameChoice, index: FrameIndex) -> np.ndarray:
    """The frame numbers that `frames` means for this file, (time,) int64."""
    if not isinstance(frames, Iterable):
        _require_whole(index)
        if frames is None:
            return np.arange(index.num_frames)
        if isinstance(frames, SupportsIndex) and not isinstance(frames, bool):
            return uniform_indices(index.num_frames, frames.__index__()).numpy()
        if callable(frames):
            frames = frames(index.num_frames)
    numbers = _as_numbers(frames)
    outside = numbers[(numbers < 0) | (numbers >= index.num_frames)]
    if len(outside):
        if index.truncated and (outside >= 0).all():
            raise _cut_short(index)
        held = f"frames 0 to {index.num_frames - 1}"
        raise IndexError(f"frames: index {outside[0]} was asked of {index.path}, which holds {held}; ask within them")
    return numbers


def _as_numbers(frames: object) -> np.ndarray:
    advice = "give None, a number of frames, frame indices, or a function from the number of frames to indices"
    if isinstance(frames, str) or not isinstance(frames, Iterable):
        raise TypeError(f"frames must choose frames of the video, but got {frames!r}; {advice}")
    numbers = np.asarray(frames if isinstance(frames, (np.ndarray, Tensor)) else list(frames))
    if numbers.size == 0:
        raise ValueError(f"frames chooses no frame at all; {advice}")
    if numbers.ndim != 1 or numbers.dtype.kind not in "iu":
        kind = f"{numbers.dtype} of shape {numbers.shape}"
        raise TypeError(f"frames must be whole numbers in one row, but got {kind}; {advice}")
    return numbers.astype(np.int64)


def _require_whole(index: FrameIndex) -> None:
    if index.truncated:
        raise _cut_short(index)


def _cut_short(index: FrameIndex) -> Exception:
    there = index.num_frames
    held = f"{there} of {index.promised} frames" if index.promised > there else f"{there} frames before it breaks off"
    cause = f"is truncated: it holds {held}"
    return read_error(index.path, cause, f"copy or download it again, or read what is there with frames=range({there})")
