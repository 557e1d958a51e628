"""How an operator is called: past everything that torch may want to do with the call, or straight.

Torch's dispatcher takes a call to the compiler, to modes, to transforms, to tensors of other kinds, and at last to the
function. On the way all arguments are converted back and forth, several times. That takes a good part of the time of a
short scan, and mostly nobody but autograd looks on. Then an `Operator` calls its function itself, through an ordinary
torch.autograd.Function if there is something to differentiate.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType, peek_interpreter_stack
from torch.autograd import forward_ad

PLAIN = frozenset({Tensor, torch.nn.Parameter, type(None), bool, str})
"""What an argument is where nobody but autograd has to know of it; whatever else comes goes to the dispatcher."""


class Operator:
    """A custom operator of torch, `vmamba::name`, which takes its arguments by position.

    Args:
        name, schema: as torch.library.custom_op wants them.
        compute: the function itself.
        fake: what it returns for fake tensors: tensors of the same shapes and strides.
        save, backward: its derivative, as torch.autograd.Function has it: save(ctx, inputs, output) and backward(ctx,
            *gradients of the outputs). Without them, differentiating it raises RuntimeError.
    """

    def __init__(
        self,
        name: str,
        schema: str,
        compute: Callable[..., Any],
        fake: Callable[..., Any],
        save: Callable[..., None] | None = None,
        backward: Callable[..., Any] | None = None,
    ):
        self.name, self.compute = name, compute
        save, backward = save or _save_nothing, backward or self._refuse
        self.registered = torch.library.custom_op(f"vmamba::{name}", compute, mutates_args=(), schema=schema)
        self.registered.register_fake(fake)
        self.registered.register_autograd(backward, setup_context=save)
        self.differentiable = _function(name, forward=_computing_and_saving(compute, save), backward=backward)
        self.transformable = _function(name, forward=compute, setup_context=save, backward=backward)

    def __call__(self, *arguments: Any) -> Any:
        if somebody_looks_on(arguments):
            return self.registered(*arguments)
        if differentiated_by_a_transform():
            return self.transformable(*arguments)
        return (self.differentiable if will_be_differentiated(arguments) else self.compute)(*arguments)

    def _refuse(self, ctx: Any, *gradients: Any) -> Any:
        raise RuntimeError(
            f"{self.name}: the fast engines can be differentiated once; use backend='reference' or 'associative'"
        )


def _function(name: str, **members: Callable[..., Any]) -> Callable[..., Any]:
    """What a torch.autograd.Function with these members computes."""
    function: Any = type(name, (torch.autograd.Function,), {k: staticmethod(member) for k, member in members.items()})
    return function.apply


def _computing_and_saving(compute: Callable[..., Any], save: Callable[..., None]) -> Callable[..., Any]:
    """Both in one: torch.func cannot take it apart, but it is called faster."""

    def forward(ctx: Any, *arguments: Any) -> Any:
        output = compute(*arguments)
        save(ctx, arguments, output)
        return output

    return forward


def _save_nothing(ctx: Any, inputs: tuple, output: Any) -> None: ...


def will_be_differentiated(arguments: Iterable[Any]) -> bool:
    """Whether autograd records what becomes of these arguments."""
    return torch.is_grad_enabled() and any(isinstance(x, Tensor) and x.requires_grad for x in arguments)


def differentiated_by_a_transform() -> bool:
    """Whether forward derivatives are asked for (refused, for there are none), or torch.func differentiates."""
    return forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active()


def somebody_looks_on(arguments: Sequence[Any]) -> bool:
    """Whether more than a derivative has to know of a call.

    That is a compiler or a tracer, a mode (fake tensors, counters, selective checkpointing), torch.func.vmap, or a
    tensor that is more than a tensor, or less: one without data. (All are on one device, that of the first argument.)
    """
    return (
        torch.compiler.is_compiling()
        or torch._C._len_torch_dispatch_stack() > 0
        or torch.jit.is_tracing()
        or (torch._C._are_functorch_transforms_active() and peek_interpreter_stack().key() == TransformType.Vmap)
        or not PLAIN.issuperset(map(type, arguments))
        or arguments[0].is_meta
    )
