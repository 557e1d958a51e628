"""A run that is killed at any moment goes on and ends as if nothing had been, to the last bit."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from training.tiny_runs import STEPS, run_and_die

from vmamba_edu.training.checkpointing import BEST, LAST, open_checkpoint
from vmamba_edu.training.logs import TRAINING, VALIDATION

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")


@pytest.fixture(scope="module")
def start() -> Iterator[Callable]:
    """Starts a process of its own; a server imports torch once, and each run is a fork of it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["training.warm_runs"])

    def process(*arguments: object) -> multiprocessing.Process:
        started = context.Process(target=run_and_die, args=arguments)
        started.start()
        return started

    with pytest.MonkeyPatch.context() as patch:  # the server looks for what to import beforehand on this path alone
        patch.setenv("PYTHONPATH", str(Path(__file__).parents[1]), prepend=os.pathsep)
        yield process


@pytest.fixture(scope="module")
def unbroken(start, tmp_path_factory) -> Path:
    """The folder of a run that nobody killed."""
    folder = tmp_path_factory.mktemp("unbroken")
    process = start(folder, "never")
    process.join()
    assert process.exitcode == 0
    return folder


def finish(start: Callable, folder: Path) -> None:
    process = start(folder, "never")
    process.join()
    assert process.exitcode == 0


def assert_same_end(folder: Path, unbroken: Path) -> None:
    """Weights, averages, optimiser, generators, the watch over validation, and both logs."""
    for name in (LAST, BEST):
        assert_equal(open_checkpoint(folder / name), open_checkpoint(unbroken / name), name)
    for name in (TRAINING, VALIDATION):
        assert (folder / name).read_text() == (unbroken / name).read_text()
    assert {path.name for path in folder.iterdir()} == {LAST, BEST, TRAINING, VALIDATION}


def assert_equal(actual: object, expected: object, where: str) -> None:
    if isinstance(expected, torch.Tensor):
        assert torch.equal(actual, expected), where
    elif isinstance(expected, dict):
        assert actual.keys() == expected.keys(), where
        for key in expected:
            assert_equal(actual[key], expected[key], f"{where}: {key}")
    else:
        assert actual == expected, where


KILLS = [
    ("step", 1),
    ("step", 5),  # the last of an epoch: before its validation
    ("step", 8),  # right before a checkpoint is written
    ("validation", 2),
    ("written", 0),
    ("written", 3000),
    ("written", 20000),
    ("unnamed", 3),
    ("named", 3),
    ("named", 0),  # the checkpoint of the beginning
]


@pytest.mark.parametrize(("moment", "number"), KILLS)
def test_a_killed_run_ends_as_if_it_had_not_been_killed(start, unbroken, tmp_path, moment, number):
    process = start(tmp_path, moment, number)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    open_checkpoint(tmp_path / LAST)  # whatever happened, there is one, and it is whole
    finish(start, tmp_path)
    assert_same_end(tmp_path, unbroken)


def test_workers_make_the_same_batches_and_survive_a_kill_too(start, unbroken, tmp_path):
    process = start(tmp_path, "step", 7, 2)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    second = start(tmp_path, "never", 0, 1)
    second.join()
    assert_same_end(tmp_path, unbroken)


def test_killed_again_and_again_from_outside(start, unbroken, tmp_path):
    """Whenever three more steps stand in the log: at no moment that the program knows of."""
    log = tmp_path / TRAINING
    for goal in (3, 6, 9, 12):
        process = start(tmp_path, "never")
        while process.is_alive() and (not log.exists() or len(log.read_text().splitlines()) < goal):
            time.sleep(0.002)
        process.kill()
        process.join()
    finish(start, tmp_path)
    assert_same_end(tmp_path, unbroken)


def test_the_runs_really_train(unbroken):
    """A comparison of two runs that do nothing would show nothing."""
    lines = (unbroken / TRAINING).read_text().splitlines()
    assert len(lines) == 1 + STEPS
    content = open_checkpoint(unbroken / LAST)
    assert content["step"] == STEPS
    assert content["objective"]["temperature"] != 1
    assert not torch.equal(content["model"]["head.weight"], content["average"]["module.head.weight"])
