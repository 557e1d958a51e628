"""Vectors and blocks from memory and back: load, store, spread, prefetch, and squares that turn on their way.

The second half of the vocabulary of vector_intrinsics.py. An index is a tuple of the leading indices of an array; the
vector is read where they point, along the last axis of a contiguous array, or (for the inputs of a scan) along
whichever axis the caller has found to have unit stride. Nothing checks bounds: the kernels do.
"""

from collections.abc import Callable

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from vmamba_kernels.vector_intrinsics import STATES, Vector, concatenate, lanes, shuffle, splat


def _pointer(context, builder, array_type, array, index_type, index, element=None):
    """Where array[index] starts; trailing indices that are not given are 0."""
    indices = cgutils.unpack_tuple(builder, index) if isinstance(index_type, types.BaseTuple) else [index]  # type: ignore[attr-defined]
    zeros = [ir.Constant(ir.IntType(64), 0)] * (array_type.ndim - len(indices))
    view = context.make_array(array_type)(context, builder, array)
    pointer = cgutils.get_item_pointer(context, builder, array_type, view, [*indices, *zeros], wraparound=False)
    return pointer if element is None else builder.bitcast(pointer, element.as_pointer())


def _reader(count: Callable[[int], int]):
    """A function that reads as many numbers as `count` makes of the lanes of a vector."""

    @intrinsic
    def read(typingctx, array, index):
        vector = Vector(array.dtype, count(lanes(array.dtype)))

        def codegen(context, builder, sig, args):
            element = context.get_value_type(vector)
            pointer = _pointer(context, builder, array, args[0], index, args[1], element)
            return builder.load(pointer, align=array.dtype.bitwidth // 8)

        return vector(array, index), codegen

    return read


load = _reader(lambda width: width)  # the vector at array[index]
load_block = _reader(lambda width: STATES * width)  # the block at array[index]
load_states = _reader(lambda width: STATES)  # the STATES numbers at array[index], as `lane_sums` returns them


@intrinsic
def store(typingctx, array, index, vector):
    """Write a vector or a block to array[index]."""

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, array, args[0], index, args[1], args[2].type)
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, index, vector), codegen


@intrinsic
def prefetch(typingctx, array, index):
    """Ask for the cache line of array[index], which will be read soon. The address may lie outside: nothing is read."""

    def codegen(context, builder, sig, args):
        byte = ir.IntType(8).as_pointer()
        pointer = builder.bitcast(_pointer(context, builder, array, args[0], index, args[1]), byte)
        flags = [ir.Constant(ir.IntType(32), flag) for flag in (0, 3, 1)]  # to read, keep close, data
        function_type = ir.FunctionType(ir.VoidType(), [byte, *(flag.type for flag in flags)])
        builder.call(
            cgutils.get_or_insert_function(builder.module, function_type, "llvm.prefetch.p0"), [pointer, *flags]
        )
        return context.get_dummy_value()

    return types.void(array, index), codegen


@intrinsic
def spread(typingctx, array, index):
    """A block made of the STATES numbers that follow each other at array[index]: number n in every lane of state n."""
    width = lanes(array.dtype)

    def codegen(context, builder, sig, args):
        pointer = _pointer(context, builder, array, args[0], index, args[1])
        numbers = [builder.load(builder.gep(pointer, [ir.Constant(ir.IntType(64), n)])) for n in range(STATES)]
        return concatenate(builder, [splat(builder, number, width) for number in numbers])

    return Vector(array.dtype, STATES * width)(array, index), codegen


@intrinsic
def copy_transposed(typingctx, target, target_index, target_stride, source, source_index, source_stride):
    """Copy a square of LANES rows of LANES numbers, row i becoming column i, by butterflies in registers.

    A row is contiguous; the next one lies `stride` bytes further, in the target and in the source.
    """
    width = lanes(target.dtype)

    def row(builder, pointer, stride, i):
        byte = builder.bitcast(pointer, ir.IntType(8).as_pointer())
        moved = builder.gep(byte, [builder.mul(stride, ir.Constant(ir.IntType(64), i))])
        return builder.bitcast(moved, pointer.type)

    def codegen(context, builder, sig, args):
        register = context.get_value_type(Vector(target.dtype, width))
        to = _pointer(context, builder, target, args[0], target_index, args[1], register)
        start = _pointer(context, builder, source, args[3], source_index, args[4], register)
        size = target.dtype.bitwidth // 8
        rows = [builder.load(row(builder, start, args[5], i), align=size) for i in range(width)]
        swap = 1
        while swap < width:  # exchange the off-diagonal quarters of every square of 2 · swap rows
            upper = [lane if not lane & swap else width + lane - swap for lane in range(width)]
            lower = [lane + swap if not lane & swap else width + lane for lane in range(width)]
            for i in (i for i in range(width) if not i & swap):
                a, b = rows[i], rows[i + swap]
                rows[i], rows[i + swap] = shuffle(builder, a, b, upper), shuffle(builder, a, b, lower)
            swap *= 2
        for i in range(width):
            builder.store(rows[i], row(builder, to, args[2], i), align=size)
        return context.get_dummy_value()

    return types.void(target, target_index, target_stride, source, source_index, source_stride), codegen
