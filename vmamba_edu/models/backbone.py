"""A sequence of tokens through the blocks: what the models for clips and for pictures, and all students, share.

    tokens ─ (add, norm, mixer) × depth ─ add, norm ─ tokens

Two things travel from block to block: `residual`, the running sum, and `hidden`, what the last mixer said. The sum is
kept in at least float32 whatever the weights are in, and nothing but additions ever touches it.

Source: VideoMamba (arXiv 2403.06977) §3.2; `Block` and `VisionMamba` (videomamba/video_sm/models/videomamba.py).
"""

from abc import ABC, abstractmethod
from typing import Literal, TypeVar, cast, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from vmamba_kernels import engines

from vmamba_edu.models.configuration import MambaConfig
from vmamba_edu.models.drop_path import DropPath, drop_path_rates
from vmamba_edu.models.initialisation import initialise_linear_, shrink_outputs_
from vmamba_edu.models.mixer import Mixer
from vmamba_edu.models.normalisation import make_norm
from vmamba_edu.models.precision import at_least_float32
from vmamba_edu.models.token_order import TokenOrder

Tokens = Float[Tensor, "batch length dim"]
Model = TypeVar("Model", bound="Backbone")


class Block(nn.Module):
    """residual ← residual + drop_path(hidden); hidden ← mixer(norm(residual)). There is no MLP."""

    def __init__(self, config: MambaConfig, mixer: Mixer, drop_path_rate: float):
        super().__init__()
        self.mixer = mixer
        self.norm = make_norm(config.norm, config.embed_dim)
        self.drop_path = DropPath(drop_path_rate)

    def forward(
        self, hidden: Tokens, residual: Tokens | None = None, order: TokenOrder | None = None
    ) -> tuple[Tokens, Tokens]:
        """(hidden, residual) of the block before → (hidden, residual) of this one; the first gets the tokens alone.

        `order` is the temporal-first one of these tokens, for a mixer whose scan order needs it.
        """
        residual = self.accumulate(hidden, residual)
        x = self.norm(residual)
        return (self.mixer(x) if order is None else self.mixer(x, order)), residual

    def accumulate(self, hidden: Tokens, residual: Tokens | None) -> Tokens:
        """The residual that enters this block."""
        return add_residual(self.drop_path(hidden), residual)


def add_residual(hidden: Tokens, residual: Tokens | None) -> Tokens:
    """The sum so far, in at least float32: hidden may be narrower, the residual never is."""
    return at_least_float32(hidden) if residual is None else residual + hidden


