"""How long training takes: the clock stands still while the test split is measured, and the table says when."""

import time

import pytest
import torch
from torch import nn

from benchmarks import tables, training_time
from benchmarks.comparisons import measures
from vmamba_edu.video import MOTIONS

SLOW_S = 0.3


class SomeClips:
    """Six clips of the first six motions."""

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> dict:
        return {"clip": torch.full((3, 1, 2, 2), float(index)), "index": index}

    def label(self, index: int) -> int:
        return index


class KnowsFive(nn.Module):
    """Right about all clips but the last one, and slow."""

    def forward(self, clips: torch.Tensor) -> torch.Tensor:
        time.sleep(SLOW_S)
        assert not self.training
        return nn.functional.one_hot(clips[:, 0, 0, 0, 0].long().clamp(max=4), len(MOTIONS)).float()


def test_what_is_measured_on_the_test_split_does_not_count(tmp_path):
    assert measures.BATCH >= 6  # one call of the model for each measurement
    clock = training_time.TestedClock(tmp_path / "clock.json", KnowsFive().train(), SomeClips())
    began = time.monotonic()
    clock.on_start(0, 2)
    for step in (1, 2):
        clock.on_step({"step": step})
        clock.on_validation({"step": step, "epoch": step, "accuracy": 0.5})
    assert [row["test"] for row in clock.rows] == pytest.approx([5 / 6] * 2, abs=1e-4)
    assert clock.rows[-1]["wall"] <= time.monotonic() - began - 2 * SLOW_S + 0.01  # rounded to hundredths


def test_the_table_says_when_so_many_were_right_for_the_first_time():
    epochs = [{"step": 10 * (n + 1), "wall": 1.0 + n, "test": test} for n, test in enumerate((0.3, 0.96, 0.94, 0.97))]
    machine = {"date": "today"}
    table = tables.training_table({"machine": machine, "runs": [{"seed": 3, "epochs": epochs}]})
    assert table.splitlines()[2] == "| 3 | 2 s | not reached | 4 s | 97.0 % | 100 |"
