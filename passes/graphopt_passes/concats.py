"""Eliminate and merge concatenations and splits."""

from __future__ import annotations

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axis_of
from graphopt_passes.slices import INT64_MAX, cuts_of

__all__ = ["PASSES"]

MANY_OPERANDS = 64
"""A `Concat` grows to no more: flattening a long chain of them would copy its operands over and over."""


def _axis(node: Node, facts: Facts) -> int | None:
    return axis_of(node, facts, facts.rank(node.inputs[0]) if node.inputs[0] is not None else None)


def _is_empty(match: Match, value: Value) -> bool:
    axis = _axis(match.root, match.facts)
    shape = match.facts.shape(value)
    return axis is not None and shape is not None and axis < len(shape) and shape[axis] == 0


def _inner(match: Match, value: Value) -> Node | None:
    """Return the `Concat` along the same axis that makes `value` for the root alone."""
    node = value.producer()
    if node is None or node.op_type != "Concat" or node.domain or len(value.uses()) != 1 or value.is_graph_output():
        return None
    same = node.graph is match.root.graph and _axis(match.root, match.facts) is not None
    return node if same and _axis(node, match.facts) == _axis(match.root, match.facts) else None


@condition("an operand is such a Concat")
def _nested(match: Match) -> bool:
    inner = [node for value in match["xs"] if (node := _inner(match, value)) is not None]
    return bool(inner) and len(match["xs"]) + sum(len(node.inputs) for node in inner) <= MANY_OPERANDS


def _flatten(build: Builder, match: Match) -> Value:
    operands: list[Value | None] = []
    for value in match["xs"]:
        inner = _inner(match, value)
        operands.extend([value] if inner is None else inner.inputs)
    result: Value = build.op("Concat", *operands, axis=_axis(match.root, match.facts))
    return result


@condition("an operand is empty, but not all are")
def _some_empty(match: Match) -> bool:
    empty = [_is_empty(match, value) for value in match["xs"]]
    return any(empty) and not all(empty)


def _drop_empty(build: Builder, match: Match) -> Value:
    kept = [value for value in match["xs"] if not _is_empty(match, value)]
    result: Value = build.op("Concat", *kept, axis=_axis(match.root, match.facts))
    return result


@condition("its operands are all parts of one Split, in order")
def _of_split(match: Match) -> bool:
    node = match["xs"][0].producer()
    if node is None or node.op_type != "Split" or node.domain or list(match["xs"]) != list(node.outputs):
        return False
    axis = _axis(node, match.facts)
    return axis is not None and axis == _axis(match.root, match.facts)


def _split_source(_: Builder, match: Match) -> Value | None:
    found: Value | None = match["xs"][0].producer().inputs[0]
    return found


@condition("its operands are adjoining slices that cover one value")
def _of_slices(match: Match) -> bool:
    axis = _axis(match.root, match.facts)
    nodes = [value.producer() for value in match["xs"]]
    if axis is None or any(node is None or node.op_type != "Slice" or node.domain for node in nodes):
        return False
    at = 0
    for node in nodes:
        cuts = cuts_of(node, match.facts)
        if node.inputs[0] is not nodes[0].inputs[0] or cuts is None or set(cuts) != {axis}:
            return False
        if cuts[axis].start != at or cuts[axis].step != 1 or cuts[axis].end < at or at == INT64_MAX:
            return False
        at = cuts[axis].end
    return at == INT64_MAX


@condition("it makes one part")
def _one_part(match: Match) -> bool:
    return len(match.root.outputs) == 1


ELIMINATE_CONCAT = Rule(
    name="eliminate-concat",
    doc="Eliminate a `Concat` of one operand.",
    match="Concat(x)",
    replace="x",
)

DROP_EMPTY_OPERANDS = Rule(
    name="drop-empty-operands",
    doc="Drop the operands of a `Concat` that are empty.",
    match="Concat(*xs)",
    replace=_drop_empty,
    where=(_some_empty,),
    min_opset=4,
)

FLATTEN_CONCATS = Rule(
    name="flatten-concats",
    doc="Flatten a `Concat` of a `Concat` along the same axis.",
    match="Concat(*xs)",
    replace=_flatten,
    where=(_nested,),
    min_opset=4,
)

ELIMINATE_SPLIT_CONCAT = Rule(
    name="eliminate-split-concat",
    doc="Eliminate a `Concat` of all parts of a `Split`.",
    match="Concat(*xs)",
    replace=_split_source,
    where=(_of_split,),
    min_opset=4,
)

ELIMINATE_SLICES_CONCAT = Rule(
    name="eliminate-slices-concat",
    doc="Eliminate a `Concat` of adjoining slices that cover a value.",
    match="Concat(*xs)",
    replace=_split_source,
    where=(_of_slices,),
    min_opset=4,
)

ELIMINATE_SPLIT = Rule(
    name="eliminate-split",
    doc="Eliminate a `Split` into one part.",
    match="Split(x, *rest)",
    replace="x",
    where=(_one_part,),
)

PASSES: tuple[Rule, ...] = (
    ELIMINATE_CONCAT,
    DROP_EMPTY_OPERANDS,
    FLATTEN_CONCATS,
    ELIMINATE_SPLIT_CONCAT,
    ELIMINATE_SLICES_CONCAT,
    ELIMINATE_SPLIT,
)
