"""One step of training, one pass of validation, and the watch over what is not finite."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from vmamba_edu.training.data_order import to_device
from vmamba_edu.training.logs import Row
from vmamba_edu.training.optimiser import set_learning_rate
from vmamba_edu.training.processes import Processes
from vmamba_edu.training.randomness import seeded
from vmamba_edu.training.settings import Precision
from vmamba_edu.training.state import Objective, TrainingState

_COUNT = "how many samples"


class NotFiniteError(ArithmeticError):
    """A loss or gradient is infinite or not a number. The step was not taken: the weights are those before it."""


def take_step(state: TrainingState, batch: Mapping[str, Any]) -> Row:
    """Forward, backward, clip, descend; the row that tells of it.

    Raises:
        NotFiniteError: before anything was changed.
        ValueError: the objective's answer has no scalar "loss".
    """
    rate = state.learning_rates[state.step]
    set_learning_rate(state.optimiser, rate)
    state.model.train()
    batch = {**to_device(batch, state.device), "step": state.step}
    with autocast(state.device, state.settings.precision):
        own_parts = state.task(batch)
    loss = _checked_loss(own_parts)
    parts = state.processes.mean(own_parts)  # what one sees all see, and stop together
    for name, value in parts.items():
        if not torch.isfinite(value).all():
            raise _not_finite(state, f"the part {name!r} of the objective is {_worst(value)}")

    state.optimiser.zero_grad()
    state.processes.backward(loss)
    learning = list(state.named_parameters().values())
    norm = state.processes.norm([weight.grad for weight in learning if weight.grad is not None])
    if not torch.isfinite(norm):
        raise _not_finite(state, f"the norm of the gradient is {float(norm)}")
    if state.settings.clip_norm is not None:
        state.processes.shorten(learning, state.settings.clip_norm, norm)
    state.optimiser.step()
    if state.average is not None:
        state.average.update_parameters(state.model)
    row = {"step": state.step + 1, "epoch": state.epoch + 1, "learning_rate": rate, "gradient_norm": float(norm)}
    state.step += 1
    return row | {name: float(value) for name, value in parts.items()}


def measure(
    model: nn.Module,
    objective: Objective,
    batches: Iterable,
    *,
    seed: int = 0,
    precision: Precision = "float32",
    processes: Processes | None = None,
) -> dict[str, float]:
    """The mean over all samples of every part that an objective answers with, without gradient, in evaluation mode.

    What the objective draws, it draws from the seed, the same at every call; the streams outside and the model's mode
    are left as they were. Of several `processes` each measures batches of its own.

    Raises:
        ValueError: there is no batch.
    """
    processes = processes or Processes()
    was_training = model.training
    model.eval()
    totals: dict[str, float] = defaultdict(float)
    device = next(model.parameters()).device
    try:
        with seeded(seed), torch.no_grad(), processes.each_alone():
            for batch in batches:  # made here, where no worker makes them: the clips themselves are drawn in float32
                size = len(next(iter(batch.values())))
                with autocast(device, precision):
                    parts = objective(model, {**to_device(batch, device), "step": 0})
                for name, value in parts.items():
                    totals[name] += size * float(value)
                totals[_COUNT] += size
    finally:
        model.train(was_training)
    totals = defaultdict(float, processes.total(totals))
    count = totals.pop(_COUNT, 0)
    if not count:
        raise ValueError("batches: expected at least one, got none")
    return {name: total / count for name, total in totals.items()}


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Computing in bfloat16 where that is safe, or not at all."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")


def require_finite_weights(state: TrainingState) -> None:
    """Raise if a step has ruined a weight, so that no checkpoint of it replaces a good one.

    Raises:
        NotFiniteError: it has.
    """
    if name := _first_not_finite(state.named_parameters(), state.processes):
        raise _not_finite(state, f"the weight {name} is not finite after the last step")


def _checked_loss(parts: Mapping[str, Tensor]) -> Tensor:
    loss = parts.get("loss")
    if not isinstance(loss, Tensor) or loss.dim() != 0 or not loss.requires_grad:
        names = ", ".join(map(repr, parts)) or "nothing"
        raise ValueError(f'objective: expected a dict with a differentiable scalar tensor "loss", got {names}')
    return loss


def _not_finite(state: TrainingState, what: str) -> NotFiniteError:
    epoch, position = divmod(state.step, state.order.steps_per_epoch)
    place = f"step {state.step + 1} (epoch {epoch + 1}, batch {position + 1})"
    weights = state.named_parameters()
    gradients = {name: parameter.grad for name, parameter in weights.items() if parameter.grad is not None}
    first = f"first weight that is not finite: {_first_not_finite(weights, state.processes) or 'none, all are'}"
    if what.startswith("the norm"):
        first += f"; first gradient: {_first_not_finite(gradients, state.processes) or 'none, only their norm'}"
    advice = "the step was not taken; try a smaller learning_rate, a longer warm-up or a smaller clip_norm"
    return NotFiniteError(f"{place}: {what}; {first}; {advice}")


def _first_not_finite(tensors: Mapping[str, Tensor], processes: Processes) -> str | None:
    own = ((name, processes.own(value)) for name, value in tensors.items())
    return processes.any_name(next((name for name, value in own if not torch.isfinite(value).all()), None))


def _worst(value: Tensor) -> float:
    return float(value.detach()[~torch.isfinite(value)].flatten()[0])
