"""What a model is shown: how many frames, and how large."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Frames:
    """What a model reads.

    Attributes:
        num_frames: of a clip.
        size: side of a frame in pixels.
    """

    num_frames: int
    size: int
