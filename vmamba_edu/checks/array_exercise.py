"""Exercises whose functions take NumPy arrays in place of tensors: what Numba compiles."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vmamba_edu.checks.exercise import Exercise, Mistake


@dataclass(frozen=True, eq=False)
class ArrayExercise(Exercise):
    """An exercise that hands arrays to the reader's function, and takes arrays back. See `array_exercise`."""

    def __call__(self, answer: Callable[..., Any], *, seed: int | None = None) -> str:
        return super().__call__(on_arrays(answer), seed=seed)


def array_exercise(
    *, solution: Callable[..., Any], mistakes: Sequence[Mistake], variants: Sequence[Callable[..., Any]], **words: Any
) -> ArrayExercise:
    """An `ArrayExercise` whose solution, mistakes and variants are written for arrays too; `draw` gives tensors."""
    return ArrayExercise(
        solution=on_arrays(solution),
        mistakes=tuple(Mistake(mistake.message, on_arrays(mistake.answer)) for mistake in mistakes),
        variants=tuple(on_arrays(variant) for variant in variants),
        **words,
    )


def on_arrays(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function with tensors made arrays on their way in, and arrays made tensors on their way out.

    The arrays are the tensors' own memory, so that a function that changes its arguments is noticed.
    """

    @functools.wraps(function)
    def wrapped(*given: Any) -> Any:
        came = function(*(x.numpy() if isinstance(x, Tensor) else x for x in given))
        if isinstance(came, (tuple, list)):
            return tuple(_as_tensor(one) for one in came)
        return _as_tensor(came)

    return wrapped


def _as_tensor(value: Any) -> Any:
    numeric = isinstance(value, (np.ndarray, np.generic)) and np.asarray(value).dtype.kind in "biufc"
    return torch.from_numpy(np.array(value)) if numeric else value
