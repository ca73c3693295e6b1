"""Merge chains of Clip, Relu, and Max and Min with a number into one node.

Each of them limits its operand to an interval and keeps NaN; limits of limits are limits. By the standard, Clip with
bounds the wrong way round gives its maximum everywhere, and without a bound it limits to the largest finite number, so
that it does not keep infinity: Max, Min and Relu do.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from ml_dtypes import finfo

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.broadcasting import fits_into

__all__ = ["PASSES"]

LIMITED = frozenset({DataType.FLOAT, DataType.DOUBLE, DataType.FLOAT16, DataType.INT32, DataType.INT64})


@dataclass(frozen=True)
class Limits:
    """What lies below `low` becomes `low`, what lies above `high` becomes `high`; low <= high."""

    low: float
    high: float

    def then(self, outer: Limits) -> Limits:
        """Return the limits of applying `outer` after these."""
        return Limits(outer.clamp(self.low), outer.clamp(self.high))

    def clamp(self, number: float) -> float:
        """Limit one number."""
        return min(max(number, self.low), self.high)


def _extremes(dtype: DataType) -> Limits:
    """Return the smallest and largest finite number of an element type."""
    kind = dtype.numpy()
    if np.issubdtype(kind, np.integer):
        return Limits(int(np.iinfo(kind).min), int(np.iinfo(kind).max))
    info: Any = finfo(kind)  # type: ignore[no-untyped-call]
    return Limits(float(info.min), float(info.max))


def _number(facts: Facts, value: Value | None) -> float | None:
    """Read a constant of one element; None if it is none, or NaN."""
    if value is None or facts.element_count(value) != 1:
        return None
    array = facts.constant(value)
    if array is None:
        return None
    number: float = array.reshape(-1)[0].item() if array.dtype.kind in "iu" else float(array.reshape(-1)[0])
    return None if math.isnan(number) else number


def _limits(node: Node, x: Value, facts: Facts, dtype: DataType) -> Limits | None:
    """Read the limits that `node` sets to its operand `x`; None unless they are numbers."""
    if node.op_type == "Relu":
        return Limits(0, math.inf)
    if node.op_type == "Clip":
        bounds = _clip_bounds(node, facts, dtype)
    else:
        others = [value for value in node.inputs if value is not x]
        number = _number(facts, others[0]) if len(others) == 1 and others[0] is not None else None
        if number is None or others[0] is None or not fits_into(facts, others[0], x):
            return None
        bounds = (number, math.inf) if node.op_type == "Max" else (-math.inf, number)
    return None if bounds is None else Limits(min(bounds), bounds[1])


def _clip_bounds(node: Node, facts: Facts, dtype: DataType) -> tuple[float, float] | None:
    opset = facts.opset(node)
    limits = _extremes(dtype)
    if opset < 11:
        return (attribute(node, "min", opset), attribute(node, "max", opset)) if dtype is DataType.FLOAT else None
    given = [*node.inputs[1:], None, None][:2]
    numbers = [_number(facts, value) for value in given]
    if any(number is None and value is not None for number, value in zip(numbers, given, strict=True)):
        return None
    if dtype is DataType.FLOAT16 and None in numbers:
        return None  # A runtime that computes it in 32 bits takes the largest number of those for what is left out.
    low, high = numbers
    return (limits.low if low is None else low, limits.high if high is None else high)


def _merge(build: Builder, match: Match) -> Value | None:
    dtype, x = match.facts.dtype(match["x"]), match["x"]
    inner, outer = match["t"].producer(), match.root
    if dtype is None or has_reference(inner) or has_reference(outer):
        return None
    first = _limits(inner, x, match.facts, dtype)
    second = _limits(outer, match["t"], match.facts, dtype)
    if first is None or second is None:
        return None
    limits = first.then(second)
    if limits.high == math.inf:
        return _one_sided(build, match, "Max", limits.low, dtype)
    if limits.low == -math.inf:
        return _one_sided(build, match, "Min", limits.high, dtype)
    return _clip(build, match, limits, dtype)


def _one_sided(build: Builder, match: Match, op_type: str, bound: float, dtype: DataType) -> Value | None:
    if math.isinf(bound):
        return None
    if op_type == "Max" and bound == 0 and any(node.op_type == "Relu" for node in match.nodes):
        relu: Value = build.op("Relu", match["x"])
        return relu
    value: Value = build.op(op_type, match["x"], build.constant(np.array(bound, dtype=dtype.numpy())))
    return value


def _clip(build: Builder, match: Match, limits: Limits, dtype: DataType) -> Value | None:
    """Build a Clip; None where the opset has none for the type."""
    extremes, x = _extremes(dtype), match["x"]
    low = None if limits.low == extremes.low else limits.low
    high = None if limits.high == extremes.high else limits.high
    value: Value
    if match.opset < 11 and dtype is not DataType.FLOAT:
        return None  # The bounds are attributes of 32 bits.
    if match.opset < 11:
        low, high = (None if bound is None else float(bound) for bound in (low, high))
        value = build.op("Clip", x, min=low, max=high)
        return value
    if match.opset < 12 and dtype is not DataType.FLOAT:
        return None  # No integers, and onnxruntime has no kernel for doubles.
    bounds = [None if bound is None else build.constant(np.array(bound, dtype=dtype.numpy())) for bound in (low, high)]
    while bounds and bounds[-1] is None:
        bounds.pop()
    value = build.op("Clip", x, *bounds)
    return value


@condition("x is no constant")
def _varies(match: Match) -> bool:
    """Ask that the other operand is no constant as well: two would change places for ever."""
    return not match.facts.is_constant(match["x"])


_LIMIT = "(Clip | Relu | Max | Min)"

# Max and Min broadcast from opset 8 on.
MERGE_LIMITS = Rule(
    name="merge-limits",
    doc="Merge two of Clip, Relu, and Max and Min with a number, one behind the other, into one.",
    match=f"{_LIMIT}((t := {_LIMIT}(x, *_)), *bounds)",
    replace=_merge,
    where=(dtype_in("x", LIMITED),),
    min_opset=8,
)

MOVE_LIMIT_RIGHT = Rule(
    name="move-limit-right",
    doc="Move the constant to the right-hand side of Max.",
    match="Max(const(c), x)",
    replace="Max(x, c)",
    where=(_varies,),
)

MOVE_UPPER_LIMIT_RIGHT = Rule(
    name="move-upper-limit-right",
    doc="Move the constant to the right-hand side of Min.",
    match="Min(const(c), x)",
    replace="Min(x, c)",
    where=(_varies,),
)

PASSES = (MERGE_LIMITS, MOVE_LIMIT_RIGHT, MOVE_UPPER_LIMIT_RIGHT)
