"""Give a runtime group normalizations in a form that it has a kernel for."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.norms import SINGLE

__all__ = ["PASSES"]


@condition("the rank and the number of groups are known")
def _known(match: Match) -> bool:
    rank = match.facts.rank(match["x"])
    return rank is not None and rank > 2 and isinstance(match["groups"], int) and isinstance(match["epsilon"], float)


def _by_instances(build: Builder, match: Match) -> Value | None:
    """Build groups as instances, each with one channel, then scale and shift the channels."""
    x, groups, rank, s, b = match["x"], match["groups"], match.facts.rank(match["x"]), match["s"], match["b"]
    arrays = match.facts.constant(s), match.facts.constant(b)
    if rank is None or arrays[0] is None or arrays[1] is None:
        return None
    scale, bias = (build.constant(array.reshape(-1, *(1,) * (rank - 2))) for array in arrays if array is not None)
    flat = build.op("Reshape", x, build.shape(0, groups, -1))
    ones, zeros = build.constant(np.ones(groups, np.float32)), build.constant(np.zeros(groups, np.float32))
    made = build.op("InstanceNormalization", flat, ones, zeros, epsilon=match["epsilon"])
    value: Value = build.op("Reshape", made, build.op("Shape", x))
    return build.op("Add", build.op("Mul", value, scale), bias)  # type: ignore[no-any-return]


# Measured on onnxruntime 1.32, one thread: 0.5 to 0.57 of the time; it runs the operator part by part.
LOWER_GROUP_NORMALIZATION = Rule(
    name="lower-group-normalization",
    doc="Compute GroupNormalization as InstanceNormalization of the groups.",
    match="GroupNormalization(x, const(s), const(b), num_groups=groups, epsilon=epsilon)",
    replace=_by_instances,
    where=(dtype_in("x", SINGLE), _known),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    min_opset=21,
    targets=(Target.ORT_CPU,),
)

PASSES = (LOWER_GROUP_NORMALIZATION,)
