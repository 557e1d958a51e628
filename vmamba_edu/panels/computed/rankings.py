"""What retrieval answers: the clips of a caption, or the captions of a clip, the best first; and how often rightly."""

from dataclasses import dataclass, field
from itertools import pairwise

import torch
from torch import Tensor

from vmamba_edu.panels.computed.arguments import one_of, within
from vmamba_edu.panels.computed.galleries import AT, Gallery, gallery_of, pieces_of

FIND = ("clips", "captions")
READINGS = ("dual", "fused")
SHOWN = 6
"""Candidates that are shown; the last of them is the right one, where it comes later."""


@dataclass(frozen=True)
class State:
    """What is sought, and among what.

    Args:
        find: "clips" of a caption, or "captions" of a clip.
        caption: any words; the first caption of the gallery if None.
        clip: number of a clip of the gallery, from 0.
        reading: "dual", cosines of a vector each; or "fused", every pair read together, which re-ranks.
        playing: whether clips move.
        gallery: what is searched; that of the shipped model, seen for the occasion, if None.
    """

    find: str = "clips"
    caption: str | None = None
    clip: int = 0
    reading: str = "dual"
    playing: bool = True
    gallery: Gallery | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True)
class Candidate:
    """One of the answers.

    Attributes:
        rank: from 1.
        number: of the clip, or of the caption among the gallery's different ones.
        words: its caption.
        score: cosine, or logit of "matches".
        is_right: whether clip and caption belong together.
    """

    rank: int
    number: int
    words: str
    score: float
    is_right: bool


@dataclass(frozen=True, eq=False)
class View:
    """What the panel shows.

    Attributes:
        gallery: what was searched.
        asked: the caption, or the clip's own.
        shown: the best candidates; the best right one is the last of them, where it is further down.
        right_at: rank of the best right one, None where none is.
        count: how many candidates there are.
        recall: at 1, 5 and 10 over all queries of the gallery in this direction, in percent.
        spelt: words of the caption that the model has never read whole.
        span: least and greatest score.
    """

    gallery: Gallery
    asked: str
    shown: tuple[Candidate, ...]
    right_at: int | None
    count: int
    recall: dict[int, float]
    spelt: tuple[str, ...]
    span: tuple[float, float]


def compute(state: State) -> View:
    """Rank, and measure over the gallery.

    Raises:
        ValueError: there is no such direction, reading or clip, or the caption is empty or of unknown words.
    """
    one_of("find", state.find, FIND)
    one_of("reading", state.reading, READINGS)
    gallery = state.gallery or gallery_of()
    within("clip", state.clip, 0, len(gallery.clips) - 1)
    asked, scores, right, spelt = (
        _caption_asked(state, gallery) if state.find == "clips" else _clip_asked(state, gallery)
    )
    words = gallery.captions if state.find == "clips" else gallery.known
    order = sorted(range(len(scores)), key=lambda at: (-float(scores[at]), bool(right[at])))  # a tie is no find
    all_of_them = [
        Candidate(rank, at, words[at], float(scores[at]), bool(right[at])) for rank, at in enumerate(order, 1)
    ]
    right_at = next((one.rank for one in all_of_them if one.is_right), None)
    shown = all_of_them[:SHOWN]
    if right_at is not None and right_at > SHOWN:
        shown[-1] = all_of_them[right_at - 1]
    every = torch.cat([gallery.scores(state.reading).flatten(), scores])
    return View(
        gallery=gallery,
        asked=asked,
        shown=tuple(shown),
        right_at=right_at,
        count=len(order),
        recall=gallery.recall(state.reading, state.find == "clips"),
        spelt=spelt,
        span=(float(every.min()), float(every.max())),
    )


Asked = tuple[str, Tensor, Tensor, tuple[str, ...]]
"""What is asked for, the scores of all candidates, whether each is right, and words that were never read."""


def _caption_asked(state: State, gallery: Gallery) -> Asked:
    asked = gallery.captions[0] if state.caption is None else " ".join(state.caption.split())
    spelt = pieces_of(gallery.trained, asked)
    if asked in gallery.known:
        scores = gallery.scores(state.reading)[:, gallery.known.index(asked)]
    else:
        scores = gallery.compare([asked], state.reading)[:, 0]
    return asked, scores, torch.tensor([caption == asked for caption in gallery.captions]), spelt


def _clip_asked(state: State, gallery: Gallery) -> Asked:
    return gallery.captions[state.clip], gallery.scores(state.reading)[state.clip], gallery.truth[state.clip], ()


def in_words(state: State, view: View) -> str:
    """What is shown, and how often the model is right."""
    of_clips, best = state.find == "clips", view.shown[0]
    reading = "dual scores (cosines)" if state.reading == "dual" else "fused scores (logits of a match)"
    query = f"For “{view.asked}”" if of_clips else f"For clip {state.clip + 1}, which shows “{view.asked}”,"
    what = f"{view.count} {state.find} ({view.gallery.described})"
    told = [f"{query} the model ranks {what} by {reading}. First: “{best.words}”, {best.score:.2f}, {_is_right(view)}."]
    if view.right_at is not None and view.right_at > 1:
        told.append(f"The right one has rank {view.right_at}.")
    if view.spelt:
        told.append(f"The model has never read {_listed(view.spelt)}, and spells it: the order says little.")
    sought = "clip of each caption" if of_clips else "caption of each clip"
    told.append(
        f"Measured over all {len(view.gallery.known if of_clips else view.gallery.clips)}: the {sought} is found"
    )
    told.append(f"{_recalls(view)}; by chance first in {_chance(view, of_clips):.1f} %.")
    return " ".join(told)


def _recalls(view: View) -> str:
    """Recall at 1, 5 and 10, as far as there is more to say than "all"."""
    told = [f"first in {view.recall[1]:.1f} %"]
    for smaller, k in pairwise(AT):
        if k < view.count and view.recall[smaller] < 100:
            told.append(f"among the first {k} in {view.recall[k]:.1f} %")
    return ", ".join(told)


def _is_right(view: View) -> str:
    if view.right_at is None:
        return "and none of them has just this caption"
    return "which is right" if view.shown[0].is_right else "which is not right"


def _chance(view: View, of_clips: bool) -> float:
    """Percent of queries that a random order answers rightly at once."""
    truth = view.gallery.truth.double()
    return 100 * float((truth.mean(0) if of_clips else truth.mean(1)).mean())


def _listed(words: tuple[str, ...]) -> str:
    return " and ".join(f"“{word}”" for word in words)
