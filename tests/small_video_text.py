"""Video-text models of the published reference cases, and a tiny one of our own."""

from typing import Any

import torch
from agreement import state_dict_of
from einops import rearrange

from vmamba_edu.models.caption_tokeniser import train_tokeniser
from vmamba_edu.models.masked_student import Encoded
from vmamba_edu.models.text_encoder import TINY, TextConfig
from vmamba_edu.models.video_text import VideoText, VideoTextConfig, load_video_text_weights
from vmamba_edu.models.vision_tower import Seen, VisionTowerConfig

PUBLISHED = (
    "img_size",
    "patch_size",
    "depth",
    "embed_dim",
    "num_frames",
    "drop_path_rate",
    "kernel_size",
    "rms_norm",
    "bimamba",
    "clip_output_dim",
    "clip_return_layer",
    "clip_student_return_interval",
    "clip_decoder_embed_dim",
    "fused_add_norm",
    "keep_temporal",
)
SUMMARIES = {"cls": "cls", "cls+avg": "cls+mean", "avg": "mean"}


def config_of(args: dict[str, Any], has_language_head: bool) -> VideoTextConfig:
    """The published configuration as ours."""
    vision, text = args["vision_encoder"], args["text_encoder"]
    cfg = text["cfg"]
    tower = VisionTowerConfig().with_overrides(
        **{name: vision[name] for name in PUBLISHED}, summary=SUMMARIES[vision["pool_type"]]
    )
    reader = TextConfig(
        vocab_size=cfg["vocab_size"],
        dim=cfg["hidden_size"],
        depth=cfg["num_hidden_layers"],
        fusion_layer=text["fusion_layer"],
        num_heads=cfg["num_attention_heads"],
        mlp_dim=cfg["intermediate_size"],
        max_length=cfg["max_position_embeddings"],
        vision_dim=vision["embed_dim"],
        dropout=cfg["hidden_dropout_prob"],
        has_language_head=has_language_head,
    )
    return VideoTextConfig(tower, reader, args["embed_dim"], args["temp"])


def published_model(tensors: dict[str, torch.Tensor], description: dict[str, Any]) -> VideoText:
    """The model with the stored weights; what a thinned case lacks stays as drawn."""
    stored = state_dict_of(tensors)
    wrapped = {
        name.replace("text_encoder.", "text_encoder.bert.", 1)
        if name.startswith(("text_encoder.embeddings.", "text_encoder.encoder."))
        else name: value
        for name, value in stored.items()
        if not name.endswith("position_ids")
    }
    has_head = any(name.startswith("text_encoder.cls.") for name in stored)
    model = VideoText(config_of(description["args"]["model"], has_head))
    load_video_text_weights(model, model.state_dict() | wrapped)
    return model.eval().set_backend("reference")


def clips_of(tensors: dict[str, torch.Tensor], name: str, dtype: torch.dtype) -> torch.Tensor:
    """The published order of axes as ours."""
    return rearrange(tensors[name], "b t c h w -> b c t h w").to(dtype)


def seen_of(tensors: dict[str, torch.Tensor], dtype: torch.dtype) -> Seen:
    """What the published tower saw, where a thinned case has no tower."""
    tokens, pooled = (tensors[f"mid.{name}"].to(dtype) for name in ("vision_embeds", "pooled_vision_embeds"))
    batch, patches, _ = tokens.shape
    return Seen(tokens, pooled, Encoded(tokens, [], torch.arange(1, patches + 1).expand(batch, -1), patches + 1))


CAPTIONS = ["a seven moves left", "an eight grows", "a one turns clockwise", "a four disappears"]


def tiny_model(seed: int = 0, **vision: Any) -> tuple[VideoText, Any]:
    """A model of two blocks and four text layers for clips of 4 frames of 16 × 16, and its tokeniser."""
    torch.manual_seed(seed)
    tokeniser = train_tokeniser(CAPTIONS, vocab_size=200)
    sizes = {"img_size": 16, "patch_size": 8, "num_frames": 4, "depth": 2, "embed_dim": 16, "d_state": 4}
    tower = VisionTowerConfig().with_overrides(**sizes | {"teacher_dim": 12, "drop_path_rate": 0.0} | vision)
    reader = TextConfig(**vars(TINY) | {"vocab_size": tokeniser.vocab_size, "vision_dim": 16, "dim": 16})
    return VideoText(VideoTextConfig(tower, reader, embed_dim=8)).set_backend("reference"), tokeniser
