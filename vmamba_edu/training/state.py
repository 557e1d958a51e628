"""All that training changes, in one place: what a checkpoint holds, and what going on from one brings back."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from vmamba_edu.models.checkpoints.report import CheckpointError
from vmamba_edu.training.checkpointing import require_same
from vmamba_edu.training.data_order import DataOrder
from vmamba_edu.training.early_stop import EarlyStop
from vmamba_edu.training.ema import make_average
from vmamba_edu.training.optimiser import make_adamw
from vmamba_edu.training.processes import Processes
from vmamba_edu.training.randomness import capture_random_state, restore_random_state, seed_everything
from vmamba_edu.training.settings import TrainingSettings

Objective = Callable[[nn.Module, Mapping[str, Any]], Mapping[str, Tensor]]


class Task(nn.Module):
    """Model and objective as one module, whose forward pass is all that a step asks for.

    So whatever an objective asks of its model happens within the call that accelerate wraps, and what an objective
    learns is kept in step too.
    """

    def __init__(self, model: nn.Module, objective: Objective):
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, batch: Mapping[str, Any]) -> Mapping[str, Tensor]:
        """The objective's parts of a batch."""
        return self.objective(self.model, batch)


@dataclass(eq=False)
class TrainingState:
    """A run between two steps.

    Attributes:
        model: what learns; a copy of the model given, cut, where processes keep it in pieces.
        objective: what it learns for; one that is an nn.Module learns with it.
        task: both, as a step calls them.
        optimiser: AdamW over both.
        average: the moving average of the model's weights, or None.
        watch: the best validation so far, and when to stop.
        order: which samples each step sees.
        settings: as given.
        learning_rates: by step.
        processes: who else trains it.
        step: how many steps are done.
    """

    model: nn.Module
    objective: Objective
    task: nn.Module
    optimiser: torch.optim.Optimizer
    average: AveragedModel | None
    watch: EarlyStop
    order: DataOrder
    settings: TrainingSettings
    learning_rates: list[float]
    processes: Processes
    step: int = 0

    @classmethod
    def begin(
        cls,
        model: nn.Module,
        objective: Objective,
        settings: TrainingSettings,
        num_samples: int,
        processes: Processes | None = None,
    ) -> "TrainingState":
        """The state before the first step."""
        processes = processes or Processes()
        processes.start_alike(model, objective)
        order = DataOrder(num_samples, settings.batch_size, settings.epochs, settings.seed)
        of_model = {id(parameter) for parameter in model.parameters()}
        of_objective = objective.parameters() if isinstance(objective, nn.Module) else ()
        optimiser = make_adamw(
            model,
            [parameter for parameter in of_objective if id(parameter) not in of_model],
            weight_decay=settings.weight_decay,
            layer_decay=settings.layer_decay,
            rule=settings.rule,
            betas=settings.betas,
            eps=settings.eps,
        )
        average = None if settings.ema_decay is None else make_average(model, settings.ema_decay)
        rates = settings.learning_rates(order.num_steps)
        task = Task(model, objective)
        called, prepared = processes.prepare(task, optimiser)
        if average is not None:
            processes.cut_copy(average.module, task.model)
        watch = settings.early_stop()
        return cls(task.model, objective, called, prepared, average, watch, order, settings, rates, processes)

    @property
    def epoch(self) -> int:
        """Which epoch the next step belongs to, from 0."""
        return self.step // self.order.steps_per_epoch

    @property
    def is_epoch_end(self) -> bool:
        """Whether the last step ended an epoch."""
        return self.step > 0 and self.step % self.order.steps_per_epoch == 0

    @property
    def judged_model(self) -> nn.Module:
        """What validation measures: the average where there is one, else the model."""
        return self.model if self.average is None else self.average.module

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """What learns, by name."""
        found = dict(self.model.named_parameters())
        if isinstance(self.objective, nn.Module):
            known = {id(parameter) for parameter in found.values()}
            others = self.objective.named_parameters(prefix="objective")
            found |= {name: parameter for name, parameter in others if id(parameter) not in known}
        return {name: parameter for name, parameter in found.items() if parameter.requires_grad}

    def content(self, metadata: Mapping[str, Any]) -> dict[str, Any]:
        """All of it, for a checkpoint; to be written before the next step changes it. Every process has to ask."""
        own_random, *others_random = self.processes.gathered(capture_random_state())
        epoch, position = divmod(self.step, self.order.steps_per_epoch)
        sampler = {"epoch": epoch, "position": position, "seed": self.order.seed}
        whole = self.processes.put_together
        return {
            "step": self.step,
            "sampler": {**sampler, "num_samples": self.order.num_samples},
            "model": whole(self.model.state_dict()),
            "objective": _objective_state(self.objective),
            "objective_generator": None if (own := _generator(self.objective)) is None else own.get_state(),
            "optimiser": whole(self.optimiser.state_dict()),
            "schedule": {"num_steps": self.order.num_steps, "kind": self.settings.schedule},
            "average": None if self.average is None else whole(self.average.state_dict()),
            "watch": self.watch.state_dict(),
            "random": own_random,
            "others_random": others_random,
            "settings": self.settings.binding(),
            "architecture": architecture(self.model),
            "metadata": dict(metadata),
        }

    def go_on_from(self, content: Mapping[str, Any], path: Path) -> None:
        """Continue from a checkpoint. It is compared first, and if it does not fit, nothing is changed.

        Raises:
            CheckpointError: it is of another model, objective, data or settings; the message says in what.
        """
        self._require_same_run(content, path)
        cut = self.processes.cut
        self.model.load_state_dict(cut(content["model"], self.model.state_dict()))
        if content["objective"] is not None:
            self.objective.load_state_dict(content["objective"])  # type: ignore[attr-defined]
        own, own_state = _generator(self.objective), content["objective_generator"]
        if own is not None and own_state is not None:
            own.set_state(own_state)
        self.optimiser.load_state_dict(dict(self.processes.cut_optimiser(content["optimiser"], self.optimiser)))
        if self.average is not None:
            self.average.load_state_dict(cut(content["average"], self.average.state_dict()))
        self.watch.load_state_dict(content["watch"])
        self.step = content["step"]
        self._restore_random([content["random"], *content.get("others_random", ())])

    def _restore_random(self, states: list[dict[str, Any]]) -> None:
        """This process's streams; where there are more processes than before, a new one begins streams of its own."""
        rank = self.processes.rank
        if rank < len(states):
            restore_random_state(states[rank])
        else:
            seed_everything(self.settings.seed, rank, self.step)

    def _require_same_run(self, content: Mapping[str, Any], path: Path) -> None:
        require_same(path, "model", self.model.state_dict(), content["model"])
        mine, theirs = _objective_state(self.objective), content["objective"]
        require_same(path, "objective", _tensors(mine), _tensors(theirs))
        for name, value in self.settings.binding().items():
            if content["settings"].get(name) != value:
                then = content["settings"].get(name)
                advice = "go on with the settings of the beginning, or train anew in another folder"
                raise CheckpointError(f"{path}: was trained with {name} = {then!r}, and now it is {value!r}; {advice}")
        if content["sampler"]["num_samples"] != self.order.num_samples:
            then = content["sampler"]["num_samples"]
            raise CheckpointError(f"{path}: was trained on {then} samples, and now there are {self.order.num_samples}")


def architecture(model: nn.Module) -> dict[str, Any]:
    """What kind of model it is, in plain values: the name of its class, and its configuration if it has one."""
    config = getattr(model, "config", None)
    values = asdict(config) if is_dataclass(config) and not isinstance(config, type) else {}
    return {"class": type(model).__name__, "config": values}


def _objective_state(objective: Objective) -> dict[str, Any] | None:
    return objective.state_dict() if hasattr(objective, "state_dict") else None


def _generator(objective: Objective) -> torch.Generator | None:
    """The generator that an objective draws from, if it keeps one of its own and not torch's."""
    own = getattr(objective, "generator", None)
    return own if isinstance(own, torch.Generator) else None


def _tensors(state: Mapping[str, Any] | None) -> dict[str, Tensor]:
    return {name: value for name, value in (state or {}).items() if isinstance(value, Tensor)}
