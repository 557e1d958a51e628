"""Turn a picture upright: telephones store it as the sensor saw it, and note beside it how to show it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import av


@dataclass(frozen=True)
class Orientation:
    """One of the eight ways to lay a rectangle: exchange rows and columns first, then mirror either axis."""

    transpose: bool = False
    mirror_rows: bool = False
    mirror_columns: bool = False

    def upright_size(self, height: int, width: int) -> tuple[int, int]:
        return (width, height) if self.transpose else (height, width)

    def turn(self, picture: np.ndarray) -> np.ndarray:
        """(height, width, 3) as stored -> (height, width, 3) as shown; a view."""
        if self.transpose:
            picture = picture.swapaxes(0, 1)
        return picture[:: -1 if self.mirror_rows else 1, :: -1 if self.mirror_columns else 1]


def orientation_of(frame: "av.VideoFrame") -> Orientation:
    """The orientation that the container's display matrix asks for (ISO/IEC 14496-12, 6.2.2), to the nearest quarter.

    A stored point (x, y) is shown at (a x + c y, b x + d y), where the matrix begins a, b, 0, c, d.
    """
    data: Any = frame.side_data.get("DISPLAYMATRIX")
    if data is None:
        return Orientation()
    a, b, _, c, d = np.frombuffer(bytes(data), np.int32, count=5).tolist()
    if abs(a) >= abs(b):
        return Orientation(False, mirror_rows=d < 0, mirror_columns=a < 0)
    return Orientation(True, mirror_rows=b < 0, mirror_columns=c < 0)
