"""One direction's arguments as the fast engines get them: all of selective_scan's, validated, none left out."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Direction(NamedTuple):
    """The arguments of a scan, in the order of `vmamba::selective_scan`; B and C in any layout."""

    u: Tensor
    delta: Tensor
    A: Tensor
    B: Tensor
    C: Tensor
    D: Tensor | None
    z: Tensor | None
    delta_bias: Tensor | None
    initial_state: Tensor | None
    delta_softplus: bool
    reverse: bool
    exclude_self: bool


def in_groups(tensors: Sequence[Tensor | None]) -> list[Any]:
    """The nine tensors of a scan with B and C as (dim, state) or (batch, groups, state, length)."""
    u, delta, A, B, C, *others = tensors
    return [u, delta, A, *(m.unsqueeze(1) if m is not None and m.dim() == 3 else m for m in (B, C)), *others]


def out_of_groups(gradients: Sequence[Tensor | None], tensors: Sequence[Any]) -> list[Tensor | None]:
    """The nine gradients of a scan, those of B and C in the layout that they came in: `in_groups` undone."""
    return [
        gradient.squeeze(1) if gradient is not None and gradient.dim() > x.dim() else gradient
        for gradient, x in zip(gradients, tensors, strict=True)
    ]


def both_directions(arguments: Sequence[Any]) -> list[Direction]:
    """A forward and a reversed scan, from nine tensors of each, softplus of each, exclude_self of each."""
    softplus, softplus_reversed, exclude_self, exclude_self_reversed = arguments[18:]
    forward = (*arguments[:9], softplus, False, exclude_self)
    backward = (*arguments[9:18], softplus_reversed, True, exclude_self_reversed)
    return [Direction._make(forward), Direction._make(backward)]
