"""Video and text together: contrast, matching, hidden words, and alignment with a teacher of frames, in one step.

Source: `UMT_VIDEOMAMBA.forward` (videomamba/video_mm/models/umt_videomamba.py) and criterions.py; VideoMamba
(arXiv 2403.06977) §3.3 and §4.4; Unmasked Teacher (arXiv 2303.16058) §3.2.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vmamba_edu.masking import NAMES, Mask, check_ratio, make_mask
from vmamba_edu.models.caption_tokeniser import CaptionTokeniser
from vmamba_edu.models.teaching import Teaching
from vmamba_edu.models.video_text import Seen
from vmamba_edu.models.video_text import VideoText as Model
from vmamba_edu.training.objectives.alignment import alignment_loss, check_kind
from vmamba_edu.training.objectives.batches import take
from vmamba_edu.training.objectives.contrastive import contrastive_loss, similarity
from vmamba_edu.training.objectives.gather import GATHERED_GRADIENTS, GatheredGradient, gather
from vmamba_edu.training.objectives.masked_alignment import ask, visible_features
from vmamba_edu.training.objectives.masked_language import corrupt_tokens, masked_language_loss
from vmamba_edu.training.objectives.matching import draw_negatives, matching_loss, negative_weights


@dataclass(frozen=True)
class LossWeights:
    """What each part counts in the sum; a part of weight 0 is not computed.

    The published pre-training has 1 everywhere; unmasked tuning and fine-tuning have alignment 0, fine-tuning for
    retrieval no words either.
    """

    contrast: float = 1.0
    matching: float = 1.0
    words: float = 1.0
    alignment: float = 0.0


@dataclass(frozen=True, eq=False)
class VideoText:
    """Train a video-text model: needs `clip`, `caption` and `index`, and a `vmamba_edu.models.video_text.VideoText`.

    Args:
        tokeniser: of the captions; its vocabulary is that of the model.
        weights: what each part counts.
        max_length: of a caption in tokens; what is longer is cut.
        hard_negatives: whether wrong pairs are drawn by how alike they look, or evenly.
        word_probability: of a word to be asked for.
        teacher: of the alignment, see `MaskedAlignment`; needed if that counts, or for an attention mask.
        distance, normalise: of the alignment, see `alignment_loss`.
        mask, mask_ratio: what the model does not see of clips; None shows all of them.
        image_mask, image_mask_ratio: the same for pictures, clips of one frame.
        generator: what everything random is drawn from; None stands for torch's own, whose state checkpoints keep.
        gathered_gradient: of the contrast, where several processes train: "published" or "whole", see `gather`.

    Raises:
        ValueError: a value cannot be.
    """

    tokeniser: CaptionTokeniser
    weights: LossWeights = field(default_factory=LossWeights)
    max_length: int = 32
    hard_negatives: bool = True
    word_probability: float = 0.5
    teacher: Callable[[Tensor], Teaching] | None = None
    distance: str = "l2"
    normalise: bool = True
    mask: str | None = None
    mask_ratio: float = 0.8
    image_mask: str | None = None
    image_mask_ratio: float = 0.5
    generator: torch.Generator | None = None
    gathered_gradient: GatheredGradient = "published"

    def __post_init__(self) -> None:
        check_kind(self.distance)
        if self.gathered_gradient not in GATHERED_GRADIENTS:
            among = " or ".join(map(repr, GATHERED_GRADIENTS))
            raise ValueError(f"gathered_gradient: expected {among}, got {self.gathered_gradient!r}")
        for name in (self.mask, self.image_mask):
            if name not in (None, *NAMES):
                raise ValueError(f"mask: expected None or one of {', '.join(map(repr, NAMES))}, got {name!r}")
        check_ratio(self.mask_ratio)
        check_ratio(self.image_mask_ratio)
        if self.teacher is None and (self.weights.alignment or "attention" in (self.mask, self.image_mask)):
            raise ValueError("teacher: expected one, for the alignment or for the attention mask, got None")

    def __call__(self, model: Model, batch: Mapping[str, Any]) -> dict[str, Tensor]:
        model.clamp_temperature_()
        clip, index = take(batch, "clip"), take(batch, "index")
        ids, attends = (x.to(clip.device) for x in self.tokeniser.encode(take(batch, "caption"), self.max_length))
        teaching = None if self.teacher is None else ask(self.teacher, clip)
        mask = self.draw_mask(model, clip, teaching)
        seen, text = model.see(clip, mask, self.keeps_temporal(model, mask)), model.read(ids, attends)
        parts: dict[str, Tensor] = {}
        if self.weights.contrast:
            parts["contrast"] = contrast(model, seen, text, index, self.gathered_gradient)
        if self.weights.matching:
            scores = similarity(model.vision_proj(seen.pooled), model.text_proj(text[:, 0]), model.temp)
            clips, captions = self.draw_pairs(scores, index)  # of this process alone, as published
            parts["matching"] = matching_loss(match_triples(model, seen, text, attends, clips, captions))
        if self.weights.words:
            parts["words"] = words_loss(model, seen, *self.corrupt(ids), attends)
        if self.weights.alignment and teaching is not None:
            parts["alignment"] = self.align(model, seen, teaching, mask)
        return weigh(parts, self.weights)

    def draw_mask(self, model: Model, clip: Tensor, teaching: Teaching | None) -> Mask | None:
        """What the model is not to see, if it is not to see everything."""
        is_picture = clip.shape[2] == 1
        name, ratio = (self.image_mask, self.image_mask_ratio) if is_picture else (self.mask, self.mask_ratio)
        if name is None:
            return None
        grid = model.config.vision.grid_of(*clip.shape[2:])
        attention = teaching.attention if name == "attention" and teaching is not None else None
        return make_mask(name, grid, ratio, len(clip), attention=attention, generator=self.generator).to(clip.device)

    def keeps_temporal(self, model: Model, mask: Mask | None) -> bool:
        """Whether frames are pooled one by one. As published: not under a mask, unless both masks are tubes."""
        allowed = mask is None or self.mask == self.image_mask == "tube"
        return model.config.vision.keep_temporal and allowed

    def draw_pairs(self, scores: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """A wrong clip for every caption, and then a wrong caption for every clip: the published order of draws."""
        clips = draw_negatives(negative_weights(scores.mT, index, self.hard_negatives), self.generator)
        return clips, draw_negatives(negative_weights(scores, index, self.hard_negatives), self.generator)

    def corrupt(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        """Ids with words hidden, and the words that are asked for."""
        names = self.tokeniser
        return corrupt_tokens(
            ids,
            pad=names.pad,
            cls=names.cls,
            mask=names.mask,
            vocab_size=names.vocab_size,
            probability=self.word_probability,
            generator=self.generator,
        )

    def align(self, model: Model, seen: Seen, teaching: Teaching, mask: Mask | None) -> Tensor:
        """The distance of what the student says from what the teacher says of what the student sees."""
        said = model.vision_encoder.decode(seen.encoded)
        batch, patches = len(seen.tokens), seen.encoded.length - 1
        everything = torch.zeros(batch, patches, dtype=torch.bool, device=seen.tokens.device)
        cls_index = model.vision_encoder.cls_index(patches)
        target = visible_features(teaching.features, everything if mask is None else mask, cls_index)
        return alignment_loss(said, target, self.distance, self.normalise)


def contrast(
    model: Model,
    seen: Seen,
    text: Float[Tensor, "batch length dim"],
    index: Int64[Tensor, " batch"],
    gradient: GatheredGradient = "published",
) -> Float[Tensor, ""]:
    """Clips against captions of all processes together."""
    vision = gather(model.vision_proj(seen.pooled), gradient)
    words = gather(model.text_proj(text[:, 0]), gradient)
    return contrastive_loss(similarity(vision, words, model.temp), gather(index))


def match_triples(
    model: Model,
    seen: Seen,
    text: Float[Tensor, "batch length dim"],
    attends: Tensor,
    wrong_clips: Int64[Tensor, " batch"],
    wrong_captions: Int64[Tensor, " batch"],
) -> Float[Tensor, "3*batch 2"]:
    """Logits of the true pairs, then of every caption with a wrong clip, then of every clip with a wrong caption."""
    vision = torch.cat([seen.tokens, seen.tokens[wrong_clips], seen.tokens])
    captions, read = (torch.cat([x, x, x[wrong_captions]]) for x in (text, attends))
    return model.match(captions, read, vision)


def words_loss(
    model: Model,
    seen: Seen,
    corrupted: Int64[Tensor, "batch length"],
    asked: Int64[Tensor, "batch length"],
    attends: Tensor,
) -> Float[Tensor, ""]:
    """Hidden words, from what is left of the caption and from the clip."""
    fused = model.text_encoder.fuse(model.read(corrupted, attends), attends, seen.tokens)
    return masked_language_loss(model.text_encoder.predict_words(fused), asked)


def weigh(parts: Mapping[str, Tensor], weights: LossWeights) -> dict[str, Tensor]:
    """The weighted sum under "loss", and beside it the parts themselves, detached.

    Raises:
        ValueError: nothing counts.
    """
    if not parts:
        raise ValueError("weights: expected at least one part to count, got 0 for all of them")
    total = torch.stack([getattr(weights, name) * part for name, part in parts.items()]).sum()
    return {"loss": total, **{name: part.detach() for name, part in parts.items()}}
