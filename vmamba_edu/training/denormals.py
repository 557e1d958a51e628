"""Training with denormal numbers flushed to zero, without touching the mode of whoever asks.

Numbers below 1e-38 arise everywhere in a state that decays and in an optimiser's averages, and a CPU computes with them
by microcode: a small VideoMamba trains ten times slower for them (measured: 0.8–1.3 s a step instead of 0.06–0.11).

The mode belongs to a thread, and torch's worker threads take it over from the thread that starts them, and keep it. So
setting and resetting it here would leave workers behind that flush for ever, or, had they been started before, workers
that never do. Training therefore runs in a thread of its own, which gets workers of its own, and they end with it.
The caller's workers end before it begins: together they would be more than there are processors, see `dismiss_team`.
"""

import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from vmamba_kernels.openmp_runtime import dismiss_team

Result = TypeVar("Result")


def run_flushing_denormals(work: Callable[[threading.Event], Result]) -> Result:
    """Call `work` in a thread in which denormals count as zero, wait for it, and return or raise what it does.

    Args:
        work: is given an event that is set when the caller is interrupted (Ctrl-C, Jupyter's stop button); it should
            then come to an end soon. The interrupt is raised here when it has.
    """
    interrupted = threading.Event()
    context = contextvars.copy_context()  # where a notebook's output belongs is kept in one

    def run() -> Result:
        torch.set_flush_denormal(True)  # of this thread; returns False, and changes nothing, where it is not supported
        return work(interrupted)

    dismiss_team()
    with ThreadPoolExecutor(1, "training") as thread:
        future = thread.submit(context.run, run)
        try:
            return future.result()
        except KeyboardInterrupt:
            interrupted.set()
            raise
