"""Finding the caption of a clip and the clip of a caption: scores, re-ranking by fusion, and recall.

Two readings. The dual one compares a vector of each clip with a vector of each caption: cheap, all pairs at once. The
fused one reads a caption again while looking at the clip: dear, so only for the candidates that the first found best.

Source: videomamba/video_mm/tasks/retrieval_utils.py (`evaluation`, `itm_eval`) and tasks/retrieval_mc.py; Unmasked
Teacher (arXiv 2303.16058) §4.3.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.distributed as dist
from einops import rearrange, repeat
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from tqdm.auto import tqdm

from vmamba_edu.models.caption_tokeniser import CaptionTokeniser
from vmamba_edu.models.video_text import VideoText
from vmamba_edu.training.objectives.contrastive import similarity
from vmamba_edu.training.objectives.matching import MATCH

NOT_COMPARED = -100.0  # the fused score of a pair that was not among the best; below any that was
Combine = Literal["concat", "mean", "max", "logsumexp"]


@dataclass(frozen=True, eq=False)
class Scores:
    """How well clips and captions fit each other.

    Attributes:
        dual: (videos, captions), cosines.
        to_text: (videos, captions), fused: the best captions of each video, the rest `NOT_COMPARED`.
        to_video: (captions, videos), fused: the best videos of each caption.
    """

    dual: Float[Tensor, "videos captions"]
    to_text: Float[Tensor, "videos captions"]
    to_video: Float[Tensor, "captions videos"]

    def metrics(self, video_of_caption: Int64[Tensor, " captions"] | None = None) -> dict[str, dict[str, float]]:
        """`retrieval_metrics` of the "dual" scores and of the "fused" ones. Of the latter R@k needs k candidates."""
        fused = retrieval_metrics(self.to_text, self.to_video, video_of_caption)
        return {"dual": retrieval_metrics(self.dual, video_of_caption=video_of_caption), "fused": fused}


@torch.no_grad()
def zero_shot_scores(
    model: VideoText,
    tokeniser: CaptionTokeniser,
    videos: Iterable[Float[Tensor, "videos clips 3 time height width"]],
    captions: Sequence[str],
    *,
    k: int = 128,
    combine: Combine = "concat",
    max_length: int = 32,
) -> Scores:
    """All captions against all videos: dual scores, and the best of them scored again by fusion.

    Args:
        model: is run in evaluation mode and left in the mode it was in.
        tokeniser: whose vocabulary is the model's.
        videos: batches of videos, several clips of each side by side (one is enough), normalised; read one by one, so
            that a generator may decode them.
        captions: at least one.
        k, combine: as for `rerank`.
        max_length: of a caption in tokens.

    Raises:
        ValueError: there is no video or no caption, or as for `rerank`.
    """
    was_training, device = model.training, model.temp.device
    model.eval()
    try:
        ids, attends = (x.to(device) for x in tokeniser.encode(captions, max_length))
        text = model.read(ids, attends)
        tokens, pooled = _see_all(model, videos)
        dual = dual_scores(model, pooled, text)
        return Scores(dual, *rerank(model, tokens, text, attends, dual, k, combine))
    finally:
        model.train(was_training)


def _see_all(model: VideoText, videos: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """(videos, clips, tokens, dim), and (videos, clips · frames, dim) of what was pooled."""
    tokens, pooled = [], []
    for batch in tqdm(videos, desc="seeing", leave=False):
        count = len(batch)
        seen = model.see(rearrange(batch, "v clips c t h w -> (v clips) c t h w").to(model.temp.device))
        tokens.append(rearrange(seen.tokens, "(v clips) n dim -> v clips n dim", v=count))
        pooled.append(rearrange(seen.pooled, "(v clips) t dim -> v (clips t) dim", v=count))
    if not tokens:
        raise ValueError("videos: expected at least one batch, got none")
    return torch.cat(tokens), torch.cat(pooled)


def retrieval_metrics(
    video_to_text: Float[Tensor, "videos captions"],
    text_to_video: Float[Tensor, "captions videos"] | None = None,
    video_of_caption: Int64[Tensor, " captions"] | None = None,
) -> dict[str, float]:
    """Recall at 1, 5 and 10 in both directions, in percent, rounded to two decimals.

    Args:
        video_to_text: scores, a row for each clip.
        text_to_video: scores, a row for each caption; the transpose of the other if None.
        video_of_caption: which clip each caption belongs to; None pairs row i with column i. A clip with several
            captions has found one as soon as the best of them is found.

    Returns:
        `txt_r1`, `txt_r5`, `txt_r10`, `txt_r_mean` for finding captions, `img_…` for finding clips, and `r_mean`, the
        mean of the two means: the published names. A candidate that ties with the truth counts as ranked before it.
        (Published ranks break ties as NumPy's sort does: for pairs that were not compared, at random.)

    Raises:
        ValueError: a clip has no caption, or a caption no clip, or a score is NaN.
    """
    videos, captions = video_to_text.shape
    if text_to_video is None:
        text_to_video = video_to_text.mT
    truth = _truth(video_of_caption, videos, captions)
    txt, img = _recalls(video_to_text, truth), _recalls(text_to_video, truth.mT)
    means = [sum(recall) / len(recall) for recall in (txt, img)]
    named = {f"txt_r{k}": value for k, value in zip((1, 5, 10), txt, strict=True)} | {"txt_r_mean": means[0]}
    named |= {f"img_r{k}": value for k, value in zip((1, 5, 10), img, strict=True)} | {"img_r_mean": means[1]}
    return {name: round(value, 2) for name, value in (named | {"r_mean": sum(means) / 2}).items()}


def best_ranks(scores: Float[Tensor, "queries candidates"], truth: Bool[Tensor, "queries candidates"]) -> Tensor:
    """(queries,) int64: how many wrong candidates stand before the best right one, ties included.

    Raises:
        ValueError: a score is NaN.
    """
    if bool(scores.isnan().any()):
        raise ValueError("scores: expected numbers, got NaN; a model that diverged cannot be ranked")
    best = scores.masked_fill(~truth, -torch.inf).amax(1, keepdim=True)
    return ((scores >= best) & ~truth).sum(1)


@torch.no_grad()
def dual_scores(
    model: VideoText, pooled: Float[Tensor, "videos frames vision_dim"], text: Float[Tensor, "captions length text_dim"]
) -> Float[Tensor, "videos captions"]:
    """Cosines of projected clips and captions, at temperature 1, the mean over the frames of a clip.

    Args:
        model: makes the projections.
        pooled: what `model.see` pooled of each clip; several clips of one video one after the other count as frames.
        text: what `model.read` made of each caption; its first token is compared.
    """
    return similarity(model.vision_proj(pooled), model.text_proj(text[:, 0]))


@torch.no_grad()
def rerank(
    model: VideoText,
    vision: Float[Tensor, "videos clips tokens vision_dim"],
    text: Float[Tensor, "captions length text_dim"],
    attends: Bool[Tensor, "captions length"],
    dual: Float[Tensor, "videos captions"],
    k: int = 128,
    combine: Combine = "concat",
) -> tuple[Float[Tensor, "videos captions"], Float[Tensor, "captions videos"]]:
    """The best k captions of each clip and the best k clips of each caption, scored again by fusion.

    Args:
        model: fuses and matches.
        vision: tokens that `model.see` returned; several clips of a video side by side on the second axis.
        text, attends: what `model.read` made of each caption, and where it has tokens.
        dual: scores that say which pairs are looked at again; rows clips, columns captions.
        k: at most so many candidates for each query.
        combine: of several clips: "concat" looks at the tokens of all at once; "mean", "max" and "logsumexp" combine
            the scores of each.

    Returns:
        (videos, captions) and (captions, videos): the raw logit of "match", and -100 for pairs that were not looked at.
        Where processes run side by side each scores a part of the queries and all get all of them.

    Raises:
        ValueError: k is below 1, or there is no such way to combine.
    """
    if k < 1:
        raise ValueError(f"k: expected at least 1 candidate, got {k}")
    if combine not in ("concat", "mean", "max", "logsumexp"):
        raise ValueError(f"combine: expected 'concat', 'mean', 'max' or 'logsumexp', got {combine!r}")
    if combine == "concat":
        vision = rearrange(vision, "v clips n dim -> v 1 (clips n) dim")

    def score(video: Tensor, caption: Tensor) -> Tensor:
        return combine_clips(_match(model, vision[video], text[caption], attends[caption]), combine)

    to_text = _score_best(dual, k, score)
    to_video = _score_best(dual.mT, k, lambda caption, video: score(video, caption))
    return to_text, to_video


def combine_clips(scores: Float[Tensor, "clips pairs"], combine: Combine = "mean") -> Float[Tensor, " pairs"]:
    """One score of several clips of a video: "mean", "max" or "logsumexp"; of one clip ("concat") its own."""
    if combine in ("mean", "concat"):
        return scores.mean(0)
    return scores.amax(0) if combine == "max" else scores.logsumexp(0)


def multiple_choice_accuracy(
    match_logits: Float[Tensor, "questions options 2"],
    similarities: Float[Tensor, "questions options"],
    answer: Int64[Tensor, " questions"],
) -> float:
    """Percent of clips whose caption is picked out of the options: 0.7 · P(match) + 0.3 · similarity is the score.

    The published rule of MSRVTT-MC, with five options.
    """
    score = 0.7 * match_logits.softmax(-1)[..., MATCH] + 0.3 * similarities
    return 100 * (score.argmax(1) == answer).double().mean().item()


def _truth(video_of_caption: Tensor | None, videos: int, captions: int) -> Tensor:
    """(videos, captions): which belong together."""
    if video_of_caption is None:
        if videos != captions:
            raise ValueError(f"video_of_caption: expected for {captions} captions of {videos} videos, got None")
        video_of_caption = torch.arange(captions)
    truth = torch.arange(videos)[:, None] == video_of_caption.cpu()
    if len(video_of_caption) != captions or not bool(truth.any(0).all()):
        raise ValueError(f"video_of_caption: expected {captions} numbers of videos, each from 0 to {videos - 1}")
    if not bool(truth.any(1).all()):
        raise ValueError(f"video_of_caption: expected a caption for every video, got none for {_lonely(truth)}")
    return truth


def _lonely(truth: Tensor) -> str:
    return ", ".join(str(video) for video in (~truth.any(1)).nonzero().flatten().tolist()[:5])


def _recalls(scores: Tensor, truth: Tensor) -> list[float]:
    ranks = best_ranks(scores.cpu(), truth)
    return [100 * (ranks < k).double().mean().item() for k in (1, 5, 10)]


def _match(model: VideoText, vision: Tensor, text: Tensor, attends: Tensor) -> Tensor:
    """(clips, pairs): the logit of "match" of each clip of each pair."""
    clips = vision.shape[1]
    text, attends = (repeat(x, "p ... -> (p clips) ...", clips=clips) for x in (text, attends))
    logits = model.match(text, attends, rearrange(vision, "p clips n dim -> (p clips) n dim"))
    return rearrange(logits[:, MATCH], "(p clips) -> clips p", clips=clips)


def _score_best(dual: Tensor, k: int, score: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Each row's k best candidates with `score(query, candidates)`, the rest `NOT_COMPARED`."""
    first, last, alone = _own_rows(len(dual))
    scores = torch.full_like(dual, NOT_COMPARED) if alone else torch.zeros_like(dual)
    if not alone:
        scores[first:last] = NOT_COMPARED
    for query in tqdm(range(first, last), desc="re-ranking", leave=False):
        candidates = dual[query].topk(min(k, dual.shape[1])).indices
        scores[query, candidates] = score(torch.full_like(candidates, query), candidates).to(scores.dtype)
    if not alone:
        dist.all_reduce(scores)
    return scores


def _own_rows(rows: int) -> tuple[int, int, bool]:
    """First and last row of this process, and whether it is alone: contiguous parts of rows // processes + 1."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return 0, rows, True
    size = rows // dist.get_world_size() + 1
    first = min(rows, dist.get_rank() * size)
    return first, min(rows, first + size), False
