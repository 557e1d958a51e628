"""Mix the samples of a batch with each other: mixup (arXiv 1710.09412) and CutMix (arXiv 1905.04899).

Each clip is mixed with the one that stands as far from the other end of the batch, and its label with that one's. The
published recipe: mixup 0.8, CutMix 1.0, either with a chance of one half, label smoothing 0.1 (VideoMamba, mixup.py).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from vmamba_edu.video.resizing import Number


def soft_targets(
    labels: Int64[Tensor, " batch"], num_classes: int, smoothing: Number = 0.0
) -> Float32[Tensor, "batch classes"]:
    """One-hot rows with `smoothing` of their weight spread evenly over all classes; each sums to 1."""
    if not 0 <= smoothing < 1:
        raise ValueError(f"smoothing must be a share from 0 to below 1, but got {smoothing}; 0.1 is usual")
    one_hot = F.one_hot(labels, num_classes).to(torch.float32)
    return (1 - smoothing) * one_hot + smoothing / num_classes


@dataclass(frozen=True)
class BatchMixing:
    """Mix a batch by mixup or CutMix, drawn once a batch.

    Attributes:
        num_classes: of the labels.
        mixup, cutmix: parameter of the Beta distribution of the share that a clip keeps; 0 leaves that kind out.
        switch: the chance of CutMix where both are there.
        probability: of mixing at all.
        smoothing: of the labels.
    """

    num_classes: int
    mixup: Number = 0.8
    cutmix: Number = 1.0
    switch: Number = 0.5
    probability: Number = 1.0
    smoothing: Number = 0.1

    def __call__(
        self,
        clips: Float[Tensor, "batch 3 time height width"],
        labels: Int64[Tensor, " batch"],
        generator: torch.Generator,
    ) -> tuple[Float[Tensor, "batch 3 time height width"], Float32[Tensor, "batch classes"]]:
        """Mixed clips and their soft targets, (batch, classes), rows of sum 1; what is given stays as it is."""
        targets = soft_targets(labels, self.num_classes, self.smoothing)
        kind, keep = self.draw(generator)
        if kind == "mixup":
            clips = keep * clips + (1 - keep) * clips.flip(0)
        elif kind == "cutmix":
            top, bottom, left, right = _box(clips.shape[-2], clips.shape[-1], keep, generator)
            mixed = clips.clone()
            mixed[..., top:bottom, left:right] = clips.flip(0)[..., top:bottom, left:right]
            # The box is cut at the border: the share that is really kept counts.
            keep = 1 - (bottom - top) * (right - left) / math.prod(clips.shape[-2:])
            clips = mixed
        return clips, keep * targets + (1 - keep) * targets.flip(0)

    def draw(self, generator: torch.Generator) -> tuple[str, float]:
        """What is done ("mixup", "cutmix" or "none") and the share that each clip keeps."""
        mixes, switches = torch.rand(2, generator=generator).tolist()
        seed = int(torch.randint(2**62, (), generator=generator))
        if mixes >= self.probability or not (self.mixup or self.cutmix):
            return "none", 1.0
        cut = bool(self.cutmix) and (not self.mixup or switches < self.switch)
        alpha = self.cutmix if cut else self.mixup
        keep = float(np.random.default_rng(seed).beta(alpha, alpha))  # torch's Beta takes no generator
        return ("cutmix" if cut else "mixup"), keep


def _box(height: int, width: int, keep: float, generator: torch.Generator) -> tuple[int, int, int, int]:
    """A box of a share 1 - keep of the picture about a random point, cut at the border: top, bottom, left, right."""
    side = math.sqrt(1 - keep)
    spans = []
    for length in (height, width):
        middle, half = int(torch.randint(length, (), generator=generator)), int(length * side) // 2
        spans += [max(0, middle - half), min(length, middle + half)]
    return spans[0], spans[1], spans[2], spans[3]
