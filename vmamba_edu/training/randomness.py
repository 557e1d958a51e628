"""Random numbers that depend on the seed and the place alone: not on who asks, in which process, or after what."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch


def capture_random_state() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's generators, in types that a safe loader reads."""
    version, python, gauss = random.getstate()
    kind, numbers, *rest = np.random.get_state(legacy=True)  # noqa: NPY002 (others draw from it)
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []  # not in a forked worker
    return {
        "python": [version, list(python), gauss],
        "numpy": [str(kind), [int(number) for number in numbers], *rest],
        "torch": torch.get_rng_state(),
        "cuda": on_gpus,
    }


def restore_random_state(state: dict[str, Any]) -> None:
    """Put the generators where `capture_random_state` found them; GPUs that are not there are passed over."""
    version, python, gauss = state["python"]
    random.setstate((version, tuple(python), gauss))
    kind, numbers, *rest = state["numpy"]
    np.random.set_state((kind, np.array(numbers, dtype=np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if torch.cuda.is_initialized():
        for number, on_gpu in enumerate(state["cuda"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(on_gpu, number)


def seed_everything(*place: int) -> None:
    """Seed all three generators from a few numbers of at least 0, such as (seed, epoch, index)."""
    first, second = (int(word) for word in np.random.SeedSequence(place).generate_state(2, np.uint64))
    torch.default_generator.manual_seed(first % 2**63)  # torch.manual_seed would queue up calls for GPUs nobody uses
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(first % 2**63)
    np.random.seed(second % 2**32)  # noqa: NPY002 (so may a dataset that is not ours)
    random.seed(second)


@contextmanager
def streams_kept() -> Iterator[None]:
    """Whatever is seeded or drawn meanwhile, afterwards the generators go on as if nothing was."""
    # Not by `capture_random_state`: to turn thousands of numbers into plain ones for every batch takes long.
    python, numpy, ours = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(ours)
        for number, on_gpu in enumerate(on_gpus):
            torch.cuda.set_rng_state(on_gpu, number)


@contextmanager
def seeded(*place: int) -> Iterator[None]:
    """Draw from a stream that belongs to this place; afterwards the streams of outside go on as if nothing was."""
    with streams_kept():
        seed_everything(*place)
        yield
