"""Add a correction of low rank to the weights that it corrects."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition, is_float
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.linear import unshared

__all__ = ["PASSES"]


@condition("all three are matrices that fit")
def _fits(match: Match) -> bool:
    shapes = [match.facts.static_shape(match[name]) for name in ("w", "down", "up")]
    if any(shape is None or len(shape) != 2 for shape in shapes):
        return False
    w, down, up = (shape or () for shape in shapes)
    return (down[0], up[1]) == w and down[1] == up[0]


def _merged(build: Builder, match: Match) -> Value | None:
    arrays = [match.constant(name) for name in ("w", "down", "up")]
    if any(array is None or array.dtype.kind != "f" for array in arrays):
        return None
    w, down, up = (np.asarray(array, np.float64) for array in arrays)
    with np.errstate(all="ignore"):
        total = (w + down @ up).astype(np.asarray(arrays[0]).dtype)
    return build.constant(total, match["w"].name or "") if np.isfinite(total).all() else None


def _product(build: Builder, match: Match) -> Value | None:
    w = _merged(build, match)
    if w is None:
        return None
    value: Value = build.op("MatMul", match["x"], w)
    return value if match.get("b") is None else build.op("Add", value, match["b"])


def _gemm(build: Builder, match: Match) -> Value | None:
    w = _merged(build, match)
    if w is None:
        return None
    value: Value = build.op("Gemm", match["x"], w, match.get("b"))
    return value


_WHERE = (is_float("w"), unshared("w"), _fits)
_CORRECTION = "MatMul((h := MatMul(x, const(down))), const(up))"

MERGE_LOW_RANK = Rule(
    name="merge-low-rank",
    doc="Add a correction of low rank, as LoRA trains them, to the weights of a MatMul.",
    match=f"Add((t := MatMul(x, const(w))), (u := {_CORRECTION}))",
    replace=_product,
    where=_WHERE,
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

MERGE_LOW_RANK_BIASED = Rule(
    name="merge-low-rank-biased",
    doc="Add a correction of low rank, as LoRA trains them, to the weights of a MatMul with a bias.",
    match=f"Add((s := Add((t := MatMul(x, const(w))), const(b))), (u := {_CORRECTION}))",
    replace=_product,
    where=_WHERE,
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

MERGE_LOW_RANK_GEMM = Rule(
    name="merge-low-rank-gemm",
    doc="Add a correction of low rank, as LoRA trains them, to the weights of a Gemm.",
    match=f"Add((t := Gemm(x, const(w), opt(b), alpha=1.0, beta=1.0, transA=0, transB=0)), (u := {_CORRECTION}))",
    replace=_gemm,
    where=_WHERE,
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

PASSES = (MERGE_LOW_RANK, MERGE_LOW_RANK_BIASED, MERGE_LOW_RANK_GEMM)
