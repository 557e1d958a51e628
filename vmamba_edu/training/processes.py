"""Training in several processes, which Hugging Face's accelerate places, connects and keeps in step.

    torchrun --nproc-per-node 4 -m vmamba_edu.training recipe.toml
    accelerate launch --num_processes 4 -m vmamba_edu.training recipe.toml

Every process holds the model and takes its part of each batch; gradients are averaged. So a step is the step that one
process would take with the whole batch, and `batch_size` means the same however many there are.

The loop asks a `Processes` for whatever concerns the others. One that is alone has nobody to ask, and needs no
accelerate.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vmamba_edu.training.objectives.gather import each_alone
from vmamba_edu.training.settings import Precision

Item = TypeVar("Item")
IN_PIECES = ("FSDP", "DEEPSPEED", "MEGATRON_LM")


class Processes:
    """Those that train together; this class is one that is alone.

    Attributes:
        rank, count: this process's number, and how many there are.
    """

    rank, count = 0, 1

    @property
    def is_main(self) -> bool:
        """Whether this is the one that writes and speaks."""
        return self.rank == 0

    def start_alike(self, *modules: Any) -> None:
        """Give all processes the weights of the first."""

    def prepare(self, task: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """What is called and stepped in place of these two; the modules inside stay the same objects."""
        return task, optimiser

    def backward(self, loss: Tensor) -> None:
        """Gradients of the mean of all processes' losses."""
        loss.backward()

    def mean(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The mean over the processes of each number."""
        return {name: value.detach() for name, value in parts.items()}

    def total(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """The sum over the processes of each number; the others may have other names."""
        return dict(numbers)

    def any(self, flag: bool) -> bool:
        """Whether it is true of one of them."""
        return flag

    def gathered(self, item: Item) -> list[Item]:
        """What each of them has, in the order of their numbers."""
        return [item]

    def wait(self) -> None:
        """Until all are here."""

    def part(self, batch: list[Item]) -> list[Item]:
        """This process's consecutive part of a batch."""
        share = len(batch) // self.count
        return batch[self.rank * share : (self.rank + 1) * share]

    @contextmanager
    def each_alone(self) -> Iterator[None]:
        """Within it no objective asks the other processes for their rows: each measures batches of its own."""
        with each_alone():
            yield


class Together(Processes):
    """Several processes, as accelerate found them.

    Args:
        precision: that of the settings; "float32" leaves it to what accelerate was launched with.

    Raises:
        ImportError: accelerate is not installed.
        ValueError: it was launched so that each process holds a piece of the model, of which no checkpoint is written.
    """

    def __init__(self, precision: Precision = "float32"):
        try:
            from accelerate import Accelerator, DistributedDataParallelKwargs
        except ImportError as error:
            advice = "which is not installed: pip install 'vmamba-edu[scale]'"
            raise ImportError(f"training in several processes needs {error.name}, {advice}") from error
        # Masked and video-text objectives leave out parts of a model from step to step.
        kwargs = DistributedDataParallelKwargs(find_unused_parameters=True)
        mixed = "bf16" if precision == "bfloat16" else None
        self.accelerator = Accelerator(mixed_precision=mixed, kwargs_handlers=[kwargs])
        kind = self.accelerator.distributed_type.value
        if kind in IN_PIECES:
            advice = "launch without it; a sequence can be split instead, see docs/scale.md"
            raise ValueError(f"accelerate: expected processes that each hold the whole model, got {kind}; {advice}")
        self.rank, self.count = self.accelerator.process_index, self.accelerator.num_processes

    def start_alike(self, *modules: Any) -> None:
        for module in modules:
            if isinstance(module, nn.Module):
                for value in module.to(self.accelerator.device).state_dict().values():
                    dist.broadcast(value, 0)

    def prepare(self, task: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        return self.accelerator.prepare(task, optimiser)

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)

    def mean(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = torch.stack([value.detach().to(self.accelerator.device).double() for value in parts.values()])
        dist.all_reduce(values)
        return dict(zip(parts, values / self.count, strict=True))

    def total(self, numbers: Mapping[str, float]) -> dict[str, float]:
        summed: dict[str, float] = {}
        for one in self.gathered(dict(numbers)):
            for name, value in one.items():
                summed[name] = summed.get(name, 0.0) + value
        return summed

    def any(self, flag: bool) -> bool:
        number = torch.tensor(int(flag), device=self.accelerator.device)
        dist.all_reduce(number)
        return bool(number)

    def gathered(self, item: Item) -> list[Item]:
        items: list[Any] = [None] * self.count
        dist.all_gather_object(items, item)
        return items

    def wait(self) -> None:
        self.accelerator.wait_for_everyone()


def launched(precision: Precision = "float32") -> Processes:
    """Those that this process was started with, by torchrun, `accelerate launch` or `notebook_launcher`; else alone."""
    started = int(os.environ.get("WORLD_SIZE", "1")) > 1 or (dist.is_available() and dist.is_initialized())
    return Together(precision) if started else Processes()


def require_shares(batch_size: int, processes: Processes) -> None:
    """Raise unless every process gets as much of a batch.

    Raises:
        ValueError: it does not.
    """
    if batch_size % processes.count:
        raise ValueError(f"batch_size: expected a multiple of {processes.count}, the processes, got {batch_size}")
