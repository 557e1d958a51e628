"""What lesson 07 shows of a GPU that is not there: compiled code, and results of benchmarks if there are any."""

import json

import pytest

pytest.importorskip("triton", reason="needs triton")

import triton_answers as answers

from vmamba_edu.analysis.gpu_results import gpu_table
from vmamba_edu.analysis.triton_assembly import Assembly, assembly

TYPES = dict.fromkeys(("decay", "end", "initial", "starts"), "*fp32") | {"segments": "i32", "dim": "i32"}


@pytest.mark.slow
def test_a_kernel_is_compiled_for_a_gpu_that_is_not_there():
    scan_types = dict.fromkeys(("u", "delta", "A", "B", "C", "y"), "*fp32") | {"length": "i32", "dim": "i32"}
    built = assembly(answers.scan_kernel, signature=scan_types, constants={"STATE": 16, "BLOCK_D": 32, "WRONG": ""})
    assert ".target sm_90" in built.ptx
    # 32 channels of 16 states on 32 threads: 16 exponentials and 16 updates of a state for each of them.
    assert built.count("ex2.approx") == 16
    assert built.count("fma.rn.f32") >= 16
    assert 0 < built.registers <= 255
    assert built.spilled == 0


@pytest.mark.slow
def test_what_does_not_compile_says_so():
    with pytest.raises(RuntimeError, match="the kernel does not compile"):
        assembly(answers.carry_kernel, signature={**TYPES, "dim": "*fp32"}, constants={"BLOCK_D": 32, "WRONG": ""})


def test_a_stub_is_not_compiled():
    with pytest.raises(NotImplementedError, match="not written yet"):
        assembly(answers.carry_kernel, signature=TYPES, constants={"BLOCK_D": 32}, helpers=[answers.stub])


def test_instructions_are_counted_at_the_beginning_of_a_line():
    built = Assembly("\tfma.rn.f32 %r1;\n@%p1 fma.rn.f32 %r2;\n// fma.rn.f32\n\tfma.rn.f64 %r3;\n", 8, 0)
    assert built.count("fma.rn.f32") == 2
    assert built.lines("fma.rn.f64") == ["fma.rn.f64 %r3;"]


def test_without_results_it_says_that_nobody_has_measured(tmp_path):
    words = gpu_table(tmp_path)
    assert words.startswith("Nobody has measured the Triton engine on a GPU yet")
    assert "python benchmarks/scan.py --device cuda" in words


def test_results_are_shown_with_the_name_of_the_gpu(tmp_path):
    def one(peer: str, median: float) -> dict:
        common = {"operator": "selective_scan", "shape": "Ti-8-1", "direction": "forward", "layout": "model"}
        return {**common, "peer": peer, "wall": {"median": median}}

    results = {
        "machine": {"gpu": "A GPU of the test", "date": "2026-01-01", "torch": "2.13.0"},
        "measurements": [one("triton", 0.1234), one("mamba-ssm", 0.2)],
    }
    (tmp_path / "scan-cuda.json").write_text(json.dumps(results), "utf-8")
    words = gpu_table(tmp_path)
    assert words.startswith("A GPU of the test, 2026-01-01, torch 2.13.0.")
    assert "| model-frames-batch |  | triton | mamba-ssm |" in words
    assert "| Ti-8-1 | forward | 0.123 ms | 0.2 ms |" in words
