"""Pool globally instead of averaging over all spatial axes: runtimes pool in the layout of their convolutions."""

from __future__ import annotations

from graphopt.graph.dims import known_positive
from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axes_of

__all__ = ["PASSES"]

POOLED = frozenset({DataType.FLOAT, DataType.FLOAT16})
"""onnxruntime averages float64 on the CPU, but does not pool it."""

ELEMENTWISE = frozenset(
    {"Add", "Clip", "HardSigmoid", "HardSwish", "LeakyRelu", "Mul", "Relu", "Sigmoid", "Sum", "Tanh"}
)
"""What leaves the layout of a convolution alone; elsewhere onnxruntime pools in twice the time of a mean."""

_STEPS = 5

NORMALIZING = frozenset({"Add", "Div", "Mul", "Pow", "Sqrt", "Sub"})
"""What reads a mean where it is part of a normalization."""


@condition("the axes are those behind the channels")
def _spatial(match: Match) -> bool:
    rank = None if has_reference(match.root) else match.facts.rank(match["x"])
    axes = axes_of(match.root, match.facts, rank)
    return rank is not None and rank > 2 and axes is not None and sorted(axes) == list(range(2, rank))


@condition("none of them is empty")
def _not_empty(match: Match) -> bool:
    shape = match.facts.shape(match["x"])
    return shape is not None and all(known_positive(dim) for dim in shape[2:])


@condition("nothing normalizes by it")
def _alone(match: Match) -> bool:
    return all(node.op_type not in NORMALIZING for node, _ in match.result.uses())


@condition("a convolution makes it, perhaps with something elementwise behind it")
def _behind_convolution(match: Match) -> bool:
    value: Value | None = match["x"]
    for _ in range(_STEPS):
        node = None if value is None else value.producer()
        if node is None or node.domain or node.op_type == "Conv":
            return node is not None and node.op_type == "Conv"
        if node.op_type not in ELEMENTWISE:
            return False
        value = node.inputs[0]
    return False


def _pool(build: Builder, match: Match) -> Value:
    pooled: Value = build.op("GlobalAveragePool", match["x"])
    if attribute(match.root, "keepdims", match.opset) != 0:
        return pooled
    axes = list(range(2, match.facts.rank(match["x"]) or 0))
    if match.opset < 13:
        old: Value = build.op("Squeeze", pooled, axes=axes)
        return old
    result: Value = build.op("Squeeze", pooled, build.shape(*axes))
    return result


MEAN_TO_GLOBAL_POOL = Rule(
    name="mean-to-global-pool",
    doc="Replace a `ReduceMean` over all spatial axes by a `GlobalAveragePool`.",
    match="ReduceMean(x, *_)",
    replace=_pool,
    where=(dtype_in("x", POOLED), _spatial, _not_empty, _alone, _behind_convolution),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
)

PASSES: tuple[Rule, ...] = (MEAN_TO_GLOBAL_POOL,)
