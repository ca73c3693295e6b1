"""Compute on what is expanded before it is expanded, where nothing else has its axes."""

from __future__ import annotations

from typing import Any

from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]

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

PASSES: tuple[Rule, ...] = (EXPAND_LATE,)
