"""Compute expected values under a Softmax without the distribution."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, constant_where, dtype_in
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]


@condition("the distribution is along the second last axis")
def _along_columns(match: Match) -> bool:
    rank = match.facts.rank(match["x"])
    return rank is not None and match["axis"] in {-2, rank - 2}


def _quotient(build: Builder, match: Match) -> Value | None:
    w, rank = match.constant("w"), match.facts.rank(match["x"])
    if w is None or rank is None:
        return None
    axes = (build.shape(rank - 2), None) if match.opset >= 18 else (None, [rank - 2])
    highest = build.op("ReduceMax", match["x"], axes[0], axes=axes[1], keepdims=1)
    powers = build.op("Exp", build.op("Sub", match["x"], highest))
    sums = build.op("MatMul", build.constant(np.concatenate([w, np.ones_like(w[:1])])), powers)
    upper, lower = build.op("Split", sums, build.shape(len(w), 1), axis=rank - 2, outputs=2)
    value: Value = build.op("Div", upper, lower)
    return value


# The sum of the powers comes with the weighted ones; along any but the last axis, Softmax costs more than its formula.
SOFTMAX_TO_QUOTIENT = Rule(
    name="softmax-to-quotient",
    doc="Divide the few weighted sums of a Softmax along columns, not what is summed.",
    match="MatMul(const(w), Softmax(x, axis=axis))",
    replace=_quotient,
    where=(
        dtype_in("x", frozenset({DataType.FLOAT})),
        _along_columns,
        constant_where("w", "has fewer rows than columns", lambda w: w.ndim == 2 and 2 * w.shape[0] < w.shape[1]),
    ),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    targets=(Target.ORT_CPU, Target.OPENVINO),
    min_opset=13,
)

PASSES = (SOFTMAX_TO_QUOTIENT,)
