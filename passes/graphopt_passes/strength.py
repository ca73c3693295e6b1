"""Replace arithmetic by cheaper arithmetic of the same result, or of the same formula."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition, constant_where, dtype_in, is_float
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.broadcasting import others_fit
from graphopt_passes.linear import unshared
from graphopt_passes.thresholds import meets_no_threshold

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
FULL = frozenset({DataType.FLOAT, DataType.DOUBLE})
_SUMS = frozenset({"ReduceMean", "ReduceSum"})


@condition("no normalization or GELU is made of it")
def _stands_alone(match: Match) -> bool:
    """Ask that the result is not averaged, given to Erf or a score of attention: runtimes know these by this form."""
    users = [user.op_type for user, _ in match.result.uses()]
    producer = match["x"].producer()
    return not _SUMS.intersection(users) and "Erf" not in users and (producer is None or producer.op_type != "MatMul")


def _inverse(array: Array) -> Array | None:
    """Return 1 / array in its type, if every element of both is finite and has full precision."""
    with np.errstate(all="ignore"):
        inverse = (1.0 / array.astype(np.float64)).astype(array.dtype)
    tiny = np.finfo(array.dtype).tiny
    normal = np.isfinite(inverse) & np.isfinite(array) & (np.abs(inverse) >= tiny) & (np.abs(array) >= tiny)
    return inverse if normal.all() else None


def _is_power_of_two(array: Array) -> bool:
    if array.dtype not in {np.dtype("float32"), np.dtype("float64")} or not array.size:
        return False
    mantissa, _ = np.frexp(np.abs(array))
    return bool((mantissa == 0.5).all()) and _inverse(array) is not None


def _multiply_by_inverse(build: Builder, match: Match) -> Value | None:
    array = match.constant("c")
    inverse = None if array is None else _inverse(array)
    if inverse is None:
        return None
    value: Value = build.op("Mul", match["x"], build.constant(inverse))
    return value


# onnxruntime computes the square as the product, but the last bit may differ where the operand has one element or the
# exponent several: those go through the general power.
SQUARE_TO_MULTIPLY = Rule(
    name="square-to-multiply",
    doc="Replace the second power of a float by a product, unless a normalization is made of it.",
    match="Pow(x, 2)",
    replace="Mul(x, x)",
    where=(is_float("x"), others_fit("x"), _stands_alone, meets_no_threshold),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

# The inverse of a power of two is exact, and so quotient and product round the same number.
DIVIDE_BY_POWER_OF_TWO = Rule(
    name="divide-by-power-of-two",
    doc="Replace the quotient by constant powers of two by the product with their inverses.",
    match="Div(x, const(c))",
    replace=_multiply_by_inverse,
    where=(unshared("c"), constant_where("c", "holds floats that are powers of two", _is_power_of_two), _stands_alone),
    min_opset=7,
)

DIVIDE_TO_MULTIPLY = Rule(
    name="divide-to-multiply",
    doc="Replace the quotient by constants by the product with their inverses.",
    match="Div(x, const(c))",
    replace=_multiply_by_inverse,
    where=(dtype_in("x", FULL), unshared("c"), _stands_alone, meets_no_threshold),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

PASSES = (SQUARE_TO_MULTIPLY, DIVIDE_BY_POWER_OF_TWO, DIVIDE_TO_MULTIPLY)
