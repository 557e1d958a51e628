"""The CUDA convolution that mamba-ssm is used with."""

from importlib.metadata import version

from benchmarks.peers import CONV_GRADIENTS, Missing, Peer, from_torch


def make(device: str) -> list[Peer]:
    try:
        from causal_conv1d import causal_conv1d_fn
    except ImportError:
        raise Missing(
            "causal-conv1d is not installed: pip install --no-build-isolation causal-conv1d (needs the CUDA toolkit "
            "that torch was built with)"
        ) from None
    both = from_torch(causal_conv1d_fn, CONV_GRADIENTS)
    found, layouts = version("causal-conv1d"), ("model", "contiguous")
    return [Peer("causal-conv1d", found, "causal_conv1d", *both, layouts=layouts)]
