"""ViViT: a video vision transformer, in four models that trade attention for cost.

    clip ─ tubelets, or one frame of each ─ encoder of model 1, 2, 3 or 4 ─ pool ─ head ─ logits

Model 1 is the vision transformer itself on the tokens of all frames: every token attends to all others. What the other
three leave out stands in `vivit_blocks`.

Source: ViViT (arXiv 2103.15691); `ViViT` and `SpaceTimeViViT` (projects/vivit/model.py) of google-research/scenic.
"""

from typing import Literal, overload

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.attention import AttentionMap, Block, Encoder, positions_and_cls, rising_rates
from vmamba_edu.models.embeddings import TubeletEmbedding
from vmamba_edu.models.initialisation import initialise_linear_
from vmamba_edu.models.transformer_configuration import ViViTConfig, check_clip_fits
from vmamba_edu.models.vivit_blocks import FactorisedDotProductBlock, FactorisedEncoder, FactorisedSelfAttentionBlock


class ViViT(nn.Module):
    """Classifies clips of the number of frames and the size that its configuration says.

    Freshly made it has linear maps drawn as in TimeSformer (normal, σ = 0.02; the released code draws Xavier's uniform
    values) and a head of zeros, as released: before the first step every class gets the same score.
    """

    def __init__(self, config: ViViTConfig):
        super().__init__()
        self.config = config
        tubelet = config.tubelet_size if config.tokeniser == "tubelet" else 1
        self.patch_embed = TubeletEmbedding(config.embed_dim, tubelet, config.patch_size)
        self.encoder = make_encoder(config)
        self.head = nn.Linear(config.embed_dim, config.num_classes) if config.num_classes else nn.Identity()
        initialise_linear_(self)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, clip: Tensor) -> Float[Tensor, "batch classes"]:
        """Logits of a clip; with num_classes=0 what is pooled.

        Args:
            clip: (batch, 3, time, height, width), floating point and normalised; taken in the dtype of the weights.

        Raises:
            ValueError, TypeError: the clip does not fit the configuration.
        """
        return self.head(self.encoder.pool(self.forward_features(clip)))

    @overload
    def forward_features(self, clip: Tensor, return_attention: Literal[False] = ...) -> Tensor: ...

    @overload
    def forward_features(
        self, clip: Tensor, return_attention: Literal[True]
    ) -> tuple[Tensor, list[tuple[AttentionMap, ...]]]: ...

    def forward_features(
        self, clip: Tensor, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, list[tuple[AttentionMap, ...]]]:
        """All tokens after the last norm, (batch, length, dim), [cls] first if there is one.

        They run frame by frame, time · height · width of the grid; in model 2 there is one for each step in time.

        Args:
            clip: as for `forward`.
            return_attention: whether to return (tokens, blocks), where blocks[i] holds the attention maps of block i:
                one in models 1 and 2 (first all blocks in space, then all in time), two in models 3 and 4.
        """
        check_clip_fits(clip, self.config)
        patches = self.embed(clip)
        if not isinstance(self.encoder, FactorisedEncoder):
            patches = rearrange(patches, "b t s dim -> b (t s) dim")
        tokens, blocks = self.encoder(patches, return_attention)
        return (tokens, blocks) if return_attention else tokens

    def embed(self, clip: Float[Tensor, "batch 3 frames height width"]) -> Float[Tensor, "batch time space dim"]:
        """The tokens before [cls] and positions: of whole tubelets, or of the frame in the middle of each.

        Uniform frame sampling (§3.2) takes frames at regular distances and embeds each as an image. The middle here is
        frame tubelet_size // 2, so that a tubelet embedding that starts from the central frame is the same thing.
        """
        if self.config.tokeniser == "frame":
            clip = clip[:, :, self.config.tubelet_size // 2 :: self.config.tubelet_size]
        return self.patch_embed(clip)

    def no_weight_decay(self) -> frozenset[str]:
        """Names of parameters that an optimiser should not decay, beside all those of one dimension."""
        return positions_and_cls(self)


def make_encoder(config: ViViTConfig) -> Encoder | FactorisedEncoder:
    """The encoder of one of the four models."""
    if config.model == 2:
        return FactorisedEncoder(config)
    time, height, width = config.grid
    blocks: list[nn.Module] = [make_block(config, rate) for rate in rising_rates(config, config.depth)]
    return Encoder(config, time * height * width, blocks, config.pooling)


def make_block(config: ViViTConfig, drop_path_rate: float) -> nn.Module:
    """A block of models 1, 3 and 4, which differ in nothing else."""
    if config.model == 1:
        return Block(config, drop_path_rate, "space-time", config.pooling == "cls")
    return (FactorisedSelfAttentionBlock if config.model == 3 else FactorisedDotProductBlock)(config, drop_path_rate)
