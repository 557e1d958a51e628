"""From a clip to tokens: cut it into small boxes, project each, say where and when it was, put [cls] in front.

Source: VideoMamba (arXiv 2403.06977) §3.2; `PatchEmbed` and `VisionMamba.forward_features`
(videomamba/video_sm/models/videomamba.py).
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


class TubeletEmbedding(nn.Module):
    """One token for each box of `tubelet_size` frames by `patch_size` × `patch_size` pixels, frame by frame.

    The weights are those of a 3-D convolution whose stride is its kernel, under the published name `proj`. Since its
    boxes do not overlap, it is one matrix product over the cut-up clip, and that is how it is computed: on a CPU in
    less than half the time.
    """

    def __init__(self, dim: int, tubelet_size: int, patch_size: int, channels: int = 3):
        super().__init__()
        self.tubelet_size, self.patch_size = tubelet_size, patch_size
        box = (tubelet_size, patch_size, patch_size)
        self.proj = nn.Conv3d(channels, dim, kernel_size=box, stride=box)

    def forward(self, clip: Float[Tensor, "batch channel frames height width"]) -> Float[Tensor, "batch time hw dim"]:
        """The tokens of every step in time; within one, row by row."""
        boxes = rearrange(
            clip.to(self.proj.weight.dtype),
            "b channel (t box_t) (h box_h) (w box_w) -> b t (h w) (channel box_t box_h box_w)",
            box_t=self.tubelet_size,
            box_h=self.patch_size,
            box_w=self.patch_size,
        )
        weight = rearrange(self.proj.weight, "dim channel box_t box_h box_w -> dim (channel box_t box_h box_w)")
        return F.linear(boxes, weight, self.proj.bias)


def add_positions(
    patches: Float[Tensor, "batch time hw dim"],
    cls_token: Float[Tensor, "1 1 dim"],
    pos_embed: Float[Tensor, "1 1+hw dim"],
    temporal_pos_embedding: Float[Tensor, "1 time dim"],
) -> Float[Tensor, "batch 1+time*hw dim"]:
    """[cls] and then the patches frame by frame: token 1 + t · (H' W') + h · W' + w.

    Every patch is told where it is and when; [cls] has a place of its own (row 0 of `pos_embed`) and no time.
    """
    patches = patches + pos_embed[:, None, 1:] + temporal_pos_embedding[:, :, None]
    cls = (cls_token + pos_embed[:, :1]).expand(len(patches), -1, -1)
    return torch.cat([cls, rearrange(patches, "b t hw dim -> b (t hw) dim")], dim=1)
