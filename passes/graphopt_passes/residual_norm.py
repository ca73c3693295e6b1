"""Keep residual additions out of a fusion that costs more than it saves."""

from __future__ import annotations

from graphopt.graph.model import DataType, Value
from graphopt.kinds import Target
from graphopt.rewrite.conditions import condition, dtype_in, rank, same_shape
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES", "not_normalized"]


def _is_read(value: Value) -> bool:
    """Tell whether a value goes into a layer normalization, as one operator or spelled out, and nowhere else."""
    uses = [(node.op_type, index) for node, index in value.uses() if not node.domain]
    spelled = {"ReduceMean", "Sub"} == {name for name, _ in uses}
    return (uses == [("LayerNormalization", 0)] or spelled) and len(uses) == len(value.uses())


@condition("a layer normalization reads the sum")
def _is_normalized(match: Match) -> bool:
    return _is_read(match.result)


@condition("no layer normalization reads the sum")
def not_normalized(match: Match) -> bool:
    """Ask that the root's result goes into no layer normalization."""
    return not _is_read(match.result)


# Where it infers equal shapes, symbolic ones too, onnxruntime fuses Add and LayerNormalization into one operator,
# SkipLayerNormalization, whose kernel is slower than the two; it does not do so with Sum, which runs as Add does.
ADD_TO_SUM = Rule(
    name="add-to-sum",
    doc="Replace Add before a layer normalization by Sum, which onnxruntime does not fuse into a slow kernel.",
    match="Add(x, y)",
    replace="Sum(x, y)",
    where=(dtype_in("x", frozenset({DataType.FLOAT})), rank("result", 3), same_shape("x", "y"), _is_normalized),
    stage="steer",
    targets=(Target.ORT_CPU,),
    min_opset=8,
)

PASSES = (ADD_TO_SUM,)
