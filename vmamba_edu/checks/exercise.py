"""What an exercise is checked with: fresh inputs, the right answer in float64, and the mistakes that people make.

A check does not guess why an answer is wrong. It keeps the mistakes that people really make as code, gives them the
same inputs, and sees which of them says what the reader's function said: that is the one it names.

    checks.zero_order_hold(my_function)     # a sentence if it is right; WrongAnswer if it is not

The same object serves the notebook, the tests and the grader.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-4
"""Of the largest value: above what float32 costs over some hundred steps, far below what any listed mistake makes."""

DRAWS = 5
"""Fresh inputs a check draws; a wrong answer would have to be right on all of them."""


class WrongAnswer(AssertionError):
    """The answer to an exercise is not right; the message says what is probably behind it."""


@dataclass(frozen=True)
class Mistake:
    """A wrong answer that people give: the code of it, and what one says to somebody who wrote it."""

    message: str
    answer: Callable[..., Any]


@dataclass(frozen=True, eq=False)
class Exercise:
    """A task with its right answer; calling it checks somebody's own.

    Attributes:
        name: what the reader's function is called in the lesson.
        solution: a right answer, computed in the dtype of its inputs.
        draw: makes the inputs, in float64, from a generator, by the names of the arguments.
        mistakes: wrong answers, the likelier one first.
        variants: right answers that look different; the tests hold the check to accepting them.
        output: what comes out, in words, e.g. "A_bar and B_bar, (dim, state) each".
    """

    name: str
    solution: Callable[..., Any]
    draw: Callable[[torch.Generator], dict[str, Any]]
    mistakes: Sequence[Mistake]
    variants: Sequence[Callable[..., Any]] = ()
    output: str = ""
    draws: int = field(default=DRAWS, kw_only=True)

    def __call__(self, answer: Callable[..., Any], *, seed: int | None = None) -> str:
        """Check somebody's function.

        Args:
            answer: takes the arguments of the lesson's stub, in that order.
            seed: for the same inputs again; drawn if not given.

        Raises:
            WrongAnswer: the function is wrong; the message names the likely misconception.
            NotImplementedError: it is the stub still.
        """
        generator = torch.Generator()
        generator.manual_seed(seed) if seed is not None else generator.seed()
        tried = [self._try(answer, self.draw(generator)) for _ in range(self.draws)]
        wrong = next((attempt for attempt in tried if not attempt.is_right), None)
        if wrong is None:
            return f"{self.name}: right, on {self.draws} fresh inputs."
        for mistake in self.mistakes:
            if all(attempt.is_like(mistake.answer) for attempt in tried):
                raise WrongAnswer(f"{self.name}: {mistake.message}")
        raise WrongAnswer(f"{self.name}: {self._difference(wrong)}")

    def _try(self, answer: Callable[..., Any], inputs: dict[str, Any]) -> "_Attempt":
        given = {name: _copy(value) for name, value in inputs.items()}
        try:
            came = answer(*given.values())
        except NotImplementedError:
            raise
        except Exception as error:
            shapes = ", ".join(f"{name} {_describe(value)}" for name, value in inputs.items())
            raise WrongAnswer(
                f"{self.name}: it raised {type(error).__name__}: {error}. It was given {shapes}"
            ) from error
        for name, value in given.items():
            if isinstance(value, Tensor) and not torch.equal(value, inputs[name]):
                raise WrongAnswer(
                    f"{self.name}: it changed its argument {name}. Whoever called it still needs that; "
                    f"work on a copy, or write x = x + 1 instead of x += 1"
                )
        return _Attempt(inputs, came, self.solution(*inputs.values()))

    def _difference(self, attempt: "_Attempt") -> str:
        """What is to be said of an answer that is like no listed mistake."""
        wanted = f" (expected {self.output})" if self.output else ""
        if attempt.came is None:
            return f"it returned None{wanted}: is there a return at its end?"
        came, expected = _tensors(attempt.came), _tensors(attempt.expected)
        if came is None or expected is None:
            return f"it returned {type(attempt.came).__name__}, which is no tensor or number{wanted}"
        if [x.shape for x in came] != [x.shape for x in expected]:
            shapes = [", ".join(str(tuple(x.shape)) for x in xs) for xs in (came, expected)]
            return f"expected the shape {shapes[1]}, got {shapes[0]}{wanted}"
        number, got, right = next(
            (i, a, b) for i, (a, b) in enumerate(zip(came, expected, strict=True)) if not _same(a, b)
        )
        return _first_difference(number if len(came) > 1 else None, got, right)


@dataclass(frozen=True, eq=False)
class _Attempt:
    """One draw: what went in, what came out, what should have."""

    inputs: dict[str, Any]
    came: Any
    expected: Any

    @property
    def is_right(self) -> bool:
        return _agree(self.came, self.expected)

    def is_like(self, answer: Callable[..., Any]) -> bool:
        """Whether another function says the same of the same inputs. Some mistakes cannot be made on all of them."""
        try:
            return _agree(self.came, answer(*(_copy(value) for value in self.inputs.values())))
        except Exception:
            return False


def parameters_of(exercise: Exercise) -> list[str]:
    """The names of the arguments, in order, as the stub in the lesson has them."""
    return list(inspect.signature(exercise.solution).parameters)


def _agree(came: Any, expected: Any) -> bool:
    ours, theirs = _tensors(came), _tensors(expected)
    if ours is None or theirs is None or len(ours) != len(theirs):
        return False
    return all(a.shape == b.shape and _same(a, b) for a, b in zip(ours, theirs, strict=True))


def _same(a: Tensor, b: Tensor) -> bool:
    """Equal to within the tolerance, relative to the largest finite value; what is infinite must be so in both."""
    if not b.numel():
        return True
    finite = b.abs()[b.isfinite()]
    scale = finite.max().item() if finite.numel() else 1.0
    return torch.allclose(a, b, rtol=0, atol=TOLERANCE * max(scale, 1e-30), equal_nan=True)


def _tensors(value: Any) -> tuple[Tensor, ...] | None:
    """A result as tensors of double precision; None if it is something else."""
    values = value if isinstance(value, (tuple, list)) else (value,)
    if not all(isinstance(one, (Tensor, int, float, complex)) for one in values):
        return None
    return tuple(torch.as_tensor(one).to(torch.complex128) for one in values)


def _first_difference(number: int | None, got: Tensor, right: Tensor) -> str:
    off = (~torch.isclose(got, right, rtol=TOLERANCE, atol=0, equal_nan=True)).nonzero()
    where = tuple((off[0] if len(off) else torch.zeros(got.dim(), dtype=torch.int64)).tolist())
    which = "" if number is None else f"of result {number} "
    place = f"at index {where} {which}" if where else which
    share = f"; {len(off)} of {got.numel()} values differ" if got.numel() > 1 else ""
    return f"{place}expected {_number(right[where])}, got {_number(got[where])}{share}. It is like no mistake we know"


def _number(value: Tensor) -> str:
    one = complex(value.item())
    return f"{one.real:.6g}" if one.imag == 0 or math.isnan(one.imag) else f"{one:.6g}"


def _copy(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _describe(value: Any) -> str:
    return str(tuple(value.shape)) if isinstance(value, Tensor) else repr(value)
