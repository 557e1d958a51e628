"""Every Triton kernel, in every dtype, compiled for NVIDIA's and AMD's devices on a machine that has neither."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "triton_compilation.py"
KERNELS = {
    "scan_kernel",
    "carry_kernel",
    "gradient_kernel",
    "reduce_kernel",
    "conv_kernel",
    "conv_gradient_kernel",
}


def compile_for(target: str, *dtypes: str) -> list[dict]:
    """Builds of every kernel and dtype, from a process that compiles (this one may interpret)."""
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    environment |= {"TRITON_DEFAULT_FP_FUSION": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, SCRIPT, target, *dtypes], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.slow
@pytest.mark.parametrize("target", ["sm_80", "sm_90", "gfx942"])
def test_every_kernel_compiles_in_every_dtype(target: str) -> None:
    builds = compile_for(target, "float32", "bfloat16", "float16", "float64")
    for dtype in ("float32", "bfloat16", "float16", "float64"):
        assert {build["kernel"] for build in builds if build["dtype"] == dtype} == KERNELS
    # Sums by atomics would come out differently from run to run.
    assert not [build for build in builds if build["atomics"]]
    # A tile that no longer fits its registers is slow without being wrong. The gradient's spills a few per cent of what
    # it loads: two channels a thread, which halve its shuffles, are worth that, but not half the registers (512 bytes).
    for build in builds:
        if build["dtype"] != "float64" and target != "gfx942":
            assert build["spilled_bytes"] <= (512 if build["kernel"] == "gradient_kernel" else 0), build


@pytest.mark.slow
def test_both_directions_and_other_options_compile() -> None:
    builds = compile_for("sm_90", "float32", "--variants")
    assert {build["call"] for build in builds} == {
        "plain scan",
        "plain gradient",
        "uncut gradient",
        "both",
        "both gradient",
    }
    assert not [build for build in builds if build["atomics"]]
