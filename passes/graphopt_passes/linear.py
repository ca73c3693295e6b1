"""Fold a channel-wise affine map into the weights of a linear operator before or behind it.

A linear operator is Conv, ConvTranspose, Gemm or MatMul with constant weights. All arithmetic is done in float64 and
rounded once to the element type of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from ml_dtypes import finfo

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.rewrite.rule import Condition, Match

__all__ = ["Affine", "Linear", "fold_before", "fold_behind", "read_linear", "unshared"]

Array = np.ndarray[Any, Any]
TINY_BYTES = 1024
"""A constant of this size may be copied rather than shared."""
LARGEST_BYTES = 64 << 20
"""Weights above this stay where they are, in their file: folding would hold them in memory several times over."""


@dataclass(frozen=True)
class Affine:
    """The map y = x * scale + shift of each channel; both have shape [channels] and type float64."""

    scale: Array
    shift: Array


@dataclass(frozen=True)
class Linear:
    """A linear operator with constant weights `w` and, unless None, constant bias `b` of shape [outputs].

    `alpha` and `beta` are those of Gemm, else 1. `transposed` tells whether Gemm's outputs are the first axis of `w`.
    `trailing` is the number of axes behind the channels, in operand and result.
    """

    node: Node
    w: Array
    b: Array | None
    inputs: int
    outputs: int
    trailing: int
    group: int = 1
    alpha: float = 1.0
    beta: float = 1.0
    transposed: bool = False


def unshared(name: str) -> Condition:
    """Only one node reads the constant `name`, or it is so small that a copy does no harm."""

    def check(match: Match) -> bool:
        value = match.get(name)
        if not isinstance(value, Value) or not match.facts.is_constant(value):
            return False
        size = match.facts.nbytes(value)
        if size is None:
            return False
        return size <= TINY_BYTES or (len(value.uses()) == 1 and not value.is_graph_output())

    return Condition(f"only one node reads {name}", check)


def read_linear(node: Node, facts: Facts) -> Linear | None:
    """Read a linear operator; None if weights or bias are not constant or too large, or an attribute is not known."""
    values = [*node.inputs, None][1:3]
    if any(value is not None and (facts.nbytes(value) or 0) > LARGEST_BYTES for value in values):
        return None
    arrays = [None if value is None else facts.constant(value) for value in values]
    w, b = arrays
    if w is None or (b is None and values[1] is not None) or has_reference(node):
        return None
    opset = facts.opset(node)
    if node.op_type in {"Conv", "ConvTranspose"}:
        return _read_conv(node, w, b, int(attribute(node, "group", opset) or 1))
    if w.ndim < 2 or (node.op_type == "Gemm" and w.ndim != 2):
        return None
    if node.op_type == "MatMul":
        return Linear(node, w, None, w.shape[-2], w.shape[-1], 0)
    return _read_gemm(node, w, b, opset)


def _read_conv(node: Node, w: Array, b: Array | None, group: int) -> Linear | None:
    if w.ndim < 3 or not w.size or group < 1 or w.shape[0] % group:
        return None
    first, second = w.shape[0], w.shape[1] * group
    inputs, outputs = (second, first) if node.op_type == "Conv" else (first, second)
    if b is not None and b.shape != (outputs,):
        return None
    return Linear(node, w, b, inputs, outputs, w.ndim - 2, group)


def _read_gemm(node: Node, w: Array, b: Array | None, opset: int) -> Linear | None:
    transposed = bool(attribute(node, "transB", opset))
    inputs, outputs = w.shape[::-1] if transposed else w.shape
    if b is not None:
        if b.ndim > 2 or b.size not in {1, outputs} or (b.ndim and b.shape[-1] != b.size):
            return None
        b = np.broadcast_to(b.reshape(-1), (outputs,))
    alpha, beta = float(attribute(node, "alpha", opset)), float(attribute(node, "beta", opset))
    return Linear(node, w, b, inputs, outputs, 0, 1, alpha, beta, transposed)


def fold_behind(build: Builder, linear: Linear, affine: Affine) -> Value | None:
    """Build the operator followed by the map as one operator; None if the weights cannot hold the result.

    MatMul with a shift becomes Gemm, which is right for operands of rank 2 only: the caller's duty.
    """
    bias = affine.shift.copy()
    if linear.b is not None:
        bias += linear.b.astype(np.float64) * linear.beta * affine.scale
    w = _narrow(_scaled(linear, _along_outputs(linear, affine.scale)), linear.w, _output_axes(linear))
    needs_bias = linear.b is not None or bool(np.any(bias))
    return _rebuild(build, linear, linear.node.inputs[0], w, bias if needs_bias else None)


def fold_before(build: Builder, linear: Linear, x: Value, affine: Affine) -> Value | None:
    """Build the map followed by the operator as one operator on `x`; None if the weights cannot hold the result.

    A shift is right only without padding (Conv) and with a bias (not MatMul): the caller's duty.
    """
    w = _narrow(_scaled(linear, _along_inputs(linear, affine.scale)), linear.w, _output_axes(linear))
    bias = np.zeros(linear.outputs) if linear.b is None else linear.b.astype(np.float64) * linear.beta
    if np.any(affine.shift):
        axes = tuple(axis for axis in range(linear.w.ndim) if axis not in _output_axes(linear))
        bias = bias + _scaled(linear, _along_inputs(linear, affine.shift)).sum(axis=axes).reshape(-1)
    needs_bias = linear.b is not None or bool(np.any(bias))
    return _rebuild(build, linear, x, w, bias if needs_bias else None)


def _scaled(linear: Linear, vector: Array) -> Array:
    """Multiply the weights by alpha and a vector that broadcasts, in float64."""
    w = linear.w if linear.w.dtype.kind == "f" else linear.w.astype(np.float64)
    product: Array = np.multiply(w, vector * linear.alpha, dtype=np.float64)
    return product


def _rebuild(build: Builder, linear: Linear, x: Value | None, w: Array | None, bias: Array | None) -> Value | None:
    b = None if bias is None else _narrow(bias, linear.w, (0,))
    if w is None or (bias is not None and b is None):
        return None
    node = linear.node
    old = node.inputs[1]
    op_type = "Gemm" if node.op_type == "MatMul" and b is not None else node.op_type
    attrs: dict[str, Any] = {name: attr for name, attr in node.attributes.items() if name not in {"alpha", "beta"}}
    inputs = [x, build.constant(w, hint=(old.name if old is not None else None) or "")]
    if b is not None:
        inputs.append(build.constant(b))
    value: Value = build.op(op_type, *inputs, **attrs)
    return value


def _output_axes(linear: Linear) -> tuple[int, ...]:
    """Return the axes of the weights that tell the outputs apart, for ConvTranspose the one within a group."""
    if linear.node.op_type == "MatMul":
        return (linear.w.ndim - 1,)
    if linear.node.op_type == "ConvTranspose":
        return (1,)
    return (0,) if linear.node.op_type == "Conv" or linear.transposed else (1,)


def _along_outputs(linear: Linear, vector: Array) -> Array:
    """Spread a vector of [outputs] over the weights."""
    if linear.node.op_type == "ConvTranspose":
        grouped = np.repeat(vector.reshape(linear.group, 1, -1), linear.inputs // linear.group, axis=1)
        return grouped.reshape(linear.inputs, -1, *[1] * linear.trailing)
    shape = [1] * linear.w.ndim
    shape[_output_axes(linear)[0]] = linear.outputs
    return vector.reshape(shape)


def _along_inputs(linear: Linear, vector: Array) -> Array:
    """Spread a vector of [inputs] over the weights."""
    if linear.node.op_type == "Conv":
        grouped = np.repeat(vector.reshape(linear.group, 1, -1), linear.outputs // linear.group, axis=1)
        return grouped.reshape(linear.outputs, -1, *[1] * linear.trailing)
    axis = {"ConvTranspose": 0, "MatMul": linear.w.ndim - 2}.get(linear.node.op_type, int(linear.transposed))
    shape = [1] * linear.w.ndim
    shape[axis] = linear.inputs
    return vector.reshape(shape)


def _narrow(exact: Array, like: Array, axes: tuple[int, ...]) -> Array | None:
    """Round to the element type of `like`; None if a value is not finite or underflow costs an output its precision.

    `axes` are those that tell the outputs apart: an error is relative to the largest value of the same output.
    """
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        narrow = exact.astype(like.dtype)
        if not np.isfinite(narrow).all():
            return None
        small = np.abs(narrow) < finfo(like.dtype).smallest_normal  # type: ignore[no-untyped-call]
        if not np.any(exact[small]):
            return narrow
        back = narrow.astype(np.float64)
        others = tuple(axis for axis in range(exact.ndim) if axis not in axes)
        error = np.abs(back - exact).max(axis=others, initial=0.0)
        peak = np.abs(exact).max(axis=others, initial=0.0)
    return None if bool(np.any(error > _epsilon(like) * peak)) else narrow


def _epsilon(array: Array) -> float:
    return float(finfo(array.dtype).eps)  # type: ignore[no-untyped-call]
