"""Compute operators on constants in the process: integers, booleans, exactly rounded floats, casts.

A kernel is total: what the standard leaves open, or where runtimes differ, it refuses. What it returns agrees bit by
bit with onnxruntime's kernel where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np

from graphopt.graph.model import DataType, Node
from graphopt.graph.schema import attribute

__all__ = ["ARITHMETIC", "Array", "Call", "Kernel", "Refusal", "cast", "normalize_axes"]

Array = np.ndarray[Any, Any]


class Refusal(Exception):  # noqa: N818 - not an error
    """Say that the result is not defined well enough, or too big, to be stored."""


@dataclass(frozen=True)
class Call:
    """A node with the arrays that it reads (None where an input is left out) and the largest result in bytes."""

    node: Node
    opset: int
    arrays: tuple[Array | None, ...]
    max_bytes: int
    like: DataType | None = None
    """For `CastLike`: the element type of its second input."""

    def array(self, index: int) -> Array:
        """Return an input that must be there."""
        found = self.optional(index)
        if found is None:
            raise Refusal
        return found

    def optional(self, index: int) -> Array | None:
        """Return an input that may be left out."""
        return self.arrays[index] if index < len(self.arrays) else None

    def attr(self, name: str) -> Any:
        """Return an attribute, or the standard's default."""
        return attribute(self.node, name, self.opset)

    def ints(self, index: int, name: str, since: int) -> list[int] | None:
        """Return integers that are an input from opset `since` on and an attribute before."""
        if self.opset < since:
            found = self.attr(name)
            return None if found is None else [int(item) for item in found]
        array = self.optional(index)
        return None if array is None else integers(array)

    def need(self, count: int, itemsize: int) -> None:
        """Refuse a result of more than the allowed bytes, before it is made."""
        if count * itemsize > self.max_bytes:
            raise Refusal


Kernel = Callable[[Call], list[Array]]


def require(fact: bool) -> None:
    """Refuse unless `fact` holds."""
    if not fact:
        raise Refusal


def integers(array: Array) -> list[int]:
    """Return the elements of an integer tensor of rank at most 1."""
    require(array.dtype.kind in "iu" and array.ndim <= 1)
    return [int(item) for item in array.reshape(-1)]


def normalize_axes(axes: list[int], rank: int) -> list[int]:
    """Return axes from 0 on; refuse those out of range and repeated ones."""
    found = [axis + rank if axis < 0 else axis for axis in axes]
    require(all(0 <= axis < rank for axis in found) and len(set(found)) == len(found))
    return found


def _broadcast(call: Call, arrays: list[Array]) -> None:
    require(call.opset >= 7)
    shape = np.broadcast_shapes(*(array.shape for array in arrays))
    call.need(math.prod(shape), max(array.dtype.itemsize for array in arrays))


def _operands(call: Call, kinds: str) -> list[Array]:
    arrays = [call.array(index) for index in range(len(call.arrays))]
    require(bool(arrays) and all(array.dtype == arrays[0].dtype for array in arrays))
    require(all(_kind(array) in kinds for array in arrays))
    _broadcast(call, arrays)
    return arrays


def _kind(array: Array) -> str:
    """Return b, i, u, or f for float32 and float64; anything else is x."""
    kind = str(array.dtype.kind)
    if kind in "biu" and array.dtype.isnative and array.dtype.type.__module__ == "numpy":
        return kind
    return "f" if array.dtype in (np.float32, np.float64) else "x"


def _elementwise(function: Callable[..., Any], kinds: str, count: int | None = 2) -> Kernel:
    """Make a kernel of a numpy function of `count` operands; None: one operand or more, taken pairwise."""

    def kernel(call: Call) -> list[Array]:
        arrays = _operands(call, kinds)
        require(count is None or len(arrays) == count)
        with np.errstate(all="ignore"):
            found = reduce(function, arrays) if count is None else function(*arrays)
        return [np.asarray(found)]

    return kernel


def _no_overflow(a: Array, b: Array) -> None:
    require(not np.any(b == 0))
    if a.dtype.kind == "i":
        require(not (np.any(a == np.iinfo(a.dtype).min) and np.any(b == -1)))


def _divide(a: Array, b: Array) -> Any:
    if a.dtype.kind == "f":
        return np.divide(a, b)
    _no_overflow(a, b)
    floor = a // b
    # ONNX rounds toward zero, numpy down.
    inexact_negative = (floor * b != a) & ((a < 0) != (b < 0))
    return (floor + inexact_negative).astype(a.dtype)


def _mod(call: Call) -> list[Array]:
    c_style = bool(call.attr("fmod"))
    a, b = _operands(call, "iuf" if c_style else "iu")
    if a.dtype.kind != "f":
        _no_overflow(a, b)
    with np.errstate(all="ignore"):
        return [np.asarray(np.fmod(a, b) if c_style else np.mod(a, b))]


def _abs(a: Array) -> Any:
    require(a.dtype.kind != "i" or not np.any(a == np.iinfo(a.dtype).min))
    return np.abs(a)


