"""From a clip or a picture to tokens: cut it into boxes, project each, say where and when it was, put [cls] among them.

Source: VideoMamba (arXiv 2403.06977) §3.2; `PatchEmbed` and `VisionMamba.forward_features`
(videomamba/video_sm/models/videomamba.py, videomamba/image_sm/models/videomamba.py).
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


class PatchEmbedding(nn.Module):
    """One token for every `patch_size` × `patch_size` pixels of a picture, `stride` pixels from one to the next.

    The weights are those of a 2-D convolution, under the published name `proj`. Patches overlap where the stride is
    smaller than they are; pixels at the right and at the bottom that fill no stride are not read.
    """

    def __init__(self, dim: int, patch_size: int, stride: int, channels: int = 3):
        super().__init__()
        self.proj = nn.Conv2d(channels, dim, kernel_size=patch_size, stride=stride)

    def forward(self, image: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch 1 hw dim"]:
        """The tokens row by row, as those of a clip that has one step in time."""
        return rearrange(self.proj(image.to(self.proj.weight.dtype)), "b dim h w -> b 1 (h w) dim")


def add_positions(
    patches: Float[Tensor, "batch time hw dim"],
    cls_token: Float[Tensor, "1 1 dim"],
    pos_embed: Float[Tensor, "1 1+hw dim"],
    temporal_pos_embedding: Float[Tensor, "1 time dim"] | None = None,
    cls_index: int = 0,
) -> Float[Tensor, "batch 1+time*hw dim"]:
    """[cls] and the patches frame by frame: patch i = t · (H' W') + h · W' + w, and [cls] before patch `cls_index`.

    Every patch is told where it is and, in a clip, when; [cls] has a place of its own (row 0 of `pos_embed`, wherever
    it stands) and no time.
    """
    patches = patches + pos_embed[:, None, 1:]
    if temporal_pos_embedding is not None:
        patches = patches + temporal_pos_embedding[:, :, None]
    tokens = rearrange(patches, "b t hw dim -> b (t hw) dim")
    cls = (cls_token + pos_embed[:, :1]).expand(len(tokens), -1, -1)
    return torch.cat([tokens[:, :cls_index], cls, tokens[:, cls_index:]], dim=1)
