"""Lesson 05: a scan in pieces, with a carry from one to the next."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vmamba_edu.checks.exercise import Exercise, Mistake
from vmamba_edu.checks.scans import Pair, draw_pairs, recurrence


def _draw_chunked(generator: torch.Generator) -> dict[str, Any]:
    return {**draw_pairs(generator, 11), "size": 4}


def _in_pieces(a: Tensor, b: Tensor, size: int, follow: Callable[[Tensor, Tensor, Tensor], Pair]) -> Tensor:
    """Each piece by itself; `follow(products, local, carry)` gives its h and the carry for the next."""
    carry, pieces = torch.zeros_like(b[0]), []
    for one_a, one_b in zip(a.split(size), b.split(size), strict=True):
        h, carry = follow(one_a, recurrence(one_a, one_b), carry)
        pieces.append(h)
    return torch.cat(pieces)


def _right(a: Tensor, local: Tensor, carry: Tensor) -> Pair:
    h = local + a.cumprod(0) * carry
    return h, h[-1]


def _all_pieces_at_once(a: Tensor, b: Tensor, size: int) -> Tensor:
    """Local scans side by side, then the carries, then all results: how a kernel with many processors does it."""
    missing = -len(a) % size
    a, b = (torch.nn.functional.pad(one, (0, missing), value=fill).reshape(-1, size) for one, fill in ((a, 1), (b, 0)))
    products, local = a.cumprod(1), torch.stack([recurrence(*pair) for pair in zip(a, b, strict=True)])
    ends = recurrence(products[:, -1], local[:, -1])
    carries = torch.cat([torch.zeros_like(ends[:1]), ends[:-1]])
    return (local + products * carries[:, None]).flatten()[: local.numel() - missing]


def _own_left_out(a: Tensor, local: Tensor, carry: Tensor) -> Pair:
    h = local + torch.cat([torch.ones_like(a[:1]), a[:-1].cumprod(0)]) * carry
    return h, h[-1]


def _by_own_a(a: Tensor, local: Tensor, carry: Tensor) -> Pair:
    h = local + a * carry
    return h, h[-1]


def _by_all(a: Tensor, local: Tensor, carry: Tensor) -> Pair:
    h = local + math.prod(a) * carry
    return h, h[-1]


chunked_scan = Exercise(
    name="chunked_scan",
    solution=lambda a, b, size: recurrence(a, b),
    draw=_draw_chunked,
    output="h, (length,)",
    mistakes=(
        Mistake(
            "the carry is missing: every piece begins with an empty state.",
            lambda a, b, size: _in_pieces(a, b, size, lambda a, local, carry: (local, carry)),
        ),
        Mistake(
            "the carry does not fade: within a piece it has been multiplied by every a until there.",
            lambda a, b, size: _in_pieces(a, b, size, lambda a, local, carry: (local + carry, (local + carry)[-1])),
        ),
        Mistake(
            "the carry meets the a of its place only. It has passed all places of the piece before too: that is a "
            "product, torch.cumprod.",
            lambda a, b, size: _in_pieces(a, b, size, _by_own_a),
        ),
        Mistake(
            "you hand on the end of the piece by itself; what came into that piece is lost. The carry is its last h, "
            "with everything in it.",
            lambda a, b, size: _in_pieces(
                a, b, size, lambda a, local, carry: (local + a.cumprod(0) * carry, local[-1])
            ),
        ),
        Mistake(
            "your product is one place late: the first place of a piece already lets the carry fade once.",
            lambda a, b, size: _in_pieces(a, b, size, _own_left_out),
        ),
        Mistake(
            "the carry fades by the whole piece at each of its places. At place k it has met k + 1 of them.",
            lambda a, b, size: _in_pieces(a, b, size, _by_all),
        ),
        Mistake(
            "the last piece is missing. It is shorter than the others where size does not divide the length.",
            lambda a, b, size: recurrence(a, b)[: len(a) // size * size],
        ),
    ),
    variants=(
        lambda a, b, size: _in_pieces(a, b, size, _right),
        _all_pieces_at_once,
    ),
)
