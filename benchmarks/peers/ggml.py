"""ggml's SSM_SCAN, on which llama.cpp runs Mamba: the operator alone, in C, without bias, skip weight and gate.

Built by build_ggml.py and called through ctypes. The graph is built and its inputs are in place before the clock runs:
what is measured is the computation, so a little less than what our own functions are measured with.
"""

import ctypes
from ctypes import c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.measure import Call
from benchmarks.peers import Missing, Peer
from benchmarks.peers.build_ggml import PACKAGE, VERSION, libraries

F32, I32 = 0, 26  # ggml_type


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool)]


SIGNATURES = {
    "ggml_init": (c_void_p, [InitParams]),
    "ggml_free": (None, [c_void_p]),
    "ggml_version": (c_char_p, []),
    "ggml_new_tensor": (c_void_p, [c_void_p, c_int, c_int, ctypes.POINTER(c_int64)]),
    "ggml_get_data": (c_void_p, [c_void_p]),
    "ggml_ssm_scan": (c_void_p, [c_void_p] * 8 + [c_int64]),
    "ggml_new_graph": (c_void_p, [c_void_p]),
    "ggml_build_forward_expand": (None, [c_void_p, c_void_p]),
    "ggml_tensor_overhead": (c_size_t, []),
    "ggml_graph_overhead": (c_size_t, []),
    "ggml_backend_graph_compute": (c_int, [c_void_p, c_void_p]),
    "ggml_backend_cpu_init": (c_void_p, []),
    "ggml_backend_cpu_set_n_threads": (None, [c_void_p, c_int]),
}


class Functions:
    """The functions of both libraries, with their types."""

    def __init__(self) -> None:
        paths = libraries()
        if not paths:
            raise Missing("ggml is not built: python benchmarks/peers/build_ggml.py (needs cmake and a C++ compiler)")
        loaded = [ctypes.CDLL(str(paths[name]), mode=ctypes.RTLD_GLOBAL) for name in ("ggml-base", "ggml-cpu")]
        for name, (result, arguments) in SIGNATURES.items():
            function = next(getattr(library, name) for library in loaded if hasattr(library, name))
            function.restype, function.argtypes = result, arguments
            setattr(self, name, function)
        self.backend = self.ggml_backend_cpu_init()

    def set_threads(self, threads: int) -> None:
        self.ggml_backend_cpu_set_n_threads(self.backend, threads)


@cache
def functions() -> Functions:
    return Functions()


def make(device: str) -> list[Peer]:
    ggml = functions()
    ggml.set_threads(torch.get_num_threads())
    return [
        Peer(
            "ggml SSM_SCAN",
            f"{ggml.ggml_version().decode()} of {PACKAGE} {VERSION}",
            "selective_scan",
            forward,
            read_y=lambda y: torch.from_numpy(y.copy()).transpose(1, 2),
            leaves_out=("D", "z", "delta_bias"),
            note="the operator alone: no bias, skip weight or gate; has no backward",
            set_threads=ggml.set_threads,
        )
    ]


class Graph:
    """One SSM_SCAN with its inputs and outputs in memory of its own."""

    def __init__(self, arguments: dict[str, Any]):
        self.ggml = functions()
        batch, dim, length = arguments["u"].shape
        state = arguments["A"].shape[1]
        by_token = {name: arguments[name].transpose(1, 2).contiguous() for name in ("u", "delta", "B", "C")}
        sizes = {  # the axis that is contiguous comes first; a channel is a head of one
            "s": (state, 1, dim, batch),
            "u": (1, dim, length, batch),
            "delta": (dim, length, batch),
            "A": (state, dim),
            "B": (state, 1, length, batch),
            "C": (state, 1, length, batch),
        }
        numbers = sum(int(np.prod(size)) for size in sizes.values()) + batch * dim * (length + state) + batch
        overhead = 16 * self.ggml.ggml_tensor_overhead() + self.ggml.ggml_graph_overhead() + 2**20
        self.context = self.ggml.ggml_init(InitParams(4 * numbers + overhead, None, False))
        values = by_token | {"A": arguments["A"], "s": torch.zeros(batch, dim, state)}
        inputs = [self._tensor(F32, size, values[name]) for name, size in sizes.items()]
        ids = self._tensor(I32, (batch,), torch.arange(batch, dtype=torch.int32))
        result = self.ggml.ggml_ssm_scan(self.context, *inputs, ids, 1)
        self.graph = self.ggml.ggml_new_graph(self.context)
        self.ggml.ggml_build_forward_expand(self.graph, result)
        self.y = self._view(result, (batch, length, dim), np.float32)  # the last states stand behind it

    def __del__(self) -> None:
        self.ggml.ggml_free(self.context)

    def _tensor(self, kind: int, size: tuple[int, ...], value: Tensor) -> int:
        tensor = self.ggml.ggml_new_tensor(self.context, kind, len(size), (c_int64 * len(size))(*size))
        array = value.contiguous().numpy()
        self._view(tensor, array.shape, array.dtype)[...] = array
        return tensor

    def _view(self, tensor: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        data = ctypes.cast(self.ggml.ggml_get_data(tensor), ctypes.POINTER(ctypes.c_byte * (4 * int(np.prod(shape)))))
        return np.frombuffer(data.contents, dtype).reshape(shape)

    def compute(self) -> np.ndarray:
        status = self.ggml.ggml_backend_graph_compute(self.ggml.backend, self.graph)
        if status != 0:
            raise RuntimeError(f"ggml_backend_graph_compute: status {status}")
        return self.y


def forward(arguments: dict[str, Any]) -> Call:
    return Graph(arguments).compute
