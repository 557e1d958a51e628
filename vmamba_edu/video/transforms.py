"""From frames as read to the tensor that a model takes."""

import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float32, UInt8
from torch import Tensor

from vmamba_edu.video.normalisation import IMAGENET_MEAN, IMAGENET_STD
from vmamba_edu.video.resizing import check_frames, short_side_size


def clip_to_tensor(
    frames: UInt8[Tensor, "time height width 3"],
    *,
    size: int | None = None,
    mean: tuple[float, float, float] = IMAGENET_MEAN,
    std: tuple[float, float, float] = IMAGENET_STD,
) -> Float32[Tensor, "3 time new_height new_width"]:
    """Turn frames into one clip for a model: scaled to [0, 1], resized and cropped if asked, then normalised.

    Args:
        frames: (time, height, width, 3) uint8, as `read_clip` gives them.
        size: side of the square that comes out, in pixels: the short side is resized to it (bilinear, antialiased) and
            the middle of the long side is kept. None leaves the picture as it is.
        mean, std: subtracted from and divided into each colour, on the scale from 0 to 1.

    Returns:
        (channel, time, height, width) float32; `[None]` in front makes it a batch of one.
    """
    check_frames(frames)
    if size is not None and size < 1:
        raise ValueError(f"size must be at least 1 pixel, but got {size}; 224 is usual")
    clip = rearrange(frames, "time height width channel -> time channel height width").float() / 255
    if size is not None:
        clip = _centre_crop(_resize_short_side(clip, size), size)
    clip = (clip - clip.new_tensor(mean)[:, None, None]) / clip.new_tensor(std)[:, None, None]
    return rearrange(clip, "time channel height width -> channel time height width").contiguous()


def _resize_short_side(clip: Tensor, size: int) -> Tensor:
    """(time, channel, height, width) with its short side `size` and its proportions kept."""
    height, width = clip.shape[-2:]
    if min(height, width) == size:
        return clip
    new_size = short_side_size(height, width, size)
    # Antialiasing lets a bilinear resize overshoot nothing: values stay in [0, 1].
    return F.interpolate(clip, size=new_size, mode="bilinear", antialias=True, align_corners=False)


def _centre_crop(clip: Tensor, size: int) -> Tensor:
    top, left = ((side - size) // 2 for side in clip.shape[-2:])
    return clip[..., top : top + size, left : left + size]
