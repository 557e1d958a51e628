"""The student of masked pre-training: it sees part of a clip and learns to say of it what a teacher says of all of it.

    clip ─ tokens with positions ─ those not masked ─ blocks ─ aligned features (+ sin-cos places) ─ decoder k ─ ÷ norm

K features are aligned, those of the last block and of every `align_interval`-th before it, each with a decoder of its
own, in the order from shallow to deep.

What "the feature of the last block" is differs in the released code from what one would think. A block leaves a pair,
(hidden, residual), and its output is their sum. For every block but the last the code aligns norm(hidden + residual),
which it finds as the residual that enters the next block. For the last block there is no next one, and the code takes
the residual that *entered* it, not normed: `align_last="published"`. The last mixer's output is not in it. So with the
published setting K = 1 nothing of the last block, and nothing of the norm, has any influence on the loss. Neither is
ever trained, and fine-tuning starts with a last block as it was drawn. Without the fused kernel the same line of the
released code gives residual + hidden, still without the norm: `align_last="complete"`, where the last block is trained
and, with K = 1, the norm still is not.

Source: VideoMamba (arXiv 2403.06977), "Masked Modeling"; Unmasked Teacher (arXiv 2303.16058); `VisionMamba`
(videomamba/video_sm/models/videomamba_pretrain.py).
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from vmamba_edu.models.backbone import add_residual
from vmamba_edu.models.initialisation import initialise_linear_
from vmamba_edu.models.masked_student_configuration import MaskedStudentConfig
from vmamba_edu.models.normalisation import LayerNorm
from vmamba_edu.models.token_order import order_of_kept, reorder
from vmamba_edu.models.videomamba import VideoMamba


class Encoded(NamedTuple):
    """What the encoder of a student makes of the visible tokens of a clip."""

    tokens: Float[Tensor, "batch visible dim"]
    """All of them after the last block and the norm: the last block is always in this."""
    aligned: list[Float[Tensor, "batch visible dim"]]
    """The K features that are aligned, from shallow to deep, before their decoders."""
    kept: Int64[Tensor, "batch visible"]
    """Which tokens of the whole sequence, [cls] among them, these are: ascending indices."""
    length: int
    """How many tokens the whole sequence has, [cls] among them."""


class MaskedStudent(VideoMamba):
    """Says of the visible tokens of a clip what a teacher would, for K of its layers.

    Its parameters have the released names: those of VideoMamba without a head, with `norm` for the norm after the last
    block, and `clip_decoder.k`.
    """

    config: MaskedStudentConfig
    FINAL_NORM = "norm"

    def __init__(self, config: MaskedStudentConfig):
        super().__init__(config)
        decoders = (AlignmentDecoder(config.embed_dim, config.teacher_dim) for _ in range(config.aligned_layers))
        self.clip_decoder = nn.ModuleList(decoders)
        initialise_linear_(self.clip_decoder)

    def forward(self, clip: Tensor, mask: Tensor | None = None) -> Float[Tensor, "layers batch visible teacher_dim"]:
        """What the student says, of length 1 each (unless `align_norm="none"`), [cls] first as it stands.

        Args:
            clip: as for `VideoMamba`.
            mask: (batch, patches), True for what is dropped, frame by frame; the same number in every sample. A column
                more, at the place of [cls], may stand in it as in the released code: [cls] is never dropped. Without a
                mask all is seen.

        Raises:
            ValueError, TypeError: the clip does not fit, or the mask is not one of its patches.
        """
        encoded = self.encode(clip, mask)
        said = self.decode(encoded)
        return said / said.norm(dim=-1, keepdim=True) if self.config.align_norm == "l2" else said

    def encode(self, clip: Tensor, mask: Tensor | None = None) -> Encoded:
        """The visible tokens through all blocks, and the features to be aligned. Arguments as for `forward`."""
        hidden, residual = self.embed(clip), None
        batch, length, _ = hidden.shape
        order = self.reading_order(clip)
        kept = kept_tokens(mask, batch, length, self.cls_index(length - 1)).to(hidden.device)
        if mask is not None:
            hidden = reorder(hidden, kept)
            order = None if order is None else order_of_kept(order, kept)
        wanted, norm = self.config.aligned_blocks, self.get_submodule(self.FINAL_NORM)
        aligned = []
        for index in range(len(self.layers)):
            hidden, residual = self.run_block(index, hidden, residual, order)
            if index - 1 in wanted:  # the residual that enters a block is the sum that the block before it left
                aligned.append(norm(residual))
        last = add_residual(self.drop_path(hidden), residual)
        if len(self.layers) - 1 in wanted:
            aligned.append(residual if self.config.align_last == "published" else last)
        return Encoded(norm(last), aligned, kept, length)

    def decode(self, encoded: Encoded) -> Float[Tensor, "layers batch visible teacher_dim"]:
        """Every aligned feature, told its place in the whole sequence, through its decoder; not divided by its norm."""
        dim = self.config.embed_dim
        places = sinusoidal_places(encoded.length, dim, encoded.kept.device)[encoded.kept]
        features = (feature + places.to(feature.dtype) for feature in encoded.aligned)
        return torch.stack([decoder(x) for decoder, x in zip(self.clip_decoder, features, strict=True)])


class AlignmentDecoder(nn.Module):
    """A linear map to the width of the teacher, and a norm."""

    def __init__(self, dim: int, teacher_dim: int):
        super().__init__()
        self.head = nn.Linear(dim, teacher_dim)
        self.norm = LayerNorm(teacher_dim)

    def forward(self, x: Float[Tensor, "batch visible dim"]) -> Float[Tensor, "batch visible teacher_dim"]:
        return self.norm(self.head(x.to(self.head.weight.dtype)))


def kept_tokens(mask: object, batch: int, length: int, cls_index: int = 0) -> Int64[Tensor, "batch visible"]:
    """The ascending indices of the tokens that a mask leaves, [cls] among them.

    Args:
        mask: (batch, length - 1) of the patches, or (batch, length) with [cls]; True is dropped. None drops nothing.
        batch, length: of the whole sequence, [cls] counted.
        cls_index: where [cls] stands.

    Raises:
        TypeError: the mask is not a boolean tensor.
        ValueError: it has another shape, drops [cls], or leaves more tokens in one sample than in another.
    """
    if mask is None:
        return torch.arange(length).expand(batch, -1)
    if not isinstance(mask, Tensor) or mask.dtype != torch.bool:
        kind = mask.dtype if isinstance(mask, Tensor) else type(mask).__name__
        raise TypeError(f"mask: expected a boolean tensor, True for what is dropped, got {kind}")
    if tuple(mask.shape) not in ((batch, length - 1), (batch, length)):
        expected = f"({batch}, {length - 1}), a sample's patches, or ({batch}, {length}) with [cls]"
        raise ValueError(f"mask: expected {expected}, got {tuple(mask.shape)}")
    if mask.shape[1] == length - 1:
        cls = mask.new_zeros(batch, 1)
        mask = torch.cat([mask[:, :cls_index], cls, mask[:, cls_index:]], dim=1)
    elif mask[:, cls_index].any():
        raise ValueError(f"mask: expected [cls], token {cls_index}, never to be dropped, got True for it")
    counts = (~mask).sum(dim=1)
    if (counts != counts[0]).any():
        raise ValueError(f"mask: expected as many visible tokens in every sample, got {counts.tolist()}")
    return (~mask).nonzero()[:, 1].reshape(batch, -1)


def sinusoidal_places(length: int, dim: int, device: torch.device | None = None) -> Float[Tensor, "length dim"]:
    """The fixed position embeddings of Attention Is All You Need (arXiv 1706.03762, §3.5), sine and cosine in turn.

    Rounded to float32, as in the released code, where they are neither a parameter nor in the state dict.
    """
    positions = torch.arange(length, dtype=torch.float64, device=device)
    frequencies = 10000 ** -(torch.arange(0, dim, 2, dtype=torch.float64, device=device) / dim)
    angles = positions[:, None] * frequencies
    places = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(1)[:, :dim]
    return places.float()
