"""Go through frames of a video one at a time, whatever its length: memory for a few frames, and no more.

for frame in stream_frames("lecture.mp4", 64):
    show(frame.picture, frame.seconds)
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from vmamba_edu.video.decode import decoded_pictures
from vmamba_edu.video.frame_index import FrameIndex, index_frames
from vmamba_edu.video.reader import FrameChoice, chosen_frames


@dataclass(frozen=True, eq=False)
class StreamedFrame:
    """One frame of a video: (height, width, 3) uint8 RGB, its number in the file, and when it is shown (s)."""

    picture: UInt8[Tensor, "height width 3"]
    index: int
    seconds: float


def stream_frames(path: str | os.PathLike[str], frames: FrameChoice = None) -> Iterator[StreamedFrame]:
    """Decode frames one by one, in the file's order; one that is asked for twice comes once.

    A frame that nobody keeps is gone when the next one comes, and nothing is decoded before it is asked for. The file
    stays open until the last frame, or until the iterator is let go. Beside the decoder's own few frames, memory holds
    the table of the file's frames: a few numbers for each, some MB for an hour.

    Args:
        path, frames: as for `read_clip`.

    Raises:
        VideoReadError, IndexError, ImportError: as `read_clip`; all at once, but for a frame that is damaged.
    """
    index = index_frames(Path(path))
    return _stream(index, np.unique(chosen_frames(frames, index)))


def _stream(index: FrameIndex, numbers: np.ndarray) -> Iterator[StreamedFrame]:
    for number, picture in zip(numbers.tolist(), decoded_pictures(index, numbers), strict=True):
        yield StreamedFrame(torch.from_numpy(picture.copy()), number, float(index.seconds[number]))
