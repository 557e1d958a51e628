"""Reading tokens in another order than they are stored in: `vmamba_edu.scan_orders` with [cls] and with masks.

Tokens are stored spatial-first. A block that reads them temporal-first puts them into that order once, and what it read
back into the stored order once. [cls] keeps its place in the sequence in every reading: where it stands first it is
read first in each forward direction; where it stands in the middle, half of the patches *in the order of that reading*
come before it.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from vmamba_edu.scan_orders import Grid, inverse, temporal_first


class TokenOrder(NamedTuple):
    """A permutation of the tokens of a sequence, and the one that undoes it; one for all samples or one for each."""

    there: Int64[Tensor, "*samples length"]
    back: Int64[Tensor, "*samples length"]


def temporal_order(grid: Grid, cls_index: int, device: torch.device | None = None) -> TokenOrder:
    """The temporal-first order of the patches of a grid and of [cls], which stands at `cls_index`."""
    there = insert_cls(temporal_first(grid).to(device), cls_index)
    return TokenOrder(there, inverse(there))


def insert_cls(order: Int64[Tensor, " patches"], index: int) -> Int64[Tensor, " length"]:
    """The same order for a sequence in which [cls] stands at `index` and is read at `index`."""
    order = order + (order >= index)
    return torch.cat([order[:index], order.new_full((1,), index), order[index:]])


def order_of_kept(order: TokenOrder, kept: Int64[Tensor, "batch visible"]) -> TokenOrder:
    """The same order for sequences that hold only the tokens `kept`, given as ascending indices of each sample."""
    there = order.back[kept].argsort(dim=1)  # order.back[i] says as which token i is read
    return TokenOrder(there, there.argsort(dim=1))


def reorder(
    tokens: Float[Tensor, "batch length dim"], index: Int64[Tensor, "*samples places"]
) -> Float[Tensor, "batch places dim"]:
    """Token `index[i]` at place i, in every sample or in each by an index of its own; not all need to be chosen."""
    if index.dim() == 1:
        return tokens.index_select(1, index)
    return torch.take_along_dim(tokens, index[..., None], dim=1)
