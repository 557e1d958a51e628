"""Compile what the Triton engine would launch on devices that are not here, and report what each build needs.

Run as a script, in a process without TRITON_INTERPRET: the engine's own functions are called on CPU tensors while every
kernel is replaced by a recorder, so that what is compiled is what would have been launched. Prints builds as JSON.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.autotuner import Autotuner
from vmamba_kernels import triton_conv, triton_gpu, triton_launch

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, "float64": torch.float64}
POINTERS = {torch.float32: "*fp32", torch.float64: "*fp64", torch.bfloat16: "*bf16", torch.float16: "*fp16"}
LAUNCH_OPTIONS = ("num_warps", "enable_fp_fusion", "maxnreg")


class Recorder:
    """Stands in for a kernel and keeps what it is launched with; of a tuner the first tile, or every one."""

    def __init__(self, kernel: Any, launches: list, every_tile: bool):
        self.kernel, self.launches, self.every_tile = kernel, launches, every_tile

    def __getitem__(self, grid: Any) -> Callable[..., None]:
        tuned = isinstance(self.kernel, Autotuner)
        function = self.kernel.fn if tuned else self.kernel
        tiles = [config.all_kwargs() for config in self.kernel.configs] if tuned else [{}]

        def launch(*args: Any, **keywords: Any) -> None:
            for tile in tiles if self.every_tile else tiles[:1]:
                chosen = keywords | tile
                if callable(grid):
                    assert all(0 < n < 2**31 for n in grid(chosen))
                self.launches.append((function, args, chosen))

        return launch


def record(call: Callable[[], Any], every_tile: bool = True) -> list[tuple]:
    """The launches of a call, each (kernel, arguments, keywords), as on a device with 132 multiprocessors."""
    launches: list[tuple] = []
    patches: list[tuple[Any, str, Any]] = [
        (module, name, Recorder(getattr(module, name), launches, every_tile))
        for module, names in {
            triton_gpu: ("scan_kernel", "tuned_scan_kernel", "carry_kernel", "gradient_kernel"),
            triton_conv: ("tuned_conv_kernel", "conv_gradient_kernel"),
            triton_launch: ("reduce_kernel",),
        }.items()
        for name in names
    ]
    patches += [(module, "check_device", lambda tensor: None) for module in (triton_gpu, triton_conv)]
    patches += [(triton_gpu, "processors", lambda device: 132)]
    originals = [(module, name, getattr(module, name)) for module, name, _ in patches]
    for module, name, replacement in patches:
        setattr(module, name, replacement)
    try:
        call()
    finally:
        for module, name, original in originals:
            setattr(module, name, original)
    return launches


def source(function: Any, args: tuple, keywords: dict) -> ASTSource:
    """What Triton would compile for these arguments: types, constants (None, 1, constexpr) and what 16 divides."""
    signature, constants, attributes = {}, {}, {}
    annotated = {parameter.name for parameter in function.params if parameter.is_constexpr}
    plain = {parameter.name for parameter in function.params if parameter.do_not_specialize}

    def describe(value: Any, path: tuple[int, ...], specialise: bool) -> Any:
        if isinstance(value, tuple):
            items = [describe(item, (*path, i), specialise) for i, item in enumerate(value)]
            return type(value)(*items) if hasattr(value, "_fields") else tuple(items)
        if value is None or (
            specialise and value is not True and value is not False and type(value) is int and value == 1
        ):
            constants[path] = value
            return "constexpr"
        if isinstance(value, torch.Tensor):
            attributes[path] = [["tt.divisibility", 16]]
            return POINTERS[value.dtype]
        if specialise and value % 16 == 0:
            attributes[path] = [["tt.divisibility", 16]]
        return "i32" if -(2**31) <= value < 2**31 else "i64"

    named = dict(zip(function.arg_names, args, strict=False)) | keywords
    for i, name in enumerate(function.arg_names):
        if name in annotated:
            signature[name], constants[(i,)] = "constexpr", named[name]
        else:
            signature[name] = describe(named[name], (i,), name not in plain)
    return ASTSource(fn=function, signature=signature, constexprs=constants, attrs=attributes)


def build(function: Any, args: tuple, keywords: dict, target: GPUTarget) -> dict[str, Any]:
    """Compile for a target; what the compiler and its assembler say of the result."""
    options = {name: keywords[name] for name in LAUNCH_OPTIONS if keywords.get(name) is not None}
    if target.backend == "hip":
        options.pop("maxnreg", None)
    compiled = triton.compile(source(function, args, keywords), target=target, options=options)
    tile = {name: keywords[name] for name in ("BLOCK_L", "BLOCK_D", "num_warps", "maxnreg") if name in keywords}
    report = {"kernel": function.__name__, **tile, "shared": compiled.metadata.shared}
    if target.backend == "cuda":
        ptx = compiled.asm["ptx"]
        report["atomics"] = len(re.findall(r"^\s*(?:@\S+\s+)?(?:atom|red)\.", ptx, re.MULTILINE))
        report |= resources(compiled.asm["cubin"])
    else:
        listing = compiled.asm["amdgcn"]
        report["atomics"] = len(re.findall(r"_atomic_", listing))
        report["registers"] = int(re.search(r"\.vgpr_count:\s+(\d+)", listing).group(1))
        report["spilled_bytes"] = 4 * int(re.search(r"\.vgpr_spill_count:\s+(\d+)", listing).group(1))
    return report


def resources(cubin: bytes) -> dict[str, int]:
    """Registers a thread and bytes spilled to its stack, as cuobjdump reads them off a cubin."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        listing = subprocess.run([tool, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True)
    registers, stack = re.search(r"REG:(\d+) STACK:(\d+)", listing.stdout).groups()
    return {"registers": int(registers), "spilled_bytes": int(stack)}


