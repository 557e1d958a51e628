"""Work done in several processes of this machine, each a fork of a server that has only imported.

Not forks of the tests' own process: its threads have multiplied matrices by then, and MKL was seen to search its memory
for ever in a child (`mm_account_ptr_by_tid`). So what is done stands in modules that can be imported, `shared_runs`.
"""

import multiprocessing
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp

# Sums over a batch in another order, in float64, through ten steps of AdamW.
CLOSE = {"rtol": 1e-7, "atol": 1e-9}
IN_PIECES = {"ACCELERATE_USE_FSDP": "true"}  # what `accelerate launch --use_fsdp` says


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def join(rank: int, work: Callable[[], Any], count: int, folder: str, port: int, environment: dict[str, str]) -> None:
    """One process of several, as a launcher starts it: do the work and leave what it gives."""
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()} | environment
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    torch.save(work(), f"{folder}/{rank}.pt")
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def in_processes(
    work: Callable[[], Any], folder: Path, count: int = 2, environment: dict[str, str] | None = None
) -> list[Any]:
    """What `work` gives in each of them."""
    folder.mkdir(exist_ok=True)
    multiprocessing.get_context("forkserver").set_forkserver_preload(["training.shared_runs"])
    arguments = (work, count, str(folder), free_port(), environment or {})
    with pytest.MonkeyPatch.context() as patch:  # the server looks for what to import beforehand on this path alone
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        mp.start_processes(join, arguments, nprocs=count, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt") for rank in range(count)]


def assert_alike(came: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in ("training", "validation"):
        assert len(came[name]) == len(expected[name]) > 0
        for one, other in zip(came[name], expected[name], strict=True):
            torch.testing.assert_close(one, other, **CLOSE)
    torch.testing.assert_close(came["weights"], expected["weights"], **CLOSE)
