"""A sequence split among processes is the undivided one: outputs, and gradients too."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from vmamba_edu.models import create_model
from vmamba_edu.models.mixer import Mixer
from vmamba_edu.models.split_sequence import SplitSequence

CLIP = (2, 3, 3, 32, 32)  # with patches of 16: 13 tokens, which three processes cannot share evenly


def join(rank: int, work: Callable[[int], Any], world: int, folder: str) -> None:
    """One process of several: do the work and leave what it gives."""
    torch.set_num_threads(1)  # forked: OpenMP's threads were left behind
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=world)
    torch.save(work(rank), f"{folder}/{rank}.pt")
    dist.destroy_process_group()


def in_processes(work: Callable[[int], Any], world: int, folder: Path) -> list[Any]:
    mp.start_processes(join, (work, world, str(folder)), nprocs=world, start_method="fork")
    return [torch.load(folder / f"{rank}.pt") for rank in range(world)]


def small_videomamba(backend: str) -> torch.nn.Module:
    torch.manual_seed(0)
    model = create_model("videomamba_tiny", embed_dim=16, depth=3, img_size=32, num_frames=3, num_classes=4)
    for name, parameter in model.named_parameters():  # as published, Δ's weights and positions hardly act at first
        if "norm" not in name and "A_" not in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return model.double().set_backend(backend)


def features_and_gradients(features: torch.Tensor, model: torch.nn.Module, weight: float) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    (features * torch.randn(features.shape, generator=generator).double()).sum().mul(weight).backward()
    gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
    return {"features": features.detach(), **gradients}


def clip() -> torch.Tensor:
    return torch.randn(CLIP, generator=torch.Generator().manual_seed(2)).double()


def split_model(rank: int, backend: str) -> dict[str, torch.Tensor]:
    model, split = small_videomamba(backend), SplitSequence()
    came = features_and_gradients(split.forward_features(model, clip()), model, 1 / split.world)
    for name in came.keys() - {"features"}:
        dist.all_reduce(came[name])
    return came


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_a_model_split_among_processes_is_the_undivided_one(backend, world, tmp_path):
    model = small_videomamba(backend)
    expected = features_and_gradients(model.forward_features(clip()), model, 1)
    for came in in_processes(lambda rank: split_model(rank, backend), world, tmp_path):
        assert came.keys() == expected.keys()
        for name, value in expected.items():
            # Two scans of a part, in float64, and a sum over processes: rounding alone.
            torch.testing.assert_close(came[name], value, rtol=0, atol=1e-11 * value.abs().max().item(), msg=name)


def test_the_state_travels_through_all_processes(tmp_path):
    """With little decay the first token is felt at the very end, and the last one at the beginning."""

    def work(rank: int) -> torch.Tensor:
        torch.manual_seed(0)
        mixer = Mixer(8).double()
        torch.nn.init.constant_(mixer.dt_proj.bias, -6)
        torch.nn.init.constant_(mixer.dt_proj_b.bias, -6)
        tokens = torch.randn(1, 30, 8).double()
        split = SplitSequence()

        def read(x: torch.Tensor) -> torch.Tensor:
            with split.applied_to(mixer):
                return split.whole(mixer(split.part(x)))

        first, last = tokens.clone(), tokens.clone()
        first[:, 0] += 1
        last[:, -1] += 1
        return torch.stack([read(first) - read(tokens), read(last) - read(tokens)]).abs().amax(dim=(1, 3)).detach()

    for first, last in in_processes(work, 3, tmp_path):
        assert first[-1] > 1e-9
        assert last[0] > 1e-9


def test_what_cannot_be_split_is_refused(tmp_path):
    def work(rank: int) -> list[str]:
        split, said = SplitSequence(), []
        temporal = create_model("videomamba_tiny", embed_dim=16, depth=1, scan_order="temporal_first")
        pro = create_model("videomambapro_tiny", embed_dim=16, depth=1)
        few = torch.zeros(1, 1, 8)
        for attempt in (
            lambda: split.applied_to(temporal).__enter__(),
            lambda: split.applied_to(pro).__enter__(),
            lambda: split.part(few),
            lambda: split.causal_conv1d(torch.zeros(1, 8, 2 + rank), torch.zeros(8, 4)),
        ):
            try:
                attempt()
            except ValueError as error:
                said.append(str(error))
        return said

    for temporal, pro, few, narrow in in_processes(work, 2, tmp_path):
        assert (
            temporal
            == "model: expected VideoMamba's mixers, reading spatial-first, got Mixer with scan_order 'temporal_first'"
        )
        assert "got ProMixer" in pro
        assert few == "tokens: expected at least one for each of 2 processes, got 1"
        assert "expected at least 3 tokens in each process, for the convolution looks back so far, got 2" in narrow


def test_without_processes_it_says_how_to_start_them():
    with pytest.raises(RuntimeError, match="run this with torchrun"):
        SplitSequence()


def test_afterwards_the_model_is_as_it_was():
    """Also where the work within raised."""
    mixer = Mixer(8)
    own = mixer.operators

    def fail() -> None:
        with SplitSequence.__new__(SplitSequence).applied_to(mixer):
            assert mixer.operators is not own
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert mixer.operators is own
