"""The models of the papers, with the parameter names and numbers of what was released.

`create_model("videomamba_tiny")` builds one by name. `registry` holds the names.

VideoMamba: `configuration` holds its keywords, `videomamba` the network for clips, `videomamba_image` the one for
pictures, `backbone` what both share, `mixer` its heart, `token_order` the orders in which it reads, `interpolation` the
positions of other sizes. Two ways of training it need a model of their own: `masked_student` and `self_distillation`.
VideoMambaPro is `videomamba_pro`, with `pro_mixer` and the scans of `pro_scan`.

The transformers it is compared with stand in `vit`, `vivit` and `timesformer`, on `attention`; `state_dicts` loads what
others saved, `image_initialisation` starts a video model from one of pictures.

Teachers of masked students answer with what `teaching` defines: `clip_teacher` and `digit_teacher`. With captions go
`caption_tokeniser`, `text_encoder` and `video_text`, whose eyes are `vision_tower`.
"""

from vmamba_edu.models.attention import AttentionMap
from vmamba_edu.models.checkpoints import (
    CheckpointError,
    LoadReport,
    from_pretrained,
    list_pretrained,
    list_shipped,
    load_checkpoint,
    shipped_record,
)
from vmamba_edu.models.clip_teacher import ClipTeacher
from vmamba_edu.models.configuration import VideoMambaConfig, VideoMambaImageConfig
from vmamba_edu.models.digit_teacher import DigitTeacher
from vmamba_edu.models.image_initialisation import initialise_from_image_
from vmamba_edu.models.interpolation import interpolate_positions, interpolate_times
from vmamba_edu.models.masked_student import MaskedStudent
from vmamba_edu.models.masked_student_configuration import MaskedStudentConfig
from vmamba_edu.models.mixer import Mixer
from vmamba_edu.models.pro_mixer import ProMixer
from vmamba_edu.models.pro_scan import masked_scan, residual_scan
from vmamba_edu.models.registry import create_model, list_models
from vmamba_edu.models.self_distillation import (
    VideoMambaDistillation,
    VideoMambaDistillationConfig,
    without_distillation_head,
)
from vmamba_edu.models.state_dicts import load_transformer_weights
from vmamba_edu.models.teaching import Teaching
from vmamba_edu.models.text_encoder import TextConfig
from vmamba_edu.models.timesformer import TimeSformer
from vmamba_edu.models.transformer_configuration import TimeSformerConfig, ViTConfig, ViViTConfig
from vmamba_edu.models.video_text import VideoText, VideoTextConfig, load_video_text_weights
from vmamba_edu.models.videomamba import Block, VideoMamba
from vmamba_edu.models.videomamba_image import VideoMambaImage
from vmamba_edu.models.videomamba_pro import VideoMambaPro, VideoMambaProConfig
from vmamba_edu.models.vision_tower import VisionTower, VisionTowerConfig
from vmamba_edu.models.vit import ViT
from vmamba_edu.models.vivit import ViViT

__all__ = [
    "AttentionMap",
    "Block",
    "CheckpointError",
    "ClipTeacher",
    "DigitTeacher",
    "LoadReport",
    "MaskedStudent",
    "MaskedStudentConfig",
    "Mixer",
    "ProMixer",
    "Teaching",
    "TextConfig",
    "TimeSformer",
    "TimeSformerConfig",
    "ViT",
    "ViTConfig",
    "ViViT",
    "ViViTConfig",
    "VideoMamba",
    "VideoMambaConfig",
    "VideoMambaDistillation",
    "VideoMambaDistillationConfig",
    "VideoMambaImage",
    "VideoMambaImageConfig",
    "VideoMambaPro",
    "VideoMambaProConfig",
    "VideoText",
    "VideoTextConfig",
    "VisionTower",
    "VisionTowerConfig",
    "create_model",
    "from_pretrained",
    "initialise_from_image_",
    "interpolate_positions",
    "interpolate_times",
    "list_models",
    "list_pretrained",
    "list_shipped",
    "load_checkpoint",
    "load_transformer_weights",
    "load_video_text_weights",
    "masked_scan",
    "residual_scan",
    "shipped_record",
    "without_distillation_head",
]
