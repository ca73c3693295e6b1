"""Eliminate logic, comparisons and selections that change nothing."""

from __future__ import annotations

from graphopt.graph.model import DataType
from graphopt.rewrite.conditions import dtype_in
from graphopt.rewrite.rule import Rule
from graphopt_passes.broadcasting import others_fit

__all__ = ["PASSES"]

BOOL = frozenset({DataType.BOOL})
INTEGERS = frozenset({DataType.INT32, DataType.INT64})
"""Types whose comparisons have no unordered case, which NaN is for floats."""

ELIMINATE_AND_TRUE = Rule(
    name="eliminate-and-true",
    doc="Eliminate the conjunction with true.",
    match="And(x, 1)",
    replace="x",
    where=(others_fit("x"),),
    min_opset=7,
)

ELIMINATE_OR_FALSE = Rule(
    name="eliminate-or-false",
    doc="Eliminate disjunctions, also exclusive ones, with false.",
    match="(Or | Xor)(x, 0)",
    replace="x",
    where=(others_fit("x"),),
    min_opset=7,
)

ELIMINATE_BITWISE_OR_ZERO = Rule(
    name="eliminate-bitwise-or-zero",
    doc="Eliminate the bitwise disjunction, also exclusive, with zero.",
    match="(BitwiseOr | BitwiseXor)(x, 0)",
    replace="x",
    where=(others_fit("x"),),
)

ELIMINATE_BITWISE_AND_ONES = Rule(
    name="eliminate-bitwise-and-ones",
    doc="Eliminate the bitwise conjunction with all ones of a signed type.",
    match="BitwiseAnd(x, -1)",
    replace="x",
    where=(others_fit("x"),),
)

ELIMINATE_SHIFT_ZERO = Rule(
    name="eliminate-shift-zero",
    doc="Eliminate a shift by no bits.",
    match="BitShift(x, 0)",
    replace="x",
    where=(others_fit("x"),),
)

ELIMINATE_DOUBLE_NOT = Rule(
    name="eliminate-double-not",
    doc="Eliminate two logical negations in a row.",
    match="Not(Not(x))",
    replace="x",
    shared=True,
)

ELIMINATE_XOR_TRUE = Rule(
    name="eliminate-xor-true",
    doc="Replace the exclusive disjunction with true by Not.",
    match="Xor(x, 1)",
    replace="Not(x)",
    where=(others_fit("x"),),
    min_opset=7,
)

ELIMINATE_EQUAL_TRUE = Rule(
    name="eliminate-equal-true",
    doc="Eliminate the comparison of a truth value with true.",
    match="Equal(x, 1)",
    replace="x",
    where=(
        others_fit("x"),
        dtype_in("x", BOOL),
    ),
    min_opset=7,
)

ELIMINATE_EQUAL_FALSE = Rule(
    name="eliminate-equal-false",
    doc="Replace the comparison of a truth value with false by Not.",
    match="Equal(x, 0)",
    replace="Not(x)",
    where=(
        others_fit("x"),
        dtype_in("x", BOOL),
    ),
    min_opset=7,
)

NOT_LESS = Rule(
    name="not-less",
    doc="Replace a negated Less of integers by GreaterOrEqual.",
    match="Not(Less(x, y))",
    replace="GreaterOrEqual(x, y)",
    where=(dtype_in("x", INTEGERS),),
    min_opset=12,
)

NOT_GREATER = Rule(
    name="not-greater",
    doc="Replace a negated Greater of integers by LessOrEqual.",
    match="Not(Greater(x, y))",
    replace="LessOrEqual(x, y)",
    where=(dtype_in("x", INTEGERS),),
    min_opset=12,
)

NOT_LESS_OR_EQUAL = Rule(
    name="not-less-or-equal",
    doc="Replace a negated LessOrEqual of integers by Greater.",
    match="Not(LessOrEqual(x, y))",
    replace="Greater(x, y)",
    where=(dtype_in("x", INTEGERS),),
    min_opset=12,
)

NOT_GREATER_OR_EQUAL = Rule(
    name="not-greater-or-equal",
    doc="Replace a negated GreaterOrEqual of integers by Less.",
    match="Not(GreaterOrEqual(x, y))",
    replace="Less(x, y)",
    where=(dtype_in("x", INTEGERS),),
    min_opset=12,
)

WHERE_NOT = Rule(
    name="where-not",
    doc="Let Where choose the other way round instead of negating its condition.",
    match="Where(Not(c), x, y)",
    replace="Where(c, y, x)",
    shared=True,
)

WHERE_TRUE = Rule(
    name="where-true",
    doc="Eliminate a choice whose condition is constantly true.",
    match="Where(1, x, y)",
    replace="x",
    where=(others_fit("x"),),
)

WHERE_FALSE = Rule(
    name="where-false",
    doc="Eliminate a choice whose condition is constantly false.",
    match="Where(0, y, x)",
    replace="x",
    where=(others_fit("x"),),
)

WHERE_SAME = Rule(
    name="where-same",
    doc="Eliminate a choice between a value and itself.",
    match="Where(c, x, x)",
    replace="x",
    where=(others_fit("x"),),
)

WHERE_CONDITION = Rule(
    name="where-condition",
    doc="Replace the choice between true and false by its condition.",
    match="Where(x, 1, 0)",
    replace="x",
    where=(
        others_fit("x"),
        dtype_in("result", BOOL),
    ),
)

PASSES = (
    ELIMINATE_AND_TRUE,
    ELIMINATE_OR_FALSE,
    ELIMINATE_BITWISE_OR_ZERO,
    ELIMINATE_BITWISE_AND_ONES,
    ELIMINATE_SHIFT_ZERO,
    ELIMINATE_DOUBLE_NOT,
    ELIMINATE_XOR_TRUE,
    ELIMINATE_EQUAL_TRUE,
    ELIMINATE_EQUAL_FALSE,
    NOT_LESS,
    NOT_GREATER,
    NOT_LESS_OR_EQUAL,
    NOT_GREATER_OR_EQUAL,
    WHERE_NOT,
    WHERE_TRUE,
    WHERE_FALSE,
    WHERE_SAME,
    WHERE_CONDITION,
)
