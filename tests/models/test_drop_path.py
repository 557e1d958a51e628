"""Drop path: which rate where, and what it does to a batch."""

import pytest
import torch

from vmamba_edu.models.drop_path import DropPath, draw_kept, drop_path_rates


def test_rates_rise_evenly_one_block_late():
    assert drop_path_rates(0.3, 4) == pytest.approx([0, 0, 0.1, 0.2, 0.3], abs=1e-7)
    assert drop_path_rates(0.3, 1) == [0, 0.3]
    assert drop_path_rates(0.0, 3) == [0, 0, 0, 0]


def test_rates_do_not_follow_the_default_device():
    with torch.device("meta"):
        assert drop_path_rates(0.3, 4) == pytest.approx([0, 0, 0.1, 0.2, 0.3], abs=1e-7)


def test_samples_are_dropped_whole_and_the_others_make_up_for_it():
    torch.manual_seed(0)
    x = torch.ones(64, 3, 2)
    y = DropPath(0.75).train()(x)
    assert set(y.unique().tolist()) == {0.0, 4.0}
    assert all(len(sample.unique()) == 1 for sample in y)


def test_in_evaluation_nothing_happens():
    x = torch.randn(8, 3, 2)
    assert torch.equal(DropPath(0.9).eval()(x), x)


def test_a_sample_is_kept_as_often_as_said():
    torch.manual_seed(0)
    count, keep = 100_000, 0.8
    kept = draw_kept(torch.ones(count, 1, 1), keep).sum().item()
    assert abs(kept - keep * count) < 6 * (count * keep * (1 - keep)) ** 0.5  # six sigma
