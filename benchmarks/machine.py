"""The machine: what it is, and the limits it sets to a selective scan, measured in the same run as the scan itself.

Three limits, each measured with code that does nothing else: multiply-adds in registers, exponentials (those of
`vmamba_kernels.vector_math`: exact to one unit in the last place, the fastest we know how to write) from the first
cache, both for every thread, and a copy of as many bytes as the scan moves. Arithmetic of either kind runs in the same
units, so their times add up; memory works beside them. So

    floor = max(updates × (multiply-adds / rate + exponentials / rate), time of the copy).

Counted for each update of a state, whatever the method. Forward: exp(Δ A) is one exponential, its product included;
x B, Ā h + x B and C h are three multiply-adds. Backward, if no state was stored: the exponential and h once more (two),
C h for the gate's gradient (one), and the eight products of the chain rule: C g, B G, x G, g h, Ā h G, A F, Δ F, Ā G.
For each token of a channel: softplus and gate are an exponential each, and softplus a logarithm, counted as one more.
"""

import os
import platform
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import psutil
import torch

from benchmarks.measure import thread_seconds, wall_seconds
from benchmarks.shapes import Shape

EXPONENTIALS = {"forward": 1, "forward+backward": 2}
MULTIPLY_ADDS = {"forward": 3, "forward+backward": 3 + 11}
EXPONENTIALS_A_TOKEN = {"forward": 3, "forward+backward": 3 + 3}  # of a channel; the backward needs them again
# Arrays of (batch, dim, length), read or written. Forward: u, Δ, z, y. Backward: u, Δ, z, gradients of y, u, Δ, z.
ARRAYS = {"forward": 4, "forward+backward": 4 + 7}
MAPS = {"forward": 2, "forward+backward": 2 + 4}  # of (batch, state, length): B, C, and their gradients


def describe(device: str) -> dict[str, Any]:
    """What somebody needs to know to compare these numbers with others."""
    found = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "device": device,
        "cpu": _cpu_name(),
        "threads": torch.get_num_threads(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "commit": _commit(),
        "load_before": round(os.getloadavg()[0], 2),
    }
    if device == "cuda":
        found |= {"gpu": torch.cuda.get_device_name(), "cuda": torch.version.cuda or torch.version.hip}
    return found


def _cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    flags = next((line.split() for line in lines if line.startswith("flags")), [])
    widest = next((name for flag, name in (("avx512f", "AVX-512"), ("avx2", "AVX2")) if flag in flags), "")
    return ", ".join(filter(None, [names[0] if names else platform.processor() or "unknown", widest]))


def _commit() -> str:
    root = Path(__file__).parents[1]
    try:
        commands = (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--", "kernels/vmamba_kernels"])
        commit, changed = (
            subprocess.run(["git", *c], cwd=root, capture_output=True, text=True, check=True).stdout.strip()
            for c in commands
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return f"{commit}, with changes" if changed else commit


class Bystanders:
    """How many processors other programs have kept busy since this object was made, on average.

    A measurement in wall time is only worth something where they were few. Libraries whose threads wait for each other
    at a barrier suffer most: one missing processor may cost them many times its share.
    """

    def __init__(self) -> None:
        self.began = self._now()

    def average(self) -> float:
        seconds, others = (now - then for now, then in zip(self._now(), self.began, strict=True))
        return max(0.0, others / max(seconds, 1e-3))

    @staticmethod
    def _now() -> tuple[float, float]:
        """Seconds on the clock, and processor seconds spent by all others since the machine was started."""
        everyone, own = psutil.cpu_times(), psutil.Process().cpu_times()
        idle = everyone.idle + getattr(everyone, "iowait", 0.0)
        return time.monotonic(), sum(everyone[:8]) - idle - own.user - own.system


@dataclass(frozen=True)
class Limits:
    """Rates of all threads together, per second; 0 where it was not measured (on a GPU)."""

    multiply_adds: float
    exponentials: float

    def or_better(self, other: "Limits") -> "Limits":
        """A limit is the best ever seen: whatever disturbs a measurement only lowers it."""
        return Limits(max(self.multiply_adds, other.multiply_adds), max(self.exponentials, other.exponentials))


def measure_limits(device: str) -> Limits:
    """What the arithmetic units can do. On a GPU only the copy is measured: see `copy_seconds`."""
    if device != "cpu":
        return Limits(0.0, 0.0)
    # Imported here, as numba is: `--help` need not wait for a compiler.
    from vmamba_kernels.probes import CHAINS, ROWS, numbers_in_a_block, probes

    multiply_adds, exponentials = probes()
    numbers = numbers_in_a_block()
    memory = torch.full((2 * ROWS, numbers), 0.5).numpy()
    return Limits(
        multiply_adds=_rate(lambda: multiply_adds(memory, 20_000), CHAINS * numbers * 20_000),
        exponentials=_rate(lambda: exponentials(memory, 400), ROWS * numbers * 400),
    )


def _rate(work: Callable[[], None], count: int) -> float:
    """Operations a second of all threads: as many times what one does in its own CPU time, the best of many tries.

    Other programs take time from the wall clock but not from this one. Threads that share a core, or slow each other's
    clock, do less than that: a floor stays a floor.
    """
    work()  # compiles
    return torch.get_num_threads() * count / min(thread_seconds(work) for _ in range(100))


def bytes_moved(shape: Shape, direction: str) -> int:
    """Bytes that a fused scan in float32 has to read and write, each once."""
    return 4 * (ARRAYS[direction] * shape.tokens + MAPS[direction] * shape.batch * shape.state * shape.length)


@cache
def copy_seconds(moved: int, device: str = "cpu") -> float:
    """The least time in which so many bytes are read and written: half read, half written. Few stay in the cache."""
    source = torch.ones(moved // 8, device=device)
    target = torch.empty_like(source)
    calls = 5 + min(100, int(2**32 / moved))
    return min(wall_seconds(lambda: target.copy_(source), device) for _ in range(calls))


def floor(shape: Shape, direction: str, limits: Limits, device: str = "cpu") -> dict[str, float]:
    """Milliseconds that this machine needs at the very least for a scan, and what they are made of."""
    exponentials = shape.updates * EXPONENTIALS[direction] + shape.tokens * EXPONENTIALS_A_TOKEN[direction]
    multiply_adds = shape.updates * MULTIPLY_ADDS[direction]
    parts = {
        "exponentials": 1e3 * exponentials / limits.exponentials if limits.exponentials else 0.0,
        "multiply_adds": 1e3 * multiply_adds / limits.multiply_adds if limits.multiply_adds else 0.0,
        "copy": 1e3 * copy_seconds(bytes_moved(shape, direction), device),
    }
    return parts | {"floor": max(parts["exponentials"] + parts["multiply_adds"], parts["copy"])}
