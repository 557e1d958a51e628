"""torch.compile takes the models whole, and they compute the same: in processes without the checks of the tests.

"aot_eager" does everything that torch.compile does but writing code; the full compiler writes C++ and builds it.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import torch
from vmamba_edu import create_model

size = dict(embed_dim=16, depth=1, img_size=32, drop_path_rate=0.0)
for name, keywords, shape in {cases}:
    torch.manual_seed(0)
    model = create_model(name, **size | keywords).eval()
    pixels, weight = torch.randn(shape), model.layers[0].mixer.x_proj.weight
    results = []
    for run in (model, torch.compile(model, fullgraph=True, backend={backend!r})):
        with torch.set_grad_enabled({backward}):
            output = run(pixels)
        output = output if isinstance(output, torch.Tensor) else output.features
        results.append([output] + ([torch.autograd.grad(output.square().sum(), weight)[0]] if {backward} else []))
    # Compiled code may add up in another order: float32's rounding in a few dozen operations.
    for ours, theirs in zip(*results):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
"""
CASES = [
    ("videomamba_tiny", {"num_frames": 2}, (2, 3, 2, 32, 32)),
    ("videomamba_tiny", {"num_frames": 4, "scan_order": "spatiotemporal_v2", "pool": "mean"}, (2, 3, 2, 32, 48)),
    ("videomamba_image_tiny", {"cls_position": "middle", "stride": 8}, (2, 3, 32, 32)),
    ("videomamba_masked_tiny", {"num_frames": 2, "align_last": "complete", "align_norm": "none"}, (2, 3, 2, 32, 32)),
    ("videomamba_distill_tiny", {"num_classes": 3}, (2, 3, 32, 32)),
]


def run(cases: list, backend: str, backward: bool, folder: Path) -> None:
    """In a cache of its own: what was compiled before an operator was changed must not be found again."""
    script = SCRIPT.format(cases=cases, backend=backend, backward=backward)
    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
def test_every_kind_of_model_is_one_graph_and_so_is_its_backward_pass(tmp_path):
    run(CASES, "aot_eager", backward=True, folder=tmp_path)


@pytest.mark.slow
def test_the_forward_pass_of_videomamba_tiny_compiles(tmp_path):
    size = {"embed_dim": 192, "depth": 2, "num_frames": 2}
    run([("videomamba_tiny", size, (1, 3, 2, 32, 32))], "inductor", backward=False, folder=tmp_path)
