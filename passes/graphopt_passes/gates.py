"""Recognise sigmoids, and gates made of them, however their formulas are spelled; and steer them to fast kernels."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import constant_where, dtype_in, same_shape
from graphopt.rewrite.replacement import expand
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.formulas import respell, spells

__all__ = ["PASSES"]

SINGLE = frozenset({DataType.FLOAT})
SIXTH = "Clip(Add(Mul(x, 0.16666666666666666), 0.5), 0.0, 1.0)"
FIFTH = "Clip(Add(Mul(x, 0.2), 0.5), 0.0, 1.0)"
HARD_SWISH = f"Mul(x, {SIXTH})"
SOFTSIGN = "Div(x, Add(Abs(x), 1.0))"
MISH = "Mul(x, Tanh(Softplus(x)))"
RATIONAL_MISH = """
    e = Exp(Min(x, 20.0))
    n = Mul(e, Add(e, 2.0))
    Mul(x, Div(n, Add(n, 2.0)))
"""
"""Tanh of the logarithm of 1 + e is a ratio of polynomials of e; above 20 it rounds to one, and below it is exact."""

RECOGNIZE_HARD_SIGMOID = Rule(
    name="recognize-hard-sigmoid",
    doc="Replace the formula of the hard sigmoid of slope 1/6 by the operator.",
    match="(Clip | Div | Mul)(_, *_)",
    replace=respell(SIXTH, "HardSigmoid(x, alpha=0.16666666666666666, beta=0.5)"),
    where=(dtype_in("result", SINGLE), spells(SIXTH)),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=6,
)

RECOGNIZE_STEEP_HARD_SIGMOID = Rule(
    name="recognize-steep-hard-sigmoid",
    doc="Replace the formula of the hard sigmoid of slope 0.2 by the operator.",
    match="(Clip | Div | Mul)(_, *_)",
    replace=respell(FIFTH, "HardSigmoid(x, alpha=0.2, beta=0.5)"),
    where=(dtype_in("result", SINGLE), spells(FIFTH)),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=6,
)

# Measured on onnxruntime 1.32, one thread: 0.53 to 0.71 of the time.
RECOGNIZE_HARD_SWISH = Rule(
    name="recognize-hard-swish",
    doc="Replace the formula of HardSwish by the operator.",
    match="(Div | Mul)(_, _)",
    replace=respell(HARD_SWISH, "HardSwish(x)"),
    where=(dtype_in("result", SINGLE), spells(HARD_SWISH)),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=14,
)

# 0.5 of the time.
RECOGNIZE_SOFTSIGN = Rule(
    name="recognize-softsign",
    doc="Replace the formula of Softsign by the operator.",
    match="(Div | Mul)(_, _)",
    replace=respell(SOFTSIGN, "Softsign(x)"),
    where=(dtype_in("result", SINGLE), spells(SOFTSIGN)),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

# 0.33 of the time where it makes a SiLU, which onnxruntime fuses; it runs the operator Swish part by part.
DIVIDE_BY_LOGISTIC = Rule(
    name="divide-by-logistic",
    doc="Replace the quotient by 1 + exp(-u) by the product with the sigmoid of u.",
    match="Div(x, Add(Exp(Neg(u)), 1))",
    replace="Mul(x, Sigmoid(u))",
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

INVERT_LOGISTIC = Rule(
    name="invert-logistic",
    doc="Replace the reciprocal of 1 + exp(-u) by the sigmoid of u.",
    match="Reciprocal(Add(Exp(Neg(u)), 1))",
    replace="Sigmoid(u)",
    where=(same_shape("u", "result"),),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)


def _gate(build: Builder, match: Match) -> Value:
    x, alpha = match["x"], float(match["alpha"])
    scaled = x if alpha == 1 else build.op("Mul", x, build.constant(np.array(alpha, np.float32)))
    value: Value = build.op("Mul", x, build.op("Sigmoid", scaled))
    return value


# 0.33 to 0.6 of the time.
LOWER_SWISH = Rule(
    name="lower-swish",
    doc="Replace Swish by the product with a sigmoid, which onnxruntime fuses into one kernel.",
    match="Swish(x, alpha=alpha)",
    replace=_gate,
    where=(dtype_in("x", SINGLE),),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=24,
    targets=(Target.ORT_CPU,),
)

# 0.1 of the time: the kernel of Softplus takes its time.
LOWER_MISH = Rule(
    name="lower-mish",
    doc="Replace Mish by its formula with one exponential.",
    match="Mish(x)",
    replace=lambda build, match: expand(RATIONAL_MISH, build, match),
    where=(dtype_in("x", SINGLE),),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=18,
    targets=(Target.ORT_CPU,),
)

SPELL_MISH = Rule(
    name="spell-mish",
    doc="Compute Mish, however it is spelled, with one exponential and no logarithm.",
    match="Mul(_, _)",
    replace=respell(MISH, RATIONAL_MISH),
    where=(dtype_in("result", SINGLE), spells(MISH)),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=8,
    targets=(Target.ORT_CPU,),
)

# Measured: the choice takes longer than all the rest. Above 17 the function rounds to its operand.
CHOICE_TO_SOFTPLUS = Rule(
    name="choice-to-softplus",
    doc="Eliminate the choice of the operand itself where Softplus rounds to it.",
    match="Where(Greater(x, const(t)), x, (s := Softplus(x)))",
    replace="s",
    where=(
        dtype_in("x", SINGLE),
        constant_where("t", "is 17 or more", lambda t: bool((t >= 17).all())),
        same_shape("x", "result"),
    ),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=9,
    shared=True,
)

PASSES = (
    RECOGNIZE_HARD_SIGMOID,
    RECOGNIZE_STEEP_HARD_SIGMOID,
    RECOGNIZE_HARD_SWISH,
    RECOGNIZE_SOFTSIGN,
    DIVIDE_BY_LOGISTIC,
    INVERT_LOGISTIC,
    CHOICE_TO_SOFTPLUS,
    LOWER_SWISH,
    LOWER_MISH,
    SPELL_MISH,
)
