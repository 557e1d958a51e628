"""TimeSformer: divided space-time attention, and the two it was compared with.

    clip ─ patches of every frame + positions in space and time, [cls] first ─ blocks ─ norm ─ [cls] ─ head ─ logits

In the divided block each patch first asks those at its place in the other frames, then those of its own frame. "joint"
attends to all tokens of the clip at once; "space_only" reads every frame by itself and averages the tokens of all of
them before the last norm.

Tokens run frame by frame here; the published code holds all steps in time of a patch together (1 + place · T + t).
Nothing but the order of the tokens follows from it.

Source: Is Space-Time Attention All You Need? (arXiv 2102.05095); `Block` and `VisionTransformer`
(timesformer/models/vit.py of facebookresearch/TimeSformer), whose parameter names these are.
"""

from typing import Literal, cast, overload

import torch
from einops import rearrange, repeat
from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.attention import (
    AttentionMap,
    Block,
    MultiHeadAttention,
    Tokens,
    attention_maps,
    layer_norm,
    positions_and_cls,
    rising_rates,
)
from vmamba_edu.models.embeddings import TubeletEmbedding
from vmamba_edu.models.initialisation import initialise_linear_
from vmamba_edu.models.transformer_configuration import TimeSformerConfig, check_clip_fits
from vmamba_edu.models.vivit_blocks import frames_as_groups


class DividedBlock(Block):
    """Attention along time for the patches; attention within each frame, [cls] in every one of them; MLP.

    In training, drop path acts on the sequence of one place, then on the tokens of one frame, then on those of one
    clip: on whatever stands in the first axis, as in the published code.
    """

    def __init__(self, config: TimeSformerConfig, drop_path_rate: float):
        super().__init__(config, drop_path_rate, "space", has_cls=True)
        self.frames = config.num_frames
        self.temporal_norm1 = layer_norm(config)
        self.temporal_attn = MultiHeadAttention(config)
        self.temporal_fc = nn.Linear(config.embed_dim, config.embed_dim)

    def forward(self, x: Tokens, need_weights: bool = False) -> tuple[Tokens, tuple[AttentionMap, ...]]:
        """The tokens, and the maps of the attention along time (without [cls]) and of that in space (with it)."""
        cls, patches = x[:, :1], x[:, 1:]
        said, maps_in_time = self.along_time(patches, need_weights)
        patches = patches + said
        said_to_cls, said, maps_in_space = self.along_space(cls, patches, need_weights)
        x = torch.cat([cls + said_to_cls, patches + said], dim=1)
        return x + self.drop_path(self.mlp(self.norm2(x))), maps_in_time + maps_in_space

    def along_time(
        self, patches: Float[Tensor, "batch patches dim"], need_weights: bool
    ) -> tuple[Float[Tensor, "batch patches dim"], tuple[AttentionMap, ...]]:
        """What the patches at its place in all frames say to each patch."""
        places = rearrange(self.temporal_norm1(patches), "b (t s) dim -> (b s) t dim", t=self.frames)
        said, weights = self.temporal_attn(places, need_weights)
        said = rearrange(self.temporal_fc(self.drop_path(said)), "(b s) t dim -> b (t s) dim", b=len(patches))
        return said, attention_maps("time", weights, len(patches))

    def along_space(
        self, cls: Float[Tensor, "batch 1 dim"], patches: Float[Tensor, "batch patches dim"], need_weights: bool
    ) -> tuple[Float[Tensor, "batch 1 dim"], Float[Tensor, "batch patches dim"], tuple[AttentionMap, ...]]:
        """What is said in each frame: to its patches, and to [cls] the mean of what all frames say to it."""
        batch = len(patches)
        frames = rearrange(patches, "b (t s) dim -> (b t) s dim", t=self.frames)
        copies = repeat(cls, "b 1 dim -> (b t) 1 dim", t=self.frames)
        said, weights = self.attn(self.norm1(torch.cat([copies, frames], dim=1)), need_weights)
        said = rearrange(self.drop_path(said), "(b t) s dim -> b t s dim", b=batch)
        to_patches = rearrange(said[:, :, 1:], "b t s dim -> b (t s) dim")
        return said[:, :, 0].mean(1, keepdim=True), to_patches, attention_maps("space", weights, batch, has_cls=True)


