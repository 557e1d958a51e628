"""The three ways in which ViViT avoids comparing every token with every other (ViViT §3.3, models 2, 3 and 4).

Attention over all t · s tokens of t frames with s patches each costs (t · s)². Attention within the frames and,
separately, along time costs only t · s² + s · t². The models differ in where they cut:

    model 2  encoder:      an image encoder for each frame, and then a second encoder for the sequence of frames
    model 3  block:        two attentions, one along time, one within frames, with weights of their own
    model 4  dot product:  one attention, half of whose heads look along time and half within frames

Tokens run frame by frame and there is no [cls] in models 3 and 4.

Source: ViViT (arXiv 2103.15691) §3.3; `SpaceTimeViViT`, `EncoderFactorizedSelfAttentionBlock` (projects/vivit/model.py)
and `factorized_dot_product_attention` (projects/vivit/model_utils.py) of google-research/scenic.
"""

from dataclasses import replace

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.attention import (
    MLP,
    AttentionMap,
    Block,
    Encoder,
    MultiHeadAttention,
    Tokens,
    attend,
    attention_maps,
    layer_norm,
    rising_rates,
)
from vmamba_edu.models.drop_path import DropPath
from vmamba_edu.models.transformer_configuration import ViViTConfig

GridHeads = Float[Tensor, "batch heads time space head_dim"]


class FactorisedEncoder(nn.Module):
    """Model 2: one encoder reads every frame by itself, a second one the sequence of what the first found.

    The weights, [cls] and positions of the first are the same for all frames. Each has its own norm at the end.
    """

    def __init__(self, config: ViViTConfig):
        super().__init__()
        time, height, width = config.grid
        has_cls = config.pooling == "cls"
        # Drop path rises through each encoder by itself, as in the released code.
        in_space: list[nn.Module] = [Block(config, r, "space", has_cls) for r in rising_rates(config, config.depth)]
        in_time: list[nn.Module] = [
            Block(config, r, "time", has_cls) for r in rising_rates(config, config.temporal_depth)
        ]
        self.spatial = Encoder(config, height * width, in_space, config.pooling)
        self.temporal = Encoder(config, time, in_time, config.pooling)

    def forward(
        self, patches: Float[Tensor, "batch time space dim"], need_weights: bool = False
    ) -> tuple[Tokens, list[tuple[AttentionMap, ...]]]:
        """The tokens of the second encoder, one for each frame, and the maps of the blocks of both."""
        frames, maps_in_space = self.encode_frames(patches, need_weights)
        tokens, maps_in_time = self.temporal(frames, need_weights)
        return tokens, maps_in_space + maps_in_time

    def encode_frames(
        self, patches: Float[Tensor, "batch time space dim"], need_weights: bool = False
    ) -> tuple[Float[Tensor, "batch time dim"], list[tuple[AttentionMap, ...]]]:
        """One vector for every frame, and the maps of the blocks that found it, with the frames as groups."""
        batch = len(patches)
        tokens, maps = self.spatial(rearrange(patches, "b t s dim -> (b t) s dim"), need_weights)
        frames = rearrange(self.spatial.pool(tokens), "(b t) dim -> b t dim", b=batch)
        return frames, [tuple(frames_as_groups(one, batch) for one in maps_of_block) for maps_of_block in maps]

    def pool(self, tokens: Tokens) -> Float[Tensor, "batch dim"]:
        """One vector for the clip."""
        return self.temporal.pool(tokens)


