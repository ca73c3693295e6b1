"""Say how large the parts of a Split are."""

from __future__ import annotations

from collections.abc import Sequence

from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.graph.schema import attribute
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axis_of

__all__ = ["PASSES"]


def _sizes(match: Match) -> tuple[int, list[int]] | None:
    """Return the axis that is split, and the sizes of its parts: all alike, the last one perhaps smaller."""
    node, shape = match.root, match.facts.shape(match["x"])
    axis = None if shape is None else axis_of(node, match.facts, len(shape))
    if shape is None or axis is None or axis >= len(shape):
        return None
    count, size = len(node.outputs), shape[axis]
    if not isinstance(size, int) or attribute(node, "num_outputs", match.opset) not in {None, count}:
        return None
    part = -(-size // count)
    last = size - part * (count - 1)
    return (axis, [*[part] * (count - 1), last]) if last > 0 else None


@condition("the size is known")
def _known(match: Match) -> bool:
    return _sizes(match) is not None


def _say(build: Builder, match: Match) -> Value | Sequence[Value] | None:
    found = _sizes(match)
    if found is None:
        return None
    axis, sizes = found
    parts: Sequence[Value] = build.op("Split", match["x"], build.shape(*sizes), axis=axis or None, outputs=len(sizes))
    return parts


SAY_SPLIT_SIZES = Rule(
    name="say-split-sizes",
    doc="Say how large the parts of a `Split` are that only tells how many there are.",
    match="Split(x)",
    replace=_say,
    where=(_known,),
    min_opset=13,
)

PASSES: tuple[Rule, ...] = (SAY_SPLIT_SIZES,)
