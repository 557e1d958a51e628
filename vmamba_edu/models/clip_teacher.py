"""CLIP's vision tower as a teacher: asked for every frame by itself, answering with the tokens of the clip.

The tower is that of transformers; this file says which of its layers are read, with which norms, and where its [cls]
looks. OpenAI's own weights are taken under their own names too.

Source: CLIP (arXiv 2103.00020); Unmasked Teacher (arXiv 2303.16058) §3.1; `VisionTransformer`
(videomamba/video_sm/models/clip.py).
"""

import re
from collections.abc import Mapping
from typing import Any

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.configuration import check_integer
from vmamba_edu.models.teaching import Teaching, clip_tokens, frames_of


class ClipTeacher(nn.Module):
    """A CLIP vision tower that teaches: `teacher(clip)` is a `Teaching`.

    Make one with `clip_teacher` (from a folder or the hub) or `clip_teacher_from_openai` (from OpenAI's state dict).

    Args:
        tower: a `CLIPVisionModelWithProjection` of transformers.
        layers: how many blocks are read: the last one, and others before it, as many as asked for.
        interval: how many blocks lie between those.
        with_cls: whether [cls] is returned, the mean over frames, in front. As published, this also decides about the
            tower's last norm: with [cls] features go through the projection alone, without it through norm and
            projection.
        normalise: whether features are divided by their length.
        need_attention: whether to say where [cls] looks.

    Raises:
        ValueError: the tower has too few blocks for this.
    """

    def __init__(
        self,
        tower: Any,
        *,
        layers: int = 1,
        interval: int = 1,
        with_cls: bool = True,
        normalise: bool = True,
        need_attention: bool = True,
    ):
        super().__init__()
        check_integer("layers", layers, least=1)
        check_integer("interval", interval, least=1)
        self.tower: Any = tower
        self.with_cls, self.normalise, self.need_attention = with_cls, normalise, need_attention
        depth = tower.config.num_hidden_layers
        self.read = [depth - index * interval for index in reversed(range(layers))]  # 0 is what enters the first block
        if self.read[0] < 1:
            raise ValueError(f"layers: expected at most {1 + (depth - 1) // interval} of {depth} blocks, got {layers}")
        self.requires_grad_(False).eval()

    @property
    def frame_size(self) -> tuple[int, int]:
        """(height, width) in pixels to which frames are brought."""
        size = self.tower.config.image_size
        return (size, size) if isinstance(size, int) else tuple(size)

    @torch.no_grad()
    def forward(self, clip: Float[Tensor, "batch 3 time height width"]) -> Teaching:
        """Features and attention of a clip, normalised as the tower expects; frames of another size are resized."""
        vision, batch = self.tower.vision_model, len(clip)
        said = vision(frames_of(clip, self.frame_size), output_hidden_states=True)
        features = torch.stack([self._features(said.hidden_states[block], batch) for block in self.read])
        return Teaching(features, self._attention(said.hidden_states[-2], batch) if self.need_attention else None)

    def _features(self, hidden: Tensor, batch: int) -> Tensor:
        if not self.with_cls:
            hidden = self.tower.vision_model.post_layernorm(hidden)
        tokens = clip_tokens(self.tower.visual_projection(hidden), batch, self.with_cls)
        return tokens / tokens.norm(dim=-1, keepdim=True) if self.normalise else tokens

    def _attention(self, entering: Tensor, batch: int) -> Tensor:
        """Where [cls] looks in the last block: its one row of weights, from the tokens that enter the block.

        transformers returns whole matrices of all blocks, gigabytes for a batch of clips; one row is enough.
        """
        block = self.tower.vision_model.encoder.layers[-1]
        tokens, heads = block.layer_norm1(entering), self.tower.config.num_attention_heads
        query = rearrange(block.self_attn.q_proj(tokens[:, :1]), "f 1 (h d) -> f h 1 d", h=heads)
        key = rearrange(block.self_attn.k_proj(tokens), "f n (h d) -> f h n d", h=heads)
        weights = (query @ key.mT * key.shape[-1] ** -0.5).softmax(-1)
        return rearrange(weights.mean(1)[:, 0, 1:], "(b t) hw -> b t hw", b=batch)


def clip_teacher(name_or_path: str, **options: Any) -> ClipTeacher:
    """A teacher from a folder that transformers saved, or by its name on the hub ("openai/clip-vit-base-patch16").

    Args:
        name_or_path: of a CLIP model, whole or its vision tower with projection.
        options: keywords of `ClipTeacher`.

    Raises:
        ImportError: transformers is not installed (extra `lab`).
        OSError: there is no such folder, and no such model on the hub, or no connection to it.
    """
    return ClipTeacher(_transformers().CLIPVisionModelWithProjection.from_pretrained(name_or_path), **options)