class Backbone(nn.Module, ABC):
    """All of a model but how pixels become tokens, which a subclass says in `make_patch_embed` and `embed`.

    The names, shapes and order of the parameters are those of the released checkpoints, and so is the way they are
    drawn at first.
    """

    FINAL_NORM = "norm_f"  # the published name of the norm after the last block, which masked pre-training calls `norm`

    def __init__(self, config: MambaConfig):
        super().__init__()
        self.config = config
        _, height, width = config.grid
        dim, depth = config.embed_dim, config.depth
        *rates, final_rate = drop_path_rates(config.drop_path_rate, depth)

        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        places = torch.empty(1, 1 + height * width, dim)
        self.pos_embed = nn.Parameter(nn.init.trunc_normal_(places, std=config.pos_embed_std))
        self.patch_embed = self.make_patch_embed()
        self.head = nn.Linear(dim, config.num_classes) if config.num_classes else nn.Identity()
        self.drop_path = DropPath(final_rate)
        self.layers = nn.ModuleList(Block(config, self.make_mixer(), rate) for rate in rates)
        self.add_module(self.FINAL_NORM, make_norm(config.norm, dim))

        initialise_linear_(self)
        shrink_outputs_(self, depth)

    @abstractmethod
    def make_patch_embed(self) -> nn.Module:
        """The map from pixels to patches, freshly made."""

    @abstractmethod
    def embed(self, pixels: Tensor) -> Tokens:
        """The tokens that enter the first block, as they are stored: patches with their positions, and [cls]."""

    def reading_order(self, pixels: Tensor) -> TokenOrder | None:
        """The temporal-first order of the tokens of these pixels, if the mixers need one."""
        return None

    def make_mixer(self) -> Mixer:
        """One block's mixer, freshly made."""
        config = self.config
        return Mixer(
            config.embed_dim,
            d_state=config.d_state,
            d_conv=config.d_conv,
            expand=config.expand,
            dt_rank=config.dt_rank,
            bidirectional=config.bidirectional,
            scan_order=getattr(config, "scan_order", "spatial_first"),  # a picture has one order only
        )

    # Pixels are checked by hand in `embed`: its message says more than that of a type checker, in tests as elsewhere.
    def forward(self, pixels: Tensor) -> Tensor:
        """Logits; with num_classes=0 what is pooled."""
        return self.head(self.pool(self.forward_features(pixels)))

    @overload
    def forward_features(self, pixels: Tensor, return_blocks: Literal[False] = ...) -> Tensor: ...

    @overload
    def forward_features(
        self, pixels: Tensor, return_blocks: Literal[True]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]: ...

    def forward_features(
        self, pixels: Tensor, return_blocks: bool = False
    ) -> Tokens | tuple[Tokens, list[tuple[Tokens, Tokens]]]:
        """All tokens after the last norm, (batch, 1 + patches, dim), as they are stored; [cls] is at `cls_index`.

        Args:
            pixels: as for `forward`.
            return_blocks: whether to return (tokens, blocks), where blocks[i] is the pair (hidden, residual) of block
                i: what its mixer said, and the sum that its norm was given.
        """
        hidden, residual, order = self.embed(pixels), None, self.reading_order(pixels)
        blocks = []
        for index in range(len(self.layers)):
            hidden, residual = self.run_block(index, hidden, residual, order)
            if return_blocks:
                blocks.append((hidden, residual))
        tokens = self.normed(hidden, residual)
        return (tokens, blocks) if return_blocks else tokens

    def normed(self, hidden: Tokens, residual: Tokens | None) -> Tokens:
        """What the last block said, added to the sum and normed."""
        return self.get_submodule(self.FINAL_NORM)(add_residual(self.drop_path(hidden), residual))

    def pool(self, tokens: Tokens) -> Float[Tensor, "batch dim"]:
        """What the head is told of all tokens: [cls], or the mean of the patches."""
        index = self.cls_index(tokens.shape[1] - 1)
        if self.config.pool == "cls":
            return tokens[:, index]
        return torch.cat([tokens[:, :index], tokens[:, index + 1 :]], dim=1).mean(dim=1)

    def cls_index(self, patches: int) -> int:
        """Where [cls] stands in a sequence with that many patches."""
        return 0 if self.config.cls_position == "first" else patches // 2

    def run_block(
        self, index: int, hidden: Tokens, residual: Tokens | None, order: TokenOrder | None = None
    ) -> tuple[Tokens, Tokens]:
        """Block `index` on the (hidden, residual) of the block before.

        The first `checkpoint_blocks` blocks forget their activations and compute them again in the backward pass, with
        torch's generator set back, so that drop path leaves out the same samples.
        """
        layer = self.layers[index]
        if index < self.config.checkpoint_blocks and torch.is_grad_enabled():
            return checkpoint(layer, hidden, residual, order, use_reentrant=False)
        return layer(hidden, residual, order)

    def block(self, index: int) -> Block:
        """Block `index`, from 0.

        Raises:
            ValueError: there is no such block.
        """
        if index not in range(len(self.layers)):
            raise ValueError(f"block: expected 0 to {len(self.layers) - 1}, got {index}")
        return cast(Block, self.layers[index])

    def set_backend(self: Model, backend: str) -> Model:
        """Let every mixer compute with one engine, see `vmamba_kernels.engines()`; "auto" takes the fastest.

        Raises:
            ValueError: there is no engine of that name.
        """
        names = ("auto", *engines())
        if backend not in names:
            raise ValueError(f"backend: expected one of {', '.join(map(repr, names))}, got {backend!r}")
        for module in self.modules():
            if isinstance(module, Mixer):
                module.backend = backend
        return self

    def no_weight_decay(self) -> frozenset[str]:
        """Names of parameters that an optimiser should not decay, beside all those of one dimension."""
        names = {"cls_token", "pos_embed", "temporal_pos_embedding"}
        return frozenset(names & self._parameters.keys())
