"""Eliminate arithmetic that changes nothing, and fold signs into their neighbours."""

from __future__ import annotations

from graphopt.graph.model import DataType
from graphopt.rewrite.conditions import dtype_in, is_float
from graphopt.rewrite.rule import Rule
from graphopt_passes.broadcasting import others_fit
from graphopt_passes.normalization import no_scale_of_normalization
from graphopt_passes.residual_norm import not_normalized

__all__ = ["PASSES"]

SIGNED = frozenset({DataType.FLOAT, DataType.DOUBLE, DataType.INT32, DataType.INT64})
"""What both Neg and Mul take in every opset, and compute alike; integers wrap alike."""
NEGATABLE_FLOATS = frozenset({DataType.FLOAT, DataType.DOUBLE})

ELIMINATE_ADD_ZERO = Rule(
    name="eliminate-add-zero",
    doc="Eliminate the addition of a constant zero.",
    match="Add(x, 0)",
    replace="x",
    where=(
        others_fit("x"),
        no_scale_of_normalization("x"),
    ),
    min_opset=7,
)

ELIMINATE_SUBTRACT_ZERO = Rule(
    name="eliminate-subtract-zero",
    doc="Eliminate the subtraction of a constant zero.",
    match="Sub(x, 0)",
    replace="x",
    where=(others_fit("x"),),
    min_opset=7,
)

ELIMINATE_MULTIPLY_ONE = Rule(
    name="eliminate-multiply-one",
    doc="Eliminate the multiplication by a constant one.",
    match="Mul(x, 1)",
    replace="x",
    where=(
        others_fit("x"),
        no_scale_of_normalization("x"),
    ),
    min_opset=7,
)

ELIMINATE_DIVIDE_ONE = Rule(
    name="eliminate-divide-one",
    doc="Eliminate the division by a constant one.",
    match="Div(x, 1)",
    replace="x",
    where=(others_fit("x"),),
    min_opset=7,
)

# Floats only: a runtime may compute integer powers in floats, which round above 2 to the 53rd.
ELIMINATE_POWER_ONE = Rule(
    name="eliminate-power-one",
    doc="Eliminate the first power of floats.",
    match="Pow(x, 1)",
    replace="x",
    where=(
        others_fit("x"),
        is_float("x"),
    ),
    min_opset=7,
)

ELIMINATE_LONE_OPERAND = Rule(
    name="eliminate-lone-operand",
    doc="Eliminate Max, Min, Sum and Mean of one operand.",
    match="(Max | Min | Sum | Mean)(x)",
    replace="x",
)

ELIMINATE_SAME_OPERANDS = Rule(
    name="eliminate-same-operands",
    doc="Eliminate Max, Min, And, Or and bitwise And and Or of a value with itself.",
    match="(Max | Min | And | Or | BitwiseAnd | BitwiseOr)(x, x)",
    replace="x",
)

SUM_TO_ADD = Rule(
    name="sum-to-add",
    doc="Replace a Sum of two operands by Add, which runtimes fuse, unless a layer normalization reads it.",
    match="Sum(x, y)",
    replace="Add(x, y)",
    where=(not_normalized,),
    min_opset=8,
)

ELIMINATE_DOUBLE_NEGATION = Rule(
    name="eliminate-double-negation",
    doc="Eliminate two negations in a row.",
    match="Neg(Neg(x))",
    replace="x",
    shared=True,
)

NEGATE_BY_MINUS_ONE = Rule(
    name="negate-by-minus-one",
    doc="Replace the multiplication by minus one by Neg.",
    match="Mul(x, -1)",
    replace="Neg(x)",
    where=(
        others_fit("x"),
        dtype_in("x", SIGNED),
    ),
    min_opset=7,
)

NEGATE_BY_DIVISION = Rule(
    name="negate-by-division",
    doc="Replace the division of floats by minus one by Neg.",
    match="Div(x, -1)",
    replace="Neg(x)",
    where=(
        others_fit("x"),
        dtype_in("x", NEGATABLE_FLOATS),
    ),
    min_opset=7,
)

NEGATE_BY_SUBTRACTION = Rule(
    name="negate-by-subtraction",
    doc="Replace the subtraction from zero by Neg.",
    match="Sub(0, x)",
    replace="Neg(x)",
    where=(
        others_fit("x"),
        dtype_in("x", SIGNED),
    ),
    min_opset=7,
)

ADD_NEGATED = Rule(
    name="add-negated",
    doc="Replace the addition of a negated value by Sub.",
    match="Add(x, Neg(y))",
    replace="Sub(x, y)",
    min_opset=7,
    shared=True,
)

SUBTRACT_NEGATED = Rule(
    name="subtract-negated",
    doc="Replace the subtraction of a negated value by Add.",
    match="Sub(x, Neg(y))",
    replace="Add(x, y)",
    min_opset=7,
    shared=True,
)

NEGATE_DIFFERENCE = Rule(
    name="negate-difference",
    doc="Replace a negated difference by the difference the other way round.",
    match="Neg(Sub(x, y))",
    replace="Sub(y, x)",
    min_opset=7,
)

MULTIPLY_NEGATED = Rule(
    name="multiply-negated",
    doc="Eliminate the negations of both factors of a product.",
    match="Mul(Neg(x), Neg(y))",
    replace="Mul(x, y)",
    min_opset=7,
)

DIVIDE_NEGATED = Rule(
    name="divide-negated",
    doc="Eliminate the negations of both sides of a quotient of floats.",
    match="Div(Neg(x), Neg(y))",
    replace="Div(x, y)",
    where=(is_float("x"),),
    min_opset=7,
)

ABS_OF_NEGATED = Rule(
    name="abs-of-negated",
    doc="Eliminate a negation under Abs.",
    match="Abs(Neg(x))",
    replace="Abs(x)",
    shared=True,
)

PASSES = (
    ELIMINATE_ADD_ZERO,
    ELIMINATE_SUBTRACT_ZERO,
    ELIMINATE_MULTIPLY_ONE,
    ELIMINATE_DIVIDE_ONE,
    ELIMINATE_POWER_ONE,
    ELIMINATE_LONE_OPERAND,
    ELIMINATE_SAME_OPERANDS,
    SUM_TO_ADD,
    ELIMINATE_DOUBLE_NEGATION,
    NEGATE_BY_MINUS_ONE,
    NEGATE_BY_DIVISION,
    NEGATE_BY_SUBTRACTION,
    ADD_NEGATED,
    SUBTRACT_NEGATED,
    NEGATE_DIFFERENCE,
    MULTIPLY_NEGATED,
    DIVIDE_NEGATED,
    ABS_OF_NEGATED,
)
