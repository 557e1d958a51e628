"""A few threads that help the calling one, where torch's own cannot: see thread_team.py.

The kernels release Python's global lock and share out their work themselves, through a counter (see
machine.take_number): a thread that comes late finds less to do, one that does not come at all is not missed. So all
that is needed here is to call one function from several threads at once and to return when the last call has. That is
Python's own thread pool and ten lines. Numba's parallel loops would do it too, but their back ends abort the process
when two Python threads call at the same moment, or after a fork, or when another library has chosen another back end.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

LARGEST_POOL = 64


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=LARGEST_POOL, thread_name_prefix="vmamba-kernels")


# A fork copies the pool but none of its threads: the child makes a new one when it needs it.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)


def run_together(work: Callable[[int], None], threads: int) -> None:
    """Call work(0) here and work(1) … work(threads − 1) in helping threads, at once; return when all have ended.

    Calls that no helper has begun by the time work(0) ends are dropped: `work` must take its share from a common stock,
    so that nothing is left undone. May be called from several threads at the same time.
    """
    try:
        helpers = [_pool().submit(work, i) for i in range(1, threads)]
    except RuntimeError:  # the interpreter is shutting down, and starts no more threads
        helpers = []
    work(0)
    for helper in helpers:
        if not helper.cancel():
            helper.result()
