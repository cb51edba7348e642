"""What Python has no word for in compiled code: bf16, addresses, and numbers that several threads count together.

Imported only where numba is installed. Nothing here can be called outside compiled code.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from codecascade.generation.engine.compiled.kept import cache_folder

Function = TypeVar("Function", bound=Callable[..., Any])

# Sums may be made in another order, and products added without rounding in between. Numbers that are none stay none.
_FAST = {"reassoc", "contract", "nsz", "arcp"}
_WORD, _FLOAT = ir.IntType(32), ir.FloatType()


def compiled(function: Function) -> Function:
    """Compile as a part of what calls it."""
    made: Function = numba.njit(nogil=True, fastmath=_FAST, error_model="numpy")(function)
    return made


def cached(function: Function) -> Function:
    """Compile when it is called first, and keep the machine code on the disk; other threads run meanwhile."""
    before, config.CACHE_DIR = config.CACHE_DIR, str(cache_folder())
    try:
        made: Function = numba.njit(nogil=True, fastmath=_FAST, error_model="numpy", cache=True)(function)
    except RuntimeError:
        # there is no place to keep it
        return compiled(function)
    finally:
        config.CACHE_DIR = before
    return made


def typed(function: Callable[..., Any]) -> Any:
    """``intrinsic``, for a checker that does not know numba."""
    return intrinsic(function)


@typed
def widen(context: Any, value: Any) -> Any:
    """bf16 (as uint16) or fp32 to fp32."""
    if value == types.float32:
        return types.float32(value), lambda context, builder, signature, arguments: arguments[0]
    if value != types.uint16:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        bits = builder.shl(builder.zext(arguments[0], _WORD), ir.Constant(_WORD, 16))
        return builder.bitcast(bits, _FLOAT)

    return types.float32(value), generate


@typed
def narrow(context: Any, value: Any, like: Any) -> Any:
    """fp32 to the type of ``like``: fp32, or bf16 (as uint16), rounded to the nearest, ties to the even one."""
    if like == types.float32:
        return types.float32(value, like), lambda context, builder, signature, arguments: arguments[0]
    if like != types.uint16:
        return None

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def word(number: int) -> Any:
            return ir.Constant(_WORD, number)

        bits = builder.bitcast(arguments[0], _WORD)
        is_odd = builder.and_(builder.lshr(bits, word(16)), word(1))
        rounded = builder.lshr(builder.add(bits, builder.add(word(0x7FFF), is_odd)), word(16))
        is_none = builder.fcmp_unordered("uno", arguments[0], arguments[0])
        return builder.trunc(builder.select(is_none, word(0x7FC0), rounded), ir.IntType(16))

    return types.uint16(value, like), generate


@typed
def power_of_two(context: Any, exponent: Any) -> Any:
    """2 to an int32 from -126 to 127, fp32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        biased = builder.add(arguments[0], ir.Constant(_WORD, 127))
        return builder.bitcast(builder.shl(biased, ir.Constant(_WORD, 23)), _FLOAT)

    return types.float32(types.int32), generate


@typed
def pointer(context: Any, address: Any) -> Any:
    """An int64 address, for ``carray``."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), generate


def _counter(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
    """The address of ``counters[row, column]`` of a contiguous int64 array."""
    array = context.make_array(signature.args[0])(context, builder, arguments[0])
    return cgutils.get_item_pointer(
        context, builder, signature.args[0], array, [arguments[1], arguments[2]], wraparound=False
    )


@typed
def add_to(context: Any, counters: Any, row: Any, column: Any) -> Any:
    """Count one more at ``counters[row, column]`` (int64); what it was before. No two threads get the same."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _counter(context, builder, signature, arguments)
        return builder.atomic_rmw("add", place, ir.Constant(ir.IntType(64), 1), "seq_cst")

    return types.int64(counters, types.int64, types.int64), generate


@typed
def read_from(context: Any, counters: Any, row: Any, column: Any) -> Any:
    """``counters[row, column]`` (int64), and all that was written before it was counted."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        place = _counter(context, builder, signature, arguments)
        return builder.load_atomic(place, "seq_cst", 8)

    return types.int64(counters, types.int64, types.int64), generate


let_others_run: Any = types.ExternalFunction("sched_yield", types.int32())
