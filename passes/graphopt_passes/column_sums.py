"""Add rows up as a product with a vector of ones."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axes_of

__all__ = ["PASSES"]

_LEAST = 4096
"""Numbers to add below which the kernels are as fast as each other, by measurement."""


def _rows(match: Match) -> int | None:
    """Return the number of rows that are added up, where that is worth a product."""
    shape = match.facts.shape(match["x"])
    if shape is None or len(shape) < 2 or axes_of(match.root, match.facts, len(shape)) != (len(shape) - 2,):
        return None
    rows, columns = shape[-2:]
    if not isinstance(rows, int) or not isinstance(columns, int) or rows * columns < _LEAST or columns == 1:
        return None
    return rows if all(size == 1 for size in shape[:-2] if isinstance(size, int)) else None


@condition("long columns of one matrix, or of a batch whose size is not known, are summed")
def _adds_rows(match: Match) -> bool:
    return _rows(match) is not None


def _sum(build: Builder, match: Match) -> Value | None:
    rows = _rows(match)
    if rows is None:
        return None
    each = 1 / rows if match.root.op_type == "ReduceMean" else 1
    made: Value = build.op("MatMul", build.constant(np.full((1, rows), each, np.float32)), match["x"])
    if not match["keepdims"]:
        made = build.op("Squeeze", made, build.shape(-2))
    return made


# onnxruntime adds columns up one number after the other where there is one matrix alone.
SUM_TO_MATMUL, MEAN_TO_MATMUL = (
    Rule(
        name=f"{name}-to-matmul",
        doc=f"Compute the {name} of rows as a product with a vector of equal numbers.",
        match=f"{operator}(x, *_, keepdims=keepdims)",
        replace=_sum,
        where=(dtype_in("x", frozenset({DataType.FLOAT})), _adds_rows),
        exactness=Exactness.REASSOCIATES,
        stage="steer",
        targets=(Target.ORT_CPU,),
        min_opset=13,
    )
    for operator, name in (("ReduceSum", "sum"), ("ReduceMean", "mean"))
)

PASSES = (SUM_TO_MATMUL, MEAN_TO_MATMUL)
