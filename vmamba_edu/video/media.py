"""From a record to its frames, whatever it is: a video file, a folder of raw frames, or a picture."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from vmamba_edu.video.errors import VideoReadError, read_error
from vmamba_edu.video.frame_index import index_frames
from vmamba_edu.video.reader import clip_of
from vmamba_edu.video.records import Record
from vmamba_edu.video.ssv2_sampling import RAW_FRAME_NAME, raw_frame_name
from vmamba_edu.video.windows import Window

SOURCES = ("video", "frames", "image")
# From the number of frames and the window (first and last frame, or None) to the frames wanted.
Choice = Callable[[int, tuple[int, int] | None], Int64[Tensor, " time"]]


def read_record(
    record: Record,
    choose: Choice,
    source: str = "video",
    frame_name: str = RAW_FRAME_NAME,
    short_side: int | None = None,
) -> UInt8[Tensor, "time height width 3"]:
    """Read the frames of a record.

    Args:
        record: its start and end, in seconds, become a window of frames at the file's mean rate (video files only).
        choose: frames wanted, given how many there are.
        source: "video" (a file), "frames" (a folder; `num_frames` may come from the list), or "image" (one frame).
        frame_name: of raw frames, with {} for the number, from 1.
        short_side: resize frames to it as they are decoded (video files only); None keeps the size.

    Raises:
        VideoReadError: it cannot be read; the message is one line.
        ImportError: PyAV (extra `video`) or, for pictures, Pillow (extra `lab`) is not installed.
    """
    path = Path(record.path)
    if source == "video":
        index = index_frames(path)
        piece = None if record.start is None or record.end is None else Window(record.start, record.end)
        return clip_of(
            index, lambda total: choose(total, piece.frames(index.fps) if piece else None), short_side
        ).frames
    if source == "image":
        return read_image(path)[None]
    total = record.num_frames or count_raw_frames(path, frame_name)
    return read_raw_frames(path, choose(total, None), frame_name)


def count_raw_frames(folder: Path, frame_name: str = RAW_FRAME_NAME) -> int:
    """How many frames a folder holds, counted from the first one without a gap."""
    count = 0
    while (folder / raw_frame_name(count, frame_name)).exists():
        count += 1
    if not count:
        raise read_error(folder, f"holds no frame {raw_frame_name(0, frame_name)}", "check the folder and frame_name")
    return count


def read_raw_frames(
    folder: Path, indices: Int64[Tensor, " time"], frame_name: str = RAW_FRAME_NAME
) -> UInt8[Tensor, "time height width 3"]:
    """Read frames that were stored as pictures, numbered from 1 (index 0 is frame 1); each is opened once."""
    numbers = indices.tolist()
    pictures = {number: read_image(folder / raw_frame_name(number, frame_name)) for number in dict.fromkeys(numbers)}
    if len({picture.shape for picture in pictures.values()}) > 1:
        raise read_error(folder, "its frames have several sizes", "extract them again at one size")
    return torch.stack([pictures[number] for number in numbers])


def read_image(path: Path) -> UInt8[Tensor, "height width 3"]:
    """Read a picture as RGB.

    Raises:
        VideoReadError: it cannot be read.
        ImportError: Pillow is not installed.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError("reading pictures needs Pillow: pip install 'vmamba-edu[lab]'") from error
    try:
        with Image.open(path) as image:
            return torch.from_numpy(np.array(image.convert("RGB")))
    except FileNotFoundError:
        raise read_error(path, "there is no such file", "check the path") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # what Pillow raises when broken
        cause = " ".join(str(error).split()) or type(error).__name__
        raise read_error(path, f"is not a picture that can be read ({cause})", "copy or download it again") from error


__all__ = ["SOURCES", "Choice", "VideoReadError", "count_raw_frames", "read_image", "read_raw_frames", "read_record"]
