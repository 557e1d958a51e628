"""The inputs that are measured are those of the model."""

import pytest
import torch
import torch.nn.functional as F

from benchmarks.shapes import Shape, draw_conv, draw_scan, shapes
from vmamba_edu.models.mixer import Mixer

SMALL = Shape("small", dim=64, frames=0, batch=2, length=5, state=16)


def test_sizes_are_those_of_videomamba() -> None:
    keys = {shape.key: shape for shape in shapes()}
    assert len(keys) == 12
    assert (keys["Ti-8-1"].dim, keys["Ti-8-1"].length) == (384, 1569)
    assert (keys["M-64-4"].dim, keys["M-64-4"].length, keys["M-64-4"].batch) == (1152, 12545, 4)
    updates = [shape.updates for shape in keys.values()]
    assert updates == sorted(updates)


def test_memory_is_laid_out_as_the_mixer_lays_it_out() -> None:
    tokens = torch.randn(SMALL.batch, SMALL.length, 2 * SMALL.dim)
    theirs = Mixer(SMALL.dim // 2, d_state=SMALL.state).scan_arguments(tokens, "forward")
    ours = draw_scan(SMALL)
    for name, x in theirs.items():
        if isinstance(x, torch.Tensor):
            assert (ours[name].shape, ours[name].stride()) == (x.shape, x.stride()), name
    assert draw_conv(SMALL)["x"].stride() == tokens.transpose(1, 2).chunk(2, dim=1)[0].stride()


def test_contiguous_is_the_same_numbers_in_another_layout() -> None:
    model, contiguous = draw_scan(SMALL), draw_scan(SMALL, "contiguous")
    for name in ("u", "delta", "A", "B", "C", "D", "z", "delta_bias", "grad_y"):
        assert contiguous[name].is_contiguous()
        assert torch.equal(model[name], contiguous[name])


def test_no_kernel_can_cheat_with_powers_of_one_exponential() -> None:
    A = draw_scan(SMALL)["A"]
    ratios = A / A[:, :1]
    assert (A < 0).all()
    assert (ratios[:, 1:] - ratios[:, 1:].round()).abs().mean() > 0.05


def test_steps_are_spread_as_at_the_published_start() -> None:
    step = F.softplus(draw_scan(Shape("wide", 4096, 0, 1, 1))["delta_bias"])
    assert step.min() >= 0.99e-3
    assert step.max() <= 0.101
    assert step.log10().mean() == pytest.approx(-2, abs=0.05)  # uniform in the logarithm
