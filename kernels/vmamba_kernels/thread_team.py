"""Calling one function from several threads at once, out of compiled code.

torch computes with a team of OpenMP threads. Between two operators they stay awake for a while, each on a processor of
its own, watching for the next. Threads of our own would be woken up first, and then have to share the processors with
torch's. So the kernels call the same runtime for the same team: two microseconds, and Python is not asked.

The runtime is the one that torch has brought. Where there is none, and in a forked child, which has a copy of the
runtime but none of its threads, a kernel is started from thread_pool.py instead, once for each thread.
"""

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite.binding as llvm
import torch
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

START, NUMBER, PAUSE = "GOMP_parallel", "omp_get_thread_num", "omp_pause_resource_all"
"""Of GNU's OpenMP; LLVM's and Intel's have functions of these names too."""

SOFT = 1
"""omp_pause_soft of OpenMP 5.0, §3.2.44: end the threads, keep the settings."""


def find_runtime() -> dict[str, Any]:
    """The functions of torch's OpenMP by name, made known to compiled code; none where there is no such runtime."""
    for library in Path(torch.__file__).parent.glob("lib/libtorch_cpu.*"):
        try:
            loaded = ctypes.CDLL(str(library))
            functions = {name: getattr(loaded, name) for name in (START, NUMBER, PAUSE)}
        except (OSError, AttributeError):
            continue
        for name, function in functions.items():
            llvm.add_symbol(name, ctypes.cast(function, ctypes.c_void_p).value)
        return functions
    return {}


RUNTIME = find_runtime()
HAS_RUNTIME = bool(RUNTIME)


class Team:
    """Whether this process may use the runtime's threads."""

    available = HAS_RUNTIME

    @classmethod
    def lost(cls) -> None:
        cls.available = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=Team.lost)


def dismiss_team() -> bool:
    """End the threads that the calling thread computes with, until its next parallel operator; whether that was done.

    Every thread that computes has a team of its own, which stays when it has nothing to do. The runtime counts them
    all, and once they are more than processors, none waits awake any more: each operator of any team then begins by
    waking its threads, which takes a small one longer than its work. So a thread that leaves all computing to
    another, for as long as that takes, lets its team go.
    """
    return Team.available and RUNTIME[PAUSE](SOFT) == 0


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
