"""Training a model that is kept in pieces: each process holds a part of every weight, of its average and its moments.

    accelerate launch --num_processes 4 --use_fsdp -m vmamba_edu.training recipe.toml

Before a block computes, its weights are put together from everybody's pieces, and afterwards let go; its gradients are
averaged and each process keeps those of its own pieces (torch's fully sharded data parallelism, FSDP2). So a step is
the step of one process with the whole batch, and memory for weights, averages and moments is shared out.

accelerate starts and connects the processes and says that pieces are wanted. The cutting is torch's `fully_shard`,
asked for directly, for three reasons: accelerate passes over FSDP where it finds no GPU; its bfloat16 narrows the
weights themselves, A_log among them, where ours computes under autocast; and weights without an axis, such as a
temperature, cannot be cut. Those, and what an objective learns, every process holds whole.

Sources: ZeRO (arXiv 1910.02054) §5, stage 3; FSDP (arXiv 2304.11277).
"""

import copy
import os
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from vmamba_edu.models.mixer import DirectionParameters, Mixer
from vmamba_edu.scan_orders import Direction
from vmamba_edu.training.processes import Connected
from vmamba_edu.training.settings import Precision

# What `accelerate launch` may ask for beside the pieces, and this loop does not do.
REFUSED = {
    "FSDP_OFFLOAD_PARAMS": ("true", "weights that stay on the GPU", "--fsdp_offload_params false"),
    "FSDP_ACTIVATION_CHECKPOINTING": ("true", "no such request", "checkpoint_blocks in the recipe's [model] instead"),
    "ACCELERATE_MIXED_PRECISION": ("bf16", "no such request", 'precision = "bfloat16" in the recipe instead'),
}


