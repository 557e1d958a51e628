"""Two processes that share each batch train as one does with all of it; what one alone keeps, they can go on from."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from small_video_text import CAPTIONS
from small_video_text import tiny_model as tiny_video_text
from torch import nn
from training.tiny_runs import Clips, tiny_model

from vmamba_edu.training import History, TrainingSettings, open_checkpoint, train
from vmamba_edu.training.checkpointing import LAST
from vmamba_edu.training.objectives import LossWeights, Supervised, VideoText
from vmamba_edu.training.processes import Processes, Together, require_shares

pytest.importorskip("accelerate")

SETTINGS = TrainingSettings(epochs=2, batch_size=4, learning_rate=1e-2, ema_decay=0.5, seed=3)
# Sums over a batch in another order, in float64, through ten steps of AdamW.
CLOSE = {"rtol": 1e-7, "atol": 1e-9}


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def join(rank: int, work: Callable[[], Any], count: int, folder: str, port: int) -> None:
    """One process of several, as a launcher starts it: do the work and leave what it gives."""
    torch.set_num_threads(1)  # forked: OpenMP's threads were left behind
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count, "MASTER_PORT": port}
    os.environ |= {name: str(value) for name, value in place.items()}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "ACCELERATE_USE_CPU": "true"}
    torch.save(work(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def in_processes(work: Callable[[], Any], folder: Path, count: int = 2) -> list[Any]:
    mp.start_processes(join, (work, count, str(folder), free_port()), nprocs=count, start_method="fork")
    return [torch.load(folder / f"{rank}.pt") for rank in range(count)]


def told(history: History, model: nn.Module) -> dict[str, Any]:
    return {"training": history.training, "validation": history.validation, "weights": model.state_dict()}


def assert_alike(came: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in ("training", "validation"):
        assert len(came[name]) == len(expected[name]) > 0
        for one, other in zip(came[name], expected[name], strict=True):
            torch.testing.assert_close(one, other, **CLOSE)
    torch.testing.assert_close(came["weights"], expected["weights"], **CLOSE)


def supervised() -> dict[str, Any]:
    """A run whose clips are drawn, whose weights are averaged, and which is validated on batches of unequal size."""
    model = tiny_model(drop_path_rate=0.0).double()
    data, held_out = DoubleClips(21), DoubleClips(7, "validation")
    return told(train(model, Supervised(), data, SETTINGS, validation=held_out, progress=False), model)


class DoubleClips(Clips):
    def __getitem__(self, index: int) -> dict[str, Any]:
        sample = super().__getitem__(index)
        return sample | {"clip": sample["clip"].double()}


def test_two_processes_lose_what_one_does(tmp_path):
    expected = supervised()
    assert expected["training"][-1]["loss"] < expected["training"][0]["loss"]
    for came in in_processes(supervised, tmp_path):
        assert_alike(came, expected)


class Captioned(Clips):
    def __getitem__(self, index: int) -> dict[str, Any]:
        clip = torch.randn(3, 4, 16, 16).double()
        return {"clip": clip, "caption": CAPTIONS[index % 4], "index": index % 4}


def contrastive() -> dict[str, Any]:
    model, tokeniser = tiny_video_text()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # what one process drops, two would not
    weights = LossWeights(contrast=1.0, matching=0.0, words=0.0)
    objective = VideoText(tokeniser, weights, gathered_gradient="whole")
    return told(train(model.double(), objective, Captioned(16), SETTINGS, progress=False), model) | {"validation": None}


def test_clips_are_contrasted_with_the_captions_of_all_processes(tmp_path):
    """Each process alone would have two captions to choose from, where one has four: another loss altogether."""
    expected = contrastive()
    for came in in_processes(contrastive, tmp_path):
        torch.testing.assert_close(came["training"], expected["training"], **CLOSE)
        torch.testing.assert_close(came["weights"], expected["weights"], **CLOSE)


def not_finite() -> str:
    """A run in which one process meets a loss that is not finite."""

    class Breaking(Supervised):
        def __call__(self, model: nn.Module, batch: dict[str, Any]) -> dict[str, torch.Tensor]:
            parts = super().__call__(model, batch)
            broken = batch["step"] == 2 and os.environ["RANK"] == "1"
            return parts | {"loss": parts["loss"] * (float("nan") if broken else 1)}

    try:
        train(tiny_model(), Breaking(), Clips(), SETTINGS, progress=False)
    except ArithmeticError as error:
        return str(error)
    return "no error"


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


RECIPE = """
[model]
name = "videomamba_tiny"
embed_dim = 8
depth = 1
d_state = 4
img_size = 16
patch_size = 8
num_frames = 2

[data]
name = "moving_digits"
train = 160
validation = 8

[objective]
name = "supervised"

[training]
epochs = 2
batch_size = 4
checkpoint_every = 5
"""


def launch(recipe: Path, folder: Path, *options: str) -> subprocess.Popen:
    """The command of docs/scale.md, on this machine."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    place = ["--master-addr", "127.0.0.1", "--master-port", str(free_port())]
    command = ["-m", "vmamba_edu.training", str(recipe), "--run-folder", str(folder), *options]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
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
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(RECIPE, "utf-8")
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
