"""The parts of a model, what each has, computes and keeps: counted while a model without memory runs.

The model stands on torch's "meta" device: its tensors have shapes and no numbers, so that the largest one at 64 frames
costs nothing. Operations are counted as by `analysis.count_flops`, what is kept for the backward pass as by
`analysis.count_saved_bytes`, part by part.
"""

import inspect
import math
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakSet

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from vmamba_edu.analysis.counted_cost import our_formulas
from vmamba_edu.models import create_model
from vmamba_edu.models.backbone import Backbone
from vmamba_edu.models.registry import MODELS
from vmamba_edu.panels.computed.arguments import one_of, within

MOST_FRAMES, MOST_PIXELS = 4096, 4096
"""Of a clip that is counted; beyond them the counts would be those of no model that anyone runs."""


@dataclass(frozen=True)
class Part:
    """A module of a model, all that is in it included.

    Args:
        path: its name in the model, "" for the model itself.
        kind: the name of its class.
        source: where that stands, in words, and the source itself.
        parameters: numbers that are learnt.
        flops: operations of one forward pass of one sample, as counted: products alone, two for a multiply-accumulate.
        kept: bytes, in float32, that a forward pass keeps for the backward pass; each memory is counted where it was
            kept first.
        output: the shape of what it hands on, None if it is not called as a module but read by the part around it.
    """

    path: str
    kind: str
    source: tuple[str, str]
    parameters: int
    flops: int
    kept: int
    output: tuple[int, ...] | None

    @property
    def macs(self) -> float:
        """Multiply-accumulates: half of the operations."""
        return self.flops / 2


@dataclass(frozen=True)
class Anatomy:
    """All parts of a model by path, and of which of them the model is a sequence: its stages."""

    parts: dict[str, Part]
    stages: tuple[str, ...]
    loose: int
    """Parameters that stand between the stages: [cls], positions."""

    @property
    def whole(self) -> Part:
        return self.parts[""]


_counted: dict[tuple[str, int, int], Anatomy] = {}
MOST_COUNTED = 64


def is_counted(name: str, frames: int, size: int) -> bool:
    """Whether `anatomy_of` has the answer already; counting takes longer than a reader should wait for."""
    return (name, frames, size) in _counted


def anatomy_of(name: str, frames: int, size: int) -> Anatomy:
    """The anatomy of a registered model for clips of so many frames of size × size pixels; a picture has no frames.

    The last MOST_COUNTED answers are kept.

    Raises:
        ValueError: there is no such model, or it cannot read such clips.
    """
    key = name, frames, size
    if (anatomy := _counted.get(key)) is None:
        anatomy = _count(*key)
        while len(_counted) >= MOST_COUNTED:
            del _counted[next(iter(_counted))]
        _counted[key] = anatomy
    return anatomy


def _count(name: str, frames: int, size: int) -> Anatomy:
    one_of("model", name, MODELS)
    within("frames", frames, 1, MOST_FRAMES)
    within("size", size, 1, MOST_PIXELS)
    is_clip = hasattr(MODELS[name], "num_frames")
    with torch.device("meta"):
        try:
            model = create_model(name, img_size=size, **({"num_frames": frames} if is_clip else {})).eval()
        except ValueError as error:  # in the panel's words
            raise ValueError(str(error).replace("img_size: ", "size: ").replace("num_frames: ", "frames: ")) from error
        pixels = torch.empty((1, 3, frames, size, size) if is_clip else (1, 3, size, size))
    if isinstance(model, Backbone):
        model.set_backend("numba")  # its operators say what shapes they return, and are counted
    flops, kept, outputs = _counted_flops(model, pixels), *_kept_bytes(model, pixels)
    sources = {kind: source_of(kind) for kind in {type(module) for module in model.modules()}}  # each is slow to find
    parts = {}
    for path, module in model.named_modules():
        inside = [own for own in kept if not path or own == path or own.startswith(f"{path}.")]
        parts[path] = Part(
            path,
            type(module).__name__,
            sources[type(module)],
            sum(p.numel() for p in module.parameters()),
            flops.get(path, 0),
            sum(kept[own] for own in inside),
            outputs.get(path),
        )
    called = {path: number for number, path in enumerate(outputs)}  # released models name their head before the blocks
    stages = tuple(
        path
        for path in sorted(_stages(model), key=lambda path: called.get(path, -1))
        if parts[path].parameters or parts[path].flops
    )
    loose = parts[""].parameters - sum(parts[path].parameters for path in stages)
    return Anatomy(parts, stages, loose)


