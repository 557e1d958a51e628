"""How much memory programs can have now, and how a number of bytes is said."""

import os
from pathlib import Path

SHARE = 0.6
"""Of the free memory; what is predicted to need more is not tried."""


def free_memory() -> int | None:
    """Bytes that programs can have now; where only the whole memory is known, that; None where neither is."""
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines() if ":" in line)
        return 1024 * int(fields["MemAvailable"].split()[0])
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None


def gigabytes(number: float) -> str:
    """Bytes in words."""
    return f"{number / 2**30:.3g} GiB" if number >= 2**30 else f"{number / 2**20:.3g} MiB"
