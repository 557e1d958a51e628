"""mamba-ssm's CUDA kernel, alone and as the published bidirectional block uses it: one direction on flipped inputs."""

from functools import partial
from importlib.metadata import version

from benchmarks.peers import GRADIENTS, Missing, Peer, from_torch
from benchmarks.peers.ours import with_flips


def make(device: str) -> list[Peer]:
    try:
        from mamba_ssm.ops.selective_scan_interface import selective_scan_fn
    except ImportError:
        raise Missing(
            "mamba-ssm is not installed: pip install --no-build-isolation mamba-ssm (needs the CUDA toolkit that torch "
            "was built with)"
        ) from None
    found, both = version("mamba-ssm"), partial(with_flips, selective_scan_fn)
    return [
        Peer(
            "mamba-ssm",
            found,
            "selective_scan",
            *from_torch(selective_scan_fn, GRADIENTS),
            layouts=("model", "contiguous"),
        ),
        Peer("mamba-ssm, flipped", found, "bidirectional", *from_torch(both, GRADIENTS)),
    ]
