"""Read caption files: MSRVTT, DiDeMo, ActivityNet, LSMDC and MSVD as video-text models are trained and tested on them.

A file is a JSON list of {"video": path or list of paths, "caption": sentence or list of sentences} ("image" in place of
"video" for pictures). Source: VideoMamba (arXiv 2403.06977), video_mm/dataset/utils.py and the datasets beside it.
"""

import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from vmamba_edu.video.records import Record, joined, list_error


@dataclass(frozen=True)
class CaptionForm:
    """How a data set's captions are used.

    Attributes:
        paragraph: whether all sentences about a video are joined to one text (paragraph retrieval).
        seconds: how much of each video is looked at, from its beginning; None for all of it.
    """

    paragraph: bool = False
    seconds: int | None = None


CAPTION_SETS = {
    "msrvtt": CaptionForm(),
    "didemo": CaptionForm(paragraph=True, seconds=30),
    "activitynet": CaptionForm(paragraph=True),
    "lsmdc": CaptionForm(),
    "msvd": CaptionForm(),
}


def clean_caption(text: str, max_words: int | None = None) -> str:
    """Clean a caption up as published: lower case, no , . ' ! ? " ( ) * # : ; ~, blanks for - and /, single blanks.

    LSMDC's "<person>" becomes "person". With `max_words` only the first so many words are kept.
    """
    text = re.sub(r"""[,.'!?"()*#:;~]""", "", text.lower())
    text = text.replace("-", " ").replace("/", " ").replace("<person>", "person")
    text = re.sub(r"\s{2,}", " ", text).rstrip("\n").strip(" ")
    return " ".join(text.split(" ")[:max_words]) if max_words else text


def read_captions(
    path: str | os.PathLike[str],
    caption_set: str | None = None,
    *,
    prefix: str | os.PathLike[str] = "",
    paragraph: bool | None = None,
    clean: bool = True,
    max_words: int | None = None,
) -> list[Record]:
    """Read the records of a caption file: one a video, with all its captions.

    Args:
        path: of the JSON file.
        caption_set: a name in CAPTION_SETS, which settles `paragraph`, and how much of each video is meant.
        prefix: folder that is put in front of every path.
        paragraph: join the sentences about a video, in their order, with blanks to one caption.
        clean: apply `clean_caption`, with `max_words`.

    Returns:
        Records with `captions`, in the file's order; `line` counts entries from 1. An entry with several videos
        becomes one record for each of them.

    Raises:
        ListError: an entry is not of this form; the message names file:entry.
        ValueError: there is no caption set of this name.
        OSError: the file cannot be read.
    """
    if caption_set is not None and caption_set not in CAPTION_SETS:
        raise ValueError(f"caption_set must be one of {', '.join(CAPTION_SETS)}, but got {caption_set!r}")
    form = CAPTION_SETS[caption_set] if caption_set else CaptionForm()
    if paragraph is None:
        paragraph = form.paragraph
    text = Path(path).read_text("utf-8")
    options: dict[str, Any] = {"paragraph": paragraph, "clean": clean, "max_words": max_words}
    records = parse_captions(text, list_file=str(path), prefix=str(prefix), **options)
    return [replace(record, start=0, end=form.seconds) for record in records] if form.seconds else records


def parse_captions(
    text: str,
    *,
    list_file: str = "captions.json",
    prefix: str = "",
    paragraph: bool = False,
    clean: bool = True,
    max_words: int | None = None,
) -> list[Record]:
    """Parse the text of a caption file; arguments and errors as `read_captions`."""
    try:
        entries = json.loads(text)
    except json.JSONDecodeError as error:
        raise list_error(list_file, error.lineno, "JSON", error.msg) from error
    if not isinstance(entries, list):
        raise list_error(list_file, 1, "a JSON list", type(entries).__name__)
    records = []
    for number, entry in enumerate(entries, start=1):
        paths, sentences = _entry(entry, list_file, number)
        if paragraph:
            sentences = [" ".join(sentences)]
        captions = tuple(clean_caption(sentence, max_words) if clean else sentence for sentence in sentences)
        records += [Record(joined(prefix, path), captions=captions, list_file=list_file, line=number) for path in paths]
    return records


def _entry(entry: Any, list_file: str, number: int) -> tuple[list[str], list[str]]:
    """The paths and the captions of one entry, as lists."""
    found = []
    for keys in (("video", "image"), ("caption",)):
        value = next((entry[key] for key in keys if isinstance(entry, dict) and key in entry), None)
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
            expected = f'{{"video": …, "caption": …}} with a text or a list of texts as "{keys[0]}"'
            raise list_error(list_file, number, expected, json.dumps(entry)[:120])
        found.append(texts)
    return found[0], found[1]


def one_caption_each(records: Iterable[Record]) -> list[Record]:
    """Make every caption a record of its own, as training wants them."""
    return [replace(record, captions=(caption,)) for record in records for caption in record.captions]


def media_numbers(records: Sequence[Record], *, as_published: bool = False) -> list[int]:
    """Number the distinct videos in the order in which they come: equal numbers, same video (contrastive learning).

    Videos are told apart by their paths. The published code tells them apart by base names (`as_published`), so that
    equal names in different folders count as one video.
    """
    names = [os.path.basename(record.path) if as_published else record.path for record in records]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return [numbers[name] for name in names]


@dataclass(frozen=True)
class RetrievalTruth:
    """Which text belongs to which video.

    Attributes:
        videos: distinct paths, and texts: all captions; each in the order in which they come.
        video_of_text: for each text the number of its video.
        texts_of_video: for each video the numbers of its texts.
    """

    videos: tuple[str, ...]
    texts: tuple[str, ...]
    video_of_text: tuple[int, ...]
    texts_of_video: tuple[tuple[int, ...], ...]


def retrieval_truth(records: Iterable[Record]) -> RetrievalTruth:
    """Lay out what text-to-video and video-to-text retrieval are measured against."""
    single = one_caption_each(records)
    numbers = media_numbers(single)
    videos = tuple(dict.fromkeys(record.path for record in single))
    texts_of_video: list[list[int]] = [[] for _ in videos]
    for text, video in enumerate(numbers):
        texts_of_video[video].append(text)
    texts = tuple(record.captions[0] for record in single)
    return RetrievalTruth(videos, texts, tuple(numbers), tuple(map(tuple, texts_of_video)))
