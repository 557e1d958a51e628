"""What a kernel is told, as two rows of whole numbers.

One call mostly differs from the one before in nothing but where its tensors lie. So what is the same is worked out
once (see `launch` in kernel_launch.py), and a call hands over addresses:

    places      of this call: 0, where the counter lies, where the workspace and every tensor begin; the counter itself
    layout      of all its like: for each array the number of its place, how many bytes after it the array starts, its
                shape and its strides; and whatever is no array as a number

Otherwise every call would make an array of each tensor, first for Python, then for the kernel. That takes as long as a
short scan.
"""

import hashlib
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import NativeValue, intrinsic, models, register_model, unbox
from numba.np.arrayobj import populate_array
from numba.np.numpy_support import from_dtype

COUNTER, WORKSPACE, TENSORS = 1, 2, 3
"""Numbers of places, the last that of the first tensor. Place 0 is 0, for arrays that are the same in every call."""

BITS = 56
"""Of an address. A stand-in has the number of its place above them."""


# Before a call.


def stand_in(place: int, dtype: np.dtype[Any], shape: Sequence[int], strides: Sequence[int]) -> np.ndarray:
    """An array of this shape and these strides, in bytes, with no memory: views may be taken of it, and no more."""
    interface = {"version": 3, "data": (place << BITS, False), "shape": (*shape,), "strides": (*strides,)}
    return np.asarray(SimpleNamespace(__array_interface__=interface | {"typestr": dtype.str}))


def layout_of(arguments: Any) -> Iterator[int]:
    """The numbers that say what these are: arrays, most of them views of stand-ins, numbers, and tuples of such."""
    if isinstance(arguments, np.ndarray):
        address = arguments.__array_interface__["data"][0]
        yield from divmod(address, 1 << BITS)
        yield from (*arguments.shape, *arguments.strides)
    elif isinstance(arguments, tuple):
        for argument in arguments:
            yield from layout_of(argument)
    else:
        yield int(arguments)


def type_of(argument: Any) -> types.Type:
    """Any array may have any strides, whatever strides it has, so that there are few kinds of arguments."""
    if isinstance(argument, np.ndarray):
        return types.Array(from_dtype(argument.dtype), argument.ndim, "A")
    if isinstance(argument, tuple):
        members = tuple(map(type_of, argument))
        return types.Tuple(members) if type(argument) is tuple else types.NamedTuple(members, type(argument))  # type: ignore[attr-defined]
    return {bool: types.boolean, int: types.int64}[type(argument)]


# In a kernel.


class Layout(types.Type):
    """Where a layout lies, of arguments of these types; Python hands over a whole number."""

    def __init__(self, arguments: Any) -> None:
        self.arguments = arguments
        super().__init__(name=f"Layout({hashlib.sha256(str(arguments).encode()).hexdigest()[:16]})")


@register_model(Layout)
class LayoutModel(models.PrimitiveModel):
    def __init__(self, manager, layout: Layout) -> None:
        super().__init__(manager, layout, ir.IntType(64))


@unbox(Layout)
def _unbox_layout(typ, obj, c):
    return NativeValue(c.pyapi.long_as_longlong(obj))


@intrinsic
def arguments_at(typingctx, places, layout):
    """The arguments of which places and layout tell, as a tuple."""

    def codegen(context, builder, sig, args):
        places, numbers = (builder.inttoptr(arg, ir.IntType(64).as_pointer()) for arg in args)
        at = 0

        def number():
            nonlocal at
            at += 1
            return builder.load(builder.gep(numbers, [ir.Constant(ir.IntType(64), at - 1)]))

        def made(kind):
            if isinstance(kind, types.Array):
                start = builder.add(builder.load(builder.gep(places, [number()])), number())
                array = context.make_array(kind)(context, builder)
                data = builder.inttoptr(start, array.data.type)
                shape, strides = ([number() for _ in range(kind.ndim)] for _ in range(2))
                itemsize = ir.Constant(ir.IntType(64), kind.dtype.bitwidth // 8)
                populate_array(array, data, shape, strides, itemsize, None)
                return array._getvalue()
            if isinstance(kind, types.BaseTuple):  # type: ignore[attr-defined]
                return context.make_tuple(builder, kind, [made(member) for member in kind])
            return cgutils.is_not_null(builder, number()) if kind == types.boolean else number()

        return made(layout.arguments)

    return layout.arguments(places, layout), codegen
