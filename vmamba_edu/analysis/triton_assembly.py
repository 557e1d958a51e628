"""What Triton compiles a kernel to, for a GPU that need not be there. In a process of its own, which compiles.

    assembly(scan_kernel, helpers=[], signature={"u": "*fp32", ..., "dim": "i32"}, constants={"BLOCK_D": 32})

Triton decides at its import whether it interprets or compiles, once a process: so the kernel's source goes to a fresh
process that was told to compile. No GPU is needed, the assembler comes with Triton.
"""

import inspect
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMPILE = """
import json, re, subprocess, sys, tempfile
from pathlib import Path

sys.path.insert(0, sys.argv[1])
import kernel_source
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

name, signature, constants, capability, warps = json.loads(sys.argv[2])
source = ASTSource(fn=getattr(kernel_source, name), signature=signature, constexprs=constants)
built = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})
tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
file = Path(sys.argv[1]) / "kernel.cubin"
file.write_bytes(built.asm["cubin"])
used = subprocess.run([tool, "--dump-resource-usage", file], capture_output=True, text=True, check=True).stdout
registers, stack = re.search(r"REG:(\\d+) STACK:(\\d+)", used).groups()
print(json.dumps({"ptx": built.asm["ptx"], "registers": int(registers), "spilled": int(stack)}))
"""


@dataclass(frozen=True)
class Assembly:
    """A compiled kernel: its PTX, the registers that a thread holds, and the bytes that did not fit into them."""

    ptx: str
    registers: int
    spilled: int

    def count(self, instruction: str) -> int:
        """How many instructions of the listing begin with this, e.g. "ex2.approx" or "fma.rn.f32"."""
        return len(re.findall(rf"^\s*(?:@\S+\s+)?{re.escape(instruction)}", self.ptx, re.MULTILINE))

    def lines(self, instruction: str) -> list[str]:
        """The lines with this instruction."""
        return [line.strip() for line in self.ptx.splitlines() if instruction in line]


def assembly(
    kernel: Any,
    *,
    signature: Mapping[str, str],
    constants: Mapping[str, int],
    helpers: Sequence[Any] = (),
    capability: int = 90,
    warps: int = 1,
) -> Assembly:
    """Compile a kernel written in a notebook or a file for an NVIDIA GPU.

    Args:
        kernel: a function under `@triton.jit`.
        signature: the type of each argument that is no constant: "*fp32" for a tensor, "i32" for a number.
        constants: the arguments that are `tl.constexpr`.
        helpers: other functions under `@triton.jit` that it calls.
        capability: of the GPU: 90 for an H100.
        warps: 32 threads each, that work on one program.

    Raises:
        NotImplementedError: one of the functions is a stub still.
        RuntimeError: it does not compile; the message has the compiler's last lines.
    """
    source = "\n\n".join(textwrap.dedent(inspect.getsource(one.fn)) for one in (*helpers, kernel))
    if "raise NotImplementedError" in source:
        raise NotImplementedError("a kernel that is not written yet cannot be compiled")
    types = {**signature, **dict.fromkeys(constants, "constexpr")}
    request = json.dumps([kernel.fn.__name__, types, dict(constants), capability, warps])
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment.setdefault("TRITON_DEFAULT_FP_FUSION", "1")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "kernel_source.py").write_text(
            f"import triton\nimport triton.language as tl\n\n\n{source}", "utf-8"
        )
        command = [sys.executable, "-c", COMPILE, folder, request]
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise RuntimeError("the kernel does not compile:\n" + "\n".join(done.stderr.strip().splitlines()[-6:]))
    return Assembly(**json.loads(done.stdout.splitlines()[-1]))
