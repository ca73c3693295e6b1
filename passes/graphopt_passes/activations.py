"""Eliminate activations and roundings that a value has already gone through."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.rewrite.conditions import constant_where, dtype_in, is_float
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.broadcasting import keeps_shape

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]

ELIMINATE_ROUNDING = Rule(
    name="eliminate-rounding",
    doc="Eliminate a rounding of floats that are whole already.",
    match="(Ceil | Floor | Round)((t := (Ceil | Floor | Round)(x)))",
    replace="t",
    shared=True,
)

ELIMINATE_SIGN_OF_SIGN = Rule(
    name="eliminate-sign-of-sign",
    doc="Eliminate the sign of a sign.",
    match="Sign((t := Sign(x)))",
    replace="t",
    shared=True,
)

ELIMINATE_RELU_OF_POSITIVE = Rule(
    name="eliminate-relu-of-positive",
    doc="Eliminate Relu and Abs of floats that are never negative.",
    match="(Relu | Abs)((t := (Relu | Abs | Exp | Sigmoid | Softplus | Sqrt | Softmax)(x)))",
    replace="t",
    where=(is_float("x"),),
    shared=True,
)


def _leaky_relu(build: Builder, match: Match) -> Value | None:
    slope = match.constant("slope")
    if slope is None:
        return None
    value: Value = build.op("LeakyRelu", match["x"], alpha=float(slope.reshape(-1)[0]))
    return value


PRELU_TO_LEAKY_RELU = Rule(
    name="prelu-to-leaky-relu",
    doc="Replace PRelu with one constant slope by LeakyRelu, which runtimes fuse into convolutions.",
    match="PRelu(x, const(slope))",
    replace=_leaky_relu,
    where=(
        dtype_in("x", frozenset({DataType.FLOAT})),
        keeps_shape("slope", "x"),
        constant_where("slope", "has one value", lambda slope: slope.size > 0 and bool((slope == slope.flat[0]).all())),
    ),
    min_opset=7,
)


def _is_gentle(slope: Array) -> bool:
    """Tell whether x * slope is at most x for positive x, at least x for negative x, and no NaN at infinity."""
    return slope.size > 0 and bool(np.all((slope <= 1) & (slope != 0) & np.isfinite(slope)))


# Measured on onnxruntime 1.32, one thread: PRelu takes ten times as long as the product and the maximum together, and
# convolutions with PRelu between them take 0.4 to 0.8 of the time. Other targets have good kernels for PRelu.
LOWER_PRELU = Rule(
    name="lower-prelu",
    doc="Replace PRelu with constant slopes of at most one by the larger of the operand and its product.",
    match="PRelu(x, const(slope))",
    replace="Max(x, Mul(x, slope))",
    where=(
        dtype_in("x", frozenset({DataType.FLOAT, DataType.DOUBLE})),
        keeps_shape("slope", "x"),
        constant_where("slope", "is finite, at most one, and never zero", _is_gentle),
    ),
    min_opset=8,
    targets=("ort-cpu",),
)

PASSES = (
    ELIMINATE_ROUNDING,
    ELIMINATE_SIGN_OF_SIGN,
    ELIMINATE_RELU_OF_POSITIVE,
    PRELU_TO_LEAKY_RELU,
    LOWER_PRELU,
)
