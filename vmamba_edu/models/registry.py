"""Models by name."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from torch import nn

from vmamba_edu.models.configuration import MambaConfig, VideoMambaConfig, VideoMambaImageConfig
from vmamba_edu.models.masked_student import MaskedStudent
from vmamba_edu.models.masked_student_configuration import MaskedStudentConfig
from vmamba_edu.models.self_distillation import VideoMambaDistillation, VideoMambaDistillationConfig
from vmamba_edu.models.timesformer import TimeSformer
from vmamba_edu.models.transformer_configuration import TimeSformerConfig, ViTConfig, ViViTConfig
from vmamba_edu.models.videomamba import VideoMamba
from vmamba_edu.models.videomamba_image import VideoMambaImage
from vmamba_edu.models.videomamba_pro import VideoMambaPro, VideoMambaProConfig
from vmamba_edu.models.vit import ViT
from vmamba_edu.models.vivit import ViViT

CLASSES: Mapping[type, type[nn.Module]] = MappingProxyType(
    {
        VideoMambaConfig: VideoMamba,
        VideoMambaImageConfig: VideoMambaImage,
        MaskedStudentConfig: MaskedStudent,
        VideoMambaDistillationConfig: VideoMambaDistillation,
        VideoMambaProConfig: VideoMambaPro,
        ViTConfig: ViT,
        ViViTConfig: ViViT,
        TimeSformerConfig: TimeSformer,
    }
)

# Sizes of the paper's table 1; base exists there for pictures only, and its video model is the same class at its width.
# Transformers: "16x2" is the size of a tubelet, 16 × 16 pixels by 2 frames; "8f" is the number of frames.
MODELS: Mapping[str, MambaConfig | ViTConfig | ViViTConfig | TimeSformerConfig] = MappingProxyType(
    {
        "videomamba_tiny": VideoMambaConfig(embed_dim=192, depth=24),
        "videomamba_small": VideoMambaConfig(embed_dim=384, depth=24),
        "videomamba_middle": VideoMambaConfig(embed_dim=576, depth=32),
        "videomamba_base": VideoMambaConfig(embed_dim=768, depth=24),
        "videomamba_image_tiny": VideoMambaImageConfig(embed_dim=192, depth=24),
        "videomamba_image_small": VideoMambaImageConfig(embed_dim=384, depth=24),
        "videomamba_image_middle": VideoMambaImageConfig(embed_dim=576, depth=32),
        "videomamba_image_base": VideoMambaImageConfig(embed_dim=768, depth=24),
        "videomamba_masked_tiny": MaskedStudentConfig(embed_dim=192, depth=24),
        "videomamba_masked_small": MaskedStudentConfig(embed_dim=384, depth=24),
        "videomamba_masked_middle": MaskedStudentConfig(embed_dim=576, depth=32),
        "videomamba_distill_tiny": VideoMambaDistillationConfig(embed_dim=192, depth=24),
        "videomamba_distill_small": VideoMambaDistillationConfig(embed_dim=384, depth=24),
        "videomamba_distill_middle": VideoMambaDistillationConfig(embed_dim=576, depth=32),
        "videomamba_distill_base": VideoMambaDistillationConfig(embed_dim=768, depth=24),
        "videomambapro_tiny": VideoMambaProConfig(embed_dim=192, depth=24),
        "videomambapro_small": VideoMambaProConfig(embed_dim=384, depth=24),
        "videomambapro_middle": VideoMambaProConfig(embed_dim=576, depth=32),
        "vit_tiny": ViTConfig(embed_dim=192, num_heads=3),
        "vit_small": ViTConfig(embed_dim=384, num_heads=6),
        "vit_base": ViTConfig(),
        "vit_large": ViTConfig(embed_dim=1024, depth=24, num_heads=16),
        "vivit_1_base_16x2": ViViTConfig(model=1),
        "vivit_2_base_16x2": ViViTConfig(model=2),
        "vivit_3_base_16x2": ViViTConfig(model=3),
        "vivit_4_base_16x2": ViViTConfig(model=4),
        "vivit_1_large_16x2": ViViTConfig(model=1, embed_dim=1024, depth=24, num_heads=16),
        "vivit_2_large_16x2": ViViTConfig(model=2, embed_dim=1024, depth=24, num_heads=16),
        "timesformer_base_8f": TimeSformerConfig(),
        "timesformer_base_hr_16f": TimeSformerConfig(num_frames=16, img_size=448),
        "timesformer_base_long_96f": TimeSformerConfig(num_frames=96),
    }
)


def list_models() -> list[str]:
    """The names that `create_model` knows."""
    return list(MODELS)


def create_model(name: str, **overrides: Any) -> nn.Module:
    """A freshly initialised model.

        model = create_model("videomamba_tiny", num_frames=16, num_classes=174)

    Args:
        name: one of `list_models()`.
        overrides: keywords of the model's configuration: `VideoMambaConfig` (under our names or the published ones),
            `VideoMambaImageConfig`, `MaskedStudentConfig`, `VideoMambaDistillationConfig`, `VideoMambaProConfig`,
            `ViTConfig`, `ViViTConfig` or `TimeSformerConfig`.

    Weights are drawn by torch's generator: call `torch.manual_seed` first for the same ones again.

    Raises:
        ValueError: there is no model of that name, or a keyword has a value that cannot be.
        TypeError: a keyword is not known; the message lists those that are.
    """
    if name not in MODELS:
        close = difflib.get_close_matches(str(name), MODELS, n=3)
        guess = f"did you mean {' or '.join(close)}? " if close else ""
        raise ValueError(f"name: no model {name!r}; {guess}there are {', '.join(MODELS)}")
    config = MODELS[name].with_overrides(**overrides)
    return CLASSES[type(config)](config)
