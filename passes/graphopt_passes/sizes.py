"""Read sizes from the model's inputs, so that equal sizes are one value and their roundabout ways die."""

from __future__ import annotations

import numpy as np

from graphopt.graph.dims import Dim, Expr
from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Node, Value
from graphopt.graph.schema import attribute
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]

MANY_INPUTS = 256
"""Of a model with more inputs, only that many are looked at."""
MANY_OPERANDS = 16
"""No shape is put together from more."""
Place = tuple[Value, int, int]
"""A model input, and the first and the last axis (excluded) of a run of its dimensions."""


def _place(match: Match, wanted: tuple[Dim, ...]) -> Place | None:
    """Find the first model input whose dimensions hold `wanted` in a row."""
    for value in list(match.facts.model.graph.inputs)[:MANY_INPUTS]:
        shape = match.facts.shape(value) or ()
        for start in range(len(shape) - len(wanted) + 1):
            if shape[start : start + len(wanted)] == wanted:
                return value, start, start + len(wanted)
    return None


def _symbolic(match: Match, rank: int) -> tuple[Dim, ...] | None:
    """Return the sizes that the root's int64 result of that rank holds, if one of them is no number."""
    value = match.result
    if match.facts.dtype(value) != DataType.INT64 or match.facts.rank(value) != rank:
        return None
    contents = match.facts.contents(value)
    return contents if contents and any(isinstance(dim, Expr) for dim in contents) else None


def _says_already(node: Node, place: Place, rank: int, opset: int) -> bool:
    """Tell whether `node` is the `Shape` that reads `place`, and says no more than it must."""
    if node.op_type != "Shape" or node.inputs[0] is not place[0]:
        return False
    told = (attribute(node, "start", opset) or 0, attribute(node, "end", opset))
    return told == (place[1], None if place[2] == rank else place[2])


def _readable(match: Match, wanted: tuple[Dim, ...] | None) -> Place | None:
    """Return where one `Shape` reads these sizes; before opset 15 it can read whole shapes alone."""
    place = None if wanted is None else _place(match, wanted)
    if place is None or (match.opset < 15 and place[1:] != (0, match.facts.rank(place[0]))):
        return None
    return place


def _run(match: Match) -> Place | None:
    """Return where a `Shape` reads what the root gives, unless the root does so already."""
    place = _readable(match, _symbolic(match, 1))
    rank = None if place is None else match.facts.rank(place[0])
    if place is None or rank is None or _says_already(match.root, place, rank, match.opset):
        return None
    return place


@condition("the sizes stand in a row in a model input's shape")
def _in_a_row(match: Match) -> bool:
    return _run(match) is not None


def _read_shape(build: Builder, match: Match) -> Value | None:
    place = _run(match)
    return None if place is None else _shape_of(build, match, place)


def _shape_of(build: Builder, match: Match, place: Place) -> Value:
    value, start, end = place
    result: Value = build.op("Shape", value, start=start or None, end=None if end == match.facts.rank(value) else end)
    return result


def _longest(match: Match, parts: list[tuple[Dim, ...] | None], start: int) -> tuple[Place, int] | None:
    """Return where the sizes of the most operands from `start` on stand, two at least, and the operand behind."""
    for end in range(len(parts), start + 1, -1):
        sizes = tuple(dim for part in parts[start:end] for dim in part or ())
        known = all(part is not None for part in parts[start:end]) and any(isinstance(dim, Expr) for dim in sizes)
        place = _readable(match, sizes) if known else None
        if place is not None:
            return place, end
    return None


def _joined(match: Match) -> list[Value | Place]:
    """List the operands of a `Concat` of sizes, neighbours that one `Shape` reads joined."""
    operands = list(match["xs"])
    found: list[Value | Place] = []
    if len(operands) > MANY_OPERANDS or match.facts.dtype(match.result) != DataType.INT64:
        return operands
    parts = [match.facts.contents(value) if match.facts.rank(value) == 1 else None for value in operands]
    at = 0
    while at < len(operands):
        run = _longest(match, parts, at)
        found.append(operands[at] if run is None else run[0])
        at = at + 1 if run is None else run[1]
    return found


@condition("neighbours stand in a row in a model input's shape")
def _some_in_a_row(match: Match) -> bool:
    return 1 < len(_joined(match)) < len(match["xs"])


def _join(build: Builder, match: Match) -> Value:
    operands = [part if isinstance(part, Value) else _shape_of(build, match, part) for part in _joined(match)]
    result: Value = build.op("Concat", *operands, axis=0)
    return result


