"""Bring the parts of attention into one form, whichever exporter wrote them."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, constant_where, dtype_in, same_shape
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]

_WIDE = frozenset({DataType.FLOAT, DataType.DOUBLE})
"""With fewer bits in the exponent, a product of scales may lose what each of them alone keeps."""


def _is_scale(array: np.ndarray[tuple[int, ...], np.dtype[np.generic]]) -> bool:
    """Tell whether a constant is one number, which makes nothing overflow and no rank higher."""
    return array.size == 1 and array.ndim <= 1 and bool(np.abs(array) <= 1)


def _merge_scales(build: Builder, match: Match) -> Value | None:
    a, b = match.constant("a"), match.constant("b")
    if a is None or b is None:
        return None
    scale = build.constant((a.astype(np.float64) * b.astype(np.float64)).reshape(()).astype(a.dtype))
    result: Value = build.op("MatMul", build.op("Mul", match["x"], scale), match["y"])
    return result


@condition("matrices are transposed in a batch that is split behind")
def _splits_batch(match: Match) -> bool:
    folded, shape = match.facts.static_shape(match["t"]), match.facts.static_shape(match.result)
    if folded is None or shape is None or len(folded) != 3 or len(shape) != 4:
        return False
    return folded[1:] == shape[2:] and 0 not in shape


def _transpose_matrices(build: Builder, match: Match) -> Value | None:
    shape = match.facts.static_shape(match.result)
    if shape is None:
        return None
    batch, heads, rows, columns = shape
    split = build.op("Reshape", match["x"], build.shape(batch, heads, columns, rows))
    result: Value = build.op("Transpose", split, perm=[0, 1, 3, 2])
    return result


@condition("a Softmax gives it, so that it is NaN or not negative")
def _is_probability(match: Match) -> bool:
    node = match["p"].producer()
    return node is not None and node.op_type == "Softmax" and not node.domain


# Scaled dot-product attention of PyTorch scales queries and keys by the root of the scale. One scale, and that on the
# queries, leaves the keys as a cache holds them.
MERGE_PRODUCT_SCALES = Rule(
    name="merge-product-scales",
    doc="Merge the scales of both operands of a MatMul into one, on the left operand.",
    match="MatMul(Mul(x, const(a)), Mul(y, const(b)))",
    replace=_merge_scales,
    where=(
        dtype_in("x", _WIDE),
        constant_where("a", "is one number of at most 1", _is_scale),
        constant_where("b", "is one number of at most 1", _is_scale),
    ),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

SPLIT_BATCH_BEFORE_TRANSPOSE = Rule(
    name="split-batch-before-transpose",
    doc="Split the batch of matrices before they are transposed, so that no view hides the Transpose from a MatMul.",
    match="Reshape((t := Transpose(Reshape(x, *a), perm=(0, 2, 1))), *b)",
    replace=_transpose_matrices,
    where=(_splits_batch,),
    min_opset=5,
)

# NaN is above no threshold. onnxruntime's Where goes over its operands three times, ThresholdedRelu once.
THRESHOLD_NAN_GUARD = Rule(
    name="threshold-nan-guard",
    doc="Replace zeros where a Softmax gives NaN by one operator that keeps what is above a threshold below zero.",
    match="Where(IsNaN(p), 0.0, p)",
    replace="ThresholdedRelu(p, alpha=-1.0)",
    where=(dtype_in("p", frozenset({DataType.FLOAT})), _is_probability, same_shape("p", "result")),
    stage="steer",
    min_opset=10,
    targets=(Target.ORT_CPU,),
)

# What is between Softmax and the product hides attention from a runtime's own fusion, OpenVINO's for one.
DROP_NAN_GUARD = Rule(
    name="drop-nan-guard",
    doc="Drop the zeros that stand in where a Softmax gives NaN.",
    match="Where(IsNaN(p), 0.0, p)",
    replace="p",
    where=(_is_probability, same_shape("p", "result")),
    stage="fuse",
    fast_math=True,
)

PASSES = (MERGE_PRODUCT_SCALES, SPLIT_BATCH_BEFORE_TRANSPOSE, DROP_NAN_GUARD, THRESHOLD_NAN_GUARD)
