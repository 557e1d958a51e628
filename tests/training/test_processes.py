"""Two processes that share each batch train as one does with all of it; what one alone keeps, they can go on from."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from recipes.small_recipes import write_recipe
from training.several_processes import CLOSE, assert_alike, free_port, in_processes
from training.shared_runs import contrastive, not_finite, supervised
from training.tiny_runs import RECIPE

from vmamba_edu.training import open_checkpoint
from vmamba_edu.training.checkpointing import LAST
from vmamba_edu.training.processes import Processes, Together, require_shares

pytest.importorskip("accelerate")


def test_two_processes_lose_what_one_does(tmp_path):
    expected = supervised()
    assert expected["training"][-1]["loss"] < expected["training"][0]["loss"]
    for came in in_processes(supervised, tmp_path):
        assert_alike(came, expected)


def test_clips_are_contrasted_with_the_captions_of_all_processes(tmp_path):
    """Each process alone would have two captions to choose from, where one has four: another loss altogether."""
    expected = contrastive()
    for came in in_processes(contrastive, tmp_path):
        torch.testing.assert_close(came["training"], expected["training"], **CLOSE)
        torch.testing.assert_close(came["weights"], expected["weights"], **CLOSE)


def test_all_stop_where_one_meets_what_is_not_finite(tmp_path):
    for said in in_processes(not_finite, tmp_path):
        assert said.startswith("step 3 (epoch 1, batch 3): the part 'loss' of the objective is nan")


def test_a_batch_that_cannot_be_shared_is_refused():
    processes = Processes()
    processes.count = 3
    with pytest.raises(ValueError, match="batch_size: expected a multiple of 3, the processes, got 32"):
        require_shares(32, processes)
    require_shares(33, processes)


def test_parts_of_a_batch_make_the_whole():
    processes = Processes()
    processes.count = 3
    parts = []
    for processes.rank in range(3):
        parts += processes.part(list(range(12)))
    assert parts == list(range(12))


def test_without_accelerate_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "accelerate", None)
    with pytest.raises(ImportError, match=r"needs accelerate, .* pip install 'vmamba-edu\[scale\]'"):
        Together()


def launch(recipe: Path, folder: Path, *options: str, **extra: str) -> subprocess.Popen:
    """The command of docs/scale.md, on this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    place = ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    command = ["-m", "vmamba_edu.training", str(recipe), "--run-folder", str(folder), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **extra}
    return subprocess.Popen(
        [*launcher, *place, *command], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def kill_one_process(of: subprocess.Popen, rank: int) -> None:
    import psutil

    for worker in psutil.Process(of.pid).children(recursive=True):
        if worker.environ().get("RANK") == str(rank):
            worker.send_signal(signal.SIGKILL)
            return
    raise AssertionError(f"no process of rank {rank}")


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_when_one_process_is_killed_the_run_can_be_gone_on_with(tmp_path):
    """Launched as in docs/scale.md. It ends as a run that nobody killed, to the last bit."""
    recipe = write_recipe(tmp_path, RECIPE, train="160", epochs="2")
    unbroken = launch(recipe, tmp_path / "unbroken")
    said, _ = unbroken.communicate(timeout=300)
    assert unbroken.returncode == 0, said
    assert said.count("finished after 80 steps") == 1  # one of them speaks

    broken = launch(recipe, tmp_path / "broken")
    log = tmp_path / "broken" / "training.csv"
    while not log.exists() or log.read_text().count("\n") < 12:
        assert broken.poll() is None, broken.communicate()[0]
        time.sleep(0.02)
    kill_one_process(broken, rank=1)
    broken.communicate(timeout=300)
    assert broken.returncode != 0
    step = open_checkpoint(tmp_path / "broken" / LAST)["step"]
    assert 0 < step < 80

    resumed = launch(recipe, tmp_path / "broken", "--resume")
    said, _ = resumed.communicate(timeout=300)
    assert resumed.returncode == 0, said
    came, expected = (open_checkpoint(tmp_path / name / LAST) for name in ("broken", "unbroken"))
    assert came["step"] == expected["step"] == 80
    for name, value in expected["model"].items():
        assert torch.equal(came["model"][name], value), name
