"""Merge the constants of sums and products, one behind the other."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import dtype_in
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.linear import unshared
from graphopt_passes.thresholds import meets_no_threshold

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
TINY_BYTES = 1024
INTEGERS = frozenset({DataType.INT32, DataType.INT64})
FLOATS = frozenset({DataType.FLOAT, DataType.DOUBLE})


def _merged(op_type: str, inner: Array, outer: Array) -> Array | None:
    """Combine two constants; None if the result is larger than both were, not finite, or less precise."""
    if inner.size == 0 or outer.size == 0 or inner.dtype != outer.dtype:
        return None
    if inner.dtype.kind in "iu":
        with np.errstate(over="ignore"):
            made: Array | None = np.asarray(inner + outer if op_type == "Add" else inner * outer)
    else:
        made = _float_merged(op_type, inner, outer)
    return made if made is not None and made.nbytes <= max(inner.nbytes + outer.nbytes, TINY_BYTES) else None


def _float_merged(op_type: str, inner: Array, outer: Array) -> Array | None:
    a, b = inner.astype(np.float64), outer.astype(np.float64)
    with np.errstate(all="ignore"):
        exact = a + b if op_type == "Add" else a * b
        made = np.asarray(exact).astype(inner.dtype)
        # Terms that cancel each other are there to round what stands between them.
        kept = np.abs(exact) >= 0.5 * np.maximum(np.abs(a), np.abs(b)) if op_type == "Add" else _modest(a) & _modest(b)
        normal = (np.abs(made) >= np.finfo(inner.dtype).tiny) | (exact == 0)
    return made if np.isfinite(made).all() and kept.all() and normal.all() else None


def _modest(factor: Array) -> Array:
    """Tell which factors are far from making what they scale overflow or vanish on the way."""
    limit = float(np.finfo(np.float32).max) ** 0.25
    size = np.abs(factor)
    within: Array = (size >= 1 / limit) & (size <= limit)
    return within


def _merge_terms(build: Builder, match: Match) -> Value | None:
    inner, outer = match.constant("c"), match.constant("d")
    if inner is None or outer is None:
        return None
    first = -inner if match["t"].producer().op_type == "Sub" else inner
    second = -outer if match.root.op_type == "Sub" else outer
    made = _merged("Add", first, second)
    if made is None:
        return None
    value: Value = build.op("Add", match["x"], build.constant(made))
    return value


def _merge_factors(build: Builder, match: Match) -> Value | None:
    inner, outer = match.constant("c"), match.constant("d")
    made = None if inner is None or outer is None else _merged("Mul", inner, outer)
    if made is None:
        return None
    value: Value = build.op("Mul", match["x"], build.constant(made))
    return value


MERGE_TERMS = Rule(
    name="merge-terms",
    doc="Merge the constants of two sums, one behind the other.",
    match="Add((t := Add(x, const(c))), const(d))",
    replace=_merge_terms,
    where=(dtype_in("x", FLOATS | INTEGERS), unshared("c"), unshared("d"), meets_no_threshold),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

MERGE_DIFFERENCE_TERMS = Rule(
    name="merge-difference-terms",
    doc="Merge the constants of a sum and a difference, or of two differences, one behind the other.",
    match="(Add | Sub)((t := (Add | Sub)(x, const(c))), const(d))",
    replace=_merge_terms,
    where=(dtype_in("x", FLOATS | INTEGERS), unshared("c"), unshared("d"), meets_no_threshold),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

MERGE_FACTORS = Rule(
    name="merge-factors",
    doc="Merge the constants of two products, one behind the other.",
    match="Mul((t := Mul(x, const(c))), const(d))",
    replace=_merge_factors,
    where=(dtype_in("x", FLOATS | INTEGERS), unshared("c"), unshared("d"), meets_no_threshold),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

PASSES = (MERGE_TERMS, MERGE_DIFFERENCE_TERMS, MERGE_FACTORS)
