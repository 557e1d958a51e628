"""Which frames a file holds and when each is shown: the table of contents that makes seeking exact.

A container's header is not to be trusted with this: it counts frames that an edit list hides, knows nothing of a cut
end, and gives one rate for a film of many. So every packet of the video is looked at once (none is decoded): one
reading of the file, and two integers a frame. Where packets do not tell, the frames are decoded once and counted.
"""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from vmamba_edu.video.container import decoded, ends_early, first_frame, open_video
from vmamba_edu.video.errors import read_error
from vmamba_edu.video.orientation import Orientation, orientation_of

if TYPE_CHECKING:
    import av.container


@dataclass(frozen=True, eq=False)
class FrameIndex:
    """The frames of one video stream, in the order of display.

    Attributes:
        path: the file.
        container, codec: FFmpeg's names for them ("matroska,webm", "h264").
        seconds: (num_frames,) float64, when each frame is shown, counted from the first.
        stamps: (num_frames,) int64, the time stamp of each in the stream's own ticks; None where the container has none
            that can be trusted, and frames are found by counting from the start.
        key_stamps: (keyframes,) int64, the stamps at which decoding can begin.
        fps: mean frame rate.
        height, width: of the upright picture.
        orientation: how a decoded picture is turned to be upright.
        hidden: whether the container holds frames that it says are not to be shown (an edit list).
        closed: whether no frame is stored after a keyframe and shown before it (an open group of pictures).
        truncated: whether the file was cut short.
        promised: how many frames the header speaks of, 0 if it does not.
    """

    path: Path
    container: str
    codec: str
    seconds: np.ndarray
    stamps: np.ndarray | None
    key_stamps: np.ndarray
    fps: float
    height: int
    width: int
    orientation: Orientation
    hidden: bool
    closed: bool
    truncated: bool
    promised: int

    @property
    def num_frames(self) -> int:
        return len(self.seconds)

    def number_of(self, stamp: int | None) -> int | None:
        """The number of the frame with this time stamp, None if there is none."""
        if self.stamps is None or stamp is None:
            return None
        number = int(np.searchsorted(self.stamps, stamp))
        return number if number < self.num_frames and self.stamps[number] == stamp else None

    def keyframe_before(self, number: int) -> int | None:
        """The stamp from which decoding leads to frame `number`; None: from the start."""
        if self.stamps is None:
            return None
        place = int(np.searchsorted(self.key_stamps, self.stamps[number], side="right"))
        return int(self.key_stamps[place - 1]) if place else None


@dataclass(frozen=True, eq=False)
class _Packets:
    """What the packets of a stream say without being decoded; the names are those of FrameIndex."""

    stamps: np.ndarray
    key_stamps: np.ndarray
    reliable: bool
    hidden: bool
    closed: bool
    truncated: bool


def index_frames(path: Path) -> FrameIndex:
    """Look at every packet of the video once. Raises VideoReadError as `open_video` does, or when it holds no frame."""
    with open_video(path) as (container, stream):
        picture = first_frame(path, container, stream)
        orientation = orientation_of(picture)
        height, width = orientation.upright_size(picture.height, picture.width)
        codec = stream.codec_context.codec.canonical_name
    with open_video(path) as (container, stream):
        packets = _read_packets(container, stream, cut=ends_early(path))
        counted = not packets.reliable or _packets_are_not_frames(container, stream, codec)
        promised = _promised_frames(container, stream)
        rate, tick = stream.average_rate or stream.guessed_rate, float(stream.time_base or 0)
        name = container.format.name
    seconds = _counted_seconds(path, rate) if counted else (packets.stamps - packets.stamps[0]) * tick
    if not len(seconds):
        raise read_error(path, "holds no whole frame", "copy or download it again")
    return FrameIndex(
        path=path,
        container=name,
        codec=codec,
        seconds=seconds,
        stamps=None if counted else packets.stamps,
        key_stamps=packets.key_stamps,
        fps=_frame_rate(seconds, rate, tick),
        height=height,
        width=width,
        orientation=orientation,
        hidden=packets.hidden,
        closed=packets.closed,
        truncated=packets.truncated,
        promised=promised,
    )


def _read_packets(container: "av.container.InputContainer", stream: "av.VideoStream", cut: bool) -> _Packets:
    """Take the time stamps of all packets. `cut`: whether the file is known to end early."""
    import av

    shown, keys = [], []
    reliable, hidden, closed, broken, count, decoded_at = True, False, True, False, 0, None
    try:
        for packet in container.demux(stream):
            if packet.size == 0:  # the empty packet with which PyAV ends
                continue
            broken = packet.is_corrupt
            if broken:
                continue
            if packet.pts is None:
                reliable = False
                break
            count, decoded_at = count + 1, packet.dts
            hidden |= packet.is_discard
            if packet.is_keyframe:
                keys.append(packet.pts)
            closed &= not keys or packet.pts >= keys[-1]
            if not packet.is_discard:
                shown.append(packet.pts)
    except av.FFmpegError:
        broken = True
    # A file may lose its end without losing a frame.
    truncated = (cut or broken) and not 0 < stream.frames <= count
    stamps, key_stamps = np.sort(np.array(shown, np.int64)), np.sort(np.array(keys, np.int64))
    stamps = _without_gaps(stamps, key_stamps, decoded_at if truncated else None)
    reliable &= len(stamps) > 0 and bool((np.diff(stamps) > 0).all())
    return _Packets(stamps, key_stamps, reliable, hidden, closed, truncated)


def _without_gaps(stamps: np.ndarray, key_stamps: np.ndarray, decoded_at: int | None) -> np.ndarray:
    """The frames before and after which none is missing that should be between them."""
    if len(key_stamps):
        stamps = stamps[stamps >= key_stamps[0]]  # what stands before the first keyframe refers to lost pictures
    if decoded_at is not None:
        # Packets come in the order of decoding, and none is shown before it is decoded: up to the moment at which the
        # last one there is was decoded, no frame is missing. After it there may be gaps, which would shift the numbers.
        stamps = stamps[stamps <= decoded_at]
    return stamps


def _packets_are_not_frames(container: "av.container.InputContainer", stream: "av.VideoStream", codec: str) -> bool:
    """AVI numbers its packets in the order of decoding, and some packets of VP8 are never shown."""
    return codec == "vp8" or (container.format.name == "avi" and bool(stream.codec_context.has_b_frames))


def _counted_seconds(path: Path, rate: Fraction | None) -> np.ndarray:
    """Decode the whole stream, hold one frame at a time, and take each one's time, or its turn at the nominal rate."""
    with open_video(path) as (container, stream):
        times = [frame.time for frame in decoded(container, stream)]
    if None not in times and (np.diff(times) > 0).all():
        return np.array(times, np.float64) - (times[0] if times else 0.0)
    return np.arange(len(times)) / float(rate or 25)


def _promised_frames(container: "av.container.InputContainer", stream: "av.VideoStream") -> int:
    if stream.frames or not container.duration or not stream.average_rate:
        return stream.frames
    # FFmpeg gives microseconds; Matroska's duration counts from zero, wherever its first frame stands.
    return round((container.duration - max(container.start_time or 0, 0)) / 1_000_000 * float(stream.average_rate))


def _frame_rate(seconds: np.ndarray, nominal: Fraction | None, tick: float) -> float:
    """The mean rate over the whole file; the container's own exact figure where that agrees to the ticks' rounding."""
    span, gaps = seconds[-1], len(seconds) - 1
    if nominal and abs(gaps / nominal - span) <= 2 * tick:
        return float(nominal)
    return float(gaps / span) if gaps and span > 0 else float(nominal or 25)