def clip_teacher_from_openai(
    state_dict: Mapping[str, Tensor], num_heads: int | None = None, **options: Any
) -> ClipTeacher:
    """A teacher from OpenAI's weights of the visual tower; all sizes follow from their shapes.

    Args:
        state_dict: `class_embedding`, `conv1.weight` and so on, with or without "visual." in front (the rest of a whole
            CLIP is passed over); a kernel that was given a time axis of one frame is taken too.
        num_heads: of every attention; None is OpenAI's rule, a head for 64 channels.
        options: keywords of `ClipTeacher`.

    Raises:
        ValueError: a weight is missing or is not one of a tower that reads single, square frames.
        ImportError: transformers is not installed (extra `lab`).
    """
    weights = {
        name.removeprefix("visual."): value for name, value in state_dict.items() if _is_visual(name, state_dict)
    }
    if missing := [name for name in (*_NAMES, "conv1.weight", "proj") if name not in weights]:
        raise ValueError(f"state_dict: expected the weights of OpenAI's visual tower, but {missing[0]!r} is missing")
    transformers = _transformers()
    tower = transformers.CLIPVisionModelWithProjection(_configuration(transformers, weights, num_heads))
    ours = _translate(weights)
    expected = tower.state_dict().keys()
    if differing := sorted(expected ^ ours.keys()):
        raise ValueError(f"state_dict: expected the weights of OpenAI's visual tower; look at {', '.join(differing)}")
    tower.load_state_dict(ours)
    return ClipTeacher(tower, **options)


_NAMES = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "ln_pre.weight": "pre_layrnorm.weight",  # transformers' spelling
    "ln_pre.bias": "pre_layrnorm.bias",
    "ln_post.weight": "post_layernorm.weight",
    "ln_post.bias": "post_layernorm.bias",
}
_IN_BLOCK = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}


def _translate(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """OpenAI's names and layouts as those of transformers; names that are not known stay."""
    ours = {"visual_projection.weight": weights["proj"].mT.contiguous()}
    ours["vision_model.embeddings.patch_embedding.weight"] = _image_kernel(weights["conv1.weight"])
    for name, value in weights.items():
        if name in ("proj", "conv1.weight"):
            continue
        block = re.match(r"transformer\.resblocks\.(\d+)\.(.+)\.(weight|bias)$", name.replace("in_proj_", "in_proj."))
        if block is None:
            ours[f"vision_model.{_NAMES.get(name, name)}"] = value
            continue
        index, part, kind = block.groups()
        prefix = f"vision_model.encoder.layers.{index}"
        if part == "attn.in_proj":
            for letter, rows in zip("qkv", value.chunk(3), strict=True):
                ours[f"{prefix}.self_attn.{letter}_proj.{kind}"] = rows
        else:
            ours[f"{prefix}.{_IN_BLOCK.get(part, part)}.{kind}"] = value
    return ours


def _configuration(transformers: Any, weights: Mapping[str, Tensor], num_heads: int | None) -> Any:
    width, _, *_, patch_size = weights["conv1.weight"].shape
    places = len(weights["positional_embedding"]) - 1
    side = round(places**0.5)
    if side * side != places:
        raise ValueError(f"state_dict: expected positions of a square grid and one more, got {places + 1}")
    blocks = {match.group(1) for name in weights if (match := re.match(r"transformer\.resblocks\.(\d+)\.", name))}
    if "transformer.resblocks.0.mlp.c_fc.bias" not in weights:
        raise ValueError("state_dict: expected blocks 'transformer.resblocks.0…', but there are none")
    return transformers.CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=len(weights["transformer.resblocks.0.mlp.c_fc.bias"]),
        projection_dim=weights["proj"].shape[1],
        num_hidden_layers=len(blocks),
        num_attention_heads=max(1, width // 64) if num_heads is None else num_heads,
        image_size=side * patch_size,
        patch_size=patch_size,
    )


def _image_kernel(kernel: Tensor) -> Tensor:
    """The kernel of patches, without the time axis that the published teacher gives it."""
    if kernel.dim() == 5 and kernel.shape[2] != 1:
        raise ValueError(f"conv1.weight: expected a kernel of single frames, got one of {kernel.shape[2]} frames")
    return kernel[:, :, 0] if kernel.dim() == 5 else kernel


def _is_visual(name: str, state_dict: Mapping[str, Tensor]) -> bool:
    """Whether a weight is of the visual tower: in a whole CLIP those are marked, else all are."""
    return name.startswith("visual.") or not any(other.startswith("visual.") for other in state_dict)


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ImportError("CLIP teachers need transformers: pip install 'vmamba-edu[lab]'") from error
    return transformers
