"""Write frames as a video file."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import uuid4

import numpy as np
from torch import Tensor

from vmamba_edu.video.container import require_pyav

if TYPE_CHECKING:
    import av


@dataclass(frozen=True)
class _Encoder:
    name: str
    pixel_format: str
    options: dict[str, str] = field(default_factory=dict)


_ENCODERS = {
    # yuv420p is what every browser and telephone plays; at crf 18 the loss is hard to see.
    "h264": _Encoder("libx264", "yuv420p", {"crf": "18"}),
    "ffv1": _Encoder("ffv1", "bgr0"),  # lossless, in .mkv: what comes back is bit for bit what went in
}
_BT709 = 1  # its number in ITU-T H.273


def write_video(
    path: str | os.PathLike[str], frames: Tensor | Iterable, fps: int | float | Fraction = 25, codec: str = "h264"
) -> Path:
    """Encode frames to a video file, which appears under its name only when it is whole.

    Args:
        path: where to; the ending chooses the container (.mp4, .mkv). An existing file is replaced.
        frames: (time, height, width, 3) uint8 RGB, or an iterable of (height, width, 3), taken one at a time.
        fps: frames a second.
        codec: "h264" (plays everywhere; height and width must be even, since it stores colour at half their
            resolution), or "ffv1" (lossless; .mkv).

    Returns:
        The path.

    Raises:
        ValueError: no frames, frames of the wrong kind or of several sizes, an odd size, an unknown codec or container.
        ImportError: PyAV is not installed (extra `video`).
        OSError: the file cannot be written.
    """
    require_pyav()
    path = Path(path)
    if codec not in _ENCODERS:
        raise ValueError(f"codec must be one of {', '.join(_ENCODERS)}, but got {codec!r}; h264 plays everywhere")
    if not fps > 0:
        raise ValueError(f"fps must be positive, but got {fps}; 25 is usual")
    if not path.absolute().parent.is_dir():
        raise FileNotFoundError(f"path: there is no folder {path.absolute().parent}; make it first")
    pictures = _pictures(frames, _ENCODERS[codec])
    # Beside its final place, so that the renaming is one step of one file system; the ending chooses the container.
    unfinished = path.with_name(f".{path.stem}.{uuid4().hex[:8]}{path.suffix}")
    try:
        _encode(unfinished, pictures, Fraction(fps).limit_denominator(1001), _ENCODERS[codec])
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def _pictures(frames: Tensor | Iterable, encoder: _Encoder) -> Iterator[np.ndarray]:
    """The frames one by one as (height, width, 3) uint8 arrays, each checked as it comes."""
    size = None
    for number, frame in enumerate(frames):
        picture = np.ascontiguousarray(frame)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
            got = f"{picture.dtype} of shape {picture.shape}"
            raise ValueError(f"frames must be uint8 (height, width, 3) each, but frame {number} is {got}; convert it")
        size = size or picture.shape[:2]
        if picture.shape[:2] != size:
            raise ValueError(f"frames must have one size, but frame {number} is {picture.shape[:2]} after {size}")
        if encoder.pixel_format == "yuv420p" and (size[0] % 2 or size[1] % 2):
            # Padding in silence would hand back another picture than was given: the caller chooses.
            advice = 'crop or pad it to even sides, or write codec="ffv1"'
            raise ValueError(f"frames of {size[0]}×{size[1]} cannot be stored: h264 needs even sides; {advice}")
        yield picture
    if size is None:
        raise ValueError("frames is empty; give at least one (height, width, 3) picture")


def _encode(path: Path, pictures: Iterator[np.ndarray], rate: Fraction, encoder: _Encoder) -> None:
    import av

    first = next(pictures)
    try:
        # faststart puts an MP4's index in front, so that a player, or the reader of a cut copy, finds it.
        container = av.open(os.path.abspath(path), "w", options={"movflags": "+faststart"})
    except ValueError as error:
        raise ValueError(f"path must end in .mp4 or .mkv, but ends in {path.suffix!r}") from error
    with container:
        try:
            added = container.add_stream(encoder.name, rate=rate, options=dict(encoder.options))
        except ValueError as error:
            raise ValueError(f"path: a {path.suffix} file cannot hold this codec; use .mp4 or .mkv") from error
        stream = cast("av.VideoStream", added)
        stream.height, stream.width = first.shape[:2]
        stream.pix_fmt = encoder.pixel_format
        if encoder.pixel_format == "yuv420p":
            _tag_colours(stream)
        for picture in chain([first], pictures):
            container.mux(stream.encode(_frame(picture, encoder)))
        container.mux(stream.encode())


def _tag_colours(stream: "av.VideoStream") -> None:
    """Say which colours the numbers mean (ITU-R BT.709): left unsaid, players guess by the size of the picture."""
    from av.video.reformatter import ColorRange, Colorspace

    context = stream.codec_context
    context.color_primaries = context.color_trc = _BT709
    context.colorspace, context.color_range = Colorspace.ITU709, ColorRange.MPEG


def _frame(picture: np.ndarray, encoder: _Encoder) -> "av.VideoFrame":
    import av

    frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
    if encoder.pixel_format != "yuv420p":
        return frame  # RGB stays RGB: nothing to convert by a colour matrix
    return frame.reformat(format=encoder.pixel_format, dst_colorspace="ITU709", dst_color_range="MPEG")
