"""What a panel looks at when the reader brings nothing: a clip of a handwritten digit, and a small model for a clip."""

import math
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from vmamba_edu.models import VideoMamba
from vmamba_edu.models.backbone import Backbone
from vmamba_edu.models.configuration import VideoMambaConfig
from vmamba_edu.ssm import mamba_delta_bias
from vmamba_edu.video import clip_to_tensor, moving_digits

Model = TypeVar("Model", bound=Backbone)

LISTENS = 30
"""How many times as much of the token Δ hears in the fresh model: about what it takes to move it by a factor of two."""

FRESH = f"a small model with fresh weights, Δ as Mamba draws it but {LISTENS} times as attentive to the tokens"
DEFAULT_CLIP = 'moving_digits(7, "left", num_frames=8, size=64, seed=3).frames'
"""The code of `default_clip`."""


def default_clip() -> Tensor:
    """Eight frames of 64 × 64 pixels, uint8 (time, height, width, 3): a seven that moves left."""
    return moving_digits(7, "left", num_frames=8, size=64, seed=3).frames


def fresh_model(frames: Tensor | np.ndarray, patch_size: int, tubelet_size: int = 1, *, depth: int = 2) -> VideoMamba:
    """A small VideoMamba for clips like these, always with the same weights; torch's own generator is left alone.

    VideoMamba's released code starts every Δ at 0.69 with weights so small that it is the same for all tokens: a memory
    of one token, and no selection to see. This one starts as Mamba does, with torch's own weights and steps between
    0.001 and 0.1 (`mamba_delta_bias`), and what Δ hears of a token is multiplied by `LISTENS`. It is no trained model.
    """
    time, height, width = (int(size) for size in frames.shape[:3])
    config = VideoMambaConfig(
        img_size=(height, width),
        patch_size=patch_size,
        tubelet_size=tubelet_size,
        num_frames=time,
        embed_dim=32,
        depth=depth,
        d_state=8,
        num_classes=0,
    )
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        model = VideoMamba(config).eval()
        for block in range(depth):
            mixer = model.block(block).mixer
            for linear in (mixer.in_proj, mixer.x_proj, mixer.x_proj_b, mixer.dt_proj, mixer.dt_proj_b):
                nn.init.kaiming_uniform_(linear.weight, a=math.sqrt(5))  # what nn.Linear does
            for dt_proj in (mixer.dt_proj, mixer.dt_proj_b):
                dt_proj.weight.mul_(LISTENS)
                dt_proj.bias.copy_(mamba_delta_bias(mixer.inner_dim, generator))
    return model


def with_plan(model: Model, plan: str) -> Model:
    """The same model, weights shared, whose blocks read by another plan of `scan_orders.PLANS`.

    Raises:
        ValueError: the model cannot read by that plan.
    """
    if getattr(model.config, "scan_order", "spatial_first") == plan:
        return model
    with torch.random.fork_rng(devices=[]):
        other = type(model)(replace(model.config, scan_order=plan))  # type: ignore[call-arg]
    other.load_state_dict(model.state_dict(), assign=True)
    return other.train(model.training)


def as_pixels(frames: Tensor | np.ndarray, like: Backbone) -> Tensor:
    """Frames (time, height, width, 3), uint8, as a batch of one for a model: normalised, with its dtype and device."""
    weight = like.cls_token
    return clip_to_tensor(torch.as_tensor(np.asarray(frames)))[None].to(weight)
