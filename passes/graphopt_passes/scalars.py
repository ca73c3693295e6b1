"""Write a number that an operator spreads as a scalar, whatever shape it was exported in."""

from __future__ import annotations

from typing import Any

from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.expands import BROADCASTING, broadcasts_to

__all__ = ["PASSES"]

MANY_OPERANDS = 8
"""No more operands are looked at."""


def _number(match: Match) -> int | None:
    """Return the place of a constant of one element whose axes the result does not need."""
    operands = match["xs"] if len(match["xs"]) <= MANY_OPERANDS else ()
    for place, value in enumerate(operands):
        if not match.facts.rank(value) or match.facts.element_count(value) != 1 or not match.facts.is_constant(value):
            continue
        others = [match.facts.shape(other) for other in (*operands[:place], *operands[place + 1 :])]
        if broadcasts_to([*others, ()], match.facts.shape(match.result)):
            return place
    return None


@condition("a constant of one element has axes that the result does not need")
def _has_axes(match: Match) -> bool:
    return _number(match) is not None


def _as_scalar(build: Builder, match: Match) -> Value | None:
    place = _number(match)
    operands: list[Value] = list(match["xs"])
    array = None if place is None else match.facts.constant(operands[place])
    if place is None or array is None:
        return None
    operands[place] = build.constant(array.reshape(()), operands[place].name or "")
    attributes: dict[str, Any] = dict(match.root.attributes)
    result: Value = build.op(match.root.op_type, *operands, **attributes)
    return result


NUMBER_TO_SCALAR = Rule(
    name="number-to-scalar",
    doc="Write a constant of one element that an operator spreads as a scalar.",
    match=f"({BROADCASTING})(*xs)",
    replace=_as_scalar,
    where=(_has_axes,),
    min_opset=8,
)

PASSES: tuple[Rule, ...] = (NUMBER_TO_SCALAR,)
