"""VideoMamba for pictures: a clip of one frame without a time, whose patches may overlap.

Source: VideoMamba (arXiv 2403.06977) §3.2; `VisionMamba` (videomamba/image_sm/models/videomamba.py).
"""

from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.backbone import Backbone, Tokens
from vmamba_edu.models.configuration import VideoMambaImageConfig
from vmamba_edu.models.embeddings import PatchEmbedding, add_positions
from vmamba_edu.models.interpolation import interpolate_positions
from vmamba_edu.models.pixels import check_image


class VideoMambaImage(Backbone):
    """Classifies pictures, or encodes them (`forward_features`).

    `vmamba_edu.create_model("videomamba_image_tiny")` makes one by name. Pictures of another size than the
    configuration's are read with interpolated position embeddings, see `interpolation`.
    """

    config: VideoMambaImageConfig

    def __init__(self, config: VideoMambaImageConfig):
        super().__init__(config)

    def make_patch_embed(self) -> nn.Module:
        """The map from patches to tokens."""
        return PatchEmbedding(self.config.embed_dim, self.config.patch_size, self.config.step)

    def forward(self, image: Tensor) -> Float[Tensor, "batch classes"]:
        """Logits of a picture; with num_classes=0 what is pooled, such as the normed [cls] token.

        Args:
            image: (batch, 3, height, width), floating point and normalised; taken in the dtype of the weights. Height
                and width are multiples of the patch size, or at least the patch size where patches overlap.

        Raises:
            ValueError, TypeError: the picture cannot be cut into patches.
        """
        return super().forward(image)

    def embed(self, image: Tensor) -> Tokens:
        """The tokens that enter the first block: patches with their positions, and [cls]."""
        check_image(image, self.config)
        _, height, width = self.config.grid_of(*image.shape[2:])
        positions = interpolate_positions(self.pos_embed, self.config.grid[1:], (height, width))
        patches = self.patch_embed(image)
        return add_positions(patches, self.cls_token, positions, cls_index=self.cls_index(height * width))
