"""How much memory programs can have now, and how a number of bytes is said."""

import psutil

SHARE = 0.6
"""Of the free memory; what is predicted to need more is not tried."""


def free_memory() -> int:
    """Bytes that programs can have now: what is free, and what the system gives back when it is asked for."""
    return int(psutil.virtual_memory().available)


def gigabytes(number: float) -> str:
    """Bytes in words."""
    return f"{number / 2**30:.3g} GiB" if number >= 2**30 else f"{number / 2**20:.3g} MiB"
