"""Compute weighted sums along one axis as a product with a matrix, where the values lie in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, dtype_in, same_shape
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axes_of, axis_of
from graphopt_passes.padding import is_padded
from graphopt_passes.transposes import permutation

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
FULL = frozenset({DataType.FLOAT, DataType.DOUBLE})


@dataclass(frozen=True)
class _Source:
    """What a sum along `axis` reads when transpositions and a Softmax along it are put off.

    `rest` are the other axes, in the order in which the sum has them.
    """

    value: Value
    axis: int
    rest: tuple[int, ...]
    softmax: bool = False

    @property
    def rank(self) -> int:
        """The number of axes."""
        return len(self.rest) + 1


def _source(value: Value, axis: int, facts: Facts) -> _Source | None:
    """Follow a value that is summed along `axis` back to where it lies in memory."""
    rank = facts.rank(value)
    if rank is None:
        return None
    found = _Source(value, axis, tuple(place for place in range(rank) if place != axis))
    while (step := _behind(found, facts)) is not None:
        found = step
    return found


def _behind(found: _Source, facts: Facts) -> _Source | None:
    """Step across the Transpose, or the Softmax that nothing else reads, which makes the value."""
    node: Node | None = found.value.producer()
    source = None if node is None or node.domain or has_reference(node) else node.inputs[0]
    if node is None or source is None:
        return None
    if node.op_type == "Transpose":
        perm = permutation(node, facts)
        if perm is None:
            return None
        return _Source(source, perm[found.axis], tuple(perm[axis] for axis in found.rest), found.softmax)
    alone = len(found.value.uses()) == 1 and not found.value.is_graph_output() and not found.softmax
    if node.op_type != "Softmax" or not alone or axis_of(node, facts, found.rank) != found.axis:
        return None
    # Before, a Softmax was of an axis together with all behind it.
    alike = facts.opset(node) >= 13 or found.axis == found.rank - 1
    return _Source(source, found.axis, found.rest, softmax=True) if alike else None


def _product(build: Builder, found: _Source, weights: Array, facts: Facts) -> Value | None:
    """Build the weighted sum, without the axis; None where the axis would have to be moved for it."""
    value, axis, last = found.value, found.axis, found.rank - 1
    behind = (facts.shape(value) or ())[axis + 1 :]
    sizes = [dim for dim in behind if isinstance(dim, int) and dim]
    if axis == last:
        rows = build.op("Softmax", value, axis=last) if found.softmax else value
        made = _squeeze(build, build.op("MatMul", rows, build.constant(weights.reshape(-1, 1))), axis)
    elif axis == last - 1 or len(sizes) == len(behind):
        if axis < last - 1:
            value = build.op("Reshape", value, build.shape(*[0] * (axis + 1), math.prod(sizes)))
        columns = build.op("Softmax", value, axis=axis) if found.softmax else value
        made = build.op("MatMul", build.constant(weights.reshape(1, -1)), columns)
        split = axis < last - 1
        made = build.op("Reshape", made, build.shape(*[0] * axis, *sizes)) if split else _squeeze(build, made, axis)
    else:
        return None
    order = [place - (place > axis) for place in found.rest]
    return made if order == sorted(order) else build.op("Transpose", made, perm=order)


def _squeeze(build: Builder, value: Value, axis: int) -> Value:
    made: Value = build.op("Squeeze", value, build.shape(axis))
    return made


def _unsqueeze(build: Builder, value: Value | None, axis: int) -> Value | None:
    made: Value | None = value and build.op("Unsqueeze", value, build.shape(axis))
    return made


def _summed_axis(match: Match) -> int | None:
    """Return the one axis that the root sums."""
    rank = match.facts.rank(match["t"])
    axes = axes_of(match.root, match.facts, rank)
    return axes[0] if axes is not None and len(axes) == 1 and rank is not None and axes[0] < rank else None


def _weights(match: Match) -> Array | None:
    """Return the weights along the summed axis, if they are the same along all others."""
    axis, w, shape = _summed_axis(match), match.constant("w"), match.facts.shape(match["x"])
    if axis is None or shape is None or w is None:
        return None
    wide = w.reshape((1,) * (len(shape) - w.ndim) + w.shape)
    alike = wide.size == wide.shape[axis] and wide.shape[axis] == shape[axis]
    return wide.reshape(-1) if alike else None


@condition("one axis is summed, and the weights differ along it alone")
def _along_one_axis(match: Match) -> bool:
    return _weights(match) is not None


def _sum(build: Builder, match: Match) -> Value | None:
    axis, weights = _summed_axis(match), _weights(match)
    found = None if axis is None else _source(match["x"], axis, match.facts)
    if axis is None or weights is None or found is None:
        return None
    made = _product(build, found, weights, match.facts)
    return _unsqueeze(build, made, axis) if match["keepdims"] else made


@condition("the convolution looks at one pixel and has one output")
def _is_pointwise(match: Match) -> bool:
    w, conv = match.facts.static_shape(match["w"]), match.root
    if w is None or w[0] != 1 or set(w[2:]) != {1} or has_reference(conv) or is_padded(conv, match.opset):
        return False
    return set(attribute(conv, "strides", match.opset) or [1]) == {1}


@condition("its operand is a Softmax of the channels, or transposed")
def _is_moved(match: Match) -> bool:
    found = _source(match["x"], 1, match.facts)
    return found is not None and found.value is not match["x"]


def _convolution(build: Builder, match: Match) -> Value | None:
    w, b, found = match.constant("w"), match.get("b"), _source(match["x"], 1, match.facts)
    made = None if w is None or found is None else _product(build, found, w.reshape(-1), match.facts)
    return _unsqueeze(build, made if made is None or b is None else build.op("Add", made, b), 1)


@condition("it is a vector, or a column for what lies in memory as rows")
def _is_vector(match: Match) -> bool:
    w, rank = match.facts.static_shape(match["w"]), match.facts.rank(match["x"])
    found = None if rank is None or rank < 2 else _source(match["x"], rank - 1, match.facts)
    if w is None or found is None:
        return False
    return len(w) == 1 or (w[1:] == (1,) and found.softmax and found.axis < found.rank - 1)


def _vector(build: Builder, match: Match) -> Value | None:
    w, rank = match.constant("w"), match.facts.rank(match["x"])
    found = None if rank is None else _source(match["x"], rank - 1, match.facts)
    if w is None or rank is None or found is None:
        return None
    made = _product(build, found, w.reshape(-1), match.facts)
    return made if w.ndim == 1 else _unsqueeze(build, made, rank - 1)


MULTIPLY_SUM_TO_MATMUL = Rule(
    name="multiply-sum-to-matmul",
    doc="Compute a weighted sum along one axis as a product, where it lies in memory so.",
    match="ReduceSum((t := Mul(x, const(w))), *_, keepdims=keepdims)",
    replace=_sum,
    where=(dtype_in("x", FULL), same_shape("x", "t"), _along_one_axis),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=13,
)

CONV_TO_MATMUL = Rule(
    name="conv-to-matmul",
    doc="Compute a pointwise Conv with one output, of a Softmax or what is transposed, as a product.",
    match="Conv(x, const(w), opt(const(b)), group=1)",
    replace=_convolution,
    where=(dtype_in("x", FULL), _is_pointwise, _is_moved),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=13,
)

VECTOR_TO_MATRIX = Rule(
    name="vector-to-matrix",
    doc="Multiply by a matrix of one row or column instead of a vector, where the values lie in memory so.",
    match="MatMul(x, const(w))",
    replace=_vector,
    where=(dtype_in("x", FULL), _is_vector),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    targets=(Target.ORT_CPU,),
    min_opset=13,
)

PASSES = (MULTIPLY_SUM_TO_MATMUL, CONV_TO_MATMUL, VECTOR_TO_MATRIX)
