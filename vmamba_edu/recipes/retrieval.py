"""Finding the video that a sentence describes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm.auto import tqdm

from vmamba_edu.models.video_text import VideoText
from vmamba_edu.recipes.trained import Trained
from vmamba_edu.video.errors import VideoReadError
from vmamba_edu.video.reader import read_clip
from vmamba_edu.video.recipes import validation_transform

ENDINGS = frozenset({".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v", ".gif"})


@dataclass(frozen=True)
class Found:
    """A video and how well it fits.

    Attributes:
        path: of the video.
        similarity: cosine of video and sentence, from −1 to 1.
        match: the logit with which the fused reading says that they match.
    """

    path: Path
    similarity: float
    match: float


def list_videos(folder: str | os.PathLike[str]) -> list[Path]:
    """The videos in a folder and the folders in it, by their endings, in order of name.

    Raises:
        ValueError: there is none, or no such folder.
    """
    if not Path(folder).is_dir():
        raise ValueError(f"videos: expected a folder, and there is none at {folder}")
    found = sorted(path for path in Path(folder).rglob("*") if path.suffix.lower() in ENDINGS and path.is_file())
    if not found:
        raise ValueError(f"videos: expected videos in {folder} ({', '.join(sorted(ENDINGS))}), found none")
    return found


@torch.no_grad()
def retrieve(
    trained: Trained,
    sentence: str,
    videos: Sequence[Path],
    *,
    top: int = 5,
    candidates: int = 128,
    progress: bool = True,
) -> tuple[list[Found], list[VideoReadError]]:
    """The videos that fit a sentence best, the best first, and what could not be read.

    All are compared by cosine; the best `candidates` of them are read again together with the sentence. What that says
    decides the order, as published, unless the model was found to be better without (`Trained.rank_by`).

    Raises:
        ValueError: the model does not read sentences.
        VideoReadError: not one of the videos can be read.
    """
    from vmamba_edu.training.retrieval import dual_scores, rerank

    model = trained.model
    if not isinstance(model, VideoText) or trained.tokeniser is None:
        raise ValueError("checkpoint: expected a model of video and text, got one that classifies; use classify")
    ids, attends = (x.to(trained.device) for x in trained.tokeniser.encode([sentence]))
    text = model.read(ids, attends)
    pooled, tokens, paths, broken = [], [], [], []
    for path in tqdm(videos, desc="videos", disable=not progress, leave=False):
        try:
            frames = read_clip(path, trained.frames.num_frames).frames
        except VideoReadError as error:
            broken.append(error)
            continue
        seen = model.see(validation_transform(trained.frames.size)(frames)[None].to(trained.device))
        pooled.append(seen.pooled)
        tokens.append(seen.tokens)
        paths.append(path)
    if not paths:
        raise broken[0]
    dual = dual_scores(model, torch.cat(pooled), text)
    _, match = rerank(model, torch.stack(tokens), text, attends, dual, k=min(candidates, len(paths)))
    found = [Found(path, float(dual[row, 0]), float(match[0, row])) for row, path in enumerate(paths)]
    by = "match" if trained.rank_by == "fused" else "similarity"
    return sorted(found, key=lambda one: getattr(one, by), reverse=True)[:top], broken
