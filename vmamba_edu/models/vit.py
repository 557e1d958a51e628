"""The vision transformer: an image as a sequence of patches. ViViT and TimeSformer are made from it, often literally.

    image ─ patches ─ encoder ([cls], positions, blocks, norm) ─ pool ─ head ─ logits

Source: An Image is Worth 16x16 Words (arXiv 2010.11929).
"""

from typing import Literal, overload

from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.attention import AttentionMap, Block, Encoder, positions_and_cls, rising_rates
from vmamba_edu.models.embeddings import TubeletEmbedding
from vmamba_edu.models.initialisation import initialise_linear_
from vmamba_edu.models.transformer_configuration import ViTConfig, check_pixels


class ViT(nn.Module):
    """Classifies images of the size that its configuration says.

    A patch is embedded as a tubelet of one frame, so that `patch_embed` has the same axes in all models.
    """

    def __init__(self, config: ViTConfig):
        super().__init__()
        self.config = config
        height, width = config.frame_grid
        rates = rising_rates(config, config.depth)
        self.patch_embed = TubeletEmbedding(config.embed_dim, 1, config.patch_size)
        blocks: list[nn.Module] = [Block(config, rate, "space", config.pool == "cls") for rate in rates]
        self.encoder = Encoder(config, height * width, blocks, config.pool)
        self.head = nn.Linear(config.embed_dim, config.num_classes) if config.num_classes else nn.Identity()
        initialise_linear_(self)

    def forward(self, image: Tensor) -> Float[Tensor, "batch classes"]:
        """Logits of an image; with num_classes=0 what is pooled.

        Args:
            image: (batch, 3, height, width), floating point and normalised; taken in the dtype of the weights.

        Raises:
            ValueError, TypeError: the image does not fit the configuration.
        """
        return self.head(self.encoder.pool(self.forward_features(image)))

    @overload
    def forward_features(self, image: Tensor, return_attention: Literal[False] = ...) -> Tensor: ...

    @overload
    def forward_features(
        self, image: Tensor, return_attention: Literal[True]
    ) -> tuple[Tensor, list[tuple[AttentionMap, ...]]]: ...

    def forward_features(
        self, image: Tensor, return_attention: bool = False
    ) -> Tensor | tuple[Tensor, list[tuple[AttentionMap, ...]]]:
        """All tokens after the last norm, (batch, [1 +] height · width of the grid, dim), [cls] first if there is one.

        Args:
            image: as for `forward`.
            return_attention: whether to return (tokens, blocks), where blocks[i] holds the attention maps of block i.
        """
        height, width = self.config.frame_size
        check_pixels("image", image, {"channel": 3, "height": height, "width": width})
        patches = rearrange(self.patch_embed(image[:, :, None]), "b 1 hw dim -> b hw dim")
        tokens, blocks = self.encoder(patches, return_attention)
        return (tokens, blocks) if return_attention else tokens

    def no_weight_decay(self) -> frozenset[str]:
        """Names of parameters that an optimiser should not decay, beside all those of one dimension."""
        return positions_and_cls(self)
