"""What a layer costs, as an item of a bill: parameters, operations, and numbers kept; and how items add up.

A linear layer of m inputs and n outputs has m · n weights and n biases, and does 2 · m · n operations for each token:
one multiply-accumulate is two. Convolutions are linear layers of their window. Biases, norms and activation functions
are not counted as operations.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import NamedTuple


class Item(NamedTuple):
    """One kind of layer, all of them in the model together: parameters, and operations of a forward pass."""

    name: str
    parameters: int
    flops: int


@dataclass(frozen=True)
class Bill:
    """The items of a part of a model.

    Args:
        items: parameters and operations by kind of layer.
        kept: numbers that the part keeps for the backward pass.
        weights: attention weights that the part computes, whether or not they are written down.
    """

    items: tuple[Item, ...] = ()
    kept: int = 0
    weights: int = 0

    def __add__(self, other: "Bill") -> "Bill":
        return Bill(self.items + other.items, self.kept + other.kept, self.weights + other.weights)

    def __mul__(self, times: int) -> "Bill":
        """The part several times, with parameters of its own each time."""
        items = tuple(Item(name, parameters * times, flops * times) for name, parameters, flops in self.items)
        return Bill(items, self.kept * times, self.weights * times)

    def sums(self, field: str) -> dict[str, int]:
        """Parameters or operations of every kind of layer."""
        total: dict[str, int] = defaultdict(int)
        for item in self.items:
            total[item.name] += getattr(item, field)
        return {name: number for name, number in total.items() if number}


def linear(name: str, tokens: int, inputs: int, outputs: int, *, bias: bool = True, kept: int = 0) -> Bill:
    """A map of every token by itself; `kept` are numbers for each token."""
    return Bill((Item(name, inputs * outputs + bias * outputs, 2 * tokens * inputs * outputs),), tokens * kept)


def embedding(rows: int, dim: int) -> Bill:
    """A table that is added to the tokens: position embeddings, [cls]."""
    return Bill((Item("embeddings", rows * dim, 0),))


def norm(tokens: int, dim: int, *, kind: str = "layer") -> Bill:
    """A norm. Layer norm keeps its input, mean and deviation; RMS norm its input, that normed, and the root."""
    if kind == "layer":
        return Bill((Item("norms", 2 * dim, 0),), tokens * (dim + 2))
    return Bill((Item("norms", dim, 0),), tokens * (2 * dim + 1))
