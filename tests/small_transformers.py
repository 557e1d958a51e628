"""Small transformers to try things on: two blocks of 16 channels, clips of 4 frames of 2 × 3 patches."""

import torch
from torch import nn

from vmamba_edu import create_model

SIZE = {"img_size": (16, 24), "patch_size": 8, "depth": 2, "embed_dim": 16, "num_heads": 4, "num_classes": 3}
CLIP_SIZE = SIZE | {"num_frames": 4}
VIVITS = tuple(f"vivit_{model}_base_16x2" for model in (1, 2, 3, 4))
ATTENTION_TYPES = ("divided_space_time", "joint_space_time", "space_only")

# name → a small model of that kind, everything else at its default
CLIP_MODELS = {
    **{name: (name, CLIP_SIZE) for name in VIVITS},
    **{kind: ("timesformer_base_8f", CLIP_SIZE | {"attention_type": kind}) for kind in ATTENTION_TYPES},
}


def small_image_model(**overrides) -> nn.Module:
    torch.manual_seed(0)
    return shaken(create_model("vit_base", **SIZE | overrides)).eval()


def small_clip_model(name: str, **overrides) -> nn.Module:
    """One of `CLIP_MODELS` in evaluation mode, with weights that are nowhere zero."""
    torch.manual_seed(0)
    model_name, size = CLIP_MODELS[name]
    return shaken(create_model(model_name, **size | overrides)).eval()


def shaken(model: nn.Module) -> nn.Module:
    """Add to every parameter, so that nothing agrees only because it began at zero or one."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return model


def clip_for(model: nn.Module, batch: int = 2) -> torch.Tensor:
    """Clips that fit, in the dtype of the weights."""
    generator = torch.Generator().manual_seed(1)
    clip = torch.randn(batch, 3, model.config.num_frames, *model.config.frame_size, generator=generator)
    return clip.to(model.head.weight.dtype)


def image_for(model: nn.Module, batch: int = 2) -> torch.Tensor:
    """Images that fit, in the dtype of the weights."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(batch, 3, *model.config.frame_size, generator=generator).to(model.head.weight.dtype)
