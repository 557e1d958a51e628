"""Clips and captions that a model of video and text has seen and read once, to be ranked as often as one likes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from einops import repeat
from torch import Tensor

from vmamba_edu.models.video_text import VideoText
from vmamba_edu.panels.computed.arguments import frames_of
from vmamba_edu.recipes import Trained, load_trained
from vmamba_edu.recipes.data import read_data
from vmamba_edu.recipes.digits import DigitsData
from vmamba_edu.training.objectives.matching import MATCH
from vmamba_edu.training.retrieval import best_ranks, dual_scores
from vmamba_edu.video.errors import VideoReadError
from vmamba_edu.video.reader import read_clip
from vmamba_edu.video.recipes import validation_transform

SHIPPED = "moving_digits_video_text"
AT = (1, 5, 10)
"""The k of recall at k."""

Clip = str | os.PathLike[str] | Tensor | np.ndarray


@dataclass(frozen=True, eq=False)
class Gallery:
    """Clips, a caption of each, and what a model makes of them.

    Attributes:
        trained: the model and its vocabulary.
        clips: uint8 (time, height, width, 3) each, as they are shown; the model may read fewer of the frames.
        captions: of the clips, in their order; one may stand several times.
        described: whose clips these are, in words.
        pooled, tokens: (clips, frames, dim) and (clips, tokens, dim), what the model saw.
    """

    trained: Trained
    clips: tuple[np.ndarray, ...]
    captions: tuple[str, ...]
    described: str
    pooled: Tensor
    tokens: Tensor

    @property
    def known(self) -> tuple[str, ...]:
        """Each caption once, in order of first mention."""
        return tuple(dict.fromkeys(self.captions))

    @property
    def truth(self) -> Tensor:
        """(clips, known captions) bool: which belong together."""
        return torch.tensor([[caption == other for other in self.known] for caption in self.captions])

    @cached_property
    def dual(self) -> Tensor:
        """(clips, known captions): cosines."""
        return self.compare(self.known)

    @cached_property
    def fused(self) -> Tensor:
        """(clips, known captions): logits of "matches", every pair read together."""
        return self.compare(self.known, "fused")

    def scores(self, reading: str) -> Tensor:
        return self.fused if reading == "fused" else self.dual

    @torch.no_grad()
    def compare(self, captions: Sequence[str], reading: str = "dual") -> Tensor:
        """(clips, captions): how well each clip fits each caption, by "dual" or "fused" scores."""
        ids, attends = (x.to(self.trained.device) for x in self.trained.tokeniser.encode(list(captions)))
        model: Any = self.trained.model
        text = model.read(ids, attends)
        dual = dual_scores(model, self.pooled, text)
        if reading == "dual":
            return dual.float().cpu()
        each = range(len(captions))  # at a time, as re-ranking does: one caption beside every clip
        return torch.stack([self._match(text[at], attends[at]) for at in each], 1).float().cpu()

    def _match(self, text: Tensor, attends: Tensor) -> Tensor:
        """(clips,): the logit of "matches" of one caption, (length, dim), with every clip."""
        model: Any = self.trained.model
        text, attends = (repeat(x, "... -> clips ...", clips=len(self.tokens)) for x in (text, attends))
        return model.match(text, attends, self.tokens)[:, MATCH]

    def recall(self, reading: str, of_clips: bool) -> dict[int, float]:
        """Recall at 1, 5 and 10 in percent: of the clips of each caption, or of the captions of each clip."""
        scores, truth = self.scores(reading), self.truth
        ranks = best_ranks(scores.mT, truth.mT) if of_clips else best_ranks(scores, truth)
        return {k: 100 * (ranks < k).double().mean().item() for k in AT}


def gallery_of(
    model: Trained | str | os.PathLike[str] | None = None,
    clips: Sequence[Clip] | None = None,
    captions: Sequence[str] | None = None,
) -> Gallery:
    """A gallery that the model has seen.

    Args:
        model: one that is loaded, a checkpoint, the folder of a run, or a name of `list_shipped`; the shipped model of
            video and text if not given.
        clips: paths of videos, or uint8 frames (time, height, width, 3); if not given, one for each caption that the
            test split of the model's moving digits has.
        captions: one for each of the clips.

    Raises:
        ValueError: the model reads no captions, the clips cannot be read, or there are not as many of one as of the
            other.
    """
    trained = model if isinstance(model, Trained) else load_trained(SHIPPED if model is None else model)
    if not isinstance(trained.model, VideoText) or trained.tokeniser is None:
        raise ValueError("model: expected one of video and text, got one that reads no captions")
    if clips is None and captions is None:
        return _unseen(trained)
    if not clips or not captions or len(clips) != len(captions):
        came_ = f"{len(clips or ())} and {len(captions or ())}"
        raise ValueError(f"clips, captions: expected as many of one as of the other, and at least one; got {came_}")
    for caption in captions:
        pieces_of(trained, caption, "captions")
    frames = tuple(_spread_over(clip, trained.frames.num_frames) for clip in clips)
    transform = validation_transform(trained.frames.size)
    return _seen(trained, [transform(torch.as_tensor(one)) for one in frames], frames, captions, "your own clips")


def _unseen(trained: Trained) -> Gallery:
    """The first round of the test split: each of its captions once, digits by hands that training never saw."""
    data = read_data(trained.recipe)
    if not isinstance(data, DigitsData):
        raise ValueError("clips, captions: expected some, since the model was not trained on moving digits")
    split: Any = data.make("test", trained.frames)
    count = min(len(split), data.clips_a_round("test"))
    samples = [split[at] for at in range(count)]
    frames = tuple(split.frames(at).numpy() for at in range(count))
    held = "combinations of digit and motion that training never saw" if data.held_out.get("test") else "the test split"
    words = [sample["caption"] for sample in samples]
    return _seen(trained, [sample["clip"] for sample in samples], frames, words, f"moving digits, {held}")


@torch.no_grad()
def _seen(
    trained: Trained, pixels: list[Tensor], frames: tuple[np.ndarray, ...], captions: Sequence[str], described: str
) -> Gallery:
    model: Any = trained.model
    seen = [model.see(some.to(trained.device)) for some in torch.stack(pixels).split(16)]
    pooled, tokens = torch.cat([one.pooled for one in seen]), torch.cat([one.tokens for one in seen])
    return Gallery(trained, frames, tuple(captions), described, pooled, tokens)


def _spread_over(clip: Clip, num_frames: int) -> np.ndarray:
    """As many frames as the model reads, spread over all of a clip."""
    if isinstance(clip, str | os.PathLike):
        try:
            return read_clip(clip, num_frames).frames.numpy()
        except (VideoReadError, OSError) as error:
            raise ValueError(f"clips: {error}") from error
    frames = frames_of(clip, "clips")
    return frames[np.linspace(0, len(frames) - 1, num_frames).round().astype(int)]


def pieces_of(trained: Trained, caption: str, name: str = "caption") -> tuple[str, ...]:
    """The words of a caption that the vocabulary has in pieces alone: the model has never read them.

    Raises:
        ValueError: there is no word, or one that the vocabulary cannot even spell.
    """
    if not caption.strip():
        raise ValueError(f"{name}: expected a sentence, such as 'a seven moves left', got an empty one")
    read = trained.tokeniser.tokeniser.encode(caption)
    spans: dict[int, list[tuple[int, int]]] = {}
    unknown = []
    for word, (start, end), token in zip(read.word_ids, read.offsets, read.tokens, strict=True):
        if word is not None:
            spans.setdefault(word, []).append((start, end))
            unknown += [caption[start:end]] if token == "[UNK]" else []
    if unknown:
        listed = ", ".join(map(repr, dict.fromkeys(unknown)))
        raise ValueError(f"{name}: expected words that the model's vocabulary knows, got {listed}")
    if not spans:
        raise ValueError(f"{name}: expected words, got {caption!r}")
    return tuple(caption[parts[0][0] : parts[-1][1]] for parts in spans.values() if len(parts) > 1)
