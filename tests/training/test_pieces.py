"""A model kept in pieces learns what a whole one does, and its checkpoints are those of a whole one."""

import re
import signal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.multiprocessing.spawn import ProcessExitedException
from training.several_processes import CLOSE, IN_PIECES, assert_alike, in_processes
from training.shared_runs import Tempered, contrastive, count, run, what_is_held
from training.tiny_runs import tiny_model

from vmamba_edu.training import open_checkpoint
from vmamba_edu.training.checkpointing import BEST, LAST
from vmamba_edu.training.pieces import InPieces
from vmamba_edu.training.processes import launched
from vmamba_edu.training.state import Task

pytest.importorskip("accelerate")


def test_processes_with_pieces_lose_what_one_does(tmp_path):
    """Losses, norms of the gradient, validations by the average of the weights, the weights in the end; and what they
    keep is what one keeps."""
    expected = run(tmp_path / "alone")
    assert expected["training"][-1]["loss"] < expected["training"][0]["loss"]
    assert expected["temperature"] != 1
    for came in in_processes(partial(run, tmp_path / "pieces"), tmp_path / "out", 2, IN_PIECES):
        assert_alike(came, expected)
        torch.testing.assert_close(came["temperature"], expected["temperature"], **CLOSE)
    for name in (LAST, BEST):
        assert_same_checkpoint(tmp_path / "pieces" / name, tmp_path / "alone" / name)


def test_they_stop_early_where_one_does(tmp_path):
    """What is monitored gets worse as the loss falls."""
    changed = {"mode": "max", "patience": 1, "epochs": 5}
    expected = run(**changed)
    assert expected["ended"] == "early stop"
    assert len(expected["validation"]) < 5
    for came in in_processes(partial(run, **changed), tmp_path, 2, IN_PIECES):
        assert came["ended"] == "early stop"
        assert_alike(came, expected)


def assert_same_checkpoint(came: Path, expected: Path) -> None:
    """The same names, kinds and numbers, but for random streams: each process has its own."""
    one, other = (open_checkpoint(path) for path in (came, expected))
    for content in (one, other):
        for name in ("random", "others_random"):
            content.pop(name)
    assert_same(one, other, "")


def assert_same(came: Any, expected: Any, where: str) -> None:
    assert type(came) is type(expected), where
    if isinstance(expected, Tensor):
        torch.testing.assert_close(came, expected, **CLOSE, msg=lambda text: f"{where}: {text}")
    elif isinstance(expected, dict):
        assert list(came) == list(expected), where
        for name in expected:
            assert_same(came[name], expected[name], f"{where} / {name}")
    elif isinstance(expected, float):
        assert came == pytest.approx(expected, rel=1e-7), where
    else:
        assert came == expected, where


def test_a_run_goes_on_in_other_processes(tmp_path):
    """Alone, in pieces among two and then four, whole in two: it breaks before each change.

    Where a loss is not finite, who gave the model has it whole again, with the weights before that step.
    """
    go_on = partial(run, tmp_path / "run")
    expected = run(epochs=3)
    for step, (many, environment) in zip((2, 6, 8), ((1, {}), (2, IN_PIECES), (4, IN_PIECES)), strict=True):
        for broken in in_processes(partial(go_on, breaks_at=step), tmp_path / "out", many, environment):
            assert broken["error"].startswith(
                f"step {step + 1} (epoch {step // 5 + 1}, batch {step % 5 + 1}): the part"
            )
            kept = open_checkpoint(tmp_path / "run" / LAST)
            assert kept["step"] == step
            torch.testing.assert_close(broken["weights"], kept["model"], rtol=0, atol=0)
    for came in in_processes(go_on, tmp_path / "out", 2):
        assert_alike(came, expected)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs kill -9")
def test_where_one_is_killed_the_run_goes_on_to_the_same_end(tmp_path):
    """In as many processes, on a CPU: to the last bit."""
    unbroken = in_processes(run, tmp_path / "out", 2, IN_PIECES)[0]
    with pytest.raises(ProcessExitedException, match="SIGKILL"):
        in_processes(partial(run, tmp_path / "run", breaks_at=7, dies=True), tmp_path / "out", 2, IN_PIECES)
    assert open_checkpoint(tmp_path / "run" / LAST)["step"] == 6
    came = in_processes(partial(run, tmp_path / "run"), tmp_path / "out", 2, IN_PIECES)[0]
    torch.testing.assert_close(came["weights"], unbroken["weights"], rtol=0, atol=0)
    assert came["validation"] == unbroken["validation"]


def test_each_holds_its_part(tmp_path):
    """Together they hold the whole once; what has fewer rows than there are processes, some hold nothing of."""
    everything = count(tiny_model(depth=2).parameters())
    held = in_processes(what_is_held, tmp_path, 2, IN_PIECES)
    for name in ("weights", "average"):
        assert sum(one[name] for one in held) == everything
        assert max(one[name] for one in held) < 0.6 * everything
    assert sum(one["moments"] for one in held) == 2 * everything
    assert [one["given"] for one in held] == [0, 0]


def test_a_video_text_model_learns_in_pieces(tmp_path):
    expected = contrastive()
    for came in in_processes(contrastive, tmp_path, 2, IN_PIECES):
        torch.testing.assert_close(came["training"], expected["training"], **CLOSE)
        torch.testing.assert_close(came["weights"], expected["weights"], **CLOSE)


REFUSED = [
    ({"FSDP_OFFLOAD_PARAMS": "true"}, "FSDP_OFFLOAD_PARAMS: expected weights that stay on the GPU with a model in"),
    ({"FSDP_ACTIVATION_CHECKPOINTING": "true"}, "got 'true'; use checkpoint_blocks in the recipe's [model] instead"),
    ({"ACCELERATE_MIXED_PRECISION": "bf16"}, "got 'bf16'; use precision = \"bfloat16\" in the recipe instead"),
    ({"ACCELERATE_MIXED_PRECISION": "fp16"}, 'mixed precision: expected "no" or "bf16", got \'fp16\'; float16 has'),
]


@pytest.mark.parametrize(("environment", "message"), REFUSED)
def test_what_is_not_done_is_refused(monkeypatch, environment, message):
    for name, value in {**IN_PIECES, **environment, "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=re.escape(message)):
        launched()


def test_an_objective_that_holds_the_model_is_refused():
    """The message comes before anything is cut."""
    model, processes = tiny_model(), InPieces.__new__(InPieces)
    objective = Tempered()
    objective.model = model
    with pytest.raises(ValueError, match="objective: expected one without weights of the model, got Tempered, which"):
        processes.prepare(Task(model, objective), torch.optim.AdamW(model.parameters()))
    assert all(type(parameter) is nn.Parameter and parameter.numel() for parameter in model.parameters())
