"""A prediction: a question with a few answers, one of them right, each wrong one a thought that many people have."""

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """A choice between answers; calling it with one says what is to be said of it.

        what_is_left("b")

    Attributes:
        right: the letter of the right answer.
        replies: for each letter what one answers to somebody who chose it.
    """

    right: str
    replies: Mapping[str, str]

    def __call__(self, choice: str) -> str:
        """The reply to a choice.

        Raises:
            ValueError: there is no such answer.
        """
        letter = str(choice).strip().lower()
        if letter not in self.replies:
            raise ValueError(f"choice: expected one of {', '.join(map(repr, self.replies))}, got {choice!r}")
        return f"{'Yes' if letter == self.right else 'Not quite'}: {self.replies[letter]}"


def compared(expected: float, came: float) -> str:
    """A number that somebody expected, beside the one that came, and how far apart they are, as a factor."""
    if expected == came:
        return f"{came:.3g}, exactly what you expected"
    if expected * came <= 0 or not math.isfinite(expected):
        return f"{came:.3g}; you expected {expected:.3g}"
    factor = max(expected / came, came / expected)
    far = f"{factor:.1f} times as {'much' if expected > came else 'little'}"
    return f"{came:.3g}; you expected {expected:.3g}" + (f", {far}" if factor > 1.1 else ", which is close")
