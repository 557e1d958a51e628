"""A machine's vector registers as Numba values: the vocabulary in which the CPU kernels are written.

Numba knows numbers and arrays; this module adds the *vector*, `LANES` numbers side by side that one instruction treats
at once, and the *block*, `STATES` such vectors in one value: what `STATES` states of `LANES` channels hold. Both obey
+, − and ×, with each other and with plain numbers. LLVM spreads a block over as many registers as the machine needs,
so a kernel written with blocks keeps several independent chains of arithmetic in flight without saying so.

Every function here becomes one or a few instructions inside the calling kernel. How vectors come from memory and get
back stands in vector_memory.py.
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
    return splat(builder, context.cast(builder, value, from_type, vector.dtype), vector.count)


def splat(builder, scalar, count: int):
    """LLVM's way to a vector of one number."""
    empty = ir.Constant(ir.VectorType(scalar.type, count), ir.Undefined)
    first = builder.insert_element(empty, scalar, ir.Constant(ir.IntType(32), 0))
    return shuffle(builder, first, first, [0] * count)


def shuffle(builder, a, b, lanes_of_both: list[int]):
    """The lanes chosen from two vectors, those of b counted on from those of a."""
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
    """a · 2ᵏ for whole-numbered k, underflow to 0: one instruction with AVX-512, the exponent's bits elsewhere.

    The instruction takes the whole part of a k that is none, ⌊k⌋; nothing else does.
    """
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
            x, power = (shuffle(builder, value, value, chosen) for value in args)
            everywhere, rounding = ir.Constant(ir.IntType(registers), -1), ir.Constant(ir.IntType(32), 4)
            parts.append(_call(builder, name, x.type, x, power, x, everywhere, rounding, suffix=False))
        return concatenate(builder, parts)

    return a(a, k), by_instruction if TARGET.avx512 else by_exponent


@intrinsic
def look_up(typingctx, number, single, double):
    """The entry of a table that the lowest bits of each lane number: of `single` for float32, of `double` for float64.

    A table has as many entries as a register has lanes, for it is held in one: AVX-512 only.
    """

    def codegen(context, builder, sig, args):
        width = 32 if number.dtype == types.float32 else 64
        table, registers, lane = args[1 if width == 32 else 2], 512 // width, ir.IntType(width)
        entries = ir.Constant(ir.VectorType(ir.FloatType() if width == 32 else ir.DoubleType(), registers), None)
        for i in range(registers):
            entry = context.cast(builder, builder.extract_value(table, i), types.float64, number.dtype)
            entries = builder.insert_element(entries, entry, ir.Constant(ir.IntType(32), i))
        bits = builder.bitcast(args[0], ir.VectorType(lane, number.count))
        name, parts = "llvm.x86.avx512.permvar." + ("sf" if width == 32 else "df") + ".512", []
        for start in range(0, number.count, registers):
            chosen = shuffle(builder, bits, bits, list(range(start, start + registers)))
            parts.append(_call(builder, name, entries.type, entries, chosen, suffix=False))
        return concatenate(builder, parts)

    return number(number, single, double), codegen


def concatenate(builder, parts: list):
    """One vector of the parts' lanes, in their order; their number is a power of two."""
    while len(parts) > 1:
        both = list(range(2 * parts[0].type.count))
        parts = [shuffle(builder, a, b, both) for a, b in zip(parts[::2], parts[1::2], strict=True)]
    return parts[0]


# From vectors to blocks and back.


@intrinsic
def repeat(typingctx, vector):
    """A block with this vector for each of its states."""

    def codegen(context, builder, sig, args):
        return shuffle(builder, args[0], args[0], list(range(vector.count)) * STATES)

    return Vector(vector.dtype, vector.count * STATES)(vector), codegen


@intrinsic
def add_products(typingctx, total, a, b):
    """total + Σ over the states of a · b: from two blocks to one vector."""

    def codegen(context, builder, sig, args):
        result, *blocks = args
        for state in range(STATES):
            chosen = list(range(state * total.count, (state + 1) * total.count))
            x, y = (shuffle(builder, block, block, chosen) for block in blocks)
            result = _call(builder, "llvm.fmuladd", result.type, x, y, result)
        return result

    return total(total, a, b), codegen


@intrinsic
def lane_sums(typingctx, block):
    """For each state the sum of its lanes: from a block to STATES numbers, or from a vector to one."""
    width, piece = lanes(block.dtype), 128 // block.dtype.bitwidth

    def codegen(context, builder, sig, args):
        vectors = [shuffle(builder, args[0], args[0], list(range(i, i + width))) for i in range(0, block.count, width)]
        mixed = 1  # states whose lanes lie side by side in a piece of a register, within which numbers move cheaply
        while mixed < piece and len(vectors) > 1:
            vectors = [_add_neighbours(builder, a, b, piece) for a, b in zip(vectors[::2], vectors[1::2], strict=True)]
            mixed *= 2
        sums = concatenate(builder, [_add_halves(builder, vector, piece) for vector in vectors])
        while sums.type.count > block.count // width:
            even, odd = (shuffle(builder, sums, sums, list(range(i, sums.type.count, 2))) for i in (0, 1))
            sums = builder.fadd(even, odd)
        return sums

    return Vector(block.dtype, block.count // width)(block), codegen


def _add_neighbours(builder, a, b, piece: int):
    """Lanes 2i and 2i + 1 added; in every piece of the result come first those of a, then those of b."""
    width = a.type.count
    pairs = [vector + start for start in range(0, width, piece) for vector in (0, width)]
    even = [pair + i for pair in pairs for i in range(0, piece, 2)]
    return builder.fadd(shuffle(builder, a, b, even), shuffle(builder, a, b, [lane + 1 for lane in even]))


def _add_halves(builder, vector, count: int):
    """The first half of a vector added to the second, until `count` lanes are left."""
    while vector.type.count > count:
        half = vector.type.count // 2
        first, second = (shuffle(builder, vector, vector, list(range(i, i + half))) for i in (0, half))
        vector = builder.fadd(first, second)
    return vector
