"""Learning rates by step: a linear warm-up, then half a cosine.

    values = cosine_schedule(1e-3, 1e-6, num_steps=1000, warmup_steps=50, warmup_start=1e-6)   # values[step]

Both published schedules are here, each to the last bit. They differ in small things: the one of classification comes to
its base value twice and never to its final one; the one of video and text starts at its floor and ends on it.
"""

import math

import numpy as np

# The published recipes give learning rates for this many clips a step, and scale them to the steps they really take.
PUBLISHED_BATCH = 256


def cosine_schedule(
    base: float | int, final: float | int, num_steps: int, *, warmup_steps: int = 0, warmup_start: float | int = 0.0
) -> np.ndarray:
    """The schedule of classification, masked alignment and distillation, one value a step.

    W warm-up steps rise evenly from warmup_start to base, both included. The M steps after them take
    final + (base − final) (1 + cos(π i / M)) / 2 for i = 0 … M − 1: base stands on both sides of the joint, and final
    is approached and never reached.

    Returns:
        (num_steps,) float64.

    Raises:
        ValueError: a count is negative, or the warm-up is longer than the training.

    Source: `cosine_scheduler` (videomamba/video_sm/utils.py). The published one counts in epochs, and its warmup_steps
    fails an assertion unless warmup_epochs is set beside it; here the warm-up is a number of steps, and works.
    """
    _check_steps(num_steps, warmup_steps)
    rising = np.linspace(warmup_start, base, warmup_steps, dtype=np.float64)
    rest = num_steps - warmup_steps
    falling = [final + 0.5 * (base - final) * (1 + math.cos(math.pi * i / rest)) for i in range(rest)]
    return np.concatenate([rising, np.asarray(falling, dtype=np.float64)])


def multimodal_multiplier(step: int, num_steps: int, *, warmup_steps: int = 0, minimum: float | int = 0.0) -> float:
    """What the base learning rate of video-text training is multiplied with before a step, from 0 to num_steps.

    step / W during the W warm-up steps, then (1 + cos(π p)) / 2 with p the share of the rest that is done, and never
    less than `minimum`, in the warm-up neither.

    Raises:
        ValueError: a count is negative, or the warm-up is longer than the training.

    Source: `get_cosine_schedule_with_warmup` (videomamba/video_mm/utils/scheduler.py).
    """
    _check_steps(num_steps, warmup_steps)
    if step < warmup_steps:
        return max(minimum, step / max(1, warmup_steps))
    progress = (step - warmup_steps) / max(1, num_steps - warmup_steps)
    return max(minimum, 0.5 * (1.0 + math.cos(math.pi * progress)))


def multimodal_schedule(
    base: float | int, final: float | int, num_steps: int, *, warmup_steps: int = 0, warmup_start: float | int = 0.0
) -> np.ndarray:
    """The schedule of video-text training in the manner of `cosine_schedule`: base times `multimodal_multiplier`.

    `warmup_start` has no say in it: the published warm-up starts at the floor, final / base.
    """
    minimum = final / base if base else 0.0
    return np.array(
        [
            base * multimodal_multiplier(step, num_steps, warmup_steps=warmup_steps, minimum=minimum)
            for step in range(num_steps)
        ],
        dtype=np.float64,
    )


def scaled_learning_rate(
    base: float | int, batch_size: int, *, world_size: int = 1, update_freq: int = 1, num_sample: int = 1
) -> float:
    """base · batch_size · world_size · update_freq · num_sample / 256: what the published recipes really train with.

    Args:
        base: as a recipe gives it; its final and its warm-up learning rate are scaled the same.
        batch_size: clips that one process takes at a time.
        world_size: processes.
        update_freq: batches whose gradients are added up for one step.
        num_sample: augmented copies of each clip in a batch ("repeated augmentation").

    Source: videomamba/video_sm/run_class_finetuning.py.
    """
    return base * (batch_size * update_freq * world_size) * num_sample / PUBLISHED_BATCH


def _check_steps(num_steps: int, warmup_steps: int) -> None:
    if num_steps < 0 or warmup_steps < 0:
        raise ValueError(f"num_steps, warmup_steps: expected at least 0, got {num_steps} and {warmup_steps}")
    if warmup_steps > num_steps:
        advice = "train longer or warm up for fewer steps"
        raise ValueError(f"warmup_steps: expected at most num_steps = {num_steps}, got {warmup_steps}; {advice}")