def _pieces(match: Match) -> list[Place | list[int]] | None:
    """Take the root's numbers and sizes apart into numbers and runs that one `Shape` reads."""
    contents = _symbolic(match, 1)
    if contents is None or len(contents) > MANY_OPERANDS:
        return None
    found: list[Place | list[int]] = []
    at = 0
    while at < len(contents):
        last, dim = found[-1] if found else None, contents[at]
        if isinstance(dim, int):
            found[-1:] = [[*last, dim]] if isinstance(last, list) else [*found[-1:], [dim]]
            at += 1
            continue
        runs = ((_readable(match, contents[at:end]), end) for end in range(len(contents), at, -1))
        place, at = next(((place, end) for place, end in runs if place is not None), (None, at))
        if place is None:
            return None
        found.append(place)
    return found


@condition("fewer numbers and sizes of model inputs say the same")
def _alternating(match: Match) -> bool:
    pieces = _pieces(match)
    return pieces is not None and (match.root.op_type == "Where" or 1 < len(pieces) < len(match["xs"]))


def _write_shape(build: Builder, match: Match) -> Value | None:
    pieces = _pieces(match)
    if pieces is None:
        return None
    operands = [build.shape(*part) if isinstance(part, list) else _shape_of(build, match, part) for part in pieces]
    result: Value = build.op("Concat", *operands, axis=0)
    return result


def _summands(match: Match) -> tuple[Place, Place] | None:
    """Return two sizes of model inputs whose sum is the one size that the root holds."""
    wanted = _symbolic(match, 1)
    if wanted is None or len(wanted) > 1 or len(match.facts.model.graph.inputs) > MANY_INPUTS:
        return None
    shapes = (match.facts.shape(value) or () for value in match.facts.model.graph.inputs)
    sizes = list(dict.fromkeys(dim for shape in shapes for dim in shape if isinstance(dim, Expr)))[:MANY_OPERANDS]
    for at, first in enumerate(sizes):
        for second in sizes[at:]:
            if first + second == wanted[0]:
                places = _readable(match, (first,)), _readable(match, (second,))
                return (places[0], places[1]) if places[0] and places[1] else None
    return None


@condition("it is the sum of two sizes of model inputs")
def _is_sum(match: Match) -> bool:
    return _summands(match) is not None


def _add_sizes(build: Builder, match: Match) -> Value | None:
    places = _summands(match)
    if places is None:
        return None
    result: Value = build.op("Add", *(_shape_of(build, match, place) for place in places))
    return result


def _single(match: Match) -> Place | None:
    """Return where the size stands that the root gives, unless it gathers it from there."""
    wanted = _symbolic(match, 0)
    place = None if wanted is None else _place(match, wanted)
    if place is None or match.root.op_type != "Gather":
        return place
    sizes, index = match.root.inputs[:2]
    shape, at = sizes.producer() if sizes else None, match.facts.constant(index) if index else None
    whole = shape is not None and shape.op_type == "Shape" and shape.inputs[0] is place[0] and not shape.attributes
    return None if whole and at is not None and int(at) == place[1] else place


@condition("the size stands in a model input's shape")
def _is_input_size(match: Match) -> bool:
    return _single(match) is not None


def _read_size(build: Builder, match: Match) -> Value | None:
    place = _single(match)
    if place is None:
        return None
    result: Value = build.op("Gather", build.op("Shape", place[0]), build.constant(np.array(place[1], np.int64)))
    return result


READ_SHAPE_FROM_INPUT = Rule(
    name="read-shape-from-input",
    doc="Read sizes that a model input has in a row from its shape.",
    match="(Shape | Slice | Concat | Unsqueeze | Gather | Reshape | Where | Expand)(*xs)",
    replace=_read_shape,
    where=(_in_a_row,),
)

JOIN_SIZES_FROM_INPUT = Rule(
    name="join-sizes-from-input",
    doc="Join the operands of a `Concat` that a model input's shape has in a row.",
    match="Concat(*xs)",
    replace=_join,
    where=(_some_in_a_row,),
    min_opset=4,
)

READ_SIZE_FROM_INPUT = Rule(
    name="read-size-from-input",
    doc="Read a single size that a model input has from its shape.",
    match="(Gather | Squeeze | Reshape)(*xs)",
    replace=_read_size,
    where=(_is_input_size,),
)

WRITE_SIZES = Rule(
    name="write-sizes",
    doc="Write a shape that is chosen or put together as a `Concat` of as few numbers and sizes of inputs as may be.",
    match="(Where | Concat)(*xs)",
    replace=_write_shape,
    where=(_alternating,),
    min_opset=4,
)

ADD_SIZES_OF_INPUTS = Rule(
    name="add-sizes-of-inputs",
    doc="Add two sizes of model inputs, such as past and new tokens, instead of reading the sum off a later shape.",
    match="(Gather | Reshape | Shape | Slice | Unsqueeze)(*xs)",
    replace=_add_sizes,
    where=(_is_sum,),
    min_opset=15,
)

PASSES: tuple[Rule, ...] = (
    READ_SHAPE_FROM_INPUT,
    JOIN_SIZES_FROM_INPUT,
    READ_SIZE_FROM_INPUT,
    WRITE_SIZES,
    ADD_SIZES_OF_INPUTS,
)
