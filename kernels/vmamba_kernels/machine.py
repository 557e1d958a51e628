"""What the CPU kernels need to know of the processor, and ask of it: registers, denormal numbers, a shared counter.

The processor meant is the one that Numba compiles for, which its variables NUMBA_CPU_NAME and NUMBA_CPU_FEATURES may
make another one than runs here. Names and lists of features are many, so we ask the compiler: it translates one
multiply-add of sixteen numbers, and the registers that it takes say what there is. An instruction is used only where
that listing proves it.
"""

from dataclasses import dataclass

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.core.registry import cpu_target
from numba.extending import intrinsic

PROBE = """
define <16 x float> @probe(<16 x float> %a, <16 x float> %b, <16 x float> %c) {
  %r = call <16 x float> @llvm.fmuladd.v16f32(<16 x float> %a, <16 x float> %b, <16 x float> %c)
  ret <16 x float> %r
}
declare <16 x float> @llvm.fmuladd.v16f32(<16 x float>, <16 x float>, <16 x float>)
"""


@dataclass(frozen=True)
class Target:
    """The processor that the kernels are compiled for.

    Attributes:
        architecture: as LLVM spells it: x86_64, aarch64, ...
        vector_bytes: size of the widest vector register that Numba's code may use.
        states: how many states the inner loops carry at a time; more hide latency, as long as the registers hold them.
        avx512: whether there are instructions for a · 2ᵏ, and to look numbers up in a register.
        fused: whether a multiply-add rounds once.
    """

    architecture: str
    vector_bytes: int
    states: int
    avx512: bool
    fused: bool


def describe(triple: str, cpu: str, features: str) -> Target:
    """The target of these names, found by compiling a probe for it."""
    machine = llvm.Target.from_triple(triple).create_target_machine(cpu=cpu, features=features, opt=2)
    listing = machine.emit_assembly(llvm.parse_assembly(PROBE))
    fused = any(instruction in listing for instruction in ("vfmadd", "fmla"))
    architecture = triple.split("-")[0]
    if "zmm" in listing:
        return Target(architecture, vector_bytes=64, states=4, avx512=True, fused=fused)
    if "ymm" in listing:
        return Target(architecture, vector_bytes=32, states=2, avx512=False, fused=fused)
    return Target(architecture, vector_bytes=16, states=2, avx512=False, fused=fused)


TARGET = describe(*cpu_target.target_context.codegen().magic_tuple())


# Denormal numbers. A state that has decayed far enough is so small that its exponent no longer fits, and arithmetic on
# such numbers can be 20 times slower. The kernels let the processor treat them as 0, and set its mode back when they
# return. The mode belongs to the thread. Elsewhere than on x86 and 64-bit ARM it is left as it is.

_MXCSR_FLUSH = 0x8040  # results (bit 15) and operands (bit 6)
_FPCR_FLUSH = 1 << 24


@intrinsic
def flush_denormals(typingctx):
    """Treat denormal numbers as 0 from here on; returns the mode there was, for `restore_denormals`."""

    def codegen(context, builder, sig, args):
        if TARGET.architecture == "x86_64":
            slot = cgutils.alloca_once(builder, ir.IntType(32))
            _mxcsr(builder, "stmxcsr", slot)
            before = builder.load(slot)
            builder.store(builder.or_(before, ir.Constant(before.type, _MXCSR_FLUSH)), slot)
            _mxcsr(builder, "ldmxcsr", slot)
            return builder.zext(before, ir.IntType(64))
        if TARGET.architecture in ("aarch64", "arm64"):
            before = builder.call(_fpcr(builder, "get"), [])
            builder.call(_fpcr(builder, "set"), [builder.or_(before, ir.Constant(before.type, _FPCR_FLUSH))])
            return before
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(), codegen


@intrinsic
def restore_denormals(typingctx, mode):
    """Set the floating-point mode back to what `flush_denormals` found."""

    def codegen(context, builder, sig, args):
        if TARGET.architecture == "x86_64":
            slot = cgutils.alloca_once(builder, ir.IntType(32))
            builder.store(builder.trunc(args[0], ir.IntType(32)), slot)
            _mxcsr(builder, "ldmxcsr", slot)
        elif TARGET.architecture in ("aarch64", "arm64"):
            builder.call(_fpcr(builder, "set"), [args[0]])
        return context.get_dummy_value()

    return types.void(mode), codegen


def _mxcsr(builder, instruction: str, slot) -> None:
    byte = ir.IntType(8).as_pointer()
    function_type = ir.FunctionType(ir.VoidType(), [byte])
    function = cgutils.get_or_insert_function(builder.module, function_type, f"llvm.x86.sse.{instruction}")
    builder.call(function, [builder.bitcast(slot, byte)])


def _fpcr(builder, access: str):
    wide = ir.IntType(64)
    function_type = ir.FunctionType(wide, []) if access == "get" else ir.FunctionType(ir.VoidType(), [wide])
    return cgutils.get_or_insert_function(builder.module, function_type, f"llvm.aarch64.{access}.fpcr")


@intrinsic
def take_number(typingctx, counter):
    """The number in counter[0], which is raised by one in the same instant: no two threads take the same."""

    def codegen(context, builder, sig, args):
        data = context.make_array(counter)(context, builder, args[0]).data
        return builder.atomic_rmw("add", data, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(counter), codegen
