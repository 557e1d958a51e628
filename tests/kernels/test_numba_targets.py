"""The numba engine on processors that are not this one, older x86 and 64-bit ARM; and compiled code kept on disk."""

import os
import platform
import re
from pathlib import Path

import pytest
from numba_scans import run_python

on_x86 = pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="compiles for older x86 processors")

# The feature lists are explicit: with NUMBA_CPU_NAME alone Numba adds the features of the processor that runs.
PROCESSORS = {
    "haswell": {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+f16c,+bmi2"},
    "x86-64": {"NUMBA_CPU_NAME": "x86-64", "NUMBA_CPU_FEATURES": ""},
}
LAWS = ("test_numba_scan.py", "test_numba_conv.py", "test_numba_math.py")
ESSENTIAL = "agree or precise or whole or flip or exponential or long_memory or decay or differences or softplus"

TINY = """
import torch
from vmamba_kernels import numba_cpu
x, A, B = torch.rand(1, 3, 5), -torch.rand(3, 2), torch.rand(1, 1, 2, 5)
arguments = (x, x, A, B, B, None, None, None, None, True, False, False)
y, last = numba_cpu.scan_forward(*arguments)
"""


# What a listing may not show. (Running it here would prove nothing: this processor may have more.)
FORBIDDEN = {"haswell": "zmm", "x86-64": "ymm|zmm|vfmadd"}

KERNELS = """
from vmamba_kernels import numba_conv, numba_conv_backward, numba_scan, numba_scan_backward
kernels = (numba_scan.scan_forward, numba_scan_backward.scan_backward, numba_conv.convolve,
           numba_conv_backward.convolve_backward)
"""


@on_x86
@pytest.mark.slow
@pytest.mark.parametrize("processor", PROCESSORS)
def test_the_laws_hold_on_older_processors_with_the_instructions_they_have(processor: str, tmp_path: Path) -> None:
    files = [str(Path(__file__).parent / name) for name in LAWS]
    run_python(
        "import re, sys, pytest\n"
        "from vmamba_kernels.machine import TARGET\n"
        f"assert (TARGET.vector_bytes, TARGET.avx512, TARGET.fused) == {expected(processor)}\n"
        f"options = ['-q', '-x', '-k', {ESSENTIAL!r}, '-p', 'no:cacheprovider', '-p', 'no:xdist']\n"
        f"if failed := pytest.main([*options, *{files!r}]):\n"
        "    sys.exit(failed)\n"
        f"{KERNELS}"
        "for kernel in kernels:\n"
        "    assert len(kernel.signatures) >= 2, kernel\n"
        "    for signature in kernel.signatures:\n"
        "        listing = kernel.inspect_asm(signature)\n"
        "        assert 'mulp' in listing, (kernel, signature)\n"
        f"        assert not re.search(r'\\b({FORBIDDEN[processor]})', listing), (kernel, signature)\n",
        timeout=570,
        NUMBA_CACHE_DIR=str(tmp_path),  # code from disk has no listing
        **PROCESSORS[processor],
    )


def expected(processor: str) -> tuple[int, bool, bool]:
    """vector_bytes, avx512, fused."""
    return {"haswell": (32, False, True), "x86-64": (16, False, False)}[processor]


AARCH64 = """
import dataclasses, re, sys
import llvmlite.binding as llvm
from vmamba_kernels import machine
llvm.initialize_all_targets()
llvm.initialize_all_asmprinters()
TRIPLE = "aarch64-unknown-linux-gnu"
arm = machine.describe(TRIPLE, "generic", "+neon")
assert (arm.architecture, arm.vector_bytes, arm.avx512, arm.fused) == ("aarch64", 16, False, True), arm
target = llvm.Target.from_triple(TRIPLE).create_target_machine(cpu="generic", features="+neon", opt=3)

def listing(text):
    text = re.sub(r'target (triple|datalayout) = ".*"', "", text)
    text = re.sub(r'"target-(cpu|features)"="[^"]*"', "", text)
    # The x86 back end has already had its way with the reference counts of arrays; what it made of them does not
    # matter.
    text = re.sub(r"(tail )?call i8 @llvm.x86.atomic.*", "add i8 0, 0", text)
    module = llvm.parse_assembly(text)
    module.triple, module.data_layout = TRIPLE, str(target.target_data)
    return target.emit_assembly(module)
"""


def test_the_kernels_for_arm_multiply_and_add_vectors(tmp_path: Path) -> None:
    """The kernels, cut for 16-byte vectors, translated to 64-bit ARM: their loops use vector multiply-adds."""
    run_python(
        AARCH64
        + """
# Numba compiles for this machine; the code that asks for an ARM register is checked by the next test.
machine.TARGET = dataclasses.replace(arm, architecture="none")
"""
        + TINY
        + """
numba_cpu.scan_backward(y, last, *arguments)
numba_cpu.conv_forward(x, torch.rand(3, 4), None, None, True, False)
numba_cpu.conv_backward(y, x, torch.rand(3, 4), None, None, True, False)
numba_cpu.scan_forward(*(t.double() if hasattr(t, "double") else t for t in arguments))
"""
        + KERNELS
        + """
for kernel in kernels:
    for signature in kernel.signatures:
        code = listing(kernel.inspect_llvm(signature))
        shape = "2d" if "float64" in str(signature[3].arguments) else "4s"
        assert len(re.findall(rf"fmla\\tv\\d+\\.{shape}", code)) > 4, (kernel, signature)
        calls = set(re.findall(r"\\tbl\\t(\\S+)", code))
        assert not any(name.startswith(("fma", "ldexp", "exp", "__")) for name in calls), calls
""",
        NUMBA_CACHE_DIR=str(tmp_path),  # code from disk has no listing
    )


def test_denormals_are_flushed_on_arm() -> None:
    run_python(
        AARCH64
        + """
from llvmlite import ir
from numba.core import types
machine.TARGET = arm
module = ir.Module()
function = ir.Function(module, ir.FunctionType(ir.IntType(64), []), "probe")
builder = ir.IRBuilder(function.append_basic_block())
class Context:
    def get_dummy_value(self):
        return ir.Constant(ir.IntType(1), 0)
mode = machine.flush_denormals._defn(None)[1](Context(), builder, None, [])
machine.restore_denormals._defn(None, types.int64)[1](Context(), builder, None, [mode])
builder.ret(mode)
code = listing(str(module))
assert len(re.findall(r"msr\\tFPCR", code)) == 2 and "mrs\\t" in code and "#0x1000000" in code, code
"""
    )


def test_importing_the_engine_compiles_nothing() -> None:
    """Nor does importing the package import numba."""
    run_python(
        """
import sys
import vmamba_kernels
assert "numba" not in sys.modules
from vmamba_kernels import numba_conv, numba_conv_backward, numba_cpu, numba_scan, numba_scan_backward, numba_sums
kernels = [numba_scan.scan_forward, numba_scan_backward.scan_backward, numba_sums.add_teams]
kernels += [numba_conv.convolve, numba_conv_backward.convolve_backward]
assert not any(kernel.signatures for kernel in kernels)
"""
    )


# The smallest kernel, by the way that all are compiled.
USES_DISK = """
import numpy as np, torch
from vmamba_kernels import numba_sums
from vmamba_kernels.kernel_launch import Work, lanes, launch
parts = torch.ones(1, 1, 2, 35)
work = lambda arrays: Work((arrays[0], np.array([2]), lanes(torch.float32)), items=1, updates=1)
launch(numba_sums.add_teams, work, torch.float32, [parts])
assert (parts[0, 0, 0] == 2).all()
print(len(numba_sums.add_teams.stats.cache_hits), len(numba_sums.add_teams.stats.cache_misses))
"""


def test_compiled_code_is_kept_for_each_processor(tmp_path: Path) -> None:
    """The second process finds the code of the first; one that compiles for another processor does not."""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert run_python(USES_DISK, **cache).split() == ["0", "1"]
    assert run_python(USES_DISK, **cache).split() == ["1", "0"]
    if platform.machine() in ("x86_64", "AMD64"):
        assert run_python(USES_DISK, **cache, **PROCESSORS["x86-64"]).split() == ["0", "1"]


def test_an_edit_in_a_companion_file_is_noticed(tmp_path: Path) -> None:
    """Numba itself looks only at the file of the kernel; the revision in the kernels' names looks at all of them."""
    edit = """
from pathlib import Path
read_bytes = Path.read_bytes
Path.read_bytes = lambda path: read_bytes(path) + (b"# edited" if path.name == "vector_math.py" else b"")
"""
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    assert run_python(USES_DISK, **cache).split() == ["0", "1"]
    assert run_python(edit + USES_DISK, **cache).split() == ["0", "1"]


def test_every_file_that_makes_a_kernel_counts_for_its_revision() -> None:
    """What the kernels import is in the list, and nothing that is not there."""
    from vmamba_kernels import kernel_compilation

    folder = Path(kernel_compilation.__file__).parent
    pending, found = ["numba_scan", "numba_scan_backward", "numba_sums", "numba_conv_backward"], set()
    while pending:
        module = pending.pop()
        if module not in found:
            found.add(module)
            text = (folder / f"{module}.py").read_text(encoding="utf-8")
            pending += re.findall(r"from vmamba_kernels\.(\w+) import", text)
    assert {f"{module}.py" for module in found} == set(kernel_compilation.SOURCES)


def copy_of_the_package(folder: Path) -> Path:
    """The package as someone else has installed it, with nothing compiled; `folder` is what Python must search."""
    import vmamba_kernels

    package = folder / "vmamba_kernels"
    package.mkdir(parents=True)
    for file in Path(vmamba_kernels.__file__).parent.glob("*.py"):
        (package / file.name).write_bytes(file.read_bytes())
    return package


def in_the_copy(package: Path) -> str:
    """How a script begins that uses it."""
    return (
        f"import sys; sys.path.insert(0, {str(package.parent)!r}); sys.dont_write_bytecode = True\n"
        "import vmamba_kernels; assert vmamba_kernels.__file__.startswith(sys.path[0])\n"
    )


CONVOLVES = """
import torch
from vmamba_kernels import numba_conv, numba_cpu
numba_cpu.conv_forward(torch.rand(1, 3, 5), torch.rand(3, 4), None, None, True, False)
print(len(numba_conv.convolve.stats.cache_hits), len(numba_conv.convolve.stats.cache_misses))
"""


def test_code_compiled_by_an_older_version_does_no_harm(tmp_path: Path) -> None:
    """Numba's index names the classes of the arguments. Where one has moved since, the index can no longer be read."""
    package = copy_of_the_package(tmp_path / "site")
    kernels, home = package / "numba_conv.py", package / "former_home.py"
    now = kernels.read_text(encoding="utf-8")
    start, end = now.index("class Convolution("), now.index("@kernel")
    home.write_text("from typing import NamedTuple\nimport numpy as np\n" + now[start:end], encoding="utf-8")
    lines = now[start:end].count("\n")  # Numba's file names hold the number of a kernel's first line
    before = now[:start] + "from vmamba_kernels.former_home import Convolution" + "\n" * lines + now[end:]
    kernels.write_text(before, encoding="utf-8")
    assert run_python(in_the_copy(package) + CONVOLVES).split() == ["0", "1"]
    assert run_python(in_the_copy(package) + CONVOLVES).split() == ["1", "0"]
    kernels.write_text(now, encoding="utf-8")
    home.unlink()
    assert run_python(in_the_copy(package) + CONVOLVES).split() == ["0", "1"]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs file permissions")
def test_a_package_that_cannot_be_written_to_works(tmp_path: Path) -> None:
    """Numba then keeps its code in the user's own cache folder, or nowhere."""
    package = copy_of_the_package(tmp_path / "site")
    (package / "__pycache__").touch()  # a file where the folder would be: nobody, not even root, can write there
    home = tmp_path / "home"
    home.mkdir()
    environment = {"HOME": str(home), "XDG_CACHE_HOME": str(home / ".cache")}
    run_python(in_the_copy(package) + USES_DISK, **environment)
    assert list(home.rglob("*.nbi")), "nothing was kept in the user's cache folder"