def calls(dtype: torch.dtype) -> dict[str, Callable[[], Any]]:
    """The engine's functions on the shapes of VideoMamba-Ti: all options and channels contiguous, and otherwise."""
    work = torch.promote_types(dtype, torch.float32)
    batch, dim, length, state = 1, 384, 1569, 16

    def scan(channels_contiguous: bool, options: bool, batch: int = batch) -> tuple:
        def tokens(size: int) -> torch.Tensor:
            if channels_contiguous:
                return torch.zeros(batch, length, size, dtype=dtype).transpose(1, 2)
            return torch.zeros(batch, size, length, dtype=dtype)

        B, C = (tokens(state)[:, None] for _ in range(2))
        D, bias = (torch.zeros(dim, dtype=work) if options else None for _ in range(2))
        z = tokens(dim) if options else None
        return tokens(dim), tokens(dim), torch.zeros(dim, state, dtype=work), B, C, D, z, bias, None

    models, plain = scan(True, True), scan(False, False)
    long = torch.zeros(batch, dim, length, dtype=dtype)
    x, weight, bias = models[0], torch.zeros(dim, 4, dtype=work), torch.zeros(dim, dtype=work)
    whole = scan(True, True, batch=64)
    return {
        "scan": lambda: triton_gpu.scan_forward(*models, True, False, False),
        "gradient": lambda: triton_gpu.scan_backward(x, None, *models, True, False, False),
        "plain scan": lambda: triton_gpu.scan_forward(*plain, False, True, True),
        "plain gradient": lambda: triton_gpu.scan_backward(long, None, *plain, False, True, True),
        "uncut gradient": lambda: triton_gpu.scan_backward(whole[0], None, *whole, True, False, False),
        "both": lambda: triton_gpu.bidirectional_forward(*models, *models, True, True, False, False),
        "both gradient": lambda: triton_gpu.bidirectional_backward(x, *models, *models, True, True, False, False),
        "conv": lambda: triton_gpu.conv_forward(x, weight, bias, None, True, False),
        "conv gradient": lambda: triton_gpu.conv_backward(x, x, weight, bias, None, True, False),
    }


VARIANTS = ("plain scan", "plain gradient", "uncut gradient", "both", "both gradient")


def main(target: str, *arguments: str) -> None:
    """A target; dtypes; --variants: the rarer calls instead; --tuned: all the tiles that tuners choose among."""
    builds, seen = [], set()
    for dtype in (name for name in arguments if name in DTYPES):
        for name, call in calls(DTYPES[dtype]).items():
            if (name in VARIANTS) != ("--variants" in arguments):
                continue
            for function, args, keywords in record(call, every_tile="--tuned" in arguments):
                key = (function.__name__, dtype)
                if function.__name__ in ("reduce_kernel", "carry_kernel") and key in seen:
                    continue  # the same but for a stride
                seen.add(key)
                built = build(function, args, keywords, TARGETS[target])
                builds.append({"call": name, "target": target, "dtype": dtype, **built})
    sys.stdout.write(json.dumps(builds))


if __name__ == "__main__":
    main(*sys.argv[1:])
