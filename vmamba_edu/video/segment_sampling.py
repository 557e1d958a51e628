"""Which frames masked pre-training and video-text training look at.

Sources: VideoMamba (arXiv 2403.06977), video_sm/datasets/mae.py and video_mm/dataset/video_utils.py.
"""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vmamba_edu.video.frame_counts import check_counts, steps, whole_numbers


def pretraining_indices(num_frames_total: int, num_segments: int, generator: torch.Generator) -> Int64[Tensor, " time"]:
    """A random frame of each of `num_segments` equal segments: the published masked pre-training takes 8 (mae.py).

    A segment has floor(num_frames_total / num_segments) frames; what is left over at the end is never seen. A video
    shorter than `num_segments` shows its first frame again and again, as published.
    """
    check_counts(num_frames_total=num_frames_total, num_segments=num_segments)
    length = num_frames_total // num_segments
    starts = torch.arange(num_segments) * length
    return whole_numbers(starts, starts + max(length - 1, 0), generator)


def pretraining_clip_indices(
    num_frames_total: int, num_frames: int, stride: int, generator: torch.Generator, *, jitter: bool = False
) -> Int64[Tensor, " time"]:
    """One clip of `num_frames` frames, `stride` apart, at a random place: mae.py with a single segment.

    A video too short for it is shown from the beginning; where a step would leave the video the frame stays. With
    `jitter` each frame lies up to stride - 1 frames later, if there are so many.
    """
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames, stride=stride)
    places = num_frames_total - num_frames * stride + 1
    start = int(torch.randint(max(places, 1), (), generator=generator))
    late = torch.randint(stride, (num_frames,), generator=generator) if jitter else torch.zeros(num_frames).long()
    last_step = max((num_frames_total - 2 - start) // stride, 0)  # a step is made as long as a frame follows it
    indices = start + stride * torch.arange(num_frames).clamp(max=last_step)
    return torch.where(indices + late < num_frames_total, indices + late, indices)


def caption_middle_indices(num_frames_total: int, num_frames: int) -> Int64[Tensor, " time"]:
    """The middle of each of `num_frames` intervals with whole borders, as video-text models are tested.

    The borders are floor(i total / n), n being num_frames, or the number of frames where there are fewer; then the last
    index fills the rest.
    """
    first, last = _intervals(num_frames_total, num_frames)
    return _filled((first + last) // 2, num_frames)


def caption_random_indices(
    num_frames_total: int, num_frames: int, generator: torch.Generator
) -> Int64[Tensor, " time"]:
    """A random frame of each interval of `caption_middle_indices`, its ends included: what training evidently means.

    What it does is `caption_random_indices_as_published`.
    """
    first, last = _intervals(num_frames_total, num_frames)
    return _filled(whole_numbers(first, last, generator), num_frames)


def caption_random_indices_as_published(
    num_frames_total: int, num_frames: int, generator: torch.Generator
) -> Int64[Tensor, " time"]:
    """Random frames exactly as VideoMamba's video_utils.py draws them for training.

    The last frame of an interval is never drawn, being counted as its open end; and if any interval is a single frame,
    so that nothing is left to draw, the frames are a random choice of the whole video instead, sorted.
    """
    first, last = _intervals(num_frames_total, num_frames)
    if bool((last > first).all()):
        return _filled(whole_numbers(first, last - 1, generator), num_frames)
    chosen = torch.randperm(num_frames_total, generator=generator)[: len(first)]
    return _filled(chosen.sort().values, num_frames)


def rate_indices(
    num_frames_total: int, video_fps: int | float, fps: int | float, max_frames: int | None = None
) -> Int64[Tensor, " time"]:
    """The middle of each 1 / fps seconds (video_utils.py, "fps0.5"): how many there are depends on the video.

    Args:
        num_frames_total: frames the video has.
        video_fps: their rate, 1/s.
        fps: frames wanted a second of video.
        max_frames: keep the first so many; None keeps all.

    Returns:
        (time,) int64; empty, as published, for a video shorter than half of 1 / fps.
    """
    check_counts(num_frames_total=num_frames_total)
    for name, rate in (("video_fps", video_fps), ("fps", fps)):
        if not rate > 0:
            raise ValueError(f"{name} must be positive, but got {rate}; give frames a second")
    gap, duration = 1 / fps, num_frames_total / video_fps
    seconds = np.arange(gap / 2, duration + gap / 2, gap)  # NumPy's own count and rounding, as in the published code
    indices = torch.from_numpy(np.around(seconds * video_fps).astype(np.int64))
    return indices[indices < num_frames_total][:max_frames]


def _intervals(total: int, num_frames: int) -> tuple[Int64[Tensor, " some"], Int64[Tensor, " some"]]:
    """First and last frame of each interval."""
    check_counts(num_frames_total=total, num_frames=num_frames)
    count = min(num_frames, total)
    # In double precision, cut to whole numbers, as NumPy's linspace(...).astype(int): i (total / n), the end exact.
    borders = (steps(count + 1) * (total / count)).long()
    borders[-1] = total
    return borders[:-1], borders[1:] - 1


def _filled(indices: Int64[Tensor, " some"], num_frames: int) -> Int64[Tensor, " time"]:
    return torch.cat([indices, indices[-1:].expand(num_frames - len(indices))])
