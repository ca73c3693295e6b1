"""Compute on what is expanded before it is expanded, where nothing else has its axes."""

from __future__ import annotations

from typing import Any

from graphopt.graph.dims import Dim
from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.expands import BROADCASTING, broadcasts_to

__all__ = ["PASSES"]

Shape = tuple[Dim, ...]
SPREADING = frozenset(BROADCASTING.split(" | "))
MANY_READERS = 64
MANY_OPERANDS = 8
"""No more operands are looked at."""
ELEMENTWISE = (
    "Add | Sub | Mul | Div | Pow | And | Or | Xor | Equal | Greater | Less | GreaterOrEqual | LessOrEqual | Where"
    " | Min | Max | Not | Cast"
)


def _expanded(match: Match) -> int | None:
    """Return the place of the one operand that is no number, if it is an `Expand` with no other reader."""
    facts = match.facts
    numbers = [facts.is_constant(value) and facts.element_count(value) == 1 for value in match["xs"]]
    if numbers.count(False) != 1:
        return None
    value = match["xs"][numbers.index(False)]
    node, rank = value.producer(), facts.rank(value)
    if node is None or node.op_type != "Expand" or node.domain or len(value.uses()) > 1 or value.is_graph_output():
        return None
    # A number with more axes would give them to the result.
    ranks = [facts.rank(other) for other in match["xs"] if other is not value]
    fits = rank is not None and all(other is not None and other <= rank for other in ranks)
    return numbers.index(False) if fits else None


@condition("only one operand is no number, and it is expanded")
def _only_expanded(match: Match) -> bool:
    return _expanded(match) is not None


def _compute_first(build: Builder, match: Match) -> Value | None:
    place = _expanded(match)
    if place is None:
        return None
    operands: list[Value] = list(match["xs"])
    node = operands[place].producer()
    if node is None:
        return None
    source, shape = node.inputs[:2]
    attributes: dict[str, Any] = dict(match.root.attributes)
    computed = build.op(match.root.op_type, *operands[:place], source, *operands[place + 1 :], **attributes)
    result: Value = build.op("Expand", computed, shape)
    return result


EXPAND_LATE = Rule(
    name="expand-late",
    doc="Compute with numbers on what is expanded before it is expanded.",
    match=f"({ELEMENTWISE})(*xs)",
    replace=_compute_first,
    where=(_only_expanded,),
    min_opset=13,
)


def _through(match: Match) -> tuple[int, int, Value] | None:
    """Return the places of an operand and of one of its operands, and what that is needlessly expanded from."""
    for place, value in enumerate(match["xs"] if len(match["xs"]) <= MANY_OPERANDS else ()):
        node = value.producer()
        if node is None or node.domain or node.op_type not in SPREADING or value.is_graph_output():
            continue
        for at, inner in enumerate(node.inputs if len(node.inputs) <= MANY_OPERANDS else ()):
            source = _source(inner)
            narrow = None if source is None else _narrower(node, at, source, match)
            if source is not None and narrow is not None and _all_broadcast(value, narrow, match.facts):
                return place, at, source
    return None


def _all_broadcast(value: Value, narrow: Shape, facts: Facts) -> bool:
    """Tell whether all readers of `value` give the same shape if it is `narrow`."""
    readers = [node for node, _ in value.uses()]
    return len(readers) <= MANY_READERS and all(
        not node.domain
        and node.op_type in SPREADING
        and broadcasts_to(
            [narrow if one is value else None if one is None else facts.shape(one) for one in node.inputs],
            facts.shape(node.outputs[0]),
        )
        for node in readers
    )


def _source(value: Value | None) -> Value | None:
    node = None if value is None else value.producer()
    return None if node is None or node.op_type != "Expand" or node.domain else node.inputs[0]


def _narrower(node: Node, at: int, source: Value, match: Match) -> Shape | None:
    """Return the shape of the node's result with `source` as one of its operands."""
    operands = [*node.inputs[:at], source, *node.inputs[at + 1 :]]
    shapes = [None if value is None else match.facts.shape(value) for value in operands]
    known = [shape for shape in shapes if shape is not None]
    rank = max((len(shape) for shape in known), default=0)
    columns = zip(*((1,) * (rank - len(shape)) + shape for shape in known), strict=True)
    found = tuple(next((dim for dim in column if dim != 1), 1) for column in columns)
    return found if len(known) == len(shapes) and broadcasts_to(known, found) else None


@condition("the operator itself expands an operand of an operand")
def _needless(match: Match) -> bool:
    return _through(match) is not None


def _without(build: Builder, match: Match) -> Value | None:
    found = _through(match)
    operands: list[Value] = list(match["xs"])
    node = None if found is None else operands[found[0]].producer()
    if found is None or node is None:
        return None
    place, at, source = found
    inner: dict[str, Any] = dict(node.attributes)
    outer: dict[str, Any] = dict(match.root.attributes)
    operands[place] = build.op(node.op_type, *node.inputs[:at], source, *node.inputs[at + 1 :], **inner)
    result: Value = build.op(match.root.op_type, *operands, **outer)
    return result


DROP_EXPAND_BEFORE_BROADCASTS = Rule(
    name="drop-expand-before-broadcasts",
    doc="Drop an `Expand` two operators before the one that broadcasts by itself.",
    match=f"({BROADCASTING})(*xs)",
    replace=_without,
    where=(_needless,),
    min_opset=8,
)

PASSES: tuple[Rule, ...] = (EXPAND_LATE, DROP_EXPAND_BEFORE_BROADCASTS)
