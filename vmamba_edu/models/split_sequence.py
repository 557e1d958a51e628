"""One sequence in several processes: each holds consecutive tokens, and the state is what they hand on.

    split = SplitSequence()                              # in each of torch.distributed's processes
    tokens = split.forward_features(model, pixels)       # all tokens, in every process

A clip of an hour has more tokens than one device holds. Everything in a VideoMamba looks at each token by itself, but
for two things: the convolution sees the width - 1 inputs before its own, and the scan sees the state. Both are small,
and neither grows with the length.

The state would have to travel from process to process, each waiting for the one before. But a stretch of tokens acts
on the state that enters it as h ↦ P h + S, where S is what it leaves of a state of zero, and P = exp(A Σ Δ) is what it
leaves of the state itself. So all processes find their own (P, S) at once, tell each other, and each puts together
those before its own: the scan as a tree, whose leaves are processes. The price is a second scan.

Gradients flow through what is told, and are those of the sum of all processes' losses. Each process has its own tokens'
part of a parameter's gradient: `dist.all_reduce` them, as a sum, before a step.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor
from vmamba_kernels import causal_conv1d, selective_scan

from vmamba_edu.models.backbone import Backbone
from vmamba_edu.models.mixer import Mixer, Operators


class SplitSequence:
    """This process's place among those that share a sequence, and the operators that know of it.

    Args:
        group: the processes, in the order of their tokens; by default all.

    Raises:
        RuntimeError: torch.distributed was not started (`dist.init_process_group`).
    """

    def __init__(self, group: dist.ProcessGroup | None = None):
        if not (dist.is_available() and dist.is_initialized()):
            raise RuntimeError(
                "a sequence is split among the processes of torch.distributed, and none were started: run this with "
                "torchrun, and call torch.distributed.init_process_group first"
            )
        self.group = group
        self.rank, self.world = dist.get_rank(group), dist.get_world_size(group)

    def forward_features(
        self, model: Backbone, pixels: Float[Tensor, "batch channel time height width"]
    ) -> Float[Tensor, "batch length dim"]:
        """`model.forward_features(pixels)` with each process running the blocks on its own tokens.

        Embedding and heads, which are small, are computed in every process.

        Raises:
            ValueError: the model cannot be split, or there are too few tokens.
        """
        hidden, residual = self.part(model.embed(pixels)), None
        with self.applied_to(model):
            for index in range(len(model.layers)):
                hidden, residual = model.run_block(index, hidden, residual)
        return self.whole(model.normed(hidden, residual))

    @contextmanager
    def applied_to(self, model: torch.nn.Module) -> Iterator[None]:
        """Within it, the model's mixers take what they are given for this process's part of a longer sequence.

        A backward pass may follow after it, but for blocks that compute their activations again (`checkpoint_blocks`):
        theirs must run within.

        Raises:
            ValueError: a mixer reads temporal-first, for which tokens that are far apart would have to change places;
                or it is VideoMambaPro's, each of whose scans starts from the first token of the whole.
        """
        mixers = [module for module in model.modules() if isinstance(module, Mixer)]
        for mixer in mixers:
            if type(mixer) is not Mixer or mixer.scan_order != "spatial_first":
                what = f"{type(mixer).__name__} with scan_order {mixer.scan_order!r}"
                raise ValueError(f"model: expected VideoMamba's mixers, reading spatial-first, got {what}")
        operators = Operators(self.causal_conv1d, self.selective_scan, self.bidirectional_scan)
        before = [mixer.operators for mixer in mixers]
        try:
            for mixer in mixers:
                mixer.operators = operators
            yield
        finally:
            for mixer, own in zip(mixers, before, strict=True):
                mixer.operators = own

    def part(self, tokens: Float[Tensor, "batch length dim"]) -> Float[Tensor, "batch part dim"]:
        """This process's tokens of a sequence that all have; the first processes take one more if it must be.

        Raises:
            ValueError: there are fewer tokens than processes.
        """
        if tokens.shape[1] < self.world:
            raise ValueError(f"tokens: expected at least one for each of {self.world} processes, got {tokens.shape[1]}")
        return tokens.tensor_split(self.world, dim=1)[self.rank]

    def whole(self, part: Float[Tensor, "batch part dim"]) -> Float[Tensor, "batch length dim"]:
        """The sequence that the parts make, in every process."""
        lengths = self._lengths(part.shape[1], part.device)
        longest = max(lengths)
        parts = self._gathered(F.pad(part, (0, 0, 0, longest - part.shape[1])))
        return torch.cat([one[:, :length] for one, length in zip(parts, lengths, strict=True)], dim=1)

    def causal_conv1d(
        self, x: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, reverse: bool = False, **options: Any
    ) -> Tensor:
        """`vmamba_kernels.causal_conv1d` of the whole, this process's outputs.

        Raises:
            ValueError: a process has fewer tokens than the convolution looks back.
        """
        seen = weight.shape[1] - 1
        shortest = min(self._lengths(x.shape[-1], x.device))
        if shortest < seen:
            raise ValueError(
                f"x: expected at least {seen} tokens in each process, for the convolution looks back so far, got "
                f"{shortest}; take fewer processes"
            )
        edges = self._gathered(x[..., :seen] if reverse else x[..., x.shape[-1] - seen :])
        neighbour = self.rank + 1 if reverse else self.rank - 1
        is_end = not 0 <= neighbour < self.world
        beyond = torch.where(torch.tensor(is_end, device=x.device), 0, edges[0 if is_end else neighbour])
        return causal_conv1d(x, weight, bias, *args, initial_state=beyond, reverse=reverse, **options)

    def selective_scan(
        self, u: Tensor, delta: Tensor, A: Tensor, B: Tensor, C: Tensor, *, reverse: bool = False, **arguments: Any
    ) -> Tensor:
        """`vmamba_kernels.selective_scan` of the whole, this process's outputs."""
        step = {name: arguments[name] for name in ("delta_bias", "delta_softplus", "backend") if name in arguments}
        _, left = selective_scan(u, delta, A, B, C, **step, return_last_state=True, reverse=reverse)
        entering = self.entering_state(self.decay(delta, A, **step), left, reverse)
        return selective_scan(u, delta, A, B, C, **arguments, reverse=reverse, initial_state=entering)

    def bidirectional_scan(self, forward: Any, backward: Any, *, backend: str = "auto") -> Tensor:
        """`vmamba_kernels.bidirectional_scan` of the whole, this process's outputs."""
        one = self.selective_scan(**forward, backend=backend)
        return one + self.selective_scan(**backward, reverse=True, backend=backend)

    @staticmethod
    def decay(
        delta: Tensor, A: Tensor, *, delta_bias: Tensor | None = None, delta_softplus: bool = False, **_: Any
    ) -> Float[Tensor, "batch dim state"]:
        """P: what a process's tokens leave of a state that enters, exp(A Σ Δ)."""
        step = delta.to(A.dtype)
        if delta_bias is not None:
            step = step + delta_bias[:, None]
        if delta_softplus:
            step = F.softplus(step)
        return torch.exp(step.sum(-1)[..., None] * A)

    def entering_state(self, decay: Tensor, left: Tensor, reverse: bool) -> Float[Tensor, "batch dim state"]:
        """The state that enters this process's tokens, from every process's (P, S)."""
        pairs = self._gathered(torch.stack([decay, left]))
        h = torch.zeros_like(left)
        for other in reversed(range(self.world)) if reverse else range(self.world):
            P, S = pairs[other]
            is_before = other > self.rank if reverse else other < self.rank
            # Chosen by value, not by `if`: every process must take part in the backward pass of what was gathered.
            h = torch.where(torch.tensor(is_before, device=h.device), P * h + S, h)
        return h

    def _gathered(self, x: Tensor) -> Tensor:
        return _Gathered.apply(x, self.group)

    def _lengths(self, length: int, device: torch.device) -> list[int]:
        own = torch.tensor([length], device=device)
        all_of_them = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(all_of_them, own, group=self.group)
        return [int(one) for one in all_of_them]


class _Gathered(torch.autograd.Function):
    """(…) in each process → (process, …) in all. Its gradient is the sum of what all processes say."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, group: dist.ProcessGroup | None) -> Tensor:
        ctx.group = group
        parts = [torch.empty_like(x, memory_format=torch.contiguous_format) for _ in range(dist.get_world_size(group))]
        dist.all_gather(parts, x.contiguous(), group=group)
        return torch.stack(parts)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0].contiguous().clone()
        dist.all_reduce(gradient, group=ctx.group)
        return gradient[dist.get_rank(ctx.group)], None
