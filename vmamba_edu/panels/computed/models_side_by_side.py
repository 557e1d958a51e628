"""Models that look at the same clip: two that scan it and two that attend to it, small, with weights drawn once.

And one that has learned: the classifier of motions that comes with the package.
"""

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from vmamba_edu.models import TimeSformer, VideoMambaPro, VideoMambaProConfig, ViViT, from_pretrained
from vmamba_edu.models.backbone import Backbone
from vmamba_edu.models.checkpoints.shipped import shipped_record
from vmamba_edu.models.transformer_configuration import TimeSformerConfig, ViViTConfig
from vmamba_edu.panels.computed.small_models import fresh_model
from vmamba_edu.scan_orders import Grid
from vmamba_edu.video import clip_to_tensor, moving_digits

SPREAD = 1.5
"""Standard deviation of a fresh attention's scores: enough that its softmax prefers some tokens to others."""

DIM, DEPTH, HEADS = 32, 2, 4

TRAINED = "moving_digits_classifier"


def trained_model() -> nn.Module:
    """The shipped classifier: a VideoMamba that tells the twelve motions of Moving Digits apart."""
    return from_pretrained(TRAINED)


def clip_for(model: nn.Module) -> np.ndarray:
    """A clip of the kind that the classifier has learned from: a seven that moves left, uint8 (time, size, size, 3)."""
    config: Any = model.config
    return moving_digits(7, "left", num_frames=config.num_frames, size=config.frame_size, seed=3).frames.numpy()


def reads(model: nn.Module, frames: np.ndarray, patch_size: int) -> bool:
    """Whether frames have the size that a model has learned from, and are cut as it cuts them."""
    config: Any = model.config
    learned = (config.num_frames, *config.frame_size, config.patch_size, config.tubelet_size)
    return learned == (*frames.shape[:3], patch_size, 1)


@torch.no_grad()
def answer_of(model: nn.Module, frames: np.ndarray) -> tuple[str, float]:
    """Which motion the classifier sees in a clip, and how sure it is."""
    shares = model(pixels_for(model, frames)).softmax(-1)[0]
    return shipped_record(TRAINED)["classes"][int(shares.argmax())], float(shares.max())


def fresh_models(frames: Tensor | np.ndarray, patch_size: int = 16, depth: int = DEPTH) -> dict[str, nn.Module]:
    """VideoMamba, VideoMambaPro, ViViT's model 1 and TimeSformer for clips like these, by name; always the same.

    They are as wide and as deep as each other, and none of them is trained: VideoMamba is `small_models.fresh_model`,
    VideoMambaPro has its weights, and the transformers' queries and keys are drawn so that scores deviate by `SPREAD`.
    torch's own generator is left alone.
    """
    mamba = fresh_model(frames, patch_size, depth=depth)
    time, height, width = (int(size) for size in frames.shape[:3])
    size: dict[str, Any] = {"img_size": (height, width), "patch_size": patch_size, "num_frames": time}
    size |= {"embed_dim": DIM, "depth": depth, "num_heads": HEADS, "num_classes": 0}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vivit = attentive_(ViViT(ViViTConfig(model=1, tubelet_size=1, **size)).eval())
        timesformer = attentive_(TimeSformer(TimeSformerConfig(**size)).eval())
    pro = with_variant(mamba, "paper")
    return {"VideoMamba": mamba, "VideoMambaPro": pro, "ViViT, model 1": vivit, "TimeSformer": timesformer}


@torch.no_grad()
def attentive_(model: nn.Module) -> nn.Module:
    """Draw the queries and keys of every attention anew, and what TimeSformer's starts at zero."""
    for name, parameter in model.named_parameters():
        if name.endswith("qkv.weight"):
            # A normed token has variance 1, so a query has variance dim σ² and a score (dim σ²)².
            nn.init.normal_(parameter, std=(SPREAD / parameter.shape[1]) ** 0.5)
        elif name.endswith("temporal_fc.weight"):
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    return model


def with_variant(model: Backbone, variant: str) -> VideoMambaPro:
    """A VideoMambaPro of some variant with the weights of a model, which share their memory.

    Raises:
        ValueError: there is no such variant, or the model lacks weights that it needs.
    """
    keywords = {one.name: getattr(model.config, one.name) for one in fields(model.config)}
    with torch.random.fork_rng(devices=[]):
        pro = VideoMambaPro(VideoMambaProConfig(**keywords | {"variant": variant, "bidirectional": True}))
    ours = model.state_dict()
    missing = [name for name in pro.state_dict() if name not in ours]
    if missing:
        raise ValueError(f"variant: {variant!r} needs weights that this model has not, {missing[0]} among them")
    pro.load_state_dict({name: ours[name] for name in pro.state_dict()}, assign=True)
    pro.train(model.training)
    return pro


def pixels_for(model: nn.Module, frames: Tensor | np.ndarray) -> Tensor:
    """Frames (time, height, width, 3), uint8, as a batch of one for a model: normalised, with its dtype and device."""
    return clip_to_tensor(torch.as_tensor(np.asarray(frames)))[None].to(next(model.parameters()))


def grid_of(name: str, model: nn.Module, frames: Tensor | np.ndarray) -> Grid:
    """The grid of tokens that a model cuts a clip into.

    Raises:
        ValueError: the model is none for clips, or not for clips of this size.
    """
    time, height, width = (int(size) for size in frames.shape[:3])
    config: Any = getattr(model, "config", None)
    if isinstance(model, Backbone) and hasattr(config, "num_frames"):
        sides = (config.tubelet_size, config.patch_size, config.patch_size)
        if any(size % side for size, side in zip((time, height, width), sides, strict=True)):
            raise ValueError(f"clip: expected whole boxes of {sides} for {name}, got {time} × {height} × {width}")
        return config.grid_of(time, height, width)
    if not isinstance(model, ViViT | TimeSformer):
        known = "VideoMamba, VideoMambaPro, ViViT or TimeSformer"
        raise ValueError(f"model: expected a {known} for clips, got {type(model).__name__} ({name})")
    if (config.num_frames, *config.frame_size) != (time, height, width):
        expected = " × ".join(map(str, (config.num_frames, *config.frame_size)))
        raise ValueError(f"clip: {name} reads {expected} (time × height × width), got {time} × {height} × {width}")
    return config.grid


def named(model: nn.Module | Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """A reader's models by name; one alone gets the name of its class."""
    return {type(model).__name__: model} if isinstance(model, nn.Module) else dict(model)
