"""Bring normalizations that no operator stands for into the one spelling that is recognised further on.

That is a quotient by the root of a mean of squares, then one product with the scale and one sum with the bias.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, constant_where, dtype_in, same_dtype
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.broadcasting import others_fit
from graphopt_passes.norms import SINGLE, row_sizes, squares

__all__ = ["PASSES"]

HALVES = frozenset({DataType.FLOAT16, DataType.BFLOAT16})
_VARIANCE = "(w := Add(ReduceMean(_, *_), const(e)))"


@condition("m is the mean of x")
def _is_mean(match: Match) -> bool:
    node = match["m"].producer()
    return node is not None and node.op_type == "ReduceMean" and not node.domain and node.inputs[0] is match["x"]


@condition("x is no constant")
def _varies(match: Match) -> bool:
    return not match.facts.is_constant(match["x"])


def _scales(match: Match) -> list[int | None]:
    """Return the ranks of the constants by which the result's readers multiply it."""
    found = []
    for user, _ in match.result.uses():
        others = [value for value in user.inputs if value is not None and value is not match.result]
        if user.op_type == "Mul" and not user.domain and any(map(match.facts.is_constant, others)):
            found.append(match.facts.rank(others[0]))
    return found


@condition("its one reader scales it")
def _scaled(match: Match) -> bool:
    return _scales(match) == [1] and len(match.result.uses()) == 1 and not match.result.is_graph_output()


@condition("no reader multiplies it by a constant, and the columns are a known number")
def _unscaled(match: Match) -> bool:
    sizes = row_sizes(match, "v")
    return not _scales(match) and sizes is not None and len(sizes) == 1


def _power(build: Builder, match: Match) -> Value:
    """Build the quotient with the square as a power, which onnxruntime looks for."""
    mean = match["v"].producer()
    attributes: dict[str, Any] = dict(mean.attributes)
    square = build.op("Pow", match["x"], build.constant(np.array(2, np.float32)))
    root = build.op("Sqrt", build.op("Add", build.op("ReduceMean", square, *mean.inputs[1:], **attributes), match["e"]))
    value: Value = build.op("Div", match["x"], root)
    return value


def _with_ones(build: Builder, match: Match) -> Value | None:
    sizes = row_sizes(match, "v")
    if sizes is None:
        return None
    value: Value = build.op("Mul", _power(build, match), build.constant(np.ones(sizes, np.float32)))
    return value


def _in_half(build: Builder, match: Match) -> Value | None:
    node, dtype = match["t"].producer(), match.facts.dtype(match["x"])
    sizes = match.facts.static_shape(match["s"])
    if dtype is None or sizes is None:
        return None
    attributes: dict[str, Any] = dict(node.attributes)
    ones = build.constant(np.ones(sizes, dtype.numpy()))
    value: Value = build.op(node.op_type, match["x"], ones, **attributes)
    return value


@condition("g has further axes of size one before its last")
def _wide_row(match: Match) -> bool:
    shape, rank = match.facts.static_shape(match["g"]), match.facts.rank(match["q"])
    return shape is not None and rank is not None and 1 < len(shape) <= rank and set(shape[:-1]) == {1}


def _with_row(build: Builder, match: Match) -> Value | None:
    array = match.constant("g")
    if array is None:
        return None
    value: Value = build.op("Mul", match["q"], build.constant(array.reshape(-1)))
    return value


INVERT_ROOT = Rule(
    name="invert-root",
    doc="Replace one divided by a square root by the reciprocal of that.",
    match="Div(1, (s := Sqrt(_)))",
    replace="Reciprocal(s)",
    where=(others_fit("s"),),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
    shared=True,
)

