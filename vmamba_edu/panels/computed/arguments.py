"""What a reader gives to a panel, looked at before it is used: each error names the argument, and says what came."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from torch import Tensor


def one_of(name: str, value: Any, known: Iterable[Any]) -> None:
    """Raise a ValueError unless a value is one of those that are known: equal to it, and no True for a 1."""
    known = list(known)
    if not any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in known):
        raise ValueError(f"{name}: expected one of {', '.join(map(repr, known))}, got {came(value)}")


def within(name: str, value: Any, least: int, most: int) -> None:
    """Raise a ValueError unless a value is a whole number from `least` to `most`."""
    if isinstance(value, bool) or value not in range(least, most + 1):
        raise ValueError(f"{name}: expected {least} to {most}, got {came(value)}")


def frames_of(clip: Tensor | np.ndarray, name: str = "clip") -> np.ndarray:
    """The frames of a clip, uint8 (time, height, width, 3), wherever they lie; `name` is the argument that held them.

    Raises:
        ValueError: these are no such frames, or there is none.
    """
    frames = clip.detach().cpu().numpy() if isinstance(clip, Tensor) else np.asarray(clip)
    if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise ValueError(f"{name}: expected uint8 frames (time, height, width, 3), got {came(frames)}")
    return frames


def came(value: Any) -> str:
    """What came, in a few words: the value where it is short, else what it is."""
    if isinstance(value, Tensor | np.ndarray):
        kind = str(value.dtype).removeprefix("torch.")
        return f"{kind} {tuple(value.shape)}"
    if value is None or isinstance(value, str | int | float | complex | torch.dtype | np.generic):
        text = repr(value.item() if isinstance(value, np.generic) else value)
        return text if len(text) <= 60 else f"{text[:57]}…"
    if isinstance(value, type):
        return f"the class {value.__name__}"
    word = type(value).__name__
    return f"{'an' if word[0] in 'AEIOUaeiou' else 'a'} {word}"
