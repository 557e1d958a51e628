"""Training in several processes, which Hugging Face's accelerate places, connects and keeps in step.

    torchrun --nproc-per-node 4 -m vmamba_edu.training recipe.toml
    accelerate launch --num_processes 4 -m vmamba_edu.training recipe.toml

Every process holds the model, or with `--use_fsdp` a piece of it (`pieces`), and takes its part of each batch;
gradients are averaged. So a step is the step that one process would take with the whole batch, and `batch_size` means
the same however many there are.

The loop asks a `Processes` for whatever concerns the others. One that is alone has nobody to ask, and needs no
accelerate.
"""

import multiprocessing
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vmamba_edu.training.objectives.gather import each_alone
from vmamba_edu.training.settings import Precision

Item = TypeVar("Item")
ELSEWHERE = ("DEEPSPEED", "MEGATRON_LM")


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

    def own(self, tensor: Tensor) -> Tensor:
        """What this process holds of a weight or of its gradient; a view."""
        return tensor

    def norm(self, gradients: Sequence[Tensor]) -> Tensor:
        """The length of all gradients together."""
        return nn.utils.get_total_norm(gradients)

    def shorten(self, parameters: Sequence[nn.Parameter], largest: float, norm: Tensor) -> None:
        """Scale gradients of this norm down to the largest that is allowed."""
        nn.utils.clip_grads_with_norm_(parameters, largest, norm)

    def any_name(self, name: str | None) -> str | None:
        """What one of them found in its own, if one did."""
        return name

    def cut_copy(self, module: nn.Module, like: nn.Module) -> None:
        """Keep of a copy of the model what this process keeps of the model."""

    def cut(self, whole: Mapping[str, Any], like: Mapping[str, Any]) -> Mapping[str, Any]:
        """What this process keeps of a state dict, by what it keeps of another."""
        return whole

    def cut_optimiser(self, whole: Mapping[str, Any], optimiser: torch.optim.Optimizer) -> Mapping[str, Any]:
        """What this process keeps of the state dict of an optimiser."""
        return whole

    def put_together(self, state: Any) -> Any:
        """The whole of a state dict, in the first process at least."""
        return state

    @contextmanager
    def whole(self, model: nn.Module) -> Iterator[nn.Module]:
        """A model that holds all its weights, to be asked whatever one likes."""
        yield model

    @contextmanager
    def training(self, model: nn.Module) -> Iterator[None]:
        """Around all steps: afterwards the caller's model is trained."""
        yield

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


class Connected(Processes):
    """Several processes, which accelerate places and connects.

    Args:
        precision: that of the settings.

    Raises:
        ImportError: accelerate is not installed.
        ValueError: it was launched to compute in float16 or less.
    """

    def __init__(self, precision: Precision = "float32"):
        try:
            from accelerate import PartialState
        except ImportError as error:
            advice = "which is not installed: pip install 'vmamba-edu[scale]'"
            raise ImportError(f"training in several processes needs {error.name}, {advice}") from error
        given = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
        if given not in ("no", "bf16"):
            advice = "float16 has too small a range for what a scan hands along; launch with --mixed_precision bf16"
            raise ValueError(f'mixed precision: expected "no" or "bf16", got {given!r}; {advice}')
        self.state = PartialState(cpu=_on_cpu())
        self.device: torch.device = self.state.device
        self.rank, self.count = self.state.process_index, self.state.num_processes

    def start_alike(self, *modules: Any) -> None:
        for module in modules:
            if isinstance(module, nn.Module):
                for value in module.to(self.device).state_dict().values():
                    dist.broadcast(value, 0)

    def mean(self, parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
        values = torch.stack([value.detach().to(self.device).double() for value in parts.values()])
        dist.all_reduce(values)
        return dict(zip(parts, values / self.count, strict=True))

    def total(self, numbers: Mapping[str, float]) -> dict[str, float]:
        summed: dict[str, float] = {}
        for one in self.gathered(dict(numbers)):
            for name, value in one.items():
                summed[name] = summed.get(name, 0.0) + value
        return summed

    def any(self, flag: bool) -> bool:
        number = torch.tensor(int(flag), device=self.device)
        dist.all_reduce(number)
        return bool(number)

    def gathered(self, item: Item) -> list[Item]:
        items: list[Any] = [None] * self.count
        dist.all_gather_object(items, item)
        return items

    def wait(self) -> None:
        self.state.wait_for_everyone()


class Together(Connected):
    """Several processes that each hold the whole model.

    Args:
        precision: that of the settings; "float32" leaves it to what accelerate was launched with.

    Raises:
        ImportError: accelerate is not installed.
        ValueError: as for `Connected`, or it was launched so that others than torch keep the model.
    """

    def __init__(self, precision: Precision = "float32"):
        super().__init__(precision)
        from accelerate import Accelerator, DistributedDataParallelKwargs

        # Masked and video-text objectives leave out parts of a model from step to step.
        kwargs = DistributedDataParallelKwargs(find_unused_parameters=True)
        mixed = "bf16" if precision == "bfloat16" else None
        self.accelerator = Accelerator(cpu=_on_cpu(), mixed_precision=mixed, kwargs_handlers=[kwargs])
        kind = self.accelerator.distributed_type.value
        if kind in ELSEWHERE:
            advice = "launch without it; torch's own way to keep a model in pieces is --use_fsdp, see docs/scale.md"
            raise ValueError(f"accelerate: expected processes that each hold the whole model, got {kind}; {advice}")

    def prepare(self, task: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        return self.accelerator.prepare(task, optimiser)

    def backward(self, loss: Tensor) -> None:
        self.accelerator.backward(loss)


def launched(precision: Precision = "float32") -> Processes:
    """Those that this process was started with, by torchrun, `accelerate launch` or `notebook_launcher`; else alone."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 and not (dist.is_available() and dist.is_initialized()):
        return Processes()
    _compute_in_one_thread_if_forked()
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() == "true":
        from vmamba_edu.training.pieces import InPieces

        return InPieces(precision)
    return Together(precision)


def _on_cpu() -> bool:
    """accelerate connects processes on CPUs only if told to, and would let each train alone."""
    return os.environ.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes") or not torch.cuda.is_available()


def _compute_in_one_thread_if_forked() -> None:
    """A fork leaves OpenMP's threads behind and would wait for them for ever. (torchrun's processes have one too.)"""
    if multiprocessing.parent_process() is not None:
        os.environ.setdefault("OMP_NUM_THREADS", "1")  # accelerate sets another number where there is none
        torch.set_num_threads(1)


def require_shares(batch_size: int, processes: Processes) -> None:
    """Raise unless every process gets as much of a batch.

    Raises:
        ValueError: it does not.
    """
    if batch_size % processes.count:
        raise ValueError(f"batch_size: expected a multiple of {processes.count}, the processes, got {batch_size}")
