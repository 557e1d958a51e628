"""Video: one reader, frame sampling, the tensors a model takes, and clips of real digits that move.

    sample = moving_digits(digit=7, motion="left")
    path = write_video("left.mp4", sample.frames, fps=8)
    clip = read_clip(path, 8)
    x = clip_to_tensor(clip.frames, size=224)

`sample.caption` is "a seven moves left", `clip.frames` uint8 (time, height, width, 3) and `x` a normalised float32
(channel, time, height, width). Decoders and digits are imported when they are used; they need the extra `video`.
"""

from vmamba_edu.video.encode import write_video
from vmamba_edu.video.errors import VideoReadError
from vmamba_edu.video.moving_digits import MOTIONS, SPLITS, MovingDigitsSample, moving_digits
from vmamba_edu.video.reader import Clip, VideoInfo, read_clip, video_info
from vmamba_edu.video.sampling import uniform_indices
from vmamba_edu.video.transforms import IMAGENET_MEAN, IMAGENET_STD, clip_to_tensor

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "MOTIONS",
    "SPLITS",
    "Clip",
    "MovingDigitsSample",
    "VideoInfo",
    "VideoReadError",
    "clip_to_tensor",
    "moving_digits",
    "read_clip",
    "uniform_indices",
    "video_info",
    "write_video",
]
