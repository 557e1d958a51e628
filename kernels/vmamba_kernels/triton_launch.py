"""What all launches of Triton kernels share: where they can run, tiles, tensors as views, the sum of partial sums."""

import functools
from typing import NamedTuple

import torch
import triton
from torch import Tensor
from triton.runtime.interpreter import InterpretedFunction

from vmamba_kernels.triton_tiles import View, reduce_kernel

INTERPRETED = isinstance(reduce_kernel, InterpretedFunction)
BLOCK_N = 4  # states side by side in a warp


class Tile(NamedTuple):
    """How many tokens and channels a program holds at once, how many warps hold them, with how many registers at most.

    A limit on registers (0: none) brings more programs onto a multiprocessor; only CUDA knows it."""

    BLOCK_L: int
    BLOCK_D: int
    num_warps: int
    registers: int = 0

    def config(self) -> triton.Config:
        limit = self.registers or None
        return triton.Config(self.blocks(), num_warps=self.num_warps, maxnreg=None if torch.version.hip else limit)

    def blocks(self) -> dict[str, int]:
        return {"BLOCK_L": self.BLOCK_L, "BLOCK_D": self.BLOCK_D}

    def launch(self) -> dict[str, int | bool]:
        """All keywords of a launch without a tuner. A fused multiply-add rounds once."""
        return {**self.blocks(), "num_warps": self.num_warps, "enable_fp_fusion": True}


def availability() -> str | None:
    """Why the Triton engine cannot run here; None if it can."""
    if INTERPRETED or torch.cuda.is_available():
        return None
    return (
        "the Triton engine needs a CUDA or ROCm device and torch sees none; to have its kernels interpreted on the "
        "CPU, slowly, set TRITON_INTERPRET=1 in the environment before triton is imported"
    )


def check_device(tensor: Tensor) -> None:
    """Raise RuntimeError where a launch would only fail deep inside Triton."""
    if not INTERPRETED and tensor.device.type != "cuda":
        raise RuntimeError(availability() or f"the Triton engine computes on a GPU, got tensors on {tensor.device}")


@functools.cache
def processors(device: torch.device) -> int:
    """Multiprocessors of a device; the interpreter counts as one."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 1


def view(tensor: Tensor | None, axes: str, **strides: int) -> View:
    """A tensor and its strides by name; strides adds axes that it does not have."""
    return (
        View() if tensor is None else View(tensor, **dict(zip(axes.split(), tensor.stride(), strict=True)), **strides)
    )


def token_view(tensor: Tensor | None) -> View:
    return view(tensor, "batch channel time")


def state_view(tensor: Tensor | None) -> View:
    """A state in each sequence, or in each segment of each sequence."""
    if tensor is not None and tensor.dim() == 4:
        return view(tensor, "batch segment channel state")
    return view(tensor, "batch channel state", segment=0)


def map_view(tensor: Tensor, dim: int) -> View:
    """B or C, constant along time or not."""
    if tensor.dim() == 2:
        return view(tensor, "channel state")
    return view(tensor, "batch group state time", members=dim // tensor.shape[1])


def add_partial_sums(like: Tensor, partial: Tensor) -> Tensor:
    """The gradient of a tensor, in its shape and dtype, from partial sums along the axes that the two do not share.

    partial: (batch, blocks, length, state) for a B or C that changes along time, the blocks of a group side by side;
        (batch, segments, *shape of the tensor) for everything else.
    """
    out = torch.empty_like(like) if like.dim() == 4 else like.new_empty(like.shape)
    if like.dim() == 4:
        batch, groups, state, length = like.shape
        outer, terms, size, columns = batch * groups, partial.shape[1] // groups, length * state, state
        target = view(out, "batch group state time")
    else:  # rows of out.shape[0] channels stand in for time
        outer, groups, terms, size = 1, 1, partial.shape[0] * partial.shape[1], out.numel()
        columns = size // out.shape[0]
        target = View(out, batch=0, group=0, time=columns, state=1)
    block, at_once = (64, 4) if INTERPRETED else (256, 16)
    with torch.cuda.device_of(out):
        reduce_kernel[outer, triton.cdiv(size, block)](partial, target, terms, size, columns, groups, block, at_once)
    return out
