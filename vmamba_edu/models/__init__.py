"""The models of the papers, with the parameter names and numbers of what was released.

`create_model("videomamba_tiny")` builds one by name. `registry` holds the names. `configuration` holds VideoMamba's
keywords, `videomamba` the network, `mixer` its heart, `pro_scan` the scans of VideoMambaPro. The transformers it is
compared with stand in `vit`, `vivit` and `timesformer`, on `attention`; `state_dicts` loads what others saved,
`image_initialisation` starts a video model from one of pictures.
"""

from vmamba_edu.models.attention import AttentionMap
from vmamba_edu.models.configuration import VideoMambaConfig
from vmamba_edu.models.image_initialisation import initialise_from_image_
from vmamba_edu.models.mixer import Mixer
from vmamba_edu.models.pro_scan import masked_scan, residual_scan
from vmamba_edu.models.registry import create_model, list_models
from vmamba_edu.models.state_dicts import load_transformer_weights
from vmamba_edu.models.timesformer import TimeSformer
from vmamba_edu.models.transformer_configuration import TimeSformerConfig, ViTConfig, ViViTConfig
from vmamba_edu.models.videomamba import Block, VideoMamba
from vmamba_edu.models.vit import ViT
from vmamba_edu.models.vivit import ViViT

__all__ = [
    "AttentionMap",
    "Block",
    "Mixer",
    "TimeSformer",
    "TimeSformerConfig",
    "ViT",
    "ViTConfig",
    "ViViT",
    "ViViTConfig",
    "VideoMamba",
    "VideoMambaConfig",
    "create_model",
    "initialise_from_image_",
    "list_models",
    "load_transformer_weights",
    "masked_scan",
    "residual_scan",
]