POWER_TO_ROOT = Rule(
    name="power-to-root",
    doc="Replace the power of 0.5 of a variance by the square root.",
    match=f"Pow({_VARIANCE}, 0.5)",
    replace="Sqrt(w)",
    where=(others_fit("w"),),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

POWER_TO_INVERSE_ROOT = Rule(
    name="power-to-inverse-root",
    doc="Replace the power of -0.5 of a variance by the reciprocal of the square root.",
    match=f"Pow({_VARIANCE}, -0.5)",
    replace="Reciprocal(Sqrt(w))",
    where=(others_fit("w"),),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

DIVIDE_BY_ROOT = Rule(
    name="divide-by-root",
    doc="Replace the product with the reciprocal of a standard deviation by the quotient.",
    match=f"Mul(x, Reciprocal(Sqrt({_VARIANCE})))",
    replace="Div(x, Sqrt(w))",
    where=(_varies,),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

SCALE_AFTER_ROOT = Rule(
    name="scale-after-root",
    doc="Scale what is divided by a standard deviation, rather than the reciprocal of that.",
    match=f"Mul(x, Mul(Reciprocal(Sqrt({_VARIANCE})), const(g)))",
    replace="Mul(Div(x, Sqrt(w)), g)",
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

CENTER_SHIFTED = Rule(
    name="center-shifted",
    doc="Subtract the mean from the value, rather than its product from the bias.",
    match="Add(Mul(x, r), Sub(b, Mul(m, r)))",
    replace="Add(Mul(Sub(x, m), r), b)",
    where=(_is_mean,),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

CENTER_NEGATED = Rule(
    name="center-negated",
    doc="Subtract the mean from the value, rather than add its negated product and the bias.",
    match="Add(Mul(x, r), Add(Mul(Neg(m), r), b))",
    replace="Add(Mul(Sub(x, m), r), b)",
    where=(_is_mean,),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

CENTER_PLAIN = Rule(
    name="center-plain",
    doc="Subtract the mean from the value, rather than its product from that of the value.",
    match="Sub(Mul(x, r), Mul(m, r))",
    replace="Mul(Sub(x, m), r)",
    where=(_is_mean,),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

CENTER_PLAIN_NEGATED = Rule(
    name="center-plain-negated",
    doc="Subtract the mean from the value, rather than add its negated product to that of the value.",
    match="Add(Mul(x, r), Mul(Neg(m), r))",
    replace="Mul(Sub(x, m), r)",
    where=(_is_mean,),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

_QUOTIENT = "Div(x, Sqrt(Add((v := ReduceMean({}, *_)), const(e))))"

# onnxruntime fuses the rest into one kernel if, and only if, the square is a power and a scale follows: 0.4 of the time
# on rows of 768, 0.65 on one row of 2048.
SPELL_ROOT_MEAN_SQUARE = Rule(
    name="spell-root-mean-square",
    doc="Spell the square as a power where a normalization is scaled that the opset has no operator for.",
    match=_QUOTIENT.format("Mul(x, x)"),
    replace=_power,
    where=(dtype_in("x", SINGLE), _scaled),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
    max_opset=22,
)

SCALE_ROOT_MEAN_SQUARE = Rule(
    name="scale-root-mean-square",
    doc="Scale an RMS normalization by ones, without which onnxruntime does not fuse it.",
    match=_QUOTIENT.format("(q := (Mul | Pow)(x, _))"),
    replace=_with_ones,
    where=(dtype_in("x", SINGLE), squares("q", "x"), _unscaled),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=7,
    max_opset=22,
    targets=(Target.ORT_CPU,),
)

FLATTEN_SCALE = Rule(
    name="flatten-scale",
    doc="Give the scale of a normalization one axis, as which onnxruntime knows it.",
    match="Mul((q := Div(_, Sqrt(_))), const(g))",
    replace=_with_row,
    where=(_wide_row,),
    stage="recognize",
    min_opset=7,
)

# The operators compute in float32 by themselves, and round what they scale to the type of their operand.
NORMALIZE_HALVES = Rule(
    name="normalize-halves",
    doc="Let a normalization of converted floats of 16 bits, converted back, take them as they are.",
    match="Cast((t := (LayerNormalization | RMSNormalization)(Cast(x), const(s), stash_type=1)))",
    replace=_in_half,
    where=(
        dtype_in("x", HALVES, "float of 16 bits"),
        same_dtype("x", "result"),
        constant_where("s", "is one everywhere", lambda s: bool((s == 1).all())),
    ),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
)

PASSES = (
    INVERT_ROOT,
    POWER_TO_ROOT,
    POWER_TO_INVERSE_ROOT,
    DIVIDE_BY_ROOT,
    SCALE_AFTER_ROOT,
    CENTER_SHIFTED,
    CENTER_NEGATED,
    CENTER_PLAIN,
    CENTER_PLAIN_NEGATED,
    SPELL_ROOT_MEAN_SQUARE,
    SCALE_ROOT_MEAN_SQUARE,
    FLATTEN_SCALE,
    NORMALIZE_HALVES,
)
