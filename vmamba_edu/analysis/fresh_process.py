"""A fresh process that is asked one thing: it takes a request, gives an answer, and is gone.

    ask("from somewhere import answer; answer()", {"length": 8}, "numba")

The code reads the request from its input, as JSON, and writes the answer as the last line of its output, as JSON too.
What a process has run before hides in its memory, in its threads and in the mode of its compilers: what is measured
is therefore measured in one that has run nothing.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

# Every larger piece of memory comes from the system and goes back to it at once: what is resident is what is used.
MALLOC = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
LOOKS_EVERY_S = 0.2
"""How often it is looked whether the process is to be stopped: seldom enough not to disturb what it measures."""


def ask(
    code: str,
    request: Any,
    what: str,
    *,
    timeout: float,
    stopped: threading.Event | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Any:
    """The answer of a fresh process, which is gone when this returns or raises.

    Args:
        code: what it does.
        request: for it to read.
        what: it runs, in words, for the errors.
        timeout: seconds after which it is ended.
        stopped: ends it within a fifth of a second once it is set, from another thread.
        environment: its variables; beside them it gets `MALLOC`, and the path to the packages of this process.

    Raises:
        RuntimeError: it failed, was killed, was stopped, or took longer than `timeout` seconds.
    """
    everything = {**environment, **MALLOC, "PYTHONPATH": os.pathsep.join(where_packages_are())}
    pipes: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    process = f"the process that ran {what}"
    with subprocess.Popen([sys.executable, "-c", code], text=True, env=everything, **pipes) as child:
        try:
            said, complained = _talk(child, json.dumps(request), timeout, stopped)
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{process} took longer than its timeout of {timeout:g} s, and was ended") from error
        finally:
            child.kill()  # nothing, where it has ended by itself
    if stopped is not None and stopped.is_set() and child.returncode:
        raise RuntimeError(f"{process} was stopped, as it was asked to")
    if child.returncode < 0:
        raise RuntimeError(f"{process} was killed: out of memory? try a smaller shape")
    if child.returncode:
        last = (complained.strip().splitlines() or ["without a word"])[-1]
        raise RuntimeError(f"{process} failed: {last}")
    return json.loads(said.splitlines()[-1])


def where_packages_are() -> list[str]:
    """Folders in which a fresh process finds the packages of this one."""
    import vmamba_kernels

    import vmamba_edu

    found = [str(Path(str(package.__file__)).parents[1]) for package in (vmamba_edu, vmamba_kernels)]
    return [*found, *filter(None, [os.environ.get("PYTHONPATH")])]


def _talk(
    child: subprocess.Popen, request: str | None, timeout: float, stopped: threading.Event | None
) -> tuple[str, str]:
    """What a process says and complains of until it ends, or is ended because of `stopped`.

    Raises:
        subprocess.TimeoutExpired: it took too long; it still runs.
    """
    deadline = time.monotonic() + timeout
    while True:
        left = deadline - time.monotonic()
        try:
            return child.communicate(request, left if stopped is None else min(left, LOOKS_EVERY_S))
        except subprocess.TimeoutExpired:
            if stopped is not None and stopped.is_set():
                child.kill()
            elif time.monotonic() >= deadline:
                raise
        request = None  # it was said, or is being said
