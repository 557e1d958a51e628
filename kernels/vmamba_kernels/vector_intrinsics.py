"""A machine's vector registers as Numba values: the vocabulary in which the CPU kernels are written.

Numba knows numbers and arrays; this module adds the *vector*, `LANES` numbers side by side that one instruction treats
at once, and the *block*, `STATES` such vectors in one value: what `STATES` states of `LANES` channels hold. Both obey
+, − and ×, with each other and with plain numbers. LLVM spreads a block over as many registers as the machine needs,
so a kernel written with blocks keeps several independent chains of arithmetic in flight without saying so.

Every function here becomes one or a few instructions inside the calling kernel. An index is a tuple of the leading
indices of an array; the vector is read where they point, along the last axis of a contiguous array, or (for the inputs
of a scan) along whichever axis the caller has found to have unit stride. Nothing checks bounds: the kernels do.
"""

import operator

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

from vmamba_kernels.machine import TARGET

STATES = TARGET.states
"""States that the inner loops carry at a time."""


def lanes(dtype: types.Float) -> int:
    """Numbers of this type in one vector register."""
    return TARGET.vector_bytes * 8 // dtype.bitwidth


class Vector(types.Type):
    """`count` numbers of one floating-point type: a vector (count = lanes) or a block (count = STATES × lanes)."""

    def __init__(self, dtype: types.Float, count: int) -> None:
        self.dtype, self.count = dtype, count
        super().__init__(name=f"Vector({dtype}, {count})")


@register_model(Vector)
class VectorModel(models.PrimitiveModel):
    def __init__(self, manager, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(manager.lookup(vector.dtype).get_value_type(), vector.count))


# Arithmetic: + − × / between vectors of one type, or a vector and a number.


class Elementwise(AbstractTemplate):
    """The result of an operator has the type of its vector operand."""

    def generic(self, args, kws):
        vectors = {argument for argument in args if isinstance(argument, Vector)}
        others = [argument for argument in args if not isinstance(argument, (Vector, types.Number))]
        return signature(vectors.pop(), *args) if len(vectors) == 1 and not others else None


def _widen(context, builder, value, from_type, vector: Vector):
    """A number in every lane; a vector as it is."""
    if isinstance(from_type, Vector):
        return value
    return _splat(builder, context.cast(builder, value, from_type, vector.dtype), vector.count)


def _splat(builder, scalar, count: int):
    empty = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    first = builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
    return _shuffle(builder, first, first, [0] * count)


def _shuffle(builder, a, b, lanes_of_both: list[int]):
    mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes_of_both)), lanes_of_both)
    return builder.shuffle_vector(a, b, mask)


def _define_operator(function, instruction: str) -> None:
    infer_global(function)(type(f"Vector_{instruction}", (Elementwise,), {"key": function}))

    def lower(context, builder, sig, args):
        a, b = (_widen(context, builder, v, t, sig.return_type) for v, t in zip(args, sig.args, strict=True))
        return getattr(builder, instruction)(a, b)

    for operands in ((Vector, Vector), (Vector, types.Number), (types.Number, Vector)):
        lower_builtin(function, *operands)(lower)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _define_operator(_function, _instruction)


def _call(builder, name: str, vector_type, *args, suffix: bool = True):
    """Call an LLVM intrinsic on vectors; its name ends in the type it is meant for, `.v16f32` or `.v8f64`."""
    ending = f".v{vector_type.count}f{32 if isinstance(vector_type.element, ir.FloatType) else 64}" if suffix else ""
    function_type = ir.FunctionType(vector_type, [argument.type for argument in args])
    return builder.call(cgutils.get_or_insert_function(builder.module, function_type, name + ending), args)


@lower_builtin(operator.neg, Vector)
def _negate(context, builder, sig, args):
    return builder.fneg(args[0])


@infer_global(operator.neg)
class Negate(Elementwise):
    key = operator.neg


@intrinsic
def fma(typingctx, a, b, c):
    """a · b + c, rounded once where the machine has a fused multiply-add; operands may be numbers, but not all."""
    vector = next(operand for operand in (a, b, c) if isinstance(operand, Vector))

    def codegen(context, builder, sig, args):
        operands = [_widen(context, builder, v, t, vector) for v, t in zip(args, sig.args, strict=True)]
        return _call(builder, "llvm.fmuladd", operands[0].type, *operands)

    return vector(a, b, c), codegen


@intrinsic
def absolute(typingctx, a):
    """|a|."""
    return a(a), lambda context, builder, sig, args: _call(builder, "llvm.fabs", args[0].type, args[0])


@intrinsic
def where_less(typingctx, a, b, chosen, otherwise):
    """`chosen` in the lanes where a < b, `otherwise` elsewhere, so too where a or b is NaN. One may be a number."""
    vector = next(operand for operand in (a, b) if isinstance(operand, Vector))

    def codegen(context, builder, sig, args):
        a, b, *results = (_widen(context, builder, v, t, vector) for v, t in zip(args, sig.args, strict=True))
        return builder.select(builder.fcmp_ordered("<", a, b), *results)

    return vector(a, b, chosen, otherwise), codegen


@intrinsic
def constant(typingctx, like, single, double):
    """The same number in every lane of a vector like this one: `single` if its lanes are float32, else `double`."""

    def codegen(context, builder, sig, args):
        return _widen(context, builder, args[1 if like.dtype == types.float32 else 2], types.float64, like)

    return like(like, single, double), codegen


