"""Let a reduction keep or drop its axes itself, and reduce before moving axes."""

from __future__ import annotations

from typing import Any

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.transposes import permutation

__all__ = ["PASSES"]

REDUCTIONS = (
    "ReduceL1 | ReduceL2 | ReduceLogSum | ReduceLogSumExp | ReduceMax | ReduceMean | ReduceMin | ReduceProd | ReduceSum"
    " | ReduceSumSquare"
)


def _axes(node: Node, facts: Facts, rank: int) -> set[int] | None:
    """Return the axes of a reduction, Squeeze or Unsqueeze as numbers from 0; None if they are not given as constants.

    `rank` is that of the tensor that has the axes: the operand of a reduction or Squeeze, the result of Unsqueeze.
    """
    found = attribute(node, "axes", facts.opset(node))
    if len(node.inputs) > 1 and node.inputs[1] is not None:
        array = facts.constant(node.inputs[1])
        found = None if array is None else array.reshape(-1).tolist()
    if not found or has_reference(node) or any(not -rank <= axis < rank for axis in found):
        return None
    return {axis % rank for axis in found}


def _with_keepdims(build: Builder, match: Match, keepdims: int) -> Value | None:
    """Build the matched reduction with another `keepdims` if Squeeze or Unsqueeze treats just its axes."""
    reduction, rank = match["t"].producer(), match.facts.rank(match["x"])
    if rank is None or (attribute(reduction, "keepdims", match.opset) == 0) != (keepdims == 1):
        return None
    axes = _axes(reduction, match.facts, rank)
    if axes is None or axes != _axes(match.root, match.facts, rank):
        return None
    attrs: dict[str, Any] = {key: attr for key, attr in reduction.attributes.items() if key != "keepdims"}
    value: Value = build.op(reduction.op_type, *reduction.inputs, keepdims=keepdims, **attrs)
    return value


# A runtime may sum in another order when it keeps the axes.
DROP_REDUCED_AXES = Rule(
    name="drop-reduced-axes",
    doc="Let a reduction drop its axes itself, instead of Squeeze behind it.",
    match=f"Squeeze((t := ({REDUCTIONS})(x, *_)), *_)",
    replace=lambda build, match: _with_keepdims(build, match, 0),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
)

KEEP_REDUCED_AXES = Rule(
    name="keep-reduced-axes",
    doc="Let a reduction keep its axes itself, instead of Unsqueeze behind it.",
    match=f"Unsqueeze((t := ({REDUCTIONS})(x, *_)), *_)",
    replace=lambda build, match: _with_keepdims(build, match, 1),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
)


def _moved(match: Match) -> tuple[list[int], list[int]] | None:
    """Return the axes of `x` that are reduced, and how what is left is permuted."""
    perm = permutation(match["t"].producer(), match.facts)
    axes = None if perm is None else _axes(match.root, match.facts, len(perm))
    if perm is None or axes is None:
        return None
    reduced = sorted(perm[axis] for axis in axes)
    if attribute(match.root, "keepdims", match.opset) != 0:
        return reduced, perm
    left = [perm[axis] for axis in range(len(perm)) if axis not in axes]
    return reduced, [sorted(left).index(axis) for axis in left]


@condition("the axes are known")
def _known(match: Match) -> bool:
    return _moved(match) is not None


def _reduce_first(build: Builder, match: Match) -> Value | None:
    found = _moved(match)
    if found is None:
        return None
    axes, perm = found
    node = match.root
    attrs: dict[str, Any] = {key: attr for key, attr in node.attributes.items() if key != "axes"}
    if len(node.inputs) > 1:
        value: Value = build.op(node.op_type, match["x"], build.shape(*axes), **attrs)
    else:
        value = build.op(node.op_type, match["x"], axes=axes, **attrs)
    return value if perm == sorted(perm) else build.op("Transpose", value, perm=perm)


REDUCE_BEFORE_TRANSPOSE = Rule(
    name="reduce-before-transpose",
    doc="Reduce before a `Transpose` instead of behind it, where less is left to move.",
    match=f"({REDUCTIONS})((t := Transpose(x)), *_)",
    replace=_reduce_first,
    where=(_known,),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
)


def _pooled_axes(match: Match) -> tuple[list[int], list[int]] | None:
    """Return the axes of `x` that are pooled, if others than the last ones, and how `x` is permuted."""
    perm = permutation(match["t"].producer(), match.facts)
    axes = sorted(perm[2:]) if perm is not None else []
    return (axes, perm) if perm is not None and axes and axes != list(range(2, len(perm))) else None


@condition("the channels come last before it")
def _channels_last(match: Match) -> bool:
    return _pooled_axes(match) is not None


def _mean_first(build: Builder, match: Match) -> Value | None:
    found = _pooled_axes(match)
    if found is None:
        return None
    axes, perm = found
    if match.opset < 18:
        old: Value = build.op("Transpose", build.op("ReduceMean", match["x"], axes=axes), perm=perm)
        return old
    result: Value = build.op("Transpose", build.op("ReduceMean", match["x"], build.shape(*axes)), perm=perm)
    return result


POOL_BEFORE_TRANSPOSE = Rule(
    name="pool-before-transpose",
    doc="Take the mean of pixels whose channels come last as they are, instead of a `GlobalAveragePool` of them moved.",
    match="GlobalAveragePool((t := Transpose(x)))",
    replace=_mean_first,
    where=(_channels_last,),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
)

PASSES = (DROP_REDUCED_AXES, KEEP_REDUCED_AXES, REDUCE_BEFORE_TRANSPOSE, POOL_BEFORE_TRANSPOSE)
