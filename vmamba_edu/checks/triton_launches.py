"""The kernel with which lesson 07's `join` is checked. Imports Triton: the check imports this when it runs."""

# mypy: disable-error-code="no-untyped-def"

import triton
import triton.language as tl


@triton.jit
def prefix_kernel(a, b, out, LENGTH: tl.constexpr, COMBINE: tl.constexpr):
    """out[0] and out[1]: the two results of COMBINE over all prefixes of the pairs (a, b)."""
    t = tl.arange(0, LENGTH)
    decay, h = tl.associative_scan((tl.load(a + t), tl.load(b + t)), 0, COMBINE)
    tl.store(out + t, decay)
    tl.store(out + LENGTH + t, h)