def _where(call: Call) -> list[Array]:
    condition, x, y = call.array(0), call.array(1), call.array(2)
    require(condition.dtype == np.bool_ and x.dtype == y.dtype)
    call.need(math.prod(np.broadcast_shapes(condition.shape, x.shape, y.shape)), x.dtype.itemsize)
    return [np.asarray(np.where(condition, x, y))]


def _reduce(function: Callable[..., Any], since: int) -> Kernel:
    def kernel(call: Call) -> list[Array]:
        data = call.array(0)
        require(data.dtype in (np.int32, np.int64))
        axes = call.ints(1, "axes", since)
        if not axes and call.attr("noop_with_empty_axes"):
            return [data]
        chosen = tuple(normalize_axes(axes or list(range(data.ndim)), data.ndim))
        require(data.size > 0)
        # Where a sum or product overflows, onnxruntime saturates and others wrap.
        largest = function(np.maximum(np.abs(data.astype(np.float64)), 1), axis=chosen)
        require(bool(np.all(largest < min(2.0**53, float(np.iinfo(data.dtype).max)))))
        found = function(data, axis=chosen, keepdims=bool(call.attr("keepdims")))
        return [np.asarray(found).astype(data.dtype)]

    return kernel


_WIDE = (np.dtype(np.float32), np.dtype(np.float64))
_NARROW = frozenset({DataType.FLOAT16, DataType.BFLOAT16})
_CASTABLE = _NARROW | {
    *(DataType.BOOL, DataType.FLOAT, DataType.DOUBLE),
    *(DataType.INT8, DataType.INT16, DataType.INT32, DataType.INT64),
    *(DataType.UINT8, DataType.UINT16, DataType.UINT32, DataType.UINT64),
}


def _cast(call: Call) -> list[Array]:
    target = call.like if call.node.op_type == "CastLike" else call.attr("to")
    # Opset 1 to 5 name the type in words.
    if target is None or isinstance(target, str):
        raise Refusal
    return [cast(call.array(0), DataType(target), call.max_bytes)]


def cast(array: Array, target: DataType, max_bytes: int) -> Array:
    """Convert elements as `Cast` does; refuse what runtimes do differently.

    Refused: strings, floats of 8 bits and fewer, integers below 8 bits, floats that do not fit an integer, and values
    that some runtimes round twice on the way to 16 bits.
    """
    source = DataType.from_numpy(array.dtype)
    require(source in _CASTABLE and target in _CASTABLE and array.size * target.itemsize <= max_bytes)
    wanted = target.numpy()
    floats = source in _NARROW or array.dtype in _WIDE
    if floats and target not in _NARROW and wanted not in _WIDE:
        return _to_integer(array, wanted)
    with np.errstate(all="ignore"):
        found: Array = array.astype(wanted)
        once = source == DataType.FLOAT or source in _NARROW
        if target in _NARROW and not once:
            require(bool(np.array_equal(found.astype(array.dtype), array)))
    return found


def _to_integer(array: Array, wanted: Any) -> Array:
    if wanted == np.bool_:
        return np.asarray(array != 0)
    whole = np.trunc(array.astype(np.float64))
    info = np.iinfo(wanted)
    # The largest int64 is no float64: compare with the power of two above it.
    require(bool(np.all((whole >= float(info.min)) & (whole < float(info.max + 1)))))
    return whole.astype(wanted)


def _comparison(function: Callable[..., Any]) -> Kernel:
    return _elementwise(function, "iuf")


ARITHMETIC: dict[str, Kernel] = {
    "Abs": _elementwise(_abs, "iuf", 1),
    "Add": _elementwise(np.add, "iuf"),
    "And": _elementwise(np.logical_and, "b"),
    "Cast": _cast,
    "CastLike": _cast,
    "Ceil": _elementwise(np.ceil, "f", 1),
    "Div": _elementwise(_divide, "iuf"),
    "Equal": _elementwise(np.equal, "biuf"),
    "Floor": _elementwise(np.floor, "f", 1),
    "Greater": _comparison(np.greater),
    "GreaterOrEqual": _comparison(np.greater_equal),
    "Less": _comparison(np.less),
    "LessOrEqual": _comparison(np.less_equal),
    # Floats are left out: with NaN and signed zeros, runtimes differ.
    "Max": _elementwise(np.maximum, "iu", None),
    "Min": _elementwise(np.minimum, "iu", None),
    "Mod": _mod,
    "Mul": _elementwise(np.multiply, "iuf"),
    "Neg": _elementwise(np.negative, "if", 1),
    "Not": _elementwise(np.logical_not, "b", 1),
    "Or": _elementwise(np.logical_or, "b"),
    "ReduceMax": _reduce(np.max, 18),
    "ReduceMin": _reduce(np.min, 18),
    "ReduceProd": _reduce(np.prod, 18),
    "ReduceSum": _reduce(np.sum, 13),
    "Sqrt": _elementwise(np.sqrt, "f", 1),
    "Sub": _elementwise(np.subtract, "iuf"),
    "Where": _where,
    "Xor": _elementwise(np.logical_xor, "b"),
}
