"""Which engines can run on this machine, and why the others cannot."""

import importlib
import importlib.util
import warnings
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import torch

MODULES = {
    "reference": "vmamba_kernels.reference",
    "associative": "vmamba_kernels.associative",
    "numba": "vmamba_kernels.numba_cpu",
    "triton": "vmamba_kernels.triton_gpu",
}


@dataclass(frozen=True)
class Engine:
    """One way to compute the operators. `reason` says why it is not available, and is empty when it is."""

    name: str
    devices: str
    differentiable: str
    reason: str

    @property
    def available(self) -> bool:
        return not self.reason


def load(name: str) -> ModuleType:
    """The module of an engine, imported on first use: numba and triton are heavy.

    Raises:
        ValueError: there is no engine of that name.
    """
    if name not in MODULES:
        raise ValueError(f"backend: expected 'auto' or one of {', '.join(map(repr, MODULES))}, got {name!r}")
    return importlib.import_module(MODULES[name])


def engines() -> dict[str, Engine]:
    """What can compute the operators here: name → Engine, with the reason where one is not available."""
    return {
        "reference": Engine("reference", "any", "any number of times", ""),
        "associative": Engine("associative", "any", "any number of times", ""),
        "numba": Engine("numba", "CPU", "once", why_not("numba")),
        "triton": Engine("triton", "CUDA and ROCm; CPU under Triton's interpreter", "once", why_not("triton")),
    }


@cache
def why_not(name: str) -> str:
    """Why an engine cannot run here, in a sentence that says what to do; empty if it can."""
    if name in ("numba", "triton") and importlib.util.find_spec(name) is None:
        return f"{name} is not installed: pip install {name}"
    try:
        return getattr(load(name), "availability", lambda: None)() or ""
    except Exception as error:  # a broken installation must not hide the engines that work
        return f"{name} is installed but does not import ({type(error).__name__}: {error}): reinstall it"


def choose(backend: str, operator: str, device: torch.device) -> str:
    """The engine that computes `operator` on `device`: what was asked for, or the fastest one for "auto".

    Raises:
        ValueError: there is no engine of that name.
        RuntimeError: the engine asked for cannot run here; the message says why.
    """
    if backend == "auto":
        return _fastest(device.type)
    if backend not in MODULES:
        raise ValueError(f"backend: expected 'auto' or one of {', '.join(map(repr, MODULES))}, got {backend!r}")
    if backend == "associative" and operator == "causal_conv1d":
        raise ValueError("backend: 'associative' computes scans only; use 'reference' for causal_conv1d")
    if backend == "numba" and device.type not in ("cpu", "meta"):
        raise ValueError(f"backend: 'numba' computes on the CPU, but the tensors are on {device.type}; use 'auto'")
    if reason := why_not(backend):
        raise RuntimeError(f"backend: {backend!r} cannot run here: {reason}")
    return backend


# A compiled function keeps the engine that its first call chose. This mark is all that the decorator
# torch.compiler.assume_constant_result sets; it would import torch's compiler, and triton with it, for everybody.
choose._dynamo_marked_constant = True  # type: ignore[attr-defined]


def _fastest(device_type: str) -> str:
    if device_type == "meta":
        return "reference"
    wanted = "triton" if device_type == "cuda" else "numba"
    if device_type not in ("cuda", "cpu"):
        return "reference"
    if why_not(wanted):
        _warn_once(wanted, device_type)
        return "reference"
    return wanted


@cache
def _warn_once(wanted: str, device_type: str) -> None:
    warnings.warn(
        f"vmamba_kernels computes on {device_type} with the slow reference engine, because {why_not(wanted)}",
        RuntimeWarning,
        stacklevel=2,
    )
