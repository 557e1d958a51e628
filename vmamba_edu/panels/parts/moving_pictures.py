"""Clips as pictures that move by themselves, and as their frames side by side; each is made once."""

import base64
import io

import numpy as np
from PIL import Image

PLAYED = 12
"""Frames that are played, at most; spread over all of a clip."""
MILLISECONDS = 1200
"""Of a clip, without its rest."""
REST = 600
"""Milliseconds for which the last frame stays, so that one sees where a clip begins."""
SIDE = 64
"""Pixels of the side of a frame, at most."""
MOST = 4
"""Frames side by side, at most."""


class MovingPictures:
    """Clips as addresses of PNGs that hold them.

    Args:
        clips: uint8 (time, height, width, 3) each.
    """

    def __init__(self, clips: tuple[np.ndarray, ...]) -> None:
        self.clips = clips
        self._made: dict[tuple[int, bool], str] = {}

    def of(self, number: int, playing: bool) -> str:
        """One clip: its frames one after the other, for ever, or its first frame."""
        key = (number, playing)
        if key not in self._made:
            self._made[key] = _address(_spread(self.frames(number), PLAYED if playing else 1))
        return self._made[key]

    def frames(self, number: int) -> list[Image.Image]:
        """Every frame of a clip, made small."""
        pictures = [Image.fromarray(frame) for frame in self.clips[number]]
        for picture in pictures:
            picture.thumbnail((SIDE, SIDE))
        return pictures

    def strip(self, number: int) -> Image.Image:
        """Some frames of a clip side by side, spread over all of it, the first and the last among them."""
        chosen = _spread(self.frames(number), MOST)
        width, height = chosen[0].size
        gap = max(1, width // 16)
        strip = Image.new("RGB", (len(chosen) * (width + gap) - gap, height), "white")
        for at, frame in enumerate(chosen):
            strip.paste(frame, (at * (width + gap), 0))
        return strip

    def strip_of(self, number: int) -> str:
        """The address of a strip."""
        key = (~number, False)  # beside those of `of`
        if key not in self._made:
            self._made[key] = _address([self.strip(number)])
        return self._made[key]


def _spread(frames: list[Image.Image], most: int) -> list[Image.Image]:
    """At most so many of the frames, the first and, of several, the last among them."""
    return [frames[at] for at in np.linspace(0, len(frames) - 1, min(most, len(frames))).round().astype(int)]


def _address(pictures: list[Image.Image]) -> str:
    buffer = io.BytesIO()
    first, *rest = pictures
    times = [MILLISECONDS // len(pictures)] * len(rest) + [REST]
    moving = {"save_all": True, "append_images": rest, "duration": times, "loop": 0} if rest else {}
    first.save(buffer, format="PNG", **moving)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
