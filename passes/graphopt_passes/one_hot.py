"""Look rows up that are picked by a product with a one-hot vector."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.rewrite.conditions import attr_is, condition, dtype_in, rank
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.linear import unshared

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
INTEGERS = frozenset({DataType.INT32, DataType.INT64})


def _rows(match: Match) -> Array | None:
    """Return the rows to look up, if the product with zeros and a one gives them back."""
    w = match.constant("w")
    return None if w is None or w.dtype.kind != "f" or not np.isfinite(w).all() else w + w.dtype.type(0)


def _look_up(build: Builder, match: Match, rows: Array, i: Value, *, from_end: bool) -> Value:
    """Gather `rows`, and zeros for indices out of bounds; with `from_end` negative ones count from the end."""
    dtype = np.dtype("int32" if match.facts.dtype(i) == DataType.INT32 else "int64")
    zero, count, lowest = (build.constant(np.array(number, dtype)) for number in (0, len(rows), -1))
    if from_end:
        i = build.op("Where", build.op("Less", i, zero), build.op("Add", i, count), i)
    nothing = np.zeros_like(rows[:1])
    table = build.constant(np.concatenate([rows, nothing, nothing]), match["w"].name or "")
    # The last row is the one at -1.
    value: Value = build.op("Gather", table, build.op("Clip", i, lowest, count), axis=0)
    return value


@condition("it is one at its place and zero elsewhere")
def _is_indicator(match: Match) -> bool:
    depth, values, w = match.constant("depth"), match.constant("values"), match.facts.static_shape(match["w"])
    if depth is None or values is None or w is None:
        return False
    return depth.reshape(-1).tolist() == [w[0]] and values.reshape(-1).tolist() == [0, 1]


@condition("it is compared with its places")
def _counts(match: Match) -> bool:
    places, w, shape = match.constant("r"), match.facts.static_shape(match["w"]), match.facts.shape(match["i"])
    if places is None or w is None or not shape or shape[-1] != 1 or places.ndim > len(shape):
        return False
    return places.size == places.shape[-1] == w[0] and bool((places.reshape(-1) == np.arange(w[0])).all())


def _from_one_hot(build: Builder, match: Match) -> Value | None:
    rows = _rows(match)
    return None if rows is None else _look_up(build, match, rows, match["i"], from_end=True)


def _from_comparison(build: Builder, match: Match) -> Value | None:
    rows = _rows(match)
    if rows is None:
        return None
    return _look_up(build, match, rows, build.op("Squeeze", match["i"], build.shape(-1)), from_end=False)


_WHERE = (dtype_in("i", INTEGERS, "integers"), rank("w", 2), unshared("w"))

ONE_HOT_TO_GATHER = Rule(
    name="one-hot-to-gather",
    doc="Gather the rows of a constant that a product with OneHot picks.",
    match="MatMul(skip(OneHot(i, const(depth), const(values), axis=axis)), const(w))",
    replace=_from_one_hot,
    where=(*_WHERE, attr_is("axis", -1), _is_indicator),
    stage="fuse",
    min_opset=12,
    shared=True,
)

COMPARISON_TO_GATHER = Rule(
    name="comparison-to-gather",
    doc="Gather the rows of a constant that a product with the comparison of indices to all places picks.",
    match="MatMul(skip(Cast(Equal(i, const(r)))), const(w))",
    replace=_from_comparison,
    where=(*_WHERE, _counts),
    min_opset=13,
    shared=True,
)

PASSES = (ONE_HOT_TO_GATHER, COMPARISON_TO_GATHER)