@intrinsic
def horner(typingctx, x, single, double):
    """c₀ + x (c₁ + x (c₂ + …)), the coefficients from `single` for a vector of float32, from `double` for float64."""

    def codegen(context, builder, sig, args):
        table, table_type = (args[1], single) if x.dtype == types.float32 else (args[2], double)
        numbers = [builder.extract_value(table, i) for i in range(len(table_type))]
        constants = [_widen(context, builder, number, types.float64, x) for number in numbers]
        result = constants.pop()
        while constants:
            result = _call(builder, "llvm.fmuladd", result.type, result, args[0], constants.pop())
        return result

    return x(x, single, double), codegen


@intrinsic
def times_two_to(typingctx, a, k):
    """a · 2ᵏ for whole-numbered k, underflow to 0: one instruction with AVX-512, the exponent's bits elsewhere."""
    width, mantissa, bias = (32, 23, 127) if a.dtype == types.float32 else (64, 52, 1023)

    def by_exponent(context, builder, sig, args):
        bounded = args[1]
        for bound, comparison in ((-bias, "<"), (bias + 1, ">")):  # 2ᵏ becomes 0 below and infinity above
            limit = _widen(context, builder, ir.Constant(ir.DoubleType(), bound), types.float64, k)
            bounded = builder.select(builder.fcmp_ordered(comparison, bounded, limit), limit, bounded)
        # Adding 1.5 · 2^mantissa puts a whole number, in two's complement, into the lowest bits of a float.
        magic = _widen(context, builder, ir.Constant(ir.DoubleType(), 1.5 * 2.0**mantissa + bias), types.float64, k)
        integers = ir.VectorType(ir.IntType(width), a.count)
        bits = builder.bitcast(builder.fadd(bounded, magic), integers)
        power = builder.shl(bits, ir.Constant(integers, [mantissa] * a.count))
        return builder.fmul(args[0], builder.bitcast(power, args[0].type))

    def by_instruction(context, builder, sig, args):
        registers = 512 // width
        name = "llvm.x86.avx512.mask.scalef." + ("ps" if width == 32 else "pd") + ".512"
        parts = []
        for start in range(0, a.count, registers):
            chosen = list(range(start, start + registers))
            x, power = (_shuffle(builder, value, value, chosen) for value in args)
            everywhere, rounding = ir.Constant(ir.IntType(registers), -1), ir.Constant(ir.IntType(32), 4)
            parts.append(_call(builder, name, x.type, x, power, x, everywhere, rounding, suffix=False))
        return _concatenate(builder, parts)

    return a(a, k), by_instruction if TARGET.scalef else by_exponent


def _concatenate(builder, parts: list):
    """One vector of the parts' lanes, in their order; their number is a power of two."""
    while len(parts) > 1:
        both = list(range(2 * parts[0].type.count))
        parts = [_shuffle(builder, a, b, both) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


# From vectors to blocks and back.


@intrinsic
def repeat(typingctx, vector):
    """A block with this vector for each of its states."""

    def codegen(context, builder, sig, args):
        return _shuffle(builder, args[0], args[0], list(range(vector.count)) * STATES)

    return Vector(vector.dtype, vector.count * STATES)(vector), codegen


@intrinsic
def add_products(typingctx, total, a, b):
    """total + Σ over the states of a · b: from two blocks to one vector."""

    def codegen(context, builder, sig, args):
        result, *blocks = args
        for state in range(STATES):
            chosen = list(range(state * total.count, (state + 1) * total.count))
            x, y = (_shuffle(builder, block, block, chosen) for block in blocks)
            result = _call(builder, "llvm.fmuladd", result.type, x, y, result)
        return result

    return total(total, a, b), codegen


# Memory.


def _pointer(context, builder, array_type, array, index_type, index, element=None):
    """Where array[index] starts; trailing indices that are not given are 0."""
    indices = cgutils.unpack_tuple(builder, index) if isinstance(index_type, types.BaseTuple) else [index]  # type: ignore[attr-defined]
    zeros = [ir.Constant(ir.IntType(64), 0)] * (array_type.ndim - len(indices))
    view = context.make_array(array_type)(context, builder, array)
    pointer = cgutils.get_item_pointer(context, builder, array_type, view, [*indices, *zeros], wraparound=False)
    return pointer if element is None else builder.bitcast(pointer, element.as_pointer())


def _reader(count_of_states: int):
    @intrinsic
    def read(typingctx, array, index):
        vector = Vector(array.dtype, count_of_states * lanes(array.dtype))

        def codegen(context, builder, sig, args):
            element = context.get_value_type(vector)
            pointer = _pointer(context, builder, array, args[0], index, args[1], element)
            return builder.load(pointer, align=array.dtype.bitwidth // 8)

        return vector(array, index), codegen

    return read


load = _reader(1)  # the vector at array[index]
load_block = _reader(STATES)  # the block at array[index]


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
        return _concatenate(builder, [_splat(builder, number, width) for number in numbers])

    return Vector(array.dtype, STATES * width)(array, index), codegen


@intrinsic
def store_lane_sums(typingctx, array, index, block):
    """array[index + n] = the sum of the lanes of state n, for the STATES numbers that follow each other there."""

    def codegen(context, builder, sig, args):
        sums = args[2]
        while sums.type.count > STATES:
            even, odd = (_shuffle(builder, sums, sums, list(range(first, sums.type.count, 2))) for first in (0, 1))
            sums = builder.fadd(even, odd)
        pointer = _pointer(context, builder, array, args[0], index, args[1], sums.type)
        builder.store(sums, pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, index, block), codegen


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
                rows[i], rows[i + swap] = _shuffle(builder, a, b, upper), _shuffle(builder, a, b, lower)
            swap *= 2
        for i in range(width):
            builder.store(rows[i], row(builder, to, args[2], i), align=size)
        return context.get_dummy_value()

    return types.void(target, target_index, target_stride, source, source_index, source_stride), codegen
