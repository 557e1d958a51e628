"""Which frames of a Something-Something V2 clip to look at, by the published rules for videos and for raw frames.

These clips last a few seconds and their labels are about order ("opening" and "closing"), so all rules spread frames
over the whole clip: one from each of `num_frames` segments. Source: VideoMamba (arXiv 2403.06977), datasets/ssv2.py.
"""

import torch
from jaxtyping import Int64
from torch import Tensor

from vmamba_edu.video.frame_counts import check_counts, check_view, steps, whole_numbers

RAW_FRAME_NAME = "img_{:05}.jpg"  # of frame number + 1: files count from 1, frames from 0


def raw_frame_name(index: int, template: str = RAW_FRAME_NAME) -> str:
    """The file of frame `index`, which counts from 0: `raw_frame_name(0)` is "img_00001.jpg"."""
    return template.format(index + 1)


def ssv2_validation_indices(num_frames_total: int, num_frames: int) -> Int64[Tensor, " time"]:
    """The middle of each segment: floor(tick / 2 + tick i), with tick = num_frames_total / num_frames."""
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames)
    tick = num_frames_total / num_frames
    return (tick / 2 + tick * steps(num_frames)).long()


def ssv2_test_indices(
    num_frames_total: int, num_frames: int, view: int = 0, num_views: int = 2
) -> Int64[Tensor, " time"]:
    """View `view` of two: starts and middles of all segments, sorted together, of which each view takes every second.

    The published rule has middles and starts and nothing else, so there are two views, whatever one asks for; for any
    other number of views, `ssv2_frames_test_indices` is defined.

    Raises:
        ValueError: num_views is not 2.
    """
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames)
    if num_views != 2:
        advice = "test with two, or take ssv2_frames_test_indices"
        raise ValueError(f"num_views must be 2, the published views of SSv2 videos, but got {num_views}; {advice}")
    check_view("view", view, num_views)
    return ssv2_all_test_indices(num_frames_total, num_frames)[view::num_views]


def ssv2_all_test_indices(num_frames_total: int, num_frames: int) -> Int64[Tensor, " both_views"]:
    """The frames of both test views together, sorted: (2 num_frames,) int64."""
    tick = num_frames_total / num_frames
    middles, starts = ssv2_validation_indices(num_frames_total, num_frames), (tick * steps(num_frames)).long()
    return torch.cat([middles, starts]).sort().values


def ssv2_train_indices(num_frames_total: int, num_frames: int, generator: torch.Generator) -> Int64[Tensor, " time"]:
    """A random frame of each of `num_frames` segments of floor(num_frames_total / num_frames) frames.

    What is left over at the end is never seen. In a clip shorter than `num_frames` every frame is the first, as
    published.
    """
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames)
    return _within_segments(num_frames_total // num_frames, num_frames, generator)


def ssv2_frames_validation_indices(num_frames_total: int, num_frames: int) -> Int64[Tensor, " time"]:
    """Raw frames: the middle of each segment of a = floor(total / num_frames) frames, a i + floor(a / 2).

    A clip with fewer frames than asked for begins with its first frame repeated, and then shows all of them.
    """
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames)
    length = num_frames_total // num_frames
    if length == 0:
        return _first_repeated(num_frames_total, num_frames)
    return torch.arange(num_frames) * length + length // 2


def ssv2_frames_train_indices(
    num_frames_total: int, num_frames: int, generator: torch.Generator
) -> Int64[Tensor, " time"]:
    """Raw frames: a random frame of each segment; too few frames as in `ssv2_frames_validation_indices`."""
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames)
    length = num_frames_total // num_frames
    if length == 0:
        return _first_repeated(num_frames_total, num_frames)
    return _within_segments(length, num_frames, generator)


def ssv2_frames_test_indices(
    num_frames_total: int, num_frames: int, view: int = 0, num_views: int = 2
) -> Int64[Tensor, " time"]:
    """Raw frames, view `view` of `num_views`: floor(view tick / num_views + tick i), with tick = total / num_frames."""
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames, num_views=num_views)
    check_view("view", view, num_views)
    tick = num_frames_total / num_frames
    return (view * tick / num_views + tick * steps(num_frames)).long()


def _within_segments(length: int, num_frames: int, generator: torch.Generator) -> Int64[Tensor, " time"]:
    starts = torch.arange(num_frames) * length
    return whole_numbers(starts, starts + max(length - 1, 0), generator)


def _first_repeated(total: int, num_frames: int) -> Int64[Tensor, " time"]:
    return (torch.arange(num_frames) - (num_frames - total)).clamp(min=0)
