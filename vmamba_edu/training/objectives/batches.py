"""What an objective takes out of a batch."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn


def take(batch: Mapping[str, Any], key: str) -> Any:
    """batch[key], and a message that helps if it is not there.

    Raises:
        ValueError: the batch lacks it.
    """
    if key not in batch:
        raise ValueError(f"batch: expected an entry {key!r}, got {', '.join(map(repr, batch)) or 'none'}")
    return batch[key]


def take_pixels(model: nn.Module, batch: Mapping[str, Any]) -> Tensor:
    """batch["clip"] as the model reads it: a model for pictures gets the one frame of each clip.

    Raises:
        ValueError: the batch has no clip, or one of several frames for a model of pictures.
    """
    clip = take(batch, "clip")
    reads_pictures = hasattr(model, "config") and not hasattr(model.config, "num_frames")
    if not reads_pictures or clip.dim() != 5:
        return clip
    if clip.shape[2] != 1:
        raise ValueError(f"clip: expected single frames for a model of pictures, got {clip.shape[2]} frames")
    return clip[:, :, 0]
