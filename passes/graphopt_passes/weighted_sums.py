"""Compute weighted sums along one axis as a product with a vector, along the axis that is last in memory."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition, dtype_in, same_shape
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axes_of, axis_of
from graphopt_passes.padding import is_padded
from graphopt_passes.transposes import permutation

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
FULL = frozenset({DataType.FLOAT, DataType.DOUBLE})


def _summed_axis(match: Match) -> int | None:
    """Return the one axis that the root sums."""
    rank = match.facts.rank(match["t"])
    axes = axes_of(match.root, match.facts, rank)
    return axes[0] if axes is not None and len(axes) == 1 and rank is not None and axes[0] < rank else None


def _weights(match: Match) -> Array | None:
    """Return the weights along the summed axis, if they are the same along all others."""
    axis, rank, w = _summed_axis(match), match.facts.rank(match["x"]), match.constant("w")
    shape = match.facts.shape(match["x"])
    if axis is None or rank is None or shape is None or w is None:
        return None
    wide = w.reshape((1,) * (rank - w.ndim) + w.shape)
    alike = wide.size == wide.shape[axis] and wide.shape[axis] == shape[axis]
    return wide.reshape(-1) if alike else None


def _transposed(match: Match, axis: int) -> tuple[Value, list[int]] | None:
    """Return what a Transpose brings to `x`, last axis to `axis`, and how it orders the axes before that one."""
    node: Node | None = match["x"].producer()
    if node is None or node.op_type != "Transpose" or node.domain or has_reference(node):
        return None
    perm, source = permutation(node, match.facts), node.inputs[0]
    if perm is None or source is None or perm[axis] != len(perm) - 1:
        return None
    return source, [place for place in perm if place != perm[axis]]


def _across_softmax(match: Match, axis: int) -> Value | None:
    """Return what a Softmax along `axis` reads that only the root's pattern uses."""
    node: Node | None = match["x"].producer()
    if node is None or node.op_type != "Softmax" or node.domain or match.opset < 13 or has_reference(node):
        return None
    alone = len(match["x"].uses()) == 1 and not match["x"].is_graph_output()
    same = axis_of(node, match.facts, match.facts.rank(match["x"])) == axis
    return node.inputs[0] if alone and same else None


def _product(build: Builder, match: Match, axis: int, weights: Array) -> Value | None:
    """Build the weighted sum along `axis`, which is gone then; None where the axis would have to be moved for it."""
    vector, rank = weights, match.facts.rank(match["x"])
    if rank is None:
        return None
    moved, scores = _transposed(match, axis), _across_softmax(match, axis)
    if axis == rank - 1:
        last: Value = build.op("MatMul", match["x"], build.constant(vector))
        return last
    if moved is not None:
        summed: Value = build.op("MatMul", moved[0], build.constant(vector))
        stays = moved[1] == sorted(moved[1])
        return summed if stays else build.op("Transpose", summed, perm=moved[1])
    if scores is None:
        return None
    order = [place for place in range(rank) if place != axis]
    rows = build.op("Softmax", build.op("Transpose", scores, perm=[*order, axis]), axis=-1)
    value: Value = build.op("MatMul", rows, build.constant(vector))
    return value


def _with_axis(build: Builder, match: Match, value: Value | None, axis: int) -> Value | None:
    """Put the summed axis back as one of size 1."""
    if value is None:
        return None
    if match.opset < 13:
        old: Value = build.op("Unsqueeze", value, axes=[axis])
        return old
    made: Value = build.op("Unsqueeze", value, build.shape(axis))
    return made


@condition("one axis is summed, and the weights differ along it alone")
def _along_one_axis(match: Match) -> bool:
    return _weights(match) is not None


def _sum(build: Builder, match: Match) -> Value | None:
    axis, weights = _summed_axis(match), _weights(match)
    made = None if axis is None or weights is None else _product(build, match, axis, weights)
    return made if axis is None or not match["keepdims"] else _with_axis(build, match, made, axis)


@condition("the convolution looks at one pixel and has one output")
def _is_pointwise(match: Match) -> bool:
    w, conv = match.facts.static_shape(match["w"]), match.root
    if w is None or w[0] != 1 or set(w[2:]) != {1} or has_reference(conv) or is_padded(conv, match.opset):
        return False
    return set(attribute(conv, "strides", match.opset) or [1]) == {1}


def _convolution(build: Builder, match: Match) -> Value | None:
    w, b = match.constant("w"), match.get("b")
    made = None if w is None else _product(build, match, 1, w.reshape(-1))
    biased = made if made is None or b is None else build.op("Add", made, b)
    return _with_axis(build, match, biased, 1)


MULTIPLY_SUM_TO_MATMUL = Rule(
    name="multiply-sum-to-matmul",
    doc="Compute a weighted sum along the last axis, or one that is easily last, as a product with a vector.",
    match="ReduceSum((t := Mul(x, const(w))), *_, keepdims=keepdims)",
    replace=_sum,
    where=(dtype_in("x", FULL), same_shape("x", "t"), _along_one_axis),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

CONV_TO_VECTOR_PRODUCT = Rule(
    name="conv-to-vector-product",
    doc="Compute a pointwise Conv with one output, of what is a Softmax or transposed, as a product with a vector.",
    match="Conv(x, const(w), opt(const(b)), group=1)",
    replace=_convolution,
    where=(dtype_in("x", FULL), _is_pointwise),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
)

PASSES = (MULTIPLY_SUM_TO_MATMUL, CONV_TO_VECTOR_PRODUCT)
