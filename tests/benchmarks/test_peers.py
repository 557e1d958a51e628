"""Every peer that is installed computes the operator that ours computes; one that does not is not timed."""

import importlib
import sys
from dataclasses import replace
from typing import Any

import pytest
import torch

from benchmarks import laws
from benchmarks.measure import Call
from benchmarks.peers import FILES, Missing, Peer, load_peers
from benchmarks.peers.ours import make as make_ours


def peers_of(file: str) -> list[Peer]:
    try:
        return importlib.import_module(f"benchmarks.peers.{file}").make("cpu")
    except Missing as reason:
        pytest.skip(str(reason))


@pytest.mark.parametrize("file", FILES["cpu"])
def test_it_computes_what_the_reference_computes(file: str) -> None:
    for peer in peers_of(file):
        assert laws.worst_error(peer) < laws.TOLERANCE, peer.name


def numba() -> Peer:
    return make_ours("cpu")[0]


def test_a_wrong_peer_is_found_out() -> None:
    right = numba()

    def forgets_the_gate(arguments: dict[str, Any]) -> Call:
        return right.forward({**arguments, "z": torch.full_like(arguments["z"], 1.0)})

    def forgets_a_gradient(arguments: dict[str, Any]) -> Call:
        call = right.forward_backward(arguments)

        def changed() -> tuple:
            y, gradients = call()
            return y, (*gradients[:-1], torch.zeros_like(gradients[-1]))

        return changed

    wrong = [
        replace(right, name="no gate", forward=forgets_the_gate),
        replace(right, name="no bias gradient", forward_backward=forgets_a_gradient),
    ]
    kept, errors = laws.obeying([right, *wrong], "cpu")
    assert [peer.name for peer in kept] == ["numba"]
    assert len(errors) == 3


@pytest.mark.parametrize("module", ["jax", "mambapy.mamba", "transformers.models.mamba.modeling_mamba"])
def test_a_missing_peer_is_left_out_with_a_sentence(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    file = next(f for f in FILES["cpu"] if f.startswith(module.split(".")[0]))
    peers, missing = load_peers("cpu", [file])
    assert "pip install" in missing[file]
    assert all(peer.version == numba().version for peer in peers)  # ours alone


@pytest.mark.parametrize("file", ["mamba_ssm_cuda", "causal_conv1d_cuda"])
def test_cuda_peers_say_what_to_install(file: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("mamba_ssm", "mamba_ssm.ops.selective_scan_interface", "causal_conv1d"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(Missing, match="pip install"):
        importlib.import_module(f"benchmarks.peers.{file}").make("cuda")


def test_ggml_says_how_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    ggml = importlib.import_module("benchmarks.peers.ggml")
    ggml.functions.cache_clear()
    monkeypatch.setattr(ggml, "libraries", dict)
    with pytest.raises(Missing, match=r"build_ggml\.py"):
        ggml.make("cpu")
