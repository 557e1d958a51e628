"""Everything about a training run that is a number or a choice."""

import math
from dataclasses import dataclass, fields
from numbers import Real
from typing import Literal, get_args, no_type_check

from vmamba_edu.training.early_stop import EarlyStop, Mode
from vmamba_edu.training.optimiser import RULES, Rule
from vmamba_edu.training.schedule import cosine_schedule, multimodal_schedule, scaled_learning_rate

Precision = Literal["float32", "bfloat16"]
Schedule = Literal["cosine", "multimodal"]

# What may differ between a run and its continuation: it changes when and where work is done, never what comes out.
FREE_TO_CHANGE = frozenset({"num_workers", "checkpoint_every"})


@no_type_check  # for checkers at run time: __post_init__ checks every value, and its messages say more
@dataclass(frozen=True)
class TrainingSettings:
    """How to train. The same settings, model and data give the same weights, bit for bit, on one CPU.

    Args:
        epochs: passes over the data; every pass takes len(data) // batch_size steps, as the published loaders drop the
            incomplete last batch.
        batch_size: clips a step.
        learning_rate: at the top of the schedule.
        final_learning_rate: what the schedule falls to.
        warmup_learning_rate: what it starts from.
        warmup_steps: steps until the top.
        schedule: "cosine" (`cosine_schedule`) or "multimodal" (`multimodal_schedule`).
        scale_learning_rate: whether all three are for 256 clips a step, see `scaled_learning_rate`.
        weight_decay, betas, eps: of AdamW.
        rule: which parameters are decayed, "published" or "meant", see `optimiser`.
        layer_decay: how much slower each layer learns than the one above it; 1 for all alike.
        clip_norm: largest norm of the gradient; a longer one is shortened. None leaves it as it is.
        precision: "bfloat16" computes under autocast (weights, optimiser and losses stay in float32).
        ema_decay: of a moving average of the weights, which is then what validation measures; None for none.
        monitor: which of the measured numbers says whether a validation is the best so far.
        mode: whether a smaller ("min") or a larger ("max") one is better.
        patience: validations without a better one after which training stops; None for never.
        checkpoint_every: steps between checkpoints; None for one after every epoch. The end of an epoch has one anyway.
        num_workers: processes that make batches; 0 makes them in this one. The batches are the same.
        seed: of the order of the data, of what is drawn for each clip, and of dropout; at least 0.

    Raises:
        ValueError: a value cannot be; the message names it, what was expected and what came.
    """

    epochs: int = 10
    batch_size: int = 32
    learning_rate: float = 1e-3
    final_learning_rate: float = 1e-6
    warmup_learning_rate: float = 1e-6
    warmup_steps: int = 0
    schedule: Schedule = "cosine"
    scale_learning_rate: bool = False
    weight_decay: float = 0.05
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    rule: Rule = "published"
    layer_decay: float = 1.0
    clip_norm: float | None = 1.0
    precision: Precision = "float32"
    ema_decay: float | None = None
    monitor: str = "loss"
    mode: Mode = "min"
    patience: int | None = None
    checkpoint_every: int | None = None
    num_workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size"):
            self._require(name, _is_count(getattr(self, name), 1), "a whole number of at least 1")
        for name in ("patience", "checkpoint_every"):
            value = getattr(self, name)
            self._require(name, value is None or _is_count(value, 1), "None or a whole number of at least 1")
        for name in ("warmup_steps", "num_workers", "seed"):
            self._require(name, _is_count(getattr(self, name), 0), "a whole number of at least 0")
        for name in ("learning_rate", "final_learning_rate", "warmup_learning_rate", "weight_decay", "eps"):
            self._require(name, _is_number(getattr(self, name)), "a number of at least 0")
        clip, decay, by_layer = self.clip_norm, self.ema_decay, self.layer_decay
        self._require("layer_decay", _is_number(by_layer) and 0 < by_layer <= 1, "a number in (0, 1]")
        self._require("clip_norm", clip is None or (_is_number(clip) and clip > 0), "None or a positive number")
        self._require("ema_decay", decay is None or (_is_number(decay) and 0 < decay < 1), "None or a number in (0, 1)")
        is_pair = isinstance(self.betas, (tuple, list)) and len(self.betas) == 2
        is_right = is_pair and all(_is_number(beta) and beta < 1 for beta in self.betas)
        self._require("betas", is_right, "two numbers in [0, 1)")
        self._require("monitor", isinstance(self.monitor, str), "the name of a measured number")
        choices: dict[str, tuple] = {"rule": RULES, "precision": get_args(Precision), "mode": get_args(Mode)}
        for name, among in (choices | {"schedule": get_args(Schedule), "scale_learning_rate": (True, False)}).items():
            self._require(name, getattr(self, name) in among, " or ".join(map(repr, among)))
        object.__setattr__(self, "betas", tuple(self.betas))  # a list, as configuration files have it

    def _require(self, name: str, is_right: bool, expected: str) -> None:
        if not is_right:
            raise ValueError(f"{name}: expected {expected}, got {getattr(self, name)!r}")

    def learning_rates(self, num_steps: int) -> list[float]:
        """The learning rate before each step.

        Raises:
            ValueError: the warm-up is longer than the training.
        """
        rates = [self.learning_rate, self.final_learning_rate, self.warmup_learning_rate]
        if self.scale_learning_rate:
            rates = [scaled_learning_rate(rate, self.batch_size) for rate in rates]
        make = cosine_schedule if self.schedule == "cosine" else multimodal_schedule
        base, final, start = rates
        return make(base, final, num_steps, warmup_steps=self.warmup_steps, warmup_start=start).tolist()

    def early_stop(self) -> EarlyStop:
        """What watches the validations."""
        return EarlyStop(self.monitor, self.mode, self.patience)

    def binding(self) -> dict[str, object]:
        """The settings that a continued run must share with its beginning, by name; tuples as lists."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in FREE_TO_CHANGE}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}


def _is_count(value: object, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and 0 <= float(value) < math.inf
