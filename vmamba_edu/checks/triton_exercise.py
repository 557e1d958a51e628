"""Exercises whose answers are Triton kernels: launched on small tensors, between fences that must not be crossed.

The module imports no Triton: that decides at its import whether it compiles or interprets, and the lesson chooses.

The mistakes are kept as plain functions on tensors, which say what a kernel with that mistake writes; the tests hold
them against kernels that really make it.
"""

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from vmamba_edu.checks.exercise import Exercise, WrongAnswer

FENCE = 64
"""Numbers before and after every tensor: NaN, so that what is read there is seen."""
UNTOUCHED = -12345.0
"""What stands around and in the output before the launch."""


class OutOfBounds(Exception):
    """A kernel read or wrote where there is nothing of its own."""


@dataclass(frozen=True, eq=False)
class TritonExercise(Exercise):
    """An exercise whose answer is a function under `@triton.jit`.

    Attributes:
        launch: starts a kernel on the tensors and values that `draw` made, and returns what it wrote.
    """

    launch: Callable[..., Tensor] = field(kw_only=True)

    def __call__(self, answer: Callable[..., Any], *, seed: int | None = None) -> str:
        """Check a kernel. A plain function on tensors is taken too: it answers as a kernel would write.

        Raises:
            WrongAnswer: it is wrong, crosses the bounds of its tensors, or is a kernel without `@triton.jit`.
            NotImplementedError: it is the stub still.
        """
        function = getattr(answer, "fn", answer)
        written(answer, name=self.name)
        if function is not answer:
            return super().__call__(functools.partial(self.launch, answer), seed=seed)
        if any("constexpr" in str(one.annotation) for one in inspect.signature(answer).parameters.values()):
            raise WrongAnswer(f"{self.name}: this is a plain Python function. Write @triton.jit on the line above it")
        return super().__call__(answer, seed=seed)

    def _try(self, answer: Callable[..., Any], inputs: dict[str, Any]) -> Any:
        try:
            return super()._try(answer, inputs)
        except WrongAnswer as wrong:
            if isinstance(wrong.__cause__, OutOfBounds):
                raise WrongAnswer(f"{self.name}: {wrong.__cause__}") from None
            raise


def written(*kernels: Any, name: str = "") -> None:
    """Nothing if these kernels are written; a stub's own error would come out of Triton as another one.

    Raises:
        NotImplementedError: one of them is a stub still.
    """
    for kernel in kernels:
        function = getattr(kernel, "fn", kernel)
        if "raise NotImplementedError" in _source(function):
            raise NotImplementedError(f"{name or function.__name__} is not written yet")


def launched(kernel: Any, grid: tuple[int, ...], inputs: list[Any], shape: tuple[int, ...], *sizes: int) -> Tensor:
    """Start `kernel[grid](*inputs, out, *sizes)` with a fence around each tensor, and return out.

    Raises:
        OutOfBounds: it wrote beyond out, or what it wrote depends on what lies beyond an input.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    given = [_fenced(x, device, torch.nan) if isinstance(x, Tensor) else x for x in inputs]
    dtype = next(x.dtype for x in inputs if isinstance(x, Tensor))
    out = _fenced(torch.full(shape, UNTOUCHED, dtype=dtype), device, UNTOUCHED)
    kernel[grid](*given, out, *sizes)
    around = torch.as_strided(out, (out.numel() + 2 * FENCE,), (1,), 0).cpu()
    if (around[:FENCE] != UNTOUCHED).any() or (around[-FENCE:] != UNTOUCHED).any():
        raise OutOfBounds("it wrote beyond its output. tl.store needs a mask: which tokens and channels exist?")
    came = out.cpu()
    if came.isnan().any():
        raise OutOfBounds(
            "it read beyond one of its inputs, and used what stood there. tl.load needs a mask, and other=0.0"
        )
    return came


def _fenced(tensor: Tensor, device: str, fence: float) -> Tensor:
    """A contiguous copy with FENCE numbers before and after it in the same memory."""
    memory = torch.full((tensor.numel() + 2 * FENCE,), fence, dtype=tensor.dtype, device=device)
    memory[FENCE : FENCE + tensor.numel()] = tensor.flatten().to(device)
    return memory[FENCE : FENCE + tensor.numel()].view(tensor.shape)


def _source(function: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):  # typed into a prompt, or not a function of Python
        return ""