class InPieces(Connected):
    """Several processes, each with a piece of every weight.

    Args:
        precision: that of the settings.

    Raises:
        ImportError: accelerate is not installed.
        ValueError: what it was launched with is not done here; the message says what to do instead.
    """

    def __init__(self, precision: Precision = "float32"):
        for name, (refused, expected, advice) in REFUSED.items():
            if os.environ.get(name, "").lower() == refused:
                raise ValueError(f"{name}: expected {expected} with a model in pieces, got {refused!r}; use {advice}")
        super().__init__(precision)
        self.held_whole: list[nn.Parameter] = []

    def prepare(self, task: nn.Module, optimiser: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Cut a copy of the task's model. The model given stays as it is until `training`, for who cannot go on."""
        self.given = task.get_submodule("model")
        _require_apart(self.given, task.objective)
        model = task.model = copy.deepcopy(self.given)
        of_model = set(model.parameters())
        self.held_whole = [one for one in task.parameters() if one not in of_model or not one.dim()]
        show_kernels_copies(model)
        mesh = init_device_mesh(self.device.type, (self.count,))
        for block in blocks(model):
            fully_shard(block, mesh=mesh, ignored_params=set(self.held_whole))
        fully_shard(task, mesh=mesh, ignored_params=set(self.held_whole))
        cut = {id(old): new for old, new in zip(self.given.parameters(), model.parameters(), strict=True)}
        for group in optimiser.param_groups:
            group["params"] = [cut.get(id(old), old) for old in group["params"]]
        return task, optimiser

    def backward(self, loss: Tensor) -> None:
        loss.backward()
        learning = [one for one in self.held_whole if one.requires_grad]
        self._average([one for one, used in zip(learning, self._used(learning), strict=True) if used])

    def _used(self, parameters: Sequence[nn.Parameter]) -> list[bool]:
        """Which of them have a gradient in any process."""
        used = torch.tensor([int(one.grad is not None) for one in parameters], device=self.device)
        if len(parameters):
            dist.all_reduce(used, dist.ReduceOp.MAX)
        return used.bool().tolist()

    def _average(self, parameters: Sequence[nn.Parameter]) -> None:
        for one in parameters:
            one.grad = torch.zeros_like(one) if one.grad is None else one.grad
            dist.all_reduce(one.grad)
            one.grad /= self.count

    def own(self, tensor: Tensor) -> Tensor:
        return tensor.to_local() if isinstance(tensor, DTensor) else tensor

    def norm(self, gradients: Sequence[Tensor]) -> Tensor:
        """Of the whole: the squares of the pieces are added up."""
        squares = torch.zeros((), device=self.device, dtype=torch.float64)
        for gradient in gradients:
            square = self.own(gradient).double().square().sum()
            squares += square if isinstance(gradient, DTensor) else square / self.count  # all hold it
        dist.all_reduce(squares)
        return squares.sqrt()

    def shorten(self, parameters: Sequence[nn.Parameter], largest: float, norm: Tensor) -> None:
        for one in parameters:
            if one.grad is not None:
                self.own(one.grad).mul_((largest / (norm + 1e-6)).clamp(max=1.0))  # as `clip_grads_with_norm_`

    def any_name(self, name: str | None) -> str | None:
        return next((one for one in self.gathered(name) if one is not None), None)

    def cut_copy(self, module: nn.Module, like: nn.Module) -> None:
        pieces: dict[int, nn.Parameter] = {}  # a weight that has two names is one weight
        for name, one in like.named_parameters(remove_duplicate=False):
            path, _, leaf = name.rpartition(".")
            place = module.get_submodule(path)
            if id(one) not in pieces:
                pieces[id(one)] = nn.Parameter(cut_tensor(getattr(place, leaf).detach(), one), requires_grad=False)
            setattr(place, leaf, pieces[id(one)])

    def cut(self, whole: Mapping[str, Any], like: Mapping[str, Any]) -> dict[str, Any]:
        return {name: cut_tensor(value, like[name]) for name, value in whole.items()}

    def cut_optimiser(self, whole: Mapping[str, Any], optimiser: torch.optim.Optimizer) -> dict[str, Any]:
        parameters = [one for group in optimiser.param_groups for one in group["params"]]
        state = {
            position: {name: _cut_like_parameter(value, parameters[position]) for name, value in moments.items()}
            for position, moments in whole["state"].items()
        }
        return {**whole, "state": state}

    def put_together(self, state: Any) -> Any:
        """A state dict with whole tensors, on the CPU of the first process; the others get None in their places."""
        if isinstance(state, DTensor):
            whole = state.full_tensor()
            return whole.cpu() if self.is_main else None
        if isinstance(state, dict):  # those of modules are ordered, those of optimisers are not
            return type(state)((name, self.put_together(value)) for name, value in state.items())
        return [self.put_together(value) for value in state] if isinstance(state, list) else state

    @contextmanager
    def whole(self, model: nn.Module) -> Iterator[nn.Module]:
        """The model that the caller gave, with these weights put together, for as long as it takes."""
        self._fill(model)
        try:
            yield self.given
        finally:
            self._empty()

    @contextmanager
    def training(self, model: nn.Module) -> Iterator[None]:
        """The caller's model has no weights meanwhile, and those that came of it afterwards."""
        self._empty()
        try:
            with warnings.catch_warnings():
                # Of in-place operations on what a block returns. No model here has one, and the tests would see it.
                warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
                yield
        except ArithmeticError:  # met by all alike; after any other error the others may not be here to put together
            self._fill(model)
            raise
        self._fill(model)

    def _fill(self, model: nn.Module) -> None:
        for empty, one in zip(self.given.parameters(), model.parameters(), strict=True):
            value = one.detach()
            empty.data = value.full_tensor() if isinstance(value, DTensor) else value.clone()

    def _empty(self) -> None:
        for one in self.given.parameters():
            one.data = one.data.new_empty(0)


def blocks(model: nn.Module) -> list[nn.Module]:
    """What a model stacks, each put together only while it computes: the modules with weights in its lists."""
    stacks = [module for module in model.modules() if isinstance(module, nn.ModuleList)]
    return [block for stack in stacks for block in stack if any(True for _ in block.parameters())]


def show_kernels_copies(model: nn.Module) -> None:
    """Let the scans read copies of a direction's own weights, which are small.

    A NumPy view of a tensor, such as the numba engine takes, forbids ever after to let its memory go.
    """
    for mixer in model.modules():
        if isinstance(mixer, Mixer):
            mixer.parameters_of = partial(_copies, mixer.parameters_of)  # type: ignore[method-assign]


def _copies(parameters_of: Callable[[Direction], DirectionParameters], direction: Direction) -> DirectionParameters:
    conv1d, x_proj, dt_proj, A_log, D = parameters_of(direction)
    of_conv, of_dt = (SimpleNamespace(**{k: v.clone() for k, v in one.named_parameters()}) for one in (conv1d, dt_proj))
    return DirectionParameters(of_conv, x_proj, of_dt, A_log.clone(), D.clone())  # type: ignore[arg-type]


def cut_tensor(whole: Any, like: Any) -> Any:
    """This process's piece of a tensor that all hold, cut as another one is; it is the whole where that is not cut."""
    if not isinstance(like, DTensor):
        return whole
    return distribute_tensor(whole.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def _cut_like_parameter(value: Any, parameter: Tensor) -> Any:
    """A moment is cut as its parameter is; what is counted for a parameter is not cut."""
    is_moment = isinstance(value, Tensor) and value.shape == parameter.shape
    return cut_tensor(value, parameter) if is_moment else value


def _require_apart(model: nn.Module, objective: object) -> None:
    of_model = {id(parameter) for parameter in model.parameters()}
    if isinstance(objective, nn.Module) and any(id(parameter) in of_model for parameter in objective.parameters()):
        came = f"{type(objective).__name__}, which has some; launch without --use_fsdp"
        raise ValueError(f"objective: expected one without weights of the model, got {came}")
