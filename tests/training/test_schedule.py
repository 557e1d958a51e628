"""Learning rates by step, against the published schedules."""

import pytest
from reference_data import load_reference, reference_names

from vmamba_edu.training import TrainingSettings
from vmamba_edu.training.schedule import (
    cosine_schedule,
    multimodal_multiplier,
    multimodal_schedule,
    scaled_learning_rate,
)

DATA = [load_reference(name)[1] for name in reference_names("10_schedules")]
COSINES = [case for data in DATA for case in data["cosine_scheduler"]]
MULTIMODAL = [case for data in DATA for case in data["mm_cosine_with_warmup"]]


@pytest.mark.parametrize("case", COSINES)
def test_cosine_is_the_published_one_to_the_last_bit(case):
    args = case["args"]
    values = cosine_schedule(
        args["base_value"],
        args["final_value"],
        args["epochs"] * args["niter_per_ep"],
        warmup_steps=args.get("warmup_epochs", 0) * args["niter_per_ep"],
        warmup_start=args.get("start_warmup_value", 0),
    )
    assert values.tolist() == case["values"]


@pytest.mark.parametrize("case", MULTIMODAL)
def test_multimodal_is_the_published_one_to_the_last_bit(case):
    args, expected = case["args"], case["lr_multiplier_before_step"]
    num_steps, warmup = args["num_training_steps"], args["num_warmup_steps"]
    actual = [
        multimodal_multiplier(step, num_steps, warmup_steps=warmup, minimum=args["min_lr_multi"])
        for step in range(len(expected))
    ]
    assert actual == expected
    rates = multimodal_schedule(2.0, 2 * args["min_lr_multi"], num_steps, warmup_steps=warmup)
    assert rates.tolist() == [2 * multiplier for multiplier in expected[:num_steps]]


def test_the_joint_has_the_base_twice_and_the_end_stays_above_the_final():
    values = cosine_schedule(1.0, 0.1, 10, warmup_steps=4)
    assert list(values[3:5]) == [1.0, 1.0]
    assert (values[5:] < 1).all()
    assert values[-1] > 0.1


def test_a_warm_up_of_the_whole_training_ends_at_the_base():
    assert cosine_schedule(1.0, 0.1, 3, warmup_steps=3, warmup_start=0.5).tolist() == [0.5, 0.75, 1.0]


@pytest.mark.parametrize("make", [cosine_schedule, multimodal_schedule])
def test_a_warm_up_longer_than_the_training_is_refused(make):
    with pytest.raises(ValueError, match="warmup_steps: expected at most num_steps = 3, got 4"):
        make(1.0, 0.1, 3, warmup_steps=4)


def test_negative_counts_are_refused():
    with pytest.raises(ValueError, match="expected at least 0, got -1 and 0"):
        cosine_schedule(1.0, 0.1, -1)


def test_rates_are_scaled_by_all_clips_of_a_step():
    assert scaled_learning_rate(1e-3, 256) == 1e-3
    assert scaled_learning_rate(1e-3, 8, world_size=16, update_freq=2, num_sample=2) == 1e-3 * 8 * 16 * 2 * 2 / 256


def test_settings_scale_all_three_rates():
    one = TrainingSettings(learning_rate=1e-3, batch_size=128, warmup_steps=2).learning_rates(6)
    scaled = TrainingSettings(learning_rate=1e-3, batch_size=128, warmup_steps=2, scale_learning_rate=True)
    assert scaled.learning_rates(6) == pytest.approx([rate / 2 for rate in one], rel=1e-12)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "epochs: expected a whole number of at least 1, got 0"),
        ({"seed": -1}, "seed: expected a whole number of at least 0, got -1"),
        ({"patience": 0}, "patience: expected None or a whole number of at least 1, got 0"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a number of at least 0, got nan"),
        ({"layer_decay": 1.5}, r"layer_decay: expected a number in \(0, 1\], got 1.5"),
        ({"clip_norm": 0}, "clip_norm: expected None or a positive number, got 0"),
        ({"ema_decay": 1}, r"ema_decay: expected None or a number in \(0, 1\), got 1"),
        ({"betas": [0.9]}, r"betas: expected two numbers in \[0, 1\), got \[0.9\]"),
        ({"precision": "float16"}, "precision: expected 'float32' or 'bfloat16', got 'float16'"),
        ({"schedule": "linear"}, "schedule: expected 'cosine' or 'multimodal', got 'linear'"),
        ({"mode": "best"}, "mode: expected 'min' or 'max', got 'best'"),
        ({"monitor": 3}, "monitor: expected the name of a measured number, got 3"),
    ],
)
def test_settings_that_cannot_be_are_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        TrainingSettings(**wrong)
