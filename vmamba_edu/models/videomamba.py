"""VideoMamba: a stack of mixers on the tokens of a clip.

    clip ─ tubelets + positions, [cls] first ─ (add, norm, mixer) × depth ─ add, norm ─ [cls] ─ head ─ logits

Two things travel from block to block: `residual`, the running sum, and `hidden`, what the last mixer said. The sum is
kept in at least float32 whatever the weights are in, and nothing but additions ever touches it.

Source: VideoMamba (arXiv 2403.06977) §3.2; `VisionMamba` (videomamba/video_sm/models/videomamba.py).
"""

from typing import Literal, cast, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn
from vmamba_kernels import engines

from vmamba_edu.models.configuration import VideoMambaConfig
from vmamba_edu.models.drop_path import DropPath, drop_path_rates
from vmamba_edu.models.embeddings import TubeletEmbedding, add_positions
from vmamba_edu.models.initialisation import initialise_linear_, shrink_outputs_
from vmamba_edu.models.mixer import Mixer
from vmamba_edu.models.normalisation import make_norm
from vmamba_edu.models.precision import at_least_float32

Tokens = Float[Tensor, "batch length dim"]


class Block(nn.Module):
    """residual ← residual + drop_path(hidden); hidden ← mixer(norm(residual)). There is no MLP."""

    def __init__(self, config: VideoMambaConfig, mixer: Mixer, drop_path_rate: float):
        super().__init__()
        self.mixer = mixer
        self.norm = make_norm(config.norm, config.embed_dim)
        self.drop_path = DropPath(drop_path_rate)

    def forward(self, hidden: Tokens, residual: Tokens | None = None) -> tuple[Tokens, Tokens]:
        """(hidden, residual) of the block before → (hidden, residual) of this one; the first gets the tokens alone."""
        residual = self.accumulate(hidden, residual)
        return self.mixer(self.norm(residual)), residual

    def accumulate(self, hidden: Tokens, residual: Tokens | None) -> Tokens:
        """The residual that enters this block."""
        return add_residual(self.drop_path(hidden), residual)


def add_residual(hidden: Tokens, residual: Tokens | None) -> Tokens:
    """The sum so far, in at least float32: hidden may be narrower, the residual never is."""
    return at_least_float32(hidden) if residual is None else residual + hidden


class VideoMamba(nn.Module):
    """Classifies clips of the number of frames and the size that its configuration says.

    `vmamba_edu.create_model` makes one by name. The names, shapes and order of its parameters are those of the released
    checkpoints, and so is the way they are drawn at first.
    """

    def __init__(self, config: VideoMambaConfig):
        super().__init__()
        self.config = config
        time, height, width = config.grid
        dim, depth = config.embed_dim, config.depth
        *rates, final_rate = drop_path_rates(config.drop_path_rate, depth)

        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.pos_embed = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 1 + height * width, dim), std=0.02))
        self.temporal_pos_embedding = nn.Parameter(torch.zeros(1, time, dim))
        self.patch_embed = TubeletEmbedding(dim, config.tubelet_size, config.patch_size)
        self.head = nn.Linear(dim, config.num_classes) if config.num_classes else nn.Identity()
        self.drop_path = DropPath(final_rate)
        self.layers = nn.ModuleList(Block(config, self.make_mixer(), rate) for rate in rates)
        self.norm_f = make_norm(config.norm, dim)

        initialise_linear_(self)
        shrink_outputs_(self, depth)

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
        )

    # The clip is checked by hand in `embed`: its message says more than that of a type checker, in tests as elsewhere.
    def forward(self, clip: Tensor) -> Float[Tensor, "batch classes"]:
        """Logits of a clip; with num_classes=0 the normed [cls] token.

        Args:
            clip: (batch, 3, time, height, width), floating point and normalised; taken in the dtype of the weights.

        Raises:
            ValueError, TypeError: the clip does not fit the configuration.
        """
        return self.head(self.forward_features(clip)[:, 0])

    @overload
    def forward_features(self, clip: Tensor, return_blocks: Literal[False] = ...) -> Tensor: ...

    @overload
    def forward_features(
        self, clip: Tensor, return_blocks: Literal[True]
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]: ...

    def forward_features(
        self, clip: Tensor, return_blocks: bool = False
    ) -> Tokens | tuple[Tokens, list[tuple[Tokens, Tokens]]]:
        """All tokens after the last norm, (batch, 1 + time · height · width of the grid, dim), [cls] first.

        Args:
            clip: as for `forward`.
            return_blocks: whether to return (tokens, blocks), where blocks[i] is the pair (hidden, residual) of block
                i: what its mixer said, and the sum that its norm was given.
        """
        hidden, residual = self.embed(clip), None
        blocks = []
        for layer in self.layers:
            hidden, residual = layer(hidden, residual)
            if return_blocks:
                blocks.append((hidden, residual))
        tokens = self.norm_f(add_residual(self.drop_path(hidden), residual))
        return (tokens, blocks) if return_blocks else tokens

    def embed(self, clip: Tensor) -> Tokens:
        """The tokens that enter the first block: patches with their positions in space and time, [cls] first."""
        check_clip(clip, self.config)
        return add_positions(self.patch_embed(clip), self.cls_token, self.pos_embed, self.temporal_pos_embedding)

    def block(self, index: int) -> Block:
        """Block `index`, from 0.

        Raises:
            ValueError: there is no such block.
        """
        if index not in range(len(self.layers)):
            raise ValueError(f"block: expected 0 to {len(self.layers) - 1}, got {index}")
        return cast(Block, self.layers[index])

    def set_backend(self, backend: str) -> "VideoMamba":
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
        return frozenset({"cls_token", "pos_embed", "temporal_pos_embedding"})


def check_clip(clip: object, config: VideoMambaConfig) -> None:
    """Raise unless the clip is one that a model of this configuration can read.

    Raises:
        TypeError: the clip is not a floating-point tensor.
        ValueError: its rank, channels, frames, height or width do not fit.
    """
    if not isinstance(clip, Tensor) or not clip.is_floating_point():
        kind = clip.dtype if isinstance(clip, Tensor) else type(clip).__name__
        raise TypeError(f"clip: expected a floating-point tensor, got {kind}; scale bytes to 0…1 and normalise them")
    if clip.dim() != 5:
        raise ValueError(f"clip: expected (batch, channel, time, height, width), got {tuple(clip.shape)}")
    height, width = config.frame_size
    expected = {"channel": 3, "num_frames": config.num_frames, "height": height, "width": width}
    wrong = [name for (name, size), came in zip(expected.items(), clip.shape[1:], strict=True) if size != came]
    if wrong:
        wanted = ", ".join(f"{name} = {size}" for name, size in expected.items())
        raise ValueError(f"clip: expected (batch, {wanted}), got {tuple(clip.shape)}; look at {' and '.join(wrong)}")
