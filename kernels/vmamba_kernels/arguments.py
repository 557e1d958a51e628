"""What the operators accept, checked in one place: an error names the argument, what was expected and what came."""

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import torch
from torch import Tensor

FLOATING = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MOST_REMEMBERED = 1000


def once(check: Callable[..., torch.dtype]) -> Callable[..., torch.dtype]:
    """Arguments whose like have passed this check before pass at once: it looks at shapes, dtypes and devices only."""
    passed: dict[tuple, torch.dtype] = {}

    @wraps(check)
    def checked(*arguments: Any) -> torch.dtype:
        if torch.compiler.is_compiling():
            return check(*arguments)
        try:
            like = tuple([(x.shape, x.dtype, x.device) if isinstance(x, Tensor) else x for x in arguments])
            if like in passed:
                return passed[like]
        except TypeError:  # something that cannot be remembered: a symbolic size, or what is no argument at all
            return check(*arguments)
        dtype = check(*arguments)
        if len(passed) < MOST_REMEMBERED:
            passed[like] = dtype
        return dtype

    return checked


@once
def check_scan(
    u: Tensor,
    delta: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor | None,
    z: Tensor | None,
    delta_bias: Tensor | None,
    initial_state: Tensor | None,
) -> torch.dtype:
    """The dtype to compute in. TypeError (no tensor, dtype) or ValueError (shape, device) if this is no scan."""
    given = {"u": u, "delta": delta, "A": A, "B": B, "C": C}
    given |= _not_none(D=D, z=z, delta_bias=delta_bias, initial_state=initial_state)
    _check_tensors(given)
    _check_rank("u", u, "(batch, dim, length)")
    _check_rank("A", A, "(dim, state)")
    batch, dim, length = u.shape
    state = A.shape[1]
    if dim == 0 or length == 0 or state == 0:
        raise ValueError(f"u, A: expected dim, length and state of at least 1, got {_shape(u)} and {_shape(A)}")

    _check_shape("A", A, (dim, state), "(dim, state)")
    for name in ("delta", "z"):
        if name in given:
            _check_shape(name, given[name], (batch, dim, length), "(batch, dim, length), the shape of u")
    for name in ("D", "delta_bias"):
        if name in given:
            _check_shape(name, given[name], (dim,), "(dim,)")
    if initial_state is not None:
        _check_shape("initial_state", initial_state, (batch, dim, state), "(batch, dim, state)")
    for name in ("B", "C"):
        _check_map(name, given[name], batch, dim, state, length)

    for name in ("delta", "B", "C", "z"):
        if name in given and given[name].dtype != u.dtype:
            raise TypeError(f"{name}: expected {u.dtype}, the dtype of u, got {given[name].dtype}; convert one of them")
    for name in ("A", "D", "delta_bias", "initial_state"):
        if name in given and given[name].dtype not in (torch.float32, torch.float64):
            raise TypeError(f"{name}: expected float32 or float64, got {given[name].dtype}; pass {name}.float()")
    return _widest(given)


@once
def check_conv(
    x: Tensor, weight: Tensor, bias: Tensor | None, activation: str | None, initial_state: Tensor | None
) -> torch.dtype:
    """The dtype to compute in. TypeError (no tensor) or ValueError (shape, device, activation) if this is no filter."""
    given = {"x": x, "weight": weight} | _not_none(bias=bias, initial_state=initial_state)
    _check_tensors(given)
    _check_rank("x", x, "(batch, dim, length)")
    _check_rank("weight", weight, "(dim, width)")
    batch, dim, length = x.shape
    width = weight.shape[1]
    if dim == 0 or length == 0:
        raise ValueError(f"x: expected dim and length of at least 1, got {_shape(x)}")
    if width not in (2, 3, 4):
        raise ValueError(f"weight: expected (dim, width) with a width of 2, 3 or 4, got {_shape(weight)}")
    _check_shape("weight", weight, (dim, width), "(dim, width)")
    if bias is not None:
        _check_shape("bias", bias, (dim,), "(dim,)")
    if initial_state is not None:
        _check_shape("initial_state", initial_state, (batch, dim, width - 1), "(batch, dim, width - 1)")
    if activation not in (None, "silu", "swish"):
        raise ValueError(f"activation: expected None, 'silu' or its other name 'swish', got {activation!r}")
    return _widest(given)


def check_direction(name: str, arguments: Mapping[str, object], allowed: frozenset[str]) -> None:
    """Raise TypeError unless `arguments` is a mapping of selective_scan's own arguments."""
    if not isinstance(arguments, Mapping):
        raise TypeError(f"{name}: expected a mapping of selective_scan's arguments, got {type(arguments).__name__}")
    if unknown := sorted(set(arguments) - allowed):
        raise TypeError(
            f"{name}: unexpected {', '.join(unknown)}; expected arguments among {', '.join(sorted(allowed))}"
        )
    if missing := sorted({"u", "delta", "A", "B", "C"} - set(arguments)):
        raise TypeError(f"{name}: missing {', '.join(missing)}")
    if not isinstance(arguments["u"], Tensor):
        raise TypeError(f"{name}: u: expected a torch.Tensor, got {type(arguments['u']).__name__}")


def as_dtype(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """The tensor itself, if it has this type: sooner found out here than by torch."""
    return tensor if tensor.dtype == dtype else tensor.to(dtype)


def _widest(given: Mapping[str, Tensor]) -> torch.dtype:
    """Of the dtypes that the arguments have, and at least float32."""
    return torch.float64 if any(x.dtype == torch.float64 for x in given.values()) else torch.float32


def _not_none(**optional: Tensor | None) -> dict[str, Tensor]:
    return {name: x for name, x in optional.items() if x is not None}


def _check_tensors(given: Mapping[str, Tensor]) -> None:
    first_name, first = next(iter(given.items()))
    for name, x in given.items():
        if not isinstance(x, Tensor):
            raise TypeError(f"{name}: expected a torch.Tensor, got {type(x).__name__}")
        if x.dtype not in FLOATING:
            hint = "; complex systems are shown in vmamba_edu.ssm, the scan itself is real" if x.is_complex() else ""
            raise TypeError(f"{name}: expected a real floating-point tensor, got {x.dtype}{hint}")
        if x.device != first.device:
            raise ValueError(
                f"{name}: expected device {first.device}, that of {first_name}, got {x.device}; move one of them"
            )


def _check_rank(name: str, x: Tensor, axes: str) -> None:
    if x.dim() != axes.count(",") + 1:
        raise ValueError(f"{name}: expected {axes}, got {_shape(x)}")


def _check_shape(name: str, x: Tensor, expected: tuple[int, ...], axes: str) -> None:
    if tuple(x.shape) != expected:
        raise ValueError(f"{name}: expected {axes} = {expected}, got {_shape(x)}")


def _check_map(name: str, x: Tensor, batch: int, dim: int, state: int, length: int) -> None:
    layouts = f"(dim, state) = {(dim, state)}, (batch, state, length) = {(batch, state, length)} or that with groups"
    if x.dim() == 4:
        groups = x.shape[1]
        if tuple(x.shape) == (batch, groups, state, length) and groups > 0:
            if dim % groups:
                raise ValueError(f"{name}: expected a number of groups that divides dim = {dim}, got {groups}")
            return
    elif tuple(x.shape) in ((dim, state), (batch, state, length)):
        return
    raise ValueError(f"{name}: expected {layouts}, got {_shape(x)}")


def _shape(x: Tensor) -> str:
    return str(tuple(x.shape))
