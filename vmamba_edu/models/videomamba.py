"""VideoMamba: a stack of mixers on the tokens of a clip.

    clip ─ tubelets + positions, [cls] first ─ (add, norm, mixer) × depth ─ add, norm ─ [cls] ─ head ─ logits

What is not special to clips stands in `backbone`, which the model for pictures shares.

Source: VideoMamba (arXiv 2403.06977) §3.2; `VisionMamba` (videomamba/video_sm/models/videomamba.py).
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vmamba_edu.models.backbone import Backbone, Block, Tokens, add_residual
from vmamba_edu.models.configuration import VideoMambaConfig
from vmamba_edu.models.embeddings import TubeletEmbedding, add_positions
from vmamba_edu.models.interpolation import interpolate_positions, interpolate_times
from vmamba_edu.models.pixels import check_clip
from vmamba_edu.models.token_order import TokenOrder, temporal_order

__all__ = ["Block", "VideoMamba", "add_residual", "check_clip"]


class VideoMamba(Backbone):
    """Classifies clips, or encodes them (`forward_features`).

    `vmamba_edu.create_model` makes one by name. Clips of another number of frames or another size than the
    configuration's are read with interpolated position embeddings, see `interpolation`.
    """

    config: VideoMambaConfig

    def __init__(self, config: VideoMambaConfig):
        super().__init__(config)
        self.temporal_pos_embedding = nn.Parameter(torch.zeros(1, config.grid[0], config.embed_dim))

    def make_patch_embed(self) -> nn.Module:
        """The map from tubelets to tokens."""
        return TubeletEmbedding(self.config.embed_dim, self.config.tubelet_size, self.config.patch_size)

    def forward(self, clip: Tensor) -> Float[Tensor, "batch classes"]:
        """Logits of a clip; with num_classes=0 what is pooled, such as the normed [cls] token.

        Args:
            clip: (batch, 3, time, height, width), floating point and normalised; taken in the dtype of the weights.
                Height and width are multiples of the patch size, time is one of the tubelet size.

        Raises:
            ValueError, TypeError: the clip cannot be cut into tubelets.
        """
        return super().forward(clip)

    def embed(self, clip: Tensor) -> Tokens:
        """The tokens that enter the first block: patches with their positions in space and time, and [cls]."""
        check_clip(clip, self.config)
        time, height, width = self.config.grid_of(*clip.shape[2:])
        return add_positions(
            self.patch_embed(clip),
            self.cls_token,
            self.positions(height, width),
            self.times(time),
            self.cls_index(time * height * width),
        )

    def positions(self, height: int, width: int) -> Float[Tensor, "1 rows dim"]:
        """`pos_embed`, interpolated if frames have not the size of the configuration."""
        return interpolate_positions(self.pos_embed, self.config.grid[1:], (height, width))

    def times(self, time: int) -> Float[Tensor, "1 time dim"]:
        """`temporal_pos_embedding`, interpolated if clips have not the length of the configuration."""
        return interpolate_times(self.temporal_pos_embedding, time)

    def reading_order(self, clip: Tensor) -> TokenOrder | None:
        """The temporal-first order of the tokens of this clip; none for the spatial-first plan."""
        if self.config.scan_order == "spatial_first":
            return None
        time, height, width = grid = self.config.grid_of(*clip.shape[2:])
        return temporal_order(grid, self.cls_index(time * height * width), clip.device)