class FactorisedSelfAttentionBlock(nn.Module):
    """Model 3: x ← x + attention along one axis; x ← x + attention along the other; x ← x + mlp(norm(x)).

    Each attention has a norm and weights of its own. The released code has no drop path in this block; here all three
    additions have it, at a rate of 0 unless the configuration says otherwise.
    """

    def __init__(self, config: ViViTConfig, drop_path_rate: float):
        super().__init__()
        self.time, self.time_first = config.grid[0], config.first_axis == "time"
        self.norm_time, self.attn_time = layer_norm(config), MultiHeadAttention(config)
        self.norm_space, self.attn_space = layer_norm(config), MultiHeadAttention(config)
        self.norm_mlp, self.mlp = layer_norm(config), MLP(config)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tokens, need_weights: bool = False) -> tuple[Tokens, tuple[AttentionMap, ...]]:
        """The tokens, and the two attention maps in the order in which they acted."""
        maps: tuple[AttentionMap, ...] = ()
        for attend_along in (self.along_time, self.along_space)[:: 1 if self.time_first else -1]:
            said, new_maps = attend_along(x, need_weights)
            x, maps = x + self.drop_path(said), maps + new_maps
        return x + self.drop_path(self.mlp(self.norm_mlp(x))), maps

    def along_time(self, x: Tokens, need_weights: bool) -> tuple[Tokens, tuple[AttentionMap, ...]]:
        """Every token asks those at its place in the other frames."""
        places = rearrange(self.norm_time(x), "b (t s) dim -> (b s) t dim", t=self.time)
        said, weights = self.attn_time(places, need_weights)
        said = rearrange(said, "(b s) t dim -> b (t s) dim", b=len(x))
        return said, attention_maps("time", weights, len(x))

    def along_space(self, x: Tokens, need_weights: bool) -> tuple[Tokens, tuple[AttentionMap, ...]]:
        """Every token asks those of its frame."""
        frames = rearrange(self.norm_space(x), "b (t s) dim -> (b t) s dim", t=self.time)
        said, weights = self.attn_space(frames, need_weights)
        said = rearrange(said, "(b t) s dim -> b (t s) dim", b=len(x))
        return said, attention_maps("space", weights, len(x))


class FactorisedDotProductBlock(Block):
    """Model 4: the block of model 1, same parameters; half of its heads look along time, half within frames."""

    def __init__(self, config: ViViTConfig, drop_path_rate: float):
        super().__init__(config, drop_path_rate, "space-time", has_cls=False)
        self.time, self.time_first = config.grid[0], config.first_axis == "time"

    def attention(self, x: Tokens, need_weights: bool) -> tuple[Tokens, tuple[AttentionMap, ...]]:
        """What is said to each token, and the maps of the heads for time and of those for space."""
        attn = self.attn
        pattern = "b (t s) (three h d) -> three b h t s d"
        q, k, v = rearrange(attn.qkv(self.norm1(x)), pattern, three=3, h=attn.num_heads, t=self.time)
        said, maps = factorised_dot_product(q, k, v, self.time_first, attn.dropout_rate, need_weights)
        return attn.dropout(attn.proj(rearrange(said, "b h t s d -> b (t s) (h d)"))), maps


def factorised_dot_product(
    q: GridHeads, k: GridHeads, v: GridHeads, time_first: bool = True, dropout: float = 0.0, need_weights: bool = False
) -> tuple[GridHeads, tuple[AttentionMap, ...]]:
    """Attention along time in one half of the heads (the first if `time_first`), within frames in the other.

    Returns:
        What each head says to each token, and the maps of time and space, or none if they are not needed.

    Raises:
        ValueError: the number of heads is odd.
    """
    batch, heads = q.shape[:2]
    if heads % 2:
        raise ValueError(f"q, k, v: expected an even number of heads, half for time, half for space, got {heads}")
    halves = [x.chunk(2, dim=1) for x in (q, k, v)]
    for_time, for_space = (0, 1) if time_first else (1, 0)

    q, k, v = (rearrange(half[for_time], "b h t s d -> (b s) h t d") for half in halves)
    in_time, weights_in_time = attend(q, k, v, dropout, need_weights)
    in_time = rearrange(in_time, "(b s) h t d -> b h t s d", b=batch)

    q, k, v = (rearrange(half[for_space], "b h t s d -> (b t) h s d") for half in halves)
    in_space, weights_in_space = attend(q, k, v, dropout, need_weights)
    in_space = rearrange(in_space, "(b t) h s d -> b h t s d", b=batch)

    said = torch.cat([in_time, in_space] if time_first else [in_space, in_time], dim=1)
    return said, attention_maps("time", weights_in_time, batch) + attention_maps("space", weights_in_space, batch)


def frames_as_groups(one: AttentionMap, batch: int) -> AttentionMap:
    """The map of an encoder that was given (batch · frames) samples of one group: samples of several groups."""
    return replace(one, weights=rearrange(one.weights, "(b t) 1 h q k -> b t h q k", b=batch))
