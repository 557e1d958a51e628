"""The bill of ViT, ViViT and TimeSformer in closed formulas.

D dim · H heads · M hidden channels of an MLP. Attention between q queries and k keys does 2 · q · k · D operations for
its scores and as many to weigh the values, over all heads; computed as torch does it, it keeps q, k and v, its output
and one number for each query and head, and never the q · k weights. Source of the layers: `attention`, `vivit_blocks`,
`timesformer`.
"""

from vmamba_edu.analysis.bill import Bill, Item, embedding, linear, norm
from vmamba_edu.models.transformer_configuration import (
    ClipConfig,
    TimeSformerConfig,
    TransformerConfig,
    ViTConfig,
    ViViTConfig,
)


def transformer_bill(config: TransformerConfig, batch: int) -> Bill:
    """Everything in a model of this configuration.

    Raises:
        TypeError: it is the configuration of none of ours.
    """
    if isinstance(config, TimeSformerConfig):
        return _timesformer(config, batch)
    if isinstance(config, ViViTConfig):
        return _vivit(config, batch)
    if not isinstance(config, ViTConfig):
        raise TypeError(f"config: expected that of a model of ours, got {type(config).__name__}")
    height, width = config.frame_grid
    has_cls = config.pool == "cls"
    length = height * width + has_cls
    bill = _patches(config, batch * height * width, 1) + embedding(length + has_cls, config.embed_dim)
    bill += _block(config, batch, length) * config.depth
    return bill + _head(config, batch, length, has_cls)


def _vivit(config: ViViTConfig, batch: int) -> Bill:
    (time, height, width), dim = config.grid, config.embed_dim
    space, has_cls = height * width, config.pooling == "cls"
    frames = config.tubelet_size if config.tokeniser == "tubelet" else 1
    bill = _patches(config, batch * time * space, frames)
    if config.model == 2:
        length = space + has_cls
        bill += embedding(length + has_cls, dim) + _block(config, batch * time, length) * config.depth
        bill += norm(batch * time * length, dim)
        length = time + has_cls
        bill += embedding(length + has_cls, dim) + _block(config, batch, length) * config.temporal_depth
        return bill + _head(config, batch, length, has_cls)
    length = time * space + has_cls
    bill += embedding(length + has_cls, dim)
    if config.model == 1:
        block = _block(config, batch, length)
    elif config.model == 3:
        block = _attention(config, batch * space, time) + _attention(config, batch * time, space)
        block += _mlp(config, batch * length)
    else:
        block = _half_and_half(config, batch, time, space) + _mlp(config, batch * length)
    return bill + block * config.depth + _head(config, batch, length, has_cls)


def _timesformer(config: TimeSformerConfig, batch: int) -> Bill:
    (time, height, width), dim = config.grid, config.embed_dim
    space = height * width
    bill = _patches(config, batch * time * space, 1) + embedding(2 + space, dim)
    if config.attention_type == "space_only":
        bill += _block(config, batch * time, 1 + space) * config.depth
        return bill + _head(config, batch, 1 + space, True)
    length = 1 + time * space
    bill += embedding(time, dim)
    if config.attention_type == "joint_space_time":
        block = _block(config, batch, length)
    else:
        block = _attention(config, batch * space, time) + Bill(
            kept=batch * dim
        )  # the norm's input is a view, with [cls]
        block += linear("temporal_fc", batch * time * space, dim, dim, kept=dim)
        block += _attention(config, batch * time, 1 + space) + _mlp(config, batch * length)
    return bill + block * config.depth + _head(config, batch, length, True)


def _block(config: TransformerConfig, groups: int, length: int) -> Bill:
    return _attention(config, groups, length) + _mlp(config, groups * length)


def _attention(config: TransformerConfig, groups: int, length: int) -> Bill:
    """Norm and attention of every token to those of its group."""
    dim, tokens = config.embed_dim, groups * length
    bill = norm(tokens, dim) + linear("qkv", tokens, dim, 3 * dim, kept=dim) + Bill(kept=3 * tokens * dim)
    bill += _products(groups, length, dim, config.num_heads)
    return bill + linear("proj", tokens, dim, dim, kept=dim)


def _half_and_half(config: ViViTConfig, batch: int, time: int, space: int) -> Bill:
    """Norm and attention of model 4: half of the heads along time, half within frames."""
    dim, tokens, heads = config.embed_dim, batch * time * space, config.num_heads // 2
    bill = norm(tokens, dim) + linear("qkv", tokens, dim, 3 * dim, kept=dim) + Bill(kept=3 * tokens * dim)
    bill += _products(batch * space, time, dim // 2, heads) + _products(batch * time, space, dim // 2, heads)
    # What both halves said and, beside it, their concatenation; the sequences of places are copies where batch > 1.
    copies = 2 * dim + (3 * dim // 2 if batch > 1 and time > 1 and space > 1 else 0)
    return bill + linear("proj", tokens, dim, dim, kept=copies)


def _products(groups: int, length: int, dim: int, heads: int) -> Bill:
    """q kᵀ and the weighted sum of v."""
    weights = groups * heads * length**2
    return Bill((Item("attention", 0, 4 * groups * length**2 * dim),), groups * length * heads, weights)


def _mlp(config: TransformerConfig, tokens: int) -> Bill:
    """Norm and MLP: its hidden numbers are kept before and after gelu."""
    dim, hidden = config.embed_dim, config.mlp_dim
    bill = norm(tokens, dim) + linear("mlp", tokens, dim, hidden, kept=dim)
    return bill + linear("mlp", tokens, hidden, dim, kept=2 * hidden)


def _patches(config: TransformerConfig, patches: int, frames: int) -> Bill:
    box = 3 * frames * config.patch_size**2
    return linear("patch_embed", patches, box, config.embed_dim, kept=box)


def _head(config: TransformerConfig, batch: int, length: int, has_cls: bool) -> Bill:
    """The last norm and the head; [cls] is a view of all tokens, which stay."""
    dim = config.embed_dim
    bill = norm(batch * length, dim)
    if not config.num_classes:
        return bill
    return bill + linear("head", batch, dim, config.num_classes) + Bill(kept=batch * dim * (length if has_cls else 1))


def transformer_peak(config: TransformerConfig, batch: int) -> int:
    """Numbers alive at the worst moment of a forward pass without gradients: inside a block's MLP or attention.

    In an MLP there are: the patches that were embedded, the block's input, what attention said, their sum and its norm
    (5 D), and the hidden numbers before and after gelu (2 M). In an attention: patches, input and norm (3 D), q, k, v
    (3 D), what was said before and after the projection (2 D), and one number a head.
    """
    dim, extra = config.embed_dim, 0
    divided = isinstance(config, TimeSformerConfig) and config.attention_type == "divided_space_time"
    if divided:
        extra = dim  # patches with what was said along time
    of_token = max(5 * dim + 2 * config.mlp_dim, 8 * dim + config.num_heads) + extra
    grid = config.grid if isinstance(config, ClipConfig) else (1, *config.frame_grid)
    patches = grid[0] * grid[1] * grid[2]
    alone = isinstance(config, TimeSformerConfig) and config.attention_type == "space_only"
    alone |= isinstance(config, ViViTConfig) and config.model == 2
    cls_tokens = grid[0] if alone else 1
    frames = config.tubelet_size if isinstance(config, ViViTConfig) and config.tokeniser == "tubelet" else 1
    return batch * max((patches + cls_tokens) * of_token, patches * (3 * frames * config.patch_size**2 + dim))
