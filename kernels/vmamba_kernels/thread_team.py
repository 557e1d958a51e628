"""Calling one function from several threads at once, out of compiled code.

torch computes with a team of OpenMP threads. Between two operators they stay awake for a while, each on a processor of
its own, watching for the next. Threads of our own would be woken up first, and then have to share the processors with
torch's. So the kernels call the same runtime for the same team: two microseconds, and Python is not asked.

The runtime is the one that torch has brought, see openmp_runtime.py. Where there is none, and in a forked child, which
has none of its threads, a kernel is started from thread_pool.py instead, once for each thread.
"""

import ctypes
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from vmamba_kernels.openmp_runtime import HAS_RUNTIME, NUMBER, RUNTIME, START

for _name, _function in RUNTIME.items():  # so that compiled code finds them
    llvm.add_symbol(_name, ctypes.cast(_function, ctypes.c_void_p).value)


@intrinsic
def on_team(typingctx, function, threads, thread, arguments):
    """Call function(i, *arguments) for i = 0 … threads − 1, each on a thread of the team, and return when all have.

    With one thread: call function(thread, *arguments) here. `function` returns nothing and raises nothing.
    """
    signature = function.get_call_type(typingctx, (types.int64, *arguments.types), {})

    def codegen(context, builder, sig, args):
        compiled = function.dispatcher.get_compile_result(signature)
        context.active_code_library.add_linking_library(compiled.library)

        def call(builder, number, packed):
            values = [number, *cgutils.unpack_tuple(builder, packed)]
            context.call_internal_no_propagate(builder, compiled.fndesc, signature, values)

        _, threads, thread, packed = args
        if not HAS_RUNTIME:
            call(builder, thread, packed)
            return context.get_dummy_value()
        one = builder.icmp_signed("<=", threads, ir.Constant(threads.type, 1))
        with builder.if_else(one, likely=False) as (alone, together):
            with alone:
                call(builder, thread, packed)
            with together:
                _start(builder, call, threads, packed)
        return context.get_dummy_value()

    return types.void(function, threads, thread, arguments), codegen


def _start(builder: Any, call: Callable[..., None], threads: Any, packed: Any) -> None:
    """Hand the runtime a function that finds the arguments where its own argument points, and calls."""
    byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
    share = ir.Function(builder.module, ir.FunctionType(ir.VoidType(), [byte]), builder.function.name + "_share")
    share.linkage = "internal"
    inside = ir.IRBuilder(share.append_basic_block())
    arguments = inside.load(inside.bitcast(share.args[0], packed.type.as_pointer()))
    number_of = cgutils.get_or_insert_function(builder.module, ir.FunctionType(number, []), NUMBER)
    call(inside, inside.sext(inside.call(number_of, []), ir.IntType(64)), arguments)
    inside.ret_void()
    place = builder.bitcast(cgutils.alloca_once_value(builder, packed), byte)
    start_type = ir.FunctionType(ir.VoidType(), [share.type, byte, number, number])
    start = cgutils.get_or_insert_function(builder.module, start_type, START)
    builder.call(start, [share, place, builder.trunc(threads, number), ir.Constant(number, 0)])
