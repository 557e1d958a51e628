"""Write a drawn data set to disk, as published ones are laid out: videos, a list, captions.

write_clips(MovingDigits("train", 1000, size=64), "digits", fps=8)
records = read_list("digits/train.csv", "moving_digits", prefix="digits")
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable
from uuid import uuid4

from tqdm.auto import tqdm

from vmamba_edu.video.encode import write_video
from vmamba_edu.video.photo_backgrounds import PHOTO_ATTRIBUTION


@runtime_checkable
class DrawnClips(Protocol):
    """What MovingDigits and LongDigits have in common."""

    split: str
    background: str

    def __len__(self) -> int: ...
    def frames(self, index: int, /) -> Iterable: ...
    def label(self, index: int, /) -> int: ...
    def caption(self, index: int, /) -> str: ...
    def name(self, index: int, /) -> str: ...
    @property
    def classes(self) -> tuple[str, ...]: ...


def write_clips(
    clips: DrawnClips,
    folder: str | os.PathLike[str],
    *,
    fps: int | float = 8,
    codec: str = "h264",
    durations: bool = False,
    progress: bool = True,
) -> Path:
    """Encode every clip and write the lists beside them.

    The folder then holds, for split "train":
        train/…mp4: the videos (.mkv with codec "ffv1");
        train.csv: "path,label" a line, the form of Kinetics, or with `durations` "path,label,seconds", that of LVU;
        train.json: a list of {"video": path, "caption": sentence};
        classes.txt: what the labels stand for, one a line;
        ATTRIBUTION.txt: where the photographs are from, if there are any.
    Paths are relative to the folder: read them with it as prefix. The lists are written last and in one step each, so a
    list that is there is whole; videos that are there already are replaced.

    Args:
        clips: MovingDigits or LongDigits.
        folder: made if it is not there.
        fps, codec: as for `write_video`; h264 wants even sides.
        progress: whether to show a bar.

    Returns:
        The list, train.csv.

    Raises:
        ValueError, ImportError, OSError: as `write_video`.
    """
    folder = Path(folder)
    ending = ".mkv" if codec == "ffv1" else ".mp4"
    lines, captions = [], []
    for index in tqdm(range(len(clips)), desc=f"writing {clips.split}", unit="clip", disable=not progress):
        path = f"{clips.split}/{clips.name(index)}{ending}"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        count = _Counted(clips.frames(index))
        write_video(folder / path, count, fps=fps, codec=codec)
        lines.append(f"{path},{clips.label(index)}" + (f",{count.number / fps:g}" if durations else ""))
        captions.append({"video": path, "caption": clips.caption(index)})
    if clips.background == "photo":
        _write(folder / "ATTRIBUTION.txt", PHOTO_ATTRIBUTION + "\n")
    _write(folder / "classes.txt", "\n".join(clips.classes) + "\n")
    _write(folder / f"{clips.split}.json", json.dumps(captions, indent=1) + "\n")
    return _write(folder / f"{clips.split}.csv", "\n".join(lines) + "\n")


class _Counted:
    """Frames that are counted as they go by."""

    def __init__(self, frames: Iterable) -> None:
        self._frames, self.number = frames, 0

    def __iter__(self) -> Iterator:
        for frame in self._frames:
            self.number += 1
            yield frame


def _write(path: Path, text: str) -> Path:
    """Write a text file in one step: whole or not at all."""
    unfinished = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        unfinished.write_text(text, "utf-8")
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path