def source_of(kind: type) -> tuple[str, str]:
    """Where a class stands, "package/file.py, line 3", and its source."""
    lines, first = inspect.getsourcelines(kind)
    file = Path(*kind.__module__.split(".")).with_suffix(".py")
    return f"{file.as_posix()}, line {first}", "".join(lines)


def _stages(model: nn.Module, path: str = "") -> Iterator[str]:
    """The parts that a sample runs through one after the other: whatever holds a list of blocks is opened."""
    for name, child in model.named_children():
        own = f"{path}.{name}" if path else name
        holds = any(isinstance(inner, nn.ModuleList) for inner in child.modules())
        yield from _stages(child, own) if holds else (own,)


def _counted_flops(model: nn.Module, pixels: Tensor) -> dict[str, int]:
    from torch.utils.flop_counter import FlopCounterMode  # imports triton

    counter = FlopCounterMode(display=False, custom_mapping=our_formulas())
    with torch.no_grad(), counter:
        model(pixels)
    counts = counter.get_flop_counts()
    root = type(model).__name__
    flops = {"": sum(counts.get("Global", {}).values())}
    for name, operators in counts.items():
        if name.startswith(f"{root}."):
            flops[name.removeprefix(f"{root}.")] = sum(operators.values())
    return flops


def _kept_bytes(model: nn.Module, pixels: Tensor) -> tuple[dict[str, int], dict[str, tuple[int, ...]]]:
    """Bytes by the part that kept them first, its own parts aside; and the shape of what each hands on."""
    there = {_memory(x) for x in (pixels, *model.parameters(), *model.buffers())}
    boxes: WeakSet[_Box] = WeakSet()  # what autograd lets go of before the end is not counted
    outputs: dict[str, tuple[int, ...]] = {}
    with _where(model, outputs) as stack:

        def save(x: Tensor) -> _Box:
            boxes.add(box := _Box(x.detach(), stack[-1], len(seen)))
            seen.append(None)
            return box

        seen: list[None] = []
        hooks = torch.autograd.graph.saved_tensors_hooks(save, lambda box: box.tensor)
        with torch.enable_grad(), FusedAttention(), hooks:
            result = model(pixels)  # a name for it: as long as it is there, so is what was kept
    kept: dict[str, int] = defaultdict(int)
    for box in sorted(boxes, key=lambda box: box.number):
        if _memory(box.tensor) not in there:
            there.add(_memory(box.tensor))
            kept[box.path] += box.tensor.untyped_storage().nbytes()
    del result
    return dict(kept), outputs


class _Box:
    """A tensor that autograd keeps, in a box that is gone when autograd needs it no more."""

    def __init__(self, tensor: Tensor, path: str, number: int):
        self.tensor, self.path, self.number = tensor, path, number


def _memory(x: Tensor) -> int:
    return x.untyped_storage()._cdata


@contextmanager
def _where(model: nn.Module, outputs: dict[str, tuple[int, ...]]) -> Iterator[list[str]]:
    """While the model runs, the stack of paths of the modules that are being called; their outputs are noted."""
    stack, hooks = [""], []
    for path, module in model.named_modules():

        def leave(_: Any, __: Any, output: Any, path: str = path) -> None:
            if path:
                stack.pop()
            first = output if isinstance(output, Tensor) else next((x for x in output if isinstance(x, Tensor)), None)
            if first is not None:
                outputs[path] = tuple(first.shape)

        if path:
            hooks.append(module.register_forward_pre_hook(lambda _, __, path=path: stack.append(path)))
        hooks.append(module.register_forward_hook(leave))
    try:
        yield stack
    finally:
        for hook in hooks:
            hook.remove()


class FusedAttention(TorchFunctionMode):
    """Attention keeps what torch's fused one keeps: on the meta device torch would write the weights down."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.scaled_dot_product_attention:
            return _Fused.apply(*args[:3])
        return func(*args, **(kwargs or {}))


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        said = torch.empty_like(q)
        ctx.save_for_backward(q, k, v, said, q.new_empty(q.shape[:-1]))  # and the sum of each row's exponentials
        return said

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError("only counts what a forward pass keeps")


def in_words(number: float, unit: str = "") -> str:
    """A count with at most three digits: 7.02 M, 1.2 G; bytes in powers of 1024."""
    base, names = (1024, ("B", "KiB", "MiB", "GiB", "TiB")) if unit == "B" else (1000, ("", "k", "M", "G", "T"))
    power = min(int(math.log(number, base)), 4) if number >= 1 else 0
    return f"{number / base**power:.3g} {names[power]}{unit if unit != 'B' else ''}".strip()
