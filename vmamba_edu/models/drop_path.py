"""Drop path (stochastic depth): in training, a sample leaves out a block now and then, and later blocks more often.

Source: Deep Networks with Stochastic Depth (arXiv 1603.09382); `DropPath` of timm, as VideoMamba's `Block` uses it.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn


class DropPath(nn.Module):
    """While training, set whole samples to zero with probability `rate`; divide the others by 1 - rate.

    The division keeps the expected value, so that nothing needs to be rescaled in evaluation, where this does nothing.
    """

    def __init__(self, rate: float):
        super().__init__()
        self.rate = rate

    def forward(self, x: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch length dim"]:
        if self.rate == 0 or not self.training:
            return x
        keep = 1 - self.rate
        return x / keep * draw_kept(x, keep)[:, None, None]

    def extra_repr(self) -> str:
        return f"rate={self.rate:.3g}"


def draw_kept(x: Float[Tensor, "batch length dim"], keep: float) -> Bool[Tensor, " batch"]:
    """Which samples are kept, each with probability `keep`, by torch's generator of the device of x."""
    return torch.rand(len(x), device=x.device) < keep


def drop_path_rates(rate: float, depth: int) -> list[float]:
    """The rate of each block's input and, last, of what enters the final norm: depth + 1 values.

    The rates rise evenly from 0 to `rate`, but a block drops the output of the block *before* it. So the whole list is
    shifted by one: block 0, whose input is the embedding, drops nothing, and neither does block 1.

    Source: `VisionMamba.__init__` (videomamba/video_sm/models/videomamba.py, `inter_dpr`).
    """
    # Rounded to float32 as in the published code: in double precision the difference would show.
    rising = torch.linspace(0, rate, depth, dtype=torch.float32, device="cpu").tolist()
    return [0.0, *rising[:-1], float(rate)]
