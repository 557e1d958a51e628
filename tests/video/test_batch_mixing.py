"""Mixed clips and mixed labels keep the same shares, drawn as published."""

import numpy as np
import pytest
import torch
from video.pictures import seeded

from vmamba_edu.video import BatchMixing, soft_targets


class TestBatchMixing:
    def batch(self, dtype=torch.float32):
        clips = torch.rand((6, 3, 2, 16, 20), generator=seeded(1), dtype=dtype)
        return clips, torch.tensor([0, 1, 2, 3, 4, 0])

    @pytest.mark.parametrize(
        "options", [{}, {"mixup": 0}, {"cutmix": 0}, {"probability": 0.3}, {"mixup": 0, "cutmix": 0}]
    )
    def test_targets_sum_to_one_and_shapes_stay(self, options):
        clips, labels = self.batch()
        kept = clips.clone()
        for seed in range(20):
            mixed, targets = BatchMixing(5, **options)(clips, labels, seeded(seed))
            assert mixed.shape == clips.shape
            assert targets.shape == (6, 5)
            torch.testing.assert_close(targets.sum(1), torch.ones(6))
            assert targets.min() >= 0.1 / 5 - 1e-6
        assert torch.equal(clips, kept)

    def test_mixup_mixes_clips_and_labels_in_one_proportion(self):
        clips, labels = self.batch(torch.float64)
        for seed in range(10):
            mixed, targets = BatchMixing(5, cutmix=0, smoothing=0)(clips, labels, seeded(seed))
            keep = targets[1, 1].double()  # of the clip with label 1, mixed with that of label 4
            torch.testing.assert_close(mixed, keep * clips + (1 - keep) * clips.flip(0), atol=1e-6, rtol=0)
            torch.testing.assert_close(targets[1, 4].double(), 1 - keep, atol=1e-6, rtol=0)

    def test_cutmix_counts_the_pixels_that_stay(self):
        clips, labels = self.batch()
        for seed in range(20):
            mixed, targets = BatchMixing(5, mixup=0, smoothing=0)(clips, labels, seeded(seed))
            same = (mixed == clips)[1].all(0)
            assert (same == same[0]).all(), "one box for all frames"
            assert float(targets[1, 1]) == pytest.approx(float(same[0].float().mean()), abs=1e-6)
            assert torch.equal(mixed[1][:, ~same], clips[4][:, ~same])

    def test_the_shares_are_drawn_as_published(self):
        """Beta(0.8, 0.8) has variance 1 / (4 (2 · 0.8 + 1)), Beta(1, 1) is even: 1 / 12; each half of the time."""
        generator, mixing = seeded(3), BatchMixing(5)
        draws = [mixing.draw(generator) for _ in range(4000)]
        for kind, variance in (("mixup", 1 / 10.4), ("cutmix", 1 / 12)):
            keeps = np.array([keep for name, keep in draws if name == kind])
            assert abs(len(keeps) - 2000) < 130  # four standard deviations
            assert abs(keeps.mean() - 0.5) < 0.03
            assert abs(keeps.var() - variance) < 0.006

    def test_without_mixing_labels_are_smoothed_alone(self):
        clips, labels = self.batch()
        mixed, targets = BatchMixing(5, probability=0)(clips, labels, seeded())
        assert torch.equal(mixed, clips)
        torch.testing.assert_close(targets, soft_targets(labels, 5, 0.1))
        assert float(targets[0, 0]) == pytest.approx(0.92)
        assert float(targets[0, 1]) == pytest.approx(0.02)
