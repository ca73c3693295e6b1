"""Pick by one index instead of by row and position: masks of a cache are exported either way."""

from __future__ import annotations

from graphopt.graph.dims import Dim
from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axis_of
from graphopt_passes.grids import grid_of
from graphopt_passes.reshapes import target_between

__all__ = ["PASSES"]

Shape = tuple[Dim, ...]


def _before_expansion(column: Value, shape: Shape, facts: Facts) -> Value | None:
    """Return what was expanded to `shape` and got an axis for its column; None if its elements may be negative."""
    grid, node = grid_of(column, facts), column.producer()
    if grid is None or not grid.rises or facts.dtype(column) != DataType.INT64 or node is None:
        return None
    inner = node.inputs[0] if node.op_type in {"Unsqueeze", "Reshape"} and not node.domain else None
    if inner is None or facts.shape(inner) != shape:
        return None
    spread = inner.producer()
    source = spread.inputs[0] if spread is not None and spread.op_type == "Expand" and not spread.domain else inner
    return source if source is not None and facts.rank(source) == len(shape) else inner


def _indices(match: Match) -> tuple[Value, Value] | None:
    """Return the indices of rows and of positions that broadcast to the shape of what is picked."""
    node, shape, facts = match["i"].producer(), match.facts.shape(match.result), match.facts
    if node is None or node.op_type != "Concat" or node.domain or shape is None or len(node.inputs) != 2:
        return None
    if axis_of(node, facts, len(shape) + 1) != len(shape):
        return None
    rows, places = (_before_expansion(value, shape, facts) for value in node.inputs)
    if rows is None or places is None:
        return None
    pairs = zip(facts.shape(rows) or (), facts.shape(places) or (), shape, strict=False)
    return (rows, places) if all((a, b) in {(dim, 1), (1, dim), (dim, dim)} for a, b, dim in pairs) else None


@condition("rows and positions, none of which is negative, are put together for it")
def _put_together(match: Match) -> bool:
    return _indices(match) is not None


def _pick_flat(build: Builder, match: Match) -> Value | None:
    found, shape = _indices(match), match.facts.shape(match.result)
    if found is None or shape is None:
        return None
    rows, places = found
    size = (match.facts.shape(match["x"]) or (None, None))[1]
    stride = build.shape(size) if isinstance(size, int) else build.op("Shape", match["x"], start=1)
    index = build.op("Add", places, build.op("Mul", rows, stride))
    picked = build.op("Gather", build.op("Reshape", match["x"], build.shape(-1, 1)), index)
    target = target_between((*shape, 1), shape)
    view, numbers = ("Squeeze", [-1]) if target is None else ("Reshape", target)
    result: Value = build.op(view, picked, build.shape(*numbers))
    return result


PICK_FLAT = Rule(
    name="pick-flat",
    doc="Pick by one index where a `GatherND` picks by row and position, both expanded for it.",
    match="GatherND(x, i, batch_dims=0)",
    replace=_pick_flat,
    where=(_put_together,),
    min_opset=15,
)

PASSES: tuple[Rule, ...] = (PICK_FLAT,)
