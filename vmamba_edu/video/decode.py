"""From frame numbers to pictures, with one of two decoders that agree bit for bit where both are right.

decord goes first where it was found exact. PyAV takes everything else: the codecs that decord's older FFmpeg does not
know (AV1, GIF) or fails on (VP9); files in which decord miscounts or misplaces frames without a word (an edit list;
open groups of pictures, which x265 writes unless told otherwise; MPEG-TS; AVI with B-frames); turned pictures; files
cut short. A reader lives for one call: shared between threads or across a fork, decord's corrupts memory or hangs.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from vmamba_edu.video.container import decoded, open_video
from vmamba_edu.video.errors import read_error
from vmamba_edu.video.frame_index import FrameIndex
from vmamba_edu.video.orientation import Orientation
from vmamba_edu.video.resizing import resize, short_side_size

if TYPE_CHECKING:
    import av.container

_DECORD_CODECS = {"h264", "hevc", "mpeg4", "mjpeg"}
_DECORD_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "avi"}
_DECORD_BATCH = 16  # frames copied out at a time, so that decord's own buffer stays small beside the clip


def decode_frames(index: FrameIndex, numbers: np.ndarray, short_side: int | None = None) -> np.ndarray:
    """Decode the frames with these numbers.

    Args:
        index: of the file.
        numbers: (time,) int64, strictly increasing, each below index.num_frames.
        short_side: resize every frame to it as soon as it is decoded, so that no two large ones are held; None keeps
            the size.

    Returns:
        (time, height, width, 3) uint8, RGB.

    Raises:
        VideoReadError: a frame is there but cannot be decoded.
    """
    if short_side is not None:
        return _decode_small(index, numbers, short_side)
    clip = np.empty((len(numbers), index.height, index.width, 3), np.uint8)
    if not (decord_is_exact(index) and _fill_with_decord(clip, index, numbers)):
        for place, picture in enumerate(decoded_pictures(index, numbers)):
            clip[place] = picture
    return clip


def _decode_small(index: FrameIndex, numbers: np.ndarray, short_side: int) -> np.ndarray:
    """With PyAV alone, which decodes one frame at a time (and is the faster one at frames far apart)."""
    size = short_side_size(index.height, index.width, short_side)
    clip = np.empty((len(numbers), *size, 3), np.uint8)
    for place, picture in enumerate(decoded_pictures(index, numbers)):
        clip[place] = resize(torch.from_numpy(picture.copy())[None], size[0], size[1])[0].numpy()
    return clip


def decord_is_exact(index: FrameIndex) -> bool:
    """Whether the file is of a kind on which decord and PyAV were found to agree, frame for frame and bit for bit."""
    plain = index.stamps is not None and index.closed and not index.hidden and not index.truncated
    known = index.codec in _DECORD_CODECS and index.container in _DECORD_CONTAINERS
    return plain and known and index.orientation == Orientation()


def _fill_with_decord(clip: np.ndarray, index: FrameIndex, numbers: np.ndarray) -> bool:
    """Fill `clip`; False if decord is not installed, fails, or counts the frames differently."""
    try:
        import decord
    except (ImportError, OSError):
        return False
    decord.logging.set_level(decord.logging.QUIET)
    try:
        # fault_tol: the least positive share; decord would otherwise put a neighbour where a frame is damaged.
        reader = decord.VideoReader(str(index.path.absolute()), num_threads=1, fault_tol=1e-9)
        if not _agrees(reader, index):
            return False
        for start in range(0, len(numbers), _DECORD_BATCH):
            part = slice(start, start + _DECORD_BATCH)
            clip[part] = reader.get_batch(numbers[part]).asnumpy()
    except Exception:  # whatever decord's reason, PyAV reads the file or says what is wrong with it
        return False
    return True


def _agrees(reader: Any, index: FrameIndex) -> bool:
    """Whether decord finds the same frames, shown at the same times."""
    if len(reader) != index.num_frames:
        return False
    starts = reader.get_frame_timestamp(range(index.num_frames))[:, 0].astype(np.float64)
    return bool(np.allclose(starts - starts[0], index.seconds, rtol=1e-6, atol=1e-3))  # decord's are float32


def decoded_pictures(index: FrameIndex, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """The pictures with these (rising) numbers, one at a time; what is decoded on the way is let go at once."""
    found = 0
    for picture in _by_seeking(index, numbers):
        yield picture
        found += 1
    yield from _in_order(index, numbers[found:])  # for what seeking did not find


def _by_seeking(index: FrameIndex, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Jump to the keyframe before each frame unless decoding on is shorter; ends early if a jump lands elsewhere."""
    import av

    if index.stamps is None or not len(index.key_stamps):
        return
    with open_video(index.path) as (container, stream):
        frames, here = _numbered(index, container, stream), index.key_stamps[0]
        for number in map(int, numbers):
            key = index.keyframe_before(number)
            if key is not None and key > here:
                try:
                    container.seek(key, stream=stream)
                except av.FFmpegError:
                    return
                frames = _numbered(index, container, stream)
            frame = _advance(frames, number)
            if frame is None:
                return
            here = index.stamps[number]
            yield _upright(index, frame)


def _in_order(index: FrameIndex, numbers: np.ndarray) -> Iterator[np.ndarray]:
    """Decode from the first frame on, whatever the keyframes say."""
    if not len(numbers):
        return
    with open_video(index.path) as (container, stream):
        frames = _numbered(index, container, stream)
        for number in map(int, numbers):
            frame = _advance(frames, number)
            if frame is None:
                cause = f"frame {number} of {index.num_frames} cannot be decoded: the file is damaged there"
                raise read_error(index.path, cause, "copy or download it again, or ask for other frames")
            yield _upright(index, frame)


def _numbered(
    index: FrameIndex, container: "av.container.InputContainer", stream: "av.VideoStream"
) -> Iterator["tuple[int, av.VideoFrame]"]:
    for count, frame in enumerate(decoded(container, stream)):
        number = count if index.stamps is None else index.number_of(frame.pts)
        if number is not None:
            yield number, frame


def _advance(frames: Iterator["tuple[int, av.VideoFrame]"], number: int) -> "av.VideoFrame | None":
    """Decode up to frame `number`; None if it does not come."""
    for position, frame in frames:
        if position >= number:
            return frame if position == number else None
    return None


def _upright(index: FrameIndex, frame: "av.VideoFrame") -> np.ndarray:
    # A stream may change its size on the way: every picture gets the first one's.
    height, width = index.orientation.upright_size(index.height, index.width)
    return index.orientation.turn(frame.to_ndarray(format="rgb24", height=height, width=width))
