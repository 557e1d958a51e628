"""Open a video file, or say in one line why that cannot be done.

Everything that can be wrong with a file before a frame is asked of it is found here. FFmpeg, through PyAV, does the
opening; it is asked for a local file alone, and it writes nothing to the terminal (PyAV keeps its log off).
"""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from vmamba_edu.video.errors import VideoReadError, read_error

if TYPE_CHECKING:
    import av.container  # for annotations alone: PyAV is an optional package, and not light

# FFmpeg renders plain text as a film of an old terminal: that is not what a person means by a video.
_TEXT_ART = {"tty", "bin", "xbin", "adf", "idf"}
# The boxes that stand at the outermost level of an MP4 or QuickTime file.
_BOXES = set(b"ftyp styp pdin moov moof mdat mfra sidx meta free skip wide uuid".split())
_COPY_AGAIN = "copy or download it again"


def require_pyav() -> None:
    """Raise the ImportError that names the extra, if PyAV is missing."""
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise ImportError("reading and writing video needs PyAV: pip install 'vmamba-edu[video]'") from error


def check_file(path: Path) -> None:
    """Raise VideoReadError unless `path` is a file with something in it that may be read."""
    if path.is_dir():
        raise read_error(path, "is a directory", "give the path of one video file")
    if not path.exists():
        place = "" if path.is_absolute() else f" in {Path.cwd()}"
        raise read_error(path, f"there is no such file{place}", "check the path")
    if not path.is_file():
        raise read_error(path, "is not a regular file", "give the path of a video file on disk")
    if not os.access(path, os.R_OK):
        raise read_error(path, "may not be read (permission denied)", "change its permissions")
    if path.stat().st_size == 0:
        raise read_error(path, "is empty (0 bytes)", _COPY_AGAIN)


@contextmanager
def open_video(path: Path) -> Iterator["tuple[av.container.InputContainer, av.VideoStream]"]:
    """Open `path` with PyAV and give its container and its (best) video stream.

    Raises:
        VideoReadError: the file is missing, a directory, empty, cut short before its index, not a video, or holds
            audio only; or its codec is not one that FFmpeg decodes.
        ImportError: PyAV is not installed.
    """
    require_pyav()
    import av

    check_file(path)
    try:
        # Absolute, so that FFmpeg takes no colon for a protocol; and a title in a wrong encoding is no reason to fail.
        container = av.open(os.path.abspath(path), metadata_errors="replace")
    except (av.FFmpegError, OSError) as error:
        raise _unopened(path) from error
    with container:
        if container.format.name in _TEXT_ART:
            raise read_error(path, "is text or other data, not a video", "give the path of a video file")
        yield container, _video_stream(path, container)


def _unopened(path: Path) -> VideoReadError:
    if ends_early(path):
        return _without_index(path)
    return read_error(path, "is not a video that FFmpeg can open", "check what the file is, or " + _COPY_AGAIN)


def _without_index(path: Path) -> VideoReadError:
    return read_error(path, "is truncated before the index of its frames", _COPY_AGAIN)


def _video_stream(path: Path, container: "av.container.InputContainer") -> "av.VideoStream":
    from av.stream import Disposition

    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]  # album covers
    best = container.streams.best("video")
    stream = best if best in streams else next(iter(streams), None)
    if stream is not None and stream.codec_context is not None:
        # One thread a reader, on every path: loaders run many readers, and a thread pool each would only hold memory.
        stream.codec_context.thread_count = 1
        return stream
    if ends_early(path):
        raise _without_index(path)
    if stream is not None:
        raise read_error(path, "its video codec is unknown to FFmpeg and not supported", "convert it to H.264")
    held = "audio only" if container.streams.audio else "no video stream"
    raise read_error(path, f"holds {held}", "give a file with pictures in it")


def first_frame(path: Path, container: "av.container.InputContainer", stream: "av.VideoStream") -> "av.VideoFrame":
    """Decode the first picture: it alone knows the size, and whether the decoder really works."""
    for frame in decoded(container, stream):
        return frame
    if ends_early(path):
        raise read_error(path, "is truncated before its first whole frame", _COPY_AGAIN)
    raise read_error(path, f"no frame of it can be decoded ({stream.codec_context.name})", _COPY_AGAIN)


def decoded(container: "av.container.InputContainer", stream: "av.VideoStream") -> Iterator["av.VideoFrame"]:
    """The frames from where the container stands, in the order of display, passing over packets that are broken."""
    import av

    for packet in _packets(container, stream):
        try:
            yield from stream.decode(packet)
        except av.FFmpegError:
            continue


def _packets(container: "av.container.InputContainer", stream: "av.VideoStream") -> Iterator["av.Packet | None"]:
    """The whole packets, up to where the file ends or breaks off; then None, which empties the decoder."""
    import av

    try:
        for packet in container.demux(stream):
            if packet.size and not packet.is_corrupt:
                yield packet
    except av.FFmpegError:
        pass
    yield None


def ends_early(path: Path) -> bool:
    """Whether the file says of itself that it is longer than it is.

    MP4 and QuickTime (a chain of boxes), Matroska and WebM (one segment) and AVI (a RIFF chunk) carry their lengths;
    other containers, and a Matroska file written live, do not, and then nothing is claimed.
    """
    there = path.stat().st_size
    with path.open("rb") as file:
        head = file.read(64)
        if head[:4] == b"RIFF":
            return 8 + int.from_bytes(head[4:8], "little") > there
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska_length(head) > there
        position = 0
        while head[4:8] in _BOXES:
            position += _box_length(head, there - position)
            file.seek(position)
            head = file.read(16)
    return position > there


def _box_length(head: bytes, rest: int) -> int:
    """Length in bytes of the ISO base media box that starts with `head` (ISO/IEC 14496-12, 4.2)."""
    length: int = struct.unpack(">I", head[:4])[0]
    if length == 1 and len(head) >= 16:
        length = struct.unpack(">Q", head[8:16])[0]
    return rest if length < 8 else length  # 0: the box reaches to the end of the file; less than 8 means nothing


def _matroska_length(head: bytes) -> int:
    """Length in bytes that a Matroska file declares (RFC 8794 and 9559): its EBML header and its one segment."""
    header_length, start = _ebml_size(head, 4)
    segment = start + (header_length or 0)
    if head[segment : segment + 4] != b"\x18\x53\x80\x67":
        return 0
    length, start = _ebml_size(head, segment + 4)
    return 0 if length is None else start + length


def _ebml_size(head: bytes, at: int) -> tuple[int | None, int]:
    """The variable-length size at `at` (None when it is marked unknown), and the position after it."""
    width = 9 - head[at].bit_length() if at < len(head) else 9
    if width > 8 or at + width > len(head):
        return None, at
    ones = (1 << 7 * width) - 1
    value = int.from_bytes(head[at : at + width], "big") & ones
    return (None if value == ones else value), at + width
