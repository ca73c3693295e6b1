"""Let a normalization scale and shift its result itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Node, Value
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.broadcasting import others_fit, per_channel
from graphopt_passes.transposes import permutation

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]


def _normalization(match: Match) -> Node:
    node: Node = match["t"].producer()
    return node


def _place(match: Match, rank: int) -> int | None:
    """Return the axis that the last one becomes by the transposition behind the normalization."""
    perm = permutation(match["u"].producer(), match.facts)
    return None if perm is None else perm.index(rank - 1)


def _as_parameter(match: Match) -> Array | None:
    """Return the constant `c` in float64, in the shape that the normalization wants its scale and bias in."""
    c, s, rank = match.constant("c"), match.constant("s"), match.facts.rank(match["x"])
    if c is None or s is None or rank is None:
        return None
    if _normalization(match).op_type == "InstanceNormalization":
        return per_channel(c, s.size, rank - 2)
    if "u" in match.values:
        place = _place(match, rank)
        return per_channel(c, s.size, rank - 1 - place) if place is not None and s.ndim == 1 else None
    row = c.reshape(c.shape[next((i for i, size in enumerate(c.shape) if size != 1), c.ndim) :])
    if row.ndim > s.ndim or any(a not in {1, b} for a, b in zip(reversed(row.shape), reversed(s.shape), strict=False)):
        return None
    return np.broadcast_to(row.astype(np.float64), s.shape)


def _parameters(match: Match) -> tuple[Array, Array | None] | None:
    """Return the scale and, unless it has none, the bias with which the normalization gives the root's result."""
    c, s, b = _as_parameter(match), match.constant("s"), match.constant("b")
    if c is None or s is None:
        return None
    with np.errstate(all="ignore"):
        if match.root.op_type == "Mul":
            return (s * c).astype(s.dtype), None if b is None else (b * c).astype(s.dtype)
        return s, (c if b is None else b + c).astype(s.dtype)


@condition("c varies along the axes of the scale alone")
def _fits(match: Match) -> bool:
    return _as_parameter(match) is not None


@condition("scale and bias stay finite")
def _finite(match: Match) -> bool:
    return all(array is None or np.isfinite(array).all() for array in _parameters(match) or ())


def _fused(build: Builder, match: Match) -> Value | None:
    """Build the normalization with the parameters that give the root's result."""
    parameters = _parameters(match)
    if parameters is None:
        return None
    operands = [None if array is None else build.constant(array) for array in parameters]
    attributes: dict[str, Any] = dict(_normalization(match).attributes)
    value: Value = build.op(_normalization(match).op_type, match["x"], *operands, **attributes)
    return value


def _fused_before(build: Builder, match: Match) -> Value | None:
    made = _fused(build, match)
    if made is None:
        return None
    value: Value = build.op("Transpose", made, perm=permutation(match["u"].producer(), match.facts))
    return value


_KNOWN = (others_fit("t"), _fits, _finite)

FUSE_SCALE_INTO_NORMALIZATION = Rule(
    name="fuse-scale-into-normalization",
    doc="Fold the product with a constant into the scale and the bias of the normalization before it.",
    match="""
        t = (LayerNormalization | RMSNormalization | InstanceNormalization)(x, const(s), opt(const(b)))
        Mul(t, const(c))
    """,
    replace=_fused,
    where=_KNOWN,
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

FUSE_SHIFT_INTO_NORMALIZATION = Rule(
    name="fuse-shift-into-normalization",
    doc="Fold the sum with a constant into the bias of the normalization before it.",
    match="Add((t := (LayerNormalization | InstanceNormalization)(x, const(s), opt(const(b)))), const(c))",
    replace=_fused,
    where=_KNOWN,
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=7,
)

FUSE_INTO_TURNED_NORMALIZATION = Rule(
    name="fuse-into-turned-normalization",
    doc="Fold the product or sum with a constant into the layer normalization before a transposition.",
    match="(Add | Mul)((u := Transpose((t := LayerNormalization(x, const(s), opt(const(b)))))), const(c))",
    replace=_fused_before,
    where=(others_fit("u"), _fits, _finite),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=17,
)

PASSES = (FUSE_SCALE_INTO_NORMALIZATION, FUSE_SHIFT_INTO_NORMALIZATION, FUSE_INTO_TURNED_NORMALIZATION)
