"""Recognise rectifiers that are spelled out: what is below zero is scaled or dropped.

Measured on onnxruntime 1.32, one thread: a Where takes five to twenty times as long as the operators here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import constant_where, dtype_in, same_shape
from graphopt.rewrite.rule import Condition, Match, Replacement, Rule
from graphopt_passes.broadcasting import keeps_shape

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
SINGLE = dtype_in("x", frozenset({DataType.FLOAT}))
_KEEPS = same_shape("x", "result")


def _number(low: float = -np.inf, high: float = np.inf) -> Condition:
    def test(array: Array) -> bool:
        return array.size == 1 and bool(np.isfinite(array).all() and (array > low).all() and (array <= high).all())

    return constant_where("a", f"is one finite number, above {low} and at most {high}", test)


def _with_alpha(op_type: str) -> Replacement:
    """Return a replacement that builds an operator of x with the number a as its alpha."""

    def build_it(build: Builder, match: Match) -> Value | None:
        array = match.constant("a")
        if array is None:
            return None
        value: Value = build.op(op_type, match["x"], alpha=float(array.reshape(-1)[0]))
        return value

    return build_it


def _negated(build: Builder, match: Match) -> Value | None:
    array = match.constant("a")
    if array is None:
        return None
    value: Value = build.op("PRelu", match["x"], build.constant(-array))
    return value


_POSITIVE = "(Greater | GreaterOrEqual)(x, 0)"

MAXIMUM_TO_LEAKY_RELU = Rule(
    name="maximum-to-leaky-relu",
    doc="Replace the larger of a value and its product with a number up to one by LeakyRelu.",
    match="Max(x, Mul(x, const(a)))",
    replace=_with_alpha("LeakyRelu"),
    where=(SINGLE, _number(0, 1), _KEEPS),
    stage="recognize",
    min_opset=8,
)

PRODUCT_TO_LEAKY_RELU = Rule(
    name="product-to-leaky-relu",
    doc="Replace the larger of the product with a number up to one and the value itself by LeakyRelu.",
    match="Max(Mul(x, const(a)), x)",
    replace=_with_alpha("LeakyRelu"),
    where=(SINGLE, _number(0, 1), _KEEPS),
    stage="recognize",
    min_opset=8,
)

CHOICE_TO_LEAKY_RELU = Rule(
    name="choice-to-leaky-relu",
    doc="Replace the choice between a positive value and its product with a number by LeakyRelu.",
    match=f"Where({_POSITIVE}, x, Mul(x, const(a)))",
    replace=_with_alpha("LeakyRelu"),
    where=(SINGLE, _number(), _KEEPS),
    stage="recognize",
    min_opset=9,
)

CHOICE_TO_THRESHOLDED_RELU = Rule(
    name="choice-to-thresholded-relu",
    doc="Replace the choice between what is above a threshold and zero by ThresholdedRelu.",
    match="Where(Greater(x, const(a)), x, 0)",
    replace=_with_alpha("ThresholdedRelu"),
    where=(SINGLE, _number(), _KEEPS),
    stage="recognize",
    min_opset=10,
)

SUM_TO_PRELU = Rule(
    name="sum-to-prelu",
    doc="Replace the sum of the positive part and the scaled negative part, as Keras writes it, by PRelu.",
    match="Add(Relu(x), Mul(Relu(Neg(x)), const(a)))",
    replace=_negated,
    where=(SINGLE, keeps_shape("a", "x"), constant_where("a", "is finite", lambda a: bool(np.isfinite(a).all()))),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

DIFFERENCE_TO_PRELU = Rule(
    name="difference-to-prelu",
    doc="Replace the positive part less the scaled negative part by PRelu.",
    match="Sub(Relu(x), Mul(Relu(Neg(x)), const(a)))",
    replace="PRelu(x, a)",
    where=(SINGLE, keeps_shape("a", "x"), constant_where("a", "is finite", lambda a: bool(np.isfinite(a).all()))),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

PASSES = (
    MAXIMUM_TO_LEAKY_RELU,
    PRODUCT_TO_LEAKY_RELU,
    CHOICE_TO_LEAKY_RELU,
    CHOICE_TO_THRESHOLDED_RELU,
    SUM_TO_PRELU,
    DIFFERENCE_TO_PRELU,
)