class TimeSformer(nn.Module):
    """Classifies clips of the number of frames and the size that its configuration says.

    Freshly made, the divided blocks add nothing in their attention along time: `temporal_fc` is zero in all of them.
    (The published code means to spare the first block, but counts the list of blocks as one.)
    """

    def __init__(self, config: TimeSformerConfig):
        super().__init__()
        self.config = config
        dim, (height, width) = config.embed_dim, config.frame_grid
        self.cls_token = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1, dim), std=0.02))
        self.pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1 + height * width, dim), std=0.02))
        has_time = config.attention_type != "space_only"
        self.time_embed = nn.Parameter(torch.zeros(1, config.num_frames, dim)) if has_time else None
        self.dropout = nn.Dropout(config.dropout)
        self.patch_embed = TubeletEmbedding(dim, 1, config.patch_size)
        self.blocks = nn.ModuleList(make_block(config, rate) for rate in rising_rates(config, config.depth))
        self.norm = layer_norm(config)
        self.head = nn.Linear(dim, config.num_classes) if config.num_classes else nn.Identity()
        initialise_linear_(self)
        for block in self.blocks:
            if isinstance(block, DividedBlock):
                nn.init.zeros_(block.temporal_fc.weight)

    def forward(self, clip: Tensor) -> Float[Tensor, "batch classes"]:
        """Logits of a clip; with num_classes=0 the normed [cls] token.

        Hugging Face's model returns one row for each *frame* if the attention is "space_only". This one returns one for
        each clip, from tokens averaged over its frames, as the original does.

        Args:
            clip: (batch, 3, time, height, width), floating point and normalised; taken in the dtype of the weights.

        Raises:
            ValueError, TypeError: the clip does not fit the configuration.
        """
        return self.head(self.forward_features(clip)[:, 0])

    @overload
    def forward_features(self, clip: Tensor, return_attention: Literal[False] = ...) -> Tensor: ...

    @overload
    def forward_features(
        self, clip: Tensor, return_attention: Literal[True]
    ) -> tuple[Tensor, list[tuple[AttentionMap, ...]]]: ...

    def forward_features(
        self, clip: Tensor, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, list[tuple[AttentionMap, ...]]]:
        """All tokens after the last norm, (batch, 1 + time · height · width of the grid, dim), [cls] first.

        "space_only" has the tokens of a single frame: their mean over all frames.

        Args:
            clip: as for `forward`.
            return_attention: whether to return (tokens, blocks), where blocks[i] holds the attention maps of block i:
                of time and of space if they are divided, else one.
        """
        tokens, blocks = self.embed(clip), []
        for block in self.blocks:
            tokens, maps = block(tokens, return_attention)
            blocks.append(maps)
        if self.config.attention_type == "space_only":
            tokens = rearrange(tokens, "(b t) s dim -> b t s dim", b=len(clip)).mean(1)
            blocks = [tuple(frames_as_groups(one, len(clip)) for one in maps) for maps in blocks]
        tokens = self.norm(tokens)
        return (tokens, blocks) if return_attention else tokens

    def embed(self, clip: Tensor) -> Tokens:
        """The tokens that enter the first block: patches with their positions in space and time, [cls] first.

        "space_only" knows no time: (batch · time, 1 + height · width, dim), each frame with a [cls] of its own.
        """
        check_clip_fits(clip, self.config)
        patches = self.dropout(self.patch_embed(clip) + self.pos_embed[:, None, 1:])
        cls = self.dropout((self.cls_token + self.pos_embed[:, :1]).expand(len(patches), -1, -1))
        if self.time_embed is None:
            frames = rearrange(patches, "b t s dim -> (b t) s dim")
            return torch.cat([repeat(cls, "b 1 dim -> (b t) 1 dim", t=self.config.num_frames), frames], dim=1)
        patches = self.dropout(patches + self.time_embed[:, :, None])
        return torch.cat([cls, rearrange(patches, "b t s dim -> b (t s) dim")], dim=1)

    def block(self, index: int) -> Block:
        """Block `index`, from 0.

        Raises:
            ValueError: there is no such block.
        """
        if index not in range(len(self.blocks)):
            raise ValueError(f"block: expected 0 to {len(self.blocks) - 1}, got {index}")
        return cast(Block, self.blocks[index])

    def no_weight_decay(self) -> frozenset[str]:
        """Names of parameters that an optimiser should not decay, beside all those of one dimension."""
        return positions_and_cls(self)


def make_block(config: TimeSformerConfig, drop_path_rate: float) -> Block:
    """A block of the attention that the configuration names."""
    if config.attention_type == "divided_space_time":
        return DividedBlock(config, drop_path_rate)
    axis: Literal["space", "space-time"] = "space" if config.attention_type == "space_only" else "space-time"
    return Block(config, drop_path_rate, axis, has_cls=True)
