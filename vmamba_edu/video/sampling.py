"""Which frames of a video to look at."""

import torch
from jaxtyping import Int64
from torch import Tensor


def uniform_indices(num_frames_total: int, num_frames: int) -> Int64[Tensor, " time"]:
    """Spread `num_frames` frames evenly over a video: the middle frame of each of as many equal segments.

    This is the published validation sampling of Kinetics ("sparse"; VideoMamba, datasets/kinetics_sparse.py): with
    s = (num_frames_total - 1) / num_frames, frame i is round(s i) + floor(s / 2), a half rounded to even. A video with
    fewer frames than asked for has some of them repeated.

    Args:
        num_frames_total: frames the video has, at least 1.
        num_frames: frames wanted, at least 1.

    Returns:
        (time,) int64, non-decreasing, from 0 to num_frames_total - 1.
    """
    for name, count in (("num_frames_total", num_frames_total), ("num_frames", num_frames)):
        if isinstance(count, bool) or not isinstance(count, int):
            raise TypeError(f"{name} must be an int, but got {count!r} ({type(count).__name__}); count whole frames")
        if count < 1:
            raise ValueError(f"{name} must be at least 1, but got {count}; ask for one frame or more")
    segment = (num_frames_total - 1) / num_frames
    starts = (segment * torch.arange(num_frames, dtype=torch.float64)).round().long()
    return starts + int(segment / 2)
