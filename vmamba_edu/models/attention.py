"""Multi-head attention, the MLP and the pre-norm block that all transformers here are made of.

Attention runs through torch's `scaled_dot_product_attention`, which never writes the matrix of weights down: whoever
compares attention with a scan should compare with attention at its best. Only when the weights are asked for are they
computed step by step, and both ways give the same tokens.

Source: An Image is Worth 16x16 Words (arXiv 2010.11929), appendix A; `Attention`, `Mlp` and `Block`
(timesformer/models/vit.py), whose parameter names these are.
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.drop_path import DropPath, drop_path_rates
from vmamba_edu.models.transformer_configuration import TransformerConfig

EPSILON = 1e-6  # of every layer norm; Mamba's models have 1e-5
Tokens = Float[Tensor, "batch length dim"]
Heads = Float[Tensor, "batch heads length head_dim"]
Weights = Float[Tensor, "batch heads length length"]


@dataclass(frozen=True, eq=False)
class AttentionMap:
    """Who looked at whom in one attention: each row of weights is one query and sums to 1.

    Args:
        axis: what the attention ran over: "space-time" all tokens, "time" the tokens of one place, "space" those of one
            frame.
        weights: (batch, groups, heads, queries, keys). A group is one sequence that was attended to by itself: places
            if the axis is "time" (row by row), frames if it is "space", and a single one otherwise. Model 2's second
            encoder attends over time with whole frames as tokens: one group as well.
        has_cls: whether query 0 and key 0 are [cls].
    """

    axis: Literal["space-time", "time", "space"]
    weights: Float[Tensor, "batch groups heads queries keys"]
    has_cls: bool


def attend(
    q: Heads, k: Heads, v: Heads, dropout: float = 0.0, need_weights: bool = False
) -> tuple[Heads, Weights | None]:
    """softmax(q kᵀ / √head_dim) v, and the weights (batch, heads, queries, keys) if they are needed, else None.

    Args:
        dropout: probability that a weight is set to zero (the others are scaled up). Returned weights are whole.
    """
    if not need_weights:
        return F.scaled_dot_product_attention(q, k, v, dropout_p=dropout), None
    weights = (q @ k.mT * q.shape[-1] ** -0.5).softmax(-1)
    return F.dropout(weights, dropout) @ v, weights


class MultiHeadAttention(nn.Module):
    """Every token of a sequence asks all of them, in several heads at once."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        dim = config.embed_dim
        self.num_heads, self.attention_dropout = config.num_heads, config.attention_dropout
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tokens, need_weights: bool = False) -> tuple[Tokens, Weights | None]:
        """What is said to each token, and the weights (batch, heads, length, length) if needed."""
        q, k, v = rearrange(self.qkv(x), "b l (three h d) -> three b h l d", three=3, h=self.num_heads)
        said, weights = attend(q, k, v, self.dropout_rate, need_weights)
        return self.dropout(self.proj(rearrange(said, "b h l d -> b l (h d)"))), weights

    @property
    def dropout_rate(self) -> float:
        """Of the weights: only in training."""
        return self.attention_dropout if self.training else 0.0


class MLP(nn.Module):
    """fc2(gelu(fc1(x))), for each token by itself."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.fc1 = nn.Linear(config.embed_dim, config.mlp_dim)
        self.act = nn.GELU(approximate="tanh" if config.gelu == "tanh" else "none")
        self.fc2 = nn.Linear(config.mlp_dim, config.embed_dim)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tokens) -> Tokens:
        return self.dropout(self.fc2(self.dropout(self.act(self.fc1(x)))))


class Block(nn.Module):
    """x ← x + attention(norm(x)); x ← x + mlp(norm(x)); each addition with drop path.

    Args:
        config: sizes and rates.
        drop_path_rate: of this block.
        axis, has_cls: what the tokens are, for whoever asks for the weights.
    """

    def __init__(
        self,
        config: TransformerConfig,
        drop_path_rate: float,
        axis: Literal["space-time", "time", "space"],
        has_cls: bool,
    ):
        super().__init__()
        self.axis, self.has_cls = axis, has_cls
        self.norm1 = layer_norm(config)
        self.attn = MultiHeadAttention(config)
        self.norm2 = layer_norm(config)
        self.mlp = MLP(config)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, x: Tokens, need_weights: bool = False) -> tuple[Tokens, tuple[AttentionMap, ...]]:
        """The tokens, and the one attention map of this block if it is needed, else none."""
        said, maps = self.attention(x, need_weights)
        x = x + self.drop_path(said)
        return x + self.drop_path(self.mlp(self.norm2(x))), maps

    def attention(self, x: Tokens, need_weights: bool) -> tuple[Tokens, tuple[AttentionMap, ...]]:
        """What is said to each token, and by whom."""
        said, weights = self.attn(self.norm1(x), need_weights)
        return said, attention_maps(self.axis, weights, len(x), self.has_cls)


class Encoder(nn.Module):
    """Tokens of patches ─ [cls] first if pool is "cls" ─ + positions ─ blocks ─ norm."""

    def __init__(self, config: TransformerConfig, length: int, blocks: list[nn.Module], pool: Literal["cls", "mean"]):
        super().__init__()
        dim = config.embed_dim
        self.has_cls = pool == "cls"
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim)) if self.has_cls else None
        self.pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, self.has_cls + length, dim), std=0.02))
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(blocks)
        self.norm = layer_norm(config)

    def embed(self, patches: Float[Tensor, "batch patches dim"]) -> Tokens:
        """The tokens that enter the first block."""
        if self.cls_token is not None:
            patches = torch.cat([self.cls_token.expand(len(patches), -1, -1), patches], dim=1)
        return self.dropout(patches + self.pos_embed)

    def forward(
        self, patches: Float[Tensor, "batch patches dim"], need_weights: bool = False
    ) -> tuple[Tokens, list[tuple[AttentionMap, ...]]]:
        """All tokens after the norm, [cls] first where there is one, and the maps of every block, if needed."""
        tokens, maps = self.embed(patches), []
        for block in self.blocks:
            tokens, maps_of_block = block(tokens, need_weights)
            maps.append(maps_of_block)
        return self.norm(tokens), maps

    def pool(self, tokens: Tokens) -> Float[Tensor, "batch dim"]:
        """One vector for all tokens: [cls] where there is one, else their mean."""
        return tokens[:, 0] if self.has_cls else tokens.mean(1)


def layer_norm(config: TransformerConfig) -> nn.LayerNorm:
    """A fresh norm over the channels of a token."""
    return nn.LayerNorm(config.embed_dim, eps=EPSILON)


def rising_rates(config: TransformerConfig, depth: int) -> list[float]:
    """The drop path rate of each block, from 0 up to the last one's.

    A transformer's block drops its own output, not that of the block before as VideoMamba does: the same list, not
    shifted.
    """
    return drop_path_rates(config.drop_path_rate, depth)[1:]


def attention_maps(
    axis: Literal["space-time", "time", "space"], weights: Tensor | None, batch: int, has_cls: bool = False
) -> tuple[AttentionMap, ...]:
    """One map of weights ((batch groups), heads, queries, keys), or none where there are no weights."""
    if weights is None:
        return ()
    return (AttentionMap(axis, rearrange(weights, "(b g) h q k -> b g h q k", b=batch), has_cls),)


def positions_and_cls(model: nn.Module) -> frozenset[str]:
    """Names of the parameters that an optimiser should not decay, beside all those of one dimension."""
    kept = ("cls_token", "pos_embed", "time_embed")
    return frozenset(name for name, _ in model.named_parameters() if name.split(".")[-1] in kept)
