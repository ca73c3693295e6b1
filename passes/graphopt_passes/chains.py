"""Merge two linear operators in a row where one costs less."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.convolutions import build_convolution, read_convolution
from graphopt_passes.linear import unshared

__all__ = ["PASSES"]

_WORTH = 0.9
"""Share of the multiply-adds below which one operator is worth more than two."""


@condition("one product costs less than two")
def _cheaper(match: Match) -> bool:
    first, second = match.facts.static_shape(match["w"]), match.facts.static_shape(match["v"])
    if first is None or second is None or len(first) != 2 or len(second) != 2 or first[1] != second[0]:
        return False
    (inputs, between), outputs = first, second[1]
    return inputs * outputs < _WORTH * between * (inputs + outputs)


@condition("one convolution costs less than two")
def _narrower(match: Match) -> bool:
    w, v = match.facts.static_shape(match["w"]), match.facts.static_shape(match["v"])
    if w is None or v is None or set(v[2:]) != {1}:
        return False
    taps = int(np.prod(w[2:]))
    return w[1] * v[0] * taps < _WORTH * w[0] * (w[1] * taps + v[0])


def _product(build: Builder, match: Match) -> Value | None:
    w, v = match.constant("w"), match.constant("v")
    if w is None or v is None:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        merged = (w.astype(np.float64) @ v.astype(np.float64)).astype(w.dtype)
    if not np.isfinite(merged).all():
        return None
    value: Value = build.op("MatMul", match["x"], build.constant(merged))
    return value


def _convolution(build: Builder, match: Match) -> Value | None:
    first = read_convolution(match["t"].producer(), match.facts)
    second = read_convolution(match.root, match.facts)
    if first is None or second is None or (first.group, second.group) != (1, 1):
        return None
    if any((*second.before, *second.behind)) or set(second.strides) != {1}:
        return None
    pointwise = second.w.reshape(second.w.shape[:2])
    w = np.einsum("om,mc...->oc...", pointwise, first.w)
    return build_convolution(build, match["x"], replace(first, w=w, b=pointwise @ first.b + second.b))


MERGE_MATMULS = Rule(
    name="merge-matmuls",
    doc="Merge two MatMuls with constants in a row into one, where that is less work.",
    match="MatMul((t := MatMul(x, const(w))), const(v))",
    replace=_product,
    where=(dtype_in("w", frozenset({DataType.FLOAT})), unshared("w"), unshared("v"), _cheaper),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
)

MERGE_CONV_POINTWISE = Rule(
    name="merge-conv-pointwise",
    doc="Merge a pointwise Conv into the Conv before it, where that is less work.",
    match="Conv((t := Conv(x, const(w), opt(const(b)))), const(v), opt(const(c)))",
    replace=_convolution,
    where=(unshared("w"), unshared("v"), _narrower),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
)

PASSES = (MERGE_MATMULS, MERGE_CONV_POINTWISE)
