"""torch's OpenMP runtime: where its functions are, and how a thread lets go of the others that work for it."""

import ctypes
import os
from pathlib import Path
from typing import Any

import torch

START, NUMBER, PAUSE = "GOMP_parallel", "omp_get_thread_num", "omp_pause_resource_all"
"""Of GNU's OpenMP; LLVM's and Intel's have functions of these names too."""

SOFT = 1
"""omp_pause_soft of OpenMP 5.0, §3.2.44: end the threads, keep the settings."""


def find_runtime() -> dict[str, Any]:
    """The functions of the runtime that torch has brought, by name; none where there is no such runtime."""
    for library in Path(torch.__file__).parent.glob("lib/libtorch_cpu.*"):
        try:
            loaded = ctypes.CDLL(str(library))
            return {name: getattr(loaded, name) for name in (START, NUMBER, PAUSE)}
        except (OSError, AttributeError):
            continue
    return {}


RUNTIME = find_runtime()
HAS_RUNTIME = bool(RUNTIME)


class Team:
    """Whether this process may use the runtime's threads: a forked child has a copy of it, but none of its threads."""

    available = HAS_RUNTIME

    @classmethod
    def lost(cls) -> None:
        cls.available = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Team.lost)


def dismiss_team() -> bool:
    """End the threads that the calling thread computes with, until its next parallel operator; whether that was done.

    Every thread that computes has a team of its own, which stays when it has nothing to do. The runtime counts them
    all, and once they are more than processors, none waits awake any more: each operator of any team then begins by
    waking its threads, which takes a small one longer than its work. So a thread that leaves all computing to
    another, for as long as that takes, lets its team go.
    """
    return Team.available and RUNTIME[PAUSE](SOFT) == 0
