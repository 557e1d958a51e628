"""Small films for the tests, of every kind, whose frames carry their own number in the picture.

So whether the right frame came is seen in the pixels, whoever encoded or decoded them. The number is written in eight
black or white blocks along the upper edge, the lowest bit on the left; three bands of red, green and blue lie below.
"""

import os
import struct
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

LENGTH, HEIGHT, WIDTH = 48, 64, 96
COLOURS = {34: (200, 40, 40), 44: (40, 200, 40), 54: (40, 40, 200)}  # the middle row of each band
X265_QUIET = "log-level=none"


def numbered_frame(number: int, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """(height, width, 3) uint8, at least 24×88."""
    picture = np.full((height, width, 3), 60, np.uint8)
    for bit in range(8):
        picture[4:20, 4 + 11 * bit : 13 + 11 * bit] = 235 if number >> bit & 1 else 16
    for row, colour in COLOURS.items():
        picture[row - 5 : row + 5] = colour
    return picture


def numbers_in(frames: np.ndarray | object) -> list[int]:
    """The numbers that stand in upright frames, (time, height, width, 3)."""
    blocks = np.stack([np.asarray(frames)[:, 8:16, 6 + 11 * bit : 11 + 11 * bit].mean((1, 2, 3)) for bit in range(8)])
    assert ((blocks < 80) | (blocks > 170)).all(), "the blocks that tell a frame's number are neither dark nor light"
    return ((blocks > 125) << np.arange(8)[:, None]).sum(0).tolist()


def encode(
    path: Path,
    codec: str,
    *,
    pixels: str = "yuv420p",
    stamps: Sequence[int] | None = None,  # milliseconds
    length: int = LENGTH,
    size: tuple[int, int] = (HEIGHT, WIDTH),
    muxer: dict[str, str] | None = None,
    format: str | None = None,
    **options: str,
) -> Path:
    """Encode numbered frames, 25 a second unless time stamps are given."""
    with av.open(str(path), "w", format=format, options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options)
        stream.height, stream.width = size
        stream.pix_fmt = pixels
        if stamps is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number in range(length):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number, *size), format="rgb24")
            if stamps is not None:
                frame.pts, frame.time_base = stamps[number], Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def encode_sound(path: Path, codec: str = "aac", cover: bool = False) -> Path:
    """Ten blocks of silence; with a `cover`, a still picture lies beside it as music players show it."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=44_100)
        picture = container.add_stream("mjpeg", rate=1, options={"strict": "unofficial"}) if cover else None
        if picture is not None:
            picture.height, picture.width, picture.pix_fmt = HEIGHT, WIDTH, "yuvj420p"
            picture.disposition = av.stream.Disposition.attached_pic
            container.mux(picture.encode(av.VideoFrame.from_ndarray(numbered_frame(0), format="rgb24")))
            container.mux(picture.encode())
        for block in range(10):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), format="fltp", layout="stereo")
            frame.rate, frame.pts = 44_100, 1024 * block
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def payload(data: bytes, *names: bytes) -> int:
    """Where the content of an MP4 box begins, the boxes being nested as named: `payload(data, b"moov", b"trak")`."""
    position, end = 0, len(data)
    for name in names:
        while data[position + 4 : position + 8] != name:
            assert position < end, f"there is no box {name!r}"
            position += struct.unpack_from(">I", data, position)[0]
        end = position + struct.unpack_from(">I", data, position)[0]
        position += 8
    return position


def with_edit_list(source: Path, target: Path, start: int, length: int) -> Path:
    """The same MP4, of which a player shows `length` frames from frame `start` on."""
    data = bytearray(source.read_bytes())
    at = payload(data, b"moov", b"trak", b"edts", b"elst") + 8  # after version, flags and count
    _, media_time = struct.unpack_from(">Ii", data, at)  # in ticks of 1/1000 s and 1/12800 s
    struct.pack_into(">Ii", data, at, 40 * length, media_time + 512 * start)
    target.write_bytes(data)
    return target


def with_display_matrix(source: Path, target: Path, a: int, b: int, c: int, d: int) -> Path:
    """The same MP4, to be shown with the stored point (x, y) at (a x + c y, b x + d y)."""
    data = bytearray(source.read_bytes())
    at = payload(data, b"moov", b"trak", b"tkhd") + 40
    struct.pack_into(">9i", data, at, a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    target.write_bytes(data)
    return target


def with_bytes(source: Path, target: Path, change: Callable[[bytes], bytes]) -> Path:
    target.write_bytes(change(source.read_bytes()))
    return target


UNEVEN = np.cumsum([0, *np.random.default_rng(7).integers(20, 90, LENGTH - 1)]).tolist()  # milliseconds

ENCODINGS: dict[str, dict] = {
    "h264.mp4": {"codec": "libx264", "g": "12"},
    "front.mp4": {"codec": "libx264", "g": "12", "muxer": {"movflags": "+faststart"}},  # its index stands in front
    "h264.mkv": {"codec": "libx264", "g": "12"},
    "h264.ts": {"codec": "libx264", "g": "12"},
    "h264.avi": {"codec": "libx264", "g": "12"},
    "bare.h264": {"codec": "libx264", "g": "12", "format": "h264"},
    "open_groups.mp4": {"codec": "libx264", "g": "12", "x264-params": "open-gop=1:scenecut=0"},
    "open_groups.mkv": {"codec": "libx264", "g": "12", "x264-params": "open-gop=1:scenecut=0"},
    "hevc.mp4": {"codec": "libx265", "g": "12", "x265-params": f"{X265_QUIET}:open-gop=0"},
    "hevc_open_groups.mp4": {"codec": "libx265", "g": "12", "x265-params": f"{X265_QUIET}:open-gop=1"},
    "mjpeg.avi": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "mjpeg.mp4": {"codec": "mjpeg", "pixels": "yuvj420p"},
    "mpeg4.avi": {"codec": "mpeg4", "g": "12"},
    "mpeg4.mp4": {"codec": "mpeg4", "g": "12", "bf": "2"},
    "vp8.webm": {"codec": "libvpx", "g": "12", "cpu-used": "8"},
    "vp9.webm": {"codec": "libvpx-vp9", "g": "12", "cpu-used": "8"},
    "av1.mp4": {"codec": "libsvtav1", "g": "12", "preset": "12"},
    "moving.gif": {"codec": "gif", "pixels": "rgb8"},
    "lossless.mkv": {"codec": "ffv1", "pixels": "bgr0"},
    "uneven.mp4": {"codec": "libx264", "g": "12", "stamps": UNEVEN},
    "uneven.mkv": {"codec": "libx264", "g": "12", "stamps": UNEVEN},
    "late.mp4": {"codec": "libx264", "g": "12", "stamps": [10_000 + 40 * n for n in range(LENGTH)]},
    "late.mkv": {"codec": "libx264", "g": "12", "stamps": [10_000 + 40 * n for n in range(LENGTH)]},
    "one.mp4": {"codec": "libx264", "length": 1},
    "odd.mp4": {"codec": "libx264", "pixels": "yuv444p", "size": (67, 93), "g": "12"},
}


class Films:
    """Makes each film when it is first asked for, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, name: str) -> Path:
        path = self.folder / name
        if path.exists():
            return path
        settings = dict(ENCODINGS[name])
        os.environ.setdefault("SVT_LOG", "0")  # the AV1 encoder talks otherwise
        return encode(path, settings.pop("codec"), **settings)


def can_encode(name: str) -> bool:
    """Whether this build of PyAV has the encoder for a film."""
    return ENCODINGS[name]["codec"] in av.codecs_available
