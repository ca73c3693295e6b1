"""Fuse a MatMul of rank 2 with the sum behind it."""

from __future__ import annotations

from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import broadcasts_into, condition, is_float, rank
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]


@condition("w is not dequantized")
def _not_dequantized(match: Match) -> bool:
    """Ask that `w` is not stored narrow: runtimes have kernels of MatMul, but not of Gemm, that read such weights."""
    producer = match["w"].producer()
    return producer is None or producer.op_type != "DequantizeLinear"


# Gemm takes a bias that broadcasts in one direction from opset 7 on.
FUSE_MATMUL_ADD = Rule(
    name="fuse-matmul-add",
    doc="Fuse a MatMul of rank 2 and its bias into one Gemm.",
    match="Add((t := MatMul(x, w)), b)",
    replace="Gemm(x, w, b)",
    where=(is_float("b"), rank("x", 2), rank("w", 2), broadcasts_into("b", ("x", 0), ("w", 1)), _not_dequantized),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=7,
)

PASSES = (FUSE_MATMUL_ADD,)
