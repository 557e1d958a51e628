"""How a panel is opened: each argument is looked at first, and what cannot be is told in a sentence.

An error that names an argument of the call is for the reader: a notebook shows it without its traceback, and to code it
is the ValueError or TypeError that it was. Any other error is the panel's own fault, and keeps its traceback.
"""

import functools
import inspect
import math
import os
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import numpy as np
from torch import Tensor, nn

from vmamba_edu.panels.computed.arguments import came

WORDS = {
    int: "a whole number",
    float: "a finite number",
    bool: "True or False",
    str: "a string",
    types.NoneType: "None",
    Tensor: "a tensor",
    np.ndarray: "an array",
    nn.Module: "a model",
    os.PathLike: "a path",
}


def opened(construct: Callable[..., None]) -> Callable[..., None]:
    """An `__init__` whose arguments are compared with its annotations first, and whose errors are sentences.

    Numbers of numpy arrive as Python's own: the code that a panel copies is then free of them.
    """
    signature = inspect.signature(construct)
    names = list(signature.parameters)[1:]
    kinds: dict[str, Any] = {}

    @functools.wraps(construct)
    def open_(self: Any, *values: Any, **words: Any) -> None:
        try:
            kinds.update(kinds or get_type_hints(construct))
            _all_known(names, words)
            given = signature.bind(self, *values, **words)
            for name in names:
                if name in given.arguments and name in kinds:
                    given.arguments[name] = _checked(name, given.arguments[name], kinds[name])
            construct(*given.args, **given.kwargs)
        except (ValueError, TypeError) as error:
            if names_an_argument(error, [*names, *words]):
                error._render_traceback_ = functools.partial(in_a_sentence, error)  # type: ignore[union-attr]
            raise

    return open_


def names_an_argument(error: Exception, names: Iterable[str]) -> bool:
    """Whether an error says which arguments it is about, in front: "a, b: expected …"."""
    about = re.match(r"(\w+(?:, \w+)*): ", str(error))
    return about is not None and set(about[1].split(", ")) <= set(names)


def in_a_sentence(error: Exception) -> list[str]:
    """What a notebook shows in place of a traceback; IPython asks an error for it."""
    return [f"{type(error).__name__}: {error}"]


def _all_known(names: Sequence[str], words: Mapping[str, Any]) -> None:
    for word in words:
        if word not in names:
            raise TypeError(f"{word}: this panel has no such argument; it has {', '.join(names)}")


def _checked(name: str, value: Any, kind: Any) -> Any:
    if not fits(value, kind):
        raise TypeError(f"{name}: expected {in_words(kind)}, got {came(value)}")
    return value.item() if isinstance(value, np.generic) else value


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of the kind that an annotation says; a whole number is a number, True and False are none."""
    origin, inside = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inside)
    if origin is Literal:
        return any(value is one or (isinstance(value, str) and value == one) for one in inside)
    if kind in (int, float):
        is_number = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool | np.bool_)
        return is_number and math.isfinite(value)
    if kind is bool:
        return isinstance(value, bool | np.bool_)
    if origin is Mapping:
        return isinstance(value, Mapping) and all(fits(k, inside[0]) and fits(v, inside[1]) for k, v in value.items())
    if origin in (Sequence, tuple, list):
        return isinstance(value, Sequence) and not isinstance(value, str) and all(fits(v, inside[0]) for v in value)
    if origin is Callable:
        return callable(value)
    return isinstance(value, origin or kind)


def in_words(kind: Any) -> str:
    """What an annotation asks for."""
    origin, inside = get_origin(kind), get_args(kind)
    if origin in (Union, types.UnionType):
        *several, last = [in_words(one) for one in inside]
        return f"{', '.join(several)} or {last}"
    if origin is Literal:
        return f"one of {', '.join(map(repr, inside))}"
    if origin is Mapping:
        return f"a mapping from {in_words(inside[0])} to {in_words(inside[1])}"
    if origin in (Sequence, tuple, list):
        return f"several, each {in_words(inside[0])},"
    if origin is Callable:
        return "a function"
    name = getattr(kind, "__name__", str(kind))
    return WORDS.get(origin or kind) or f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
