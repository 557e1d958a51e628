"""The one error that reading a video raises."""

from pathlib import Path


class VideoReadError(Exception):
    """A video file cannot be read as asked. The message is one line: the file, the cause, and what to do about it."""


def read_error(path: Path, cause: str, advice: str) -> VideoReadError:
    """The error in its one form, so that every message names the file, the cause and the way out."""
    return VideoReadError(f"{path}: {cause}; {advice}")
