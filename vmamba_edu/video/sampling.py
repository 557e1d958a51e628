"""Which frames of a video to look at: the two ways of Kinetics, sparse (over the whole video) and dense (a short clip).

Every sampler is a pure function from the number of frames in the video to frame numbers, (time,) int64. What is random
takes a `torch.Generator`; the same generator state gives the same frames. The others are in `ssv2_sampling`,
`segment_sampling` (masked pre-training, captions) and `windows` (long films cut into clips).
"""

import numpy as np
import torch
from jaxtyping import Int64
from torch import Tensor

from vmamba_edu.video.frame_counts import check_counts, check_view, steps, whole_numbers


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
    return sparse_test_indices(num_frames_total, num_frames)


def sparse_test_indices(
    num_frames_total: int,
    num_frames: int,
    chunk: int = 0,
    num_chunks: int = 1,
    *,
    start_frame: int = 0,
    end_frame: int | None = None,
) -> Int64[Tensor, " time"]:
    """Spread frames evenly over a video, view `chunk` of `num_chunks` interleaved ones (VideoMamba kinetics_sparse.py).

    With s = (frames - 1) / num_frames, frame i is round(s i) + floor(s (chunk + 1) / (num_chunks + 1)): each view looks
    a little later into the same segments. One view of one is the validation sampling. The same rule serves Breakfast,
    COIN and LVU; for a clip cut out of a film it runs from `start_frame` to `end_frame` (VideoMamba, lvu.py).

    Args:
        num_frames_total, num_frames: as for `uniform_indices`.
        chunk: which view, from 0 to num_chunks - 1.
        num_chunks: views a video has; the published tests take 4 (Kinetics, Breakfast, LVU) or 10 (COIN).
        start_frame, end_frame: first and last frame that may be taken; both are pulled inside the video as published.

    Returns:
        (time,) int64, non-decreasing, inside the video and inside the window.
    """
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames, num_chunks=num_chunks)
    check_view("chunk", chunk, num_chunks)
    start, end = _window(num_frames_total, start_frame, end_frame)
    segment = (end - start) / num_frames
    starts = start + (segment * steps(num_frames)).round().long()
    return (starts + int(segment / (num_chunks + 1) * (chunk + 1))).clamp(max=end)


def sparse_train_indices(
    num_frames_total: int,
    num_frames: int,
    generator: torch.Generator,
    *,
    start_frame: int = 0,
    end_frame: int | None = None,
) -> Int64[Tensor, " time"]:
    """Take a random frame of each of `num_frames` equal segments (VideoMamba, kinetics_sparse.py and lvu.py, training).

    Segment i reaches from round(s i) to round(s (i + 1)), both included, with s as in `sparse_test_indices`:
    neighbours share their border frame, so the order is kept, and a frame may come twice.
    """
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames)
    start, end = _window(num_frames_total, start_frame, end_frame)
    borders = start + ((end - start) / num_frames * steps(num_frames + 1)).round().long()
    return whole_numbers(borders[:-1], borders[1:], generator).clamp(max=end)


def dense_train_indices(
    num_frames_total: int, num_frames: int, stride: int, generator: torch.Generator
) -> Int64[Tensor, " time"]:
    """Take one clip of num_frames × stride frames at a random place (VideoMamba, datasets/kinetics.py, training).

    The end is drawn from [num_frames × stride, num_frames_total), so the very last frame is never shown; the frames are
    spread evenly from the clip's start to its end, a little wider than `stride`. A video no longer than the clip is
    shown from its beginning, its last frame repeated.
    """
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames, stride=stride)
    span = num_frames * stride
    if num_frames_total <= span:
        return _short_clip(num_frames_total, num_frames, stride)
    end = int(torch.randint(span, num_frames_total, (), generator=generator))
    return _spread(end - span, end, num_frames)


def dense_validation_indices(num_frames_total: int, num_frames: int, stride: int) -> Int64[Tensor, " time"]:
    """Take the clip of num_frames × stride frames in the middle of the video: what the published code evidently means.

    What it does is `dense_validation_indices_as_published`: the same clip, moved to the front by its own length.
    """
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames, stride=stride)
    span = num_frames * stride
    if num_frames_total <= span:
        return _short_clip(num_frames_total, num_frames, stride)
    start = (num_frames_total - span) // 2
    return _spread(start, start + span, num_frames)


def dense_validation_indices_as_published(
    num_frames_total: int, num_frames: int, stride: int
) -> Int64[Tensor, " time"]:
    """The dense validation clip exactly as VideoMamba's datasets/kinetics.py takes it, for comparison with its figures.

    The middle *start*, (total - num_frames stride) // 2, is used as the clip's *end*, so that the clip begins at that
    less its length: before the first frame for every video shorter than 3 × num_frames × stride. These frame numbers
    are negative, and a reader that counts negative numbers from the end shows the end of the video there; `read_clip`
    refuses them. Take `dense_validation_indices` to look at the middle.
    """
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames, stride=stride)
    span = num_frames * stride
    if num_frames_total <= span:
        return _short_clip(num_frames_total, num_frames, stride)
    end = (num_frames_total - span) // 2
    return _spread(end - span, end, num_frames)


def dense_test_indices(
    num_frames_total: int, num_frames: int, stride: int, chunk: int = 0, num_chunks: int = 1
) -> Int64[Tensor, " time"]:
    """Take every `stride`-th frame of clip `chunk` of `num_chunks`, spread from the first to the last one that fits.

    View c starts at floor(c max(total - num_frames stride, 0) / (num_chunks - 1)); a video that ends early has its last
    frame taken again (VideoMamba, datasets/kinetics.py, test). For a single view, where the published rule divides by
    zero, ours takes the middle.
    """
    check_counts(num_frames_total=num_frames_total, num_frames=num_frames, stride=stride, num_chunks=num_chunks)
    check_view("chunk", chunk, num_chunks)
    room = max(num_frames_total - num_frames * stride, 0)
    start = int(chunk * room / (num_chunks - 1)) if num_chunks > 1 else room // 2
    taken = torch.arange(start, min(start + num_frames * stride, num_frames_total), stride)
    return _last_repeated(taken, num_frames)


def _window(total: int, start: int, end: int | None) -> tuple[int, int]:
    """First and last frame that may be taken, inside the video."""
    if end is not None and end < start:
        raise ValueError(f"end_frame must not lie before start_frame, but got {end} and {start}; exchange them")
    first = max(0, min(start, total - 1))
    return first, max(first, min(total - 1 if end is None else end, total - 1))


def _spread(start: int, end: int, num_frames: int) -> Int64[Tensor, " time"]:
    """Even steps from start to end, the end itself left out; cut towards zero.

    NumPy's linspace, as published: torch's differs from it in the last bit, and sometimes a whole frame after the cut.
    """
    return torch.from_numpy(np.linspace(start, end, num=num_frames).clip(start, end - 1).astype(np.int64))


def _short_clip(total: int, num_frames: int, stride: int) -> Int64[Tensor, " time"]:
    """As many even steps over the whole video as strides fit into it, then its last frame."""
    place = np.linspace(0, total, num=total // stride).clip(0, total - 1).astype(np.int64)
    rest = torch.full((num_frames - len(place),), total - 1, dtype=torch.int64)
    return torch.cat([torch.from_numpy(place), rest])


def _last_repeated(indices: Int64[Tensor, " some"], num_frames: int) -> Int64[Tensor, " time"]:
    return torch.cat([indices, indices[-1:].expand(num_frames - len(indices))])
