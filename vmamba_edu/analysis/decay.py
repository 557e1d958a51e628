"""Historical decay: how much of a token remains in the state when later ones have been read. Lengths are in tokens.

Each token that is read multiplies what the state held by Ā = exp(Δ A). After tokens j + 1 … i there remains of token j

    Π_{k=j+1..i} Ā_k[d, n] = exp(A[d, n] · Σ_{k=j+1..i} Δ_k[d])

which is 1 at j itself and can only fall, whatever the tokens say to each other: early tokens fade. Half of it is gone
after ln 2 / (Δ |A|) tokens if Δ stays what it is.

Source: Mamba (arXiv 2312.00752) algorithm 2 unrolled; VideoMambaPro (arXiv 2406.19006) §3 names the effect. Its own
equations were not at hand, and no published file computes it: half-life and the mean by distance are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import no_type_check

import torch
from jaxtyping import Float
from torch import Tensor
from vmamba_kernels.reference import step_size

from vmamba_edu.analysis.hidden_state import block_scan_arguments
from vmamba_edu.analysis.scan_as_matrix import check_direction, chosen_channels, decay_over, steps_after, work_dtype
from vmamba_edu.models.backbone import Backbone
from vmamba_edu.models.mixer import ScanArguments
from vmamba_edu.scan_orders import Direction, OrderName


@no_type_check  # for checkers at run time: __post_init__ checks every value, and its messages say more
@dataclass(frozen=True, eq=False)
class Decay:
    """What makes a scan forget: the steps and the decay rates of some of its channels.

    Args:
        step: Δ as the scan uses it, after bias and softplus; positive.
        A: decay rates, negative.
        direction: which way the scan reads. All results are in the order of the tokens.

    Raises:
        ValueError: the shapes do not fit, a step or a rate has the wrong sign, or there is no such direction.
    """

    step: Float[Tensor, "batch channels length"]
    A: Float[Tensor, "channels state"]
    direction: Direction = "forward"

    def __post_init__(self) -> None:
        check_direction(self.direction)
        if self.step.dim() != 3 or self.A.dim() != 2 or self.step.shape[1] != self.A.shape[0]:
            shapes = f"{tuple(self.step.shape)} and {tuple(self.A.shape)}"
            raise ValueError(f"step, A: expected (batch, channels, length) and (channels, state), got {shapes}")
        if self.step.numel() and self.step.min() < 0:
            raise ValueError("step: expected no negative number, that is softplus(delta + bias)")
        if self.A.numel() and self.A.max() > 0:
            raise ValueError("A: expected no positive number; models store A_log, and A = -exp(A_log)")

    def remaining(self, token: int) -> Float[Tensor, "batch channels state length"]:
        """The share of one token that remains in the state at each token: 1 at itself, 0 where it was not read yet.

        Raises:
            ValueError: there is no such token.
        """
        step, at = self._forwards_to(token)
        passed = torch.cat([torch.zeros_like(step[..., :1]), step[..., at + 1 :]], dim=-1).cumsum(-1)
        share = decay_over(self.A.to(step.dtype), passed)
        return self._in_order_of_tokens(torch.cat([share.new_zeros(*share.shape[:3], at), share], dim=-1))

    def reaching(self, token: int) -> Float[Tensor, "batch channels state length"]:
        """The share of each token that remains in the state at one token: what this one can still hear of.

        Raises:
            ValueError: there is no such token.
        """
        step, at = self._forwards_to(token)
        share = decay_over(self.A.to(step.dtype), steps_after(step[..., : at + 1]))
        unread = share.new_zeros(*share.shape[:3], step.shape[-1] - 1 - at)
        return self._in_order_of_tokens(torch.cat([share, unread], dim=-1))

    def half_life(self) -> Float[Tensor, "batch channels state length"]:
        """ln 2 / (Δ |A|): tokens after which half is gone, were Δ to stay what it is at each token."""
        return math.log(2) / (self.step[:, :, None] * self.A[..., None]).abs()

    def measured_half_life(self) -> Float[Tensor, "batch channels state length"]:
        """Tokens after which half of each token was gone, with the Δ of the tokens that followed it.

        Within a token the share is taken to fall exponentially, so that the result is no whole number; with a constant
        Δ it is `half_life`. Infinite where the sequence ends before.
        """
        step = self._forwards().double()
        total = step.cumsum(-1)
        # Half is gone where the steps since have added up to ln 2 / |A|.
        due = total[:, :, None] + (math.log(2) / self.A.double().abs())[..., None]  # (batch, channels, state, length)
        flat = due.flatten(2)
        after = torch.searchsorted(total.contiguous(), flat.contiguous())
        last = total.shape[-1] - 1
        at = after.clamp(max=last)
        # `at` is the token during which it happens: the part of its step that is needed stands for a part of a token.
        before = total.gather(-1, at) - step.gather(-1, at)
        tokens = at - 1 + (flat - before) / step.gather(-1, at)
        tokens = tokens.masked_fill(after > last, math.inf).unflatten(-1, due.shape[2:])
        tokens = tokens - torch.arange(last + 1, device=step.device)
        return self._in_order_of_tokens(tokens.to(self.step.dtype))

    def by_distance(self, furthest: int | None = None) -> Float[Tensor, "channels state distances"]:
        """The mean share of a token that remains 0, 1, 2 … tokens later, over all such pairs of all samples.

        Each distance costs as much as a scan of these channels: choose a few of a large model.

        Args:
            furthest: the largest distance in tokens; that of the whole sequence if not given.

        Raises:
            ValueError: the sequence has no such distance.
        """
        length = self.step.shape[-1]
        furthest = length - 1 if furthest is None else furthest
        if furthest not in range(length):
            raise ValueError(f"furthest: expected 0 to {length - 1}, got {furthest}")
        step = self._forwards()
        A = self.A.to(step.dtype)
        passed = torch.zeros_like(step)
        shares = []
        for distance in range(furthest + 1):
            if distance:  # what passed since the token `distance` before: one more step, and one pair fewer
                passed = passed[..., :-1] + step[..., distance:]
            shares.append(decay_over(A, passed).mean((0, 3)))
        return torch.stack(shares, dim=-1)

    def _forwards(self) -> Tensor:
        step = self.step.to(torch.promote_types(self.step.dtype, self.A.dtype))
        return step if self.direction == "forward" else step.flip(-1)

    def _forwards_to(self, token: int) -> tuple[Tensor, int]:
        """The steps in the order of reading, and where among them the token stands."""
        length = self.step.shape[-1]
        if token not in range(length):
            raise ValueError(f"token: expected 0 to {length - 1}, got {token}")
        return self._forwards(), token if self.direction == "forward" else length - 1 - token

    def _in_order_of_tokens(self, x: Tensor) -> Tensor:
        return x if self.direction == "forward" else x.flip(-1)


@torch.no_grad()
def decay_of(
    model: Backbone,
    clip: Tensor,
    block: int,
    *,
    channels: Sequence[int] | None = None,
    direction: Direction = "forward",
    order: OrderName | None = None,
) -> Decay:
    """The decay of one block's scan on a clip.

    Args:
        model: a VideoMamba or VideoMambaPro; is run as it stands.
        clip: as for the model.
        block: which block, from 0.
        channels: which inner channels; all if not given.
        direction, order: which scan of the block, see `block_scan_arguments`. Steps stand in the order of that scan.

    Raises:
        ValueError: there is no such block, channel or direction, or the clip does not fit.
    """
    arguments = block_scan_arguments(model, clip, block, direction=direction, order=order)
    return decay_of_arguments(arguments, channels=channels, direction=direction)


def decay_of_arguments(
    arguments: ScanArguments, *, channels: Sequence[int] | None = None, direction: Direction = "forward"
) -> Decay:
    """The decay of a scan with these arguments, those of `vmamba_kernels.selective_scan`; only Δ and A enter.

    Raises:
        ValueError: there is no such channel.
    """
    A, bias = arguments["A"], arguments.get("delta_bias")
    some = chosen_channels(range(A.shape[0]) if channels is None else channels, A.shape[0])
    index = torch.tensor(some, device=A.device)
    delta = arguments["delta"][:, index]
    step = step_size(
        delta.to(work_dtype(delta, A)),
        None if bias is None else bias[index].to(work_dtype(delta, A)),
        bool(arguments.get("delta_softplus")),
    )
    return Decay(step, A[index], direction)
