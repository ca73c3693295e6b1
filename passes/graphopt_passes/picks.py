"""Replace picks that take everything in its order by a view.

A mask over batch and positions is exported as such: its values are picked, at the places that all its indices make.
"""

from __future__ import annotations

from graphopt.graph.dims import Dim, product
from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axis_of
from graphopt_passes.grids import Grid, counts, grid_of, grid_of_array
from graphopt_passes.reshapes import inserted_ones, target_between

__all__ = ["PASSES"]

VIEWS = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
MANY_COLUMNS = 8
MANY_BYTES = 1 << 25
"""Larger constants are not read."""

Shape = tuple[Dim, ...]


def _takes_all(places: Shape, base: Dim, steps: Shape, taken: Shape) -> bool:
    """Tell whether places of this shape are 0, 1, 2, ... in order, as many as the axes `taken` have."""
    try:
        return counts(places, base, steps) and product(places) == product(taken)
    except OverflowError:
        return False


@condition("the places are all of the axis, in order")
def _whole_axis(match: Match) -> bool:
    shape, places = match.facts.shape(match["x"]), grid_of(match["i"], match.facts)
    axis = None if shape is None else axis_of(match.root, match.facts, len(shape))
    if shape is None or places is None or axis is None or not 0 <= axis < len(shape):
        return False
    return _takes_all(places.shape, places.base, places.steps, (shape[axis],))


def _columns(value: Value, facts: Facts) -> list[Grid] | None:
    """Return the indices along each axis that the last axis of a tensor of places holds."""
    node, rank = value.producer(), facts.rank(value)
    if node is None or node.op_type != "Concat" or rank is None or len(node.inputs) > MANY_COLUMNS:
        return _constant_columns(value, facts)
    if axis_of(node, facts, rank) != rank - 1:
        return None
    found = [grid_of(part, facts) for part in node.inputs]
    columns = [grid for grid in found if grid is not None and grid.shape[-1] == 1]
    return columns if len(columns) == len(found) else None


def _constant_columns(value: Value, facts: Facts) -> list[Grid] | None:
    size, array = facts.nbytes(value), facts.constant(value) if facts.is_constant(value) else None
    if array is None or not size or size > MANY_BYTES or not array.ndim or array.shape[-1] > MANY_COLUMNS:
        return None
    found = [grid_of_array(array[..., at : at + 1]) for at in range(array.shape[-1])]
    columns = [grid for grid in found if grid is not None]
    return columns if len(columns) == len(found) else None


@condition("the places are all of the leading axes, in order")
def _whole_front(match: Match) -> bool:
    shape, columns = match.facts.shape(match["x"]), _columns(match["i"], match.facts)
    if shape is None or not columns or len(columns) > len(shape) or not all(grid.rises for grid in columns):
        return False
    front, places = shape[: len(columns)], columns[0].shape[:-1]
    base: Dim = 0
    steps: Shape = (0,) * len(places)
    try:
        for at, grid in enumerate(columns):
            tail = product(front[at + 1 :])
            base = base + grid.base * tail
            steps = tuple(step + more * tail for step, more in zip(steps, grid.steps, strict=False))
    except OverflowError:
        return False
    return _takes_all(places, base, steps, front)


def _view(match: Match) -> tuple[Value, str, list[int]] | None:
    """Return what to view, how (no operator: as it is), and the axes or the shape of the view."""
    shape, node = match.facts.shape(match.result), match["x"].producer()
    behind = node is not None and not node.domain and node.op_type in VIEWS
    for source in (node.inputs[0], match["x"]) if behind else (match["x"],):
        given = match.facts.shape(source)
        if given is None or shape is None:
            continue
        if given == shape:
            return source, "", []
        if (target := target_between(given, shape)) is not None:
            return source, "Reshape", target
        if axes := inserted_ones(given, shape):
            return source, "Unsqueeze", axes
    return None


@condition("a view has the shape")
def _viewable(match: Match) -> bool:
    return _view(match) is not None


def _as_view(build: Builder, match: Match) -> Value | None:
    found = _view(match)
    if found is None:
        return None
    source, op_type, numbers = found
    if not op_type:
        return source
    if op_type == "Unsqueeze" and match.opset < 13:
        old: Value = build.op(op_type, source, axes=numbers)
        return old
    result: Value = build.op(op_type, source, build.shape(*numbers))
    return result


GATHER_ALL = Rule(
    name="gather-all",
    doc="Replace a `Gather` of all places of an axis, in order, by a view.",
    match="Gather(x, i)",
    replace=_as_view,
    where=(_whole_axis, _viewable),
    min_opset=5,
)

GATHER_ALL_FRONT = Rule(
    name="gather-all-front",
    doc="Replace a `GatherND` of all places of the leading axes, in order, by a view.",
    match="GatherND(x, i, batch_dims=0)",
    replace=_as_view,
    where=(_whole_front, _viewable),
    min_opset=11,
)

PASSES: tuple[Rule, ...] = (GATHER_ALL, GATHER_ALL_FRONT)
