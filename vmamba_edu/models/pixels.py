"""What a model can read: clips and pictures that can be cut into its boxes, of whatever size."""

from collections.abc import Mapping

from torch import Tensor

from vmamba_edu.models.configuration import VideoMambaConfig, VideoMambaImageConfig, cuts_into_patches, wanted_side

CLIP_AXES = ("batch", "channel", "time", "height", "width")
IMAGE_AXES = ("batch", "channel", "height", "width")


def check_clip(clip: object, config: VideoMambaConfig) -> None:
    """Raise unless the clip is one that a model of this configuration can read.

    Raises:
        TypeError: the clip is not a floating-point tensor.
        ValueError: its rank, channels, frames, height or width do not fit.
    """
    clip = _floating("clip", clip, CLIP_AXES)
    frames = clip.shape[2]
    frames_fit = frames > 0 and frames % config.tubelet_size == 0
    sizes = _sizes(clip, config.patch_size, None)
    sizes["num_frames"] = (f"a multiple of tubelet_size = {config.tubelet_size}", frames_fit)
    _complain("clip", clip, {name: sizes[name] for name in ("channel", "num_frames", "height", "width")})


def check_image(image: object, config: VideoMambaImageConfig) -> None:
    """Raise unless the image is one that a model of this configuration can read.

    Raises:
        TypeError: the image is not a floating-point tensor.
        ValueError: its rank, channels, height or width do not fit.
    """
    image = _floating("image", image, IMAGE_AXES)
    _complain("image", image, _sizes(image, config.patch_size, config.step))


def _floating(name: str, pixels: object, axes: tuple[str, ...]) -> Tensor:
    if not isinstance(pixels, Tensor) or not pixels.is_floating_point():
        kind = pixels.dtype if isinstance(pixels, Tensor) else type(pixels).__name__
        raise TypeError(f"{name}: expected a floating-point tensor, got {kind}; scale bytes to 0…1 and normalise them")
    if pixels.dim() != len(axes):
        raise ValueError(f"{name}: expected ({', '.join(axes)}), got {tuple(pixels.shape)}")
    return pixels


def _sizes(pixels: Tensor, patch_size: int, step: int | None) -> dict[str, tuple[str, bool]]:
    """For channel, height and width: what is expected, in words, and whether it came."""
    height, width = pixels.shape[-2:]
    wanted = wanted_side(patch_size, step).replace("multiples", "a multiple")
    sizes = {"channel": ("3", pixels.shape[1] == 3)}
    return sizes | {
        name: (wanted, cuts_into_patches(side, patch_size, step))
        for name, side in (("height", height), ("width", width))
    }


def _complain(name: str, pixels: Tensor, sizes: Mapping[str, tuple[str, bool]]) -> None:
    wrong = [axis for axis, (_, fits) in sizes.items() if not fits]
    if wrong:
        wanted = "; ".join(f"{axis}: {expected}" for axis, (expected, _) in sizes.items())
        raise ValueError(f"{name}: expected {wanted}; got {tuple(pixels.shape)}, look at {' and '.join(wrong)}")
