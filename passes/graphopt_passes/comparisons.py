"""Write comparisons of two computed values one way: the operand that may be less comes first."""

from __future__ import annotations

from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]


@condition("neither operand is a constant")
def _computed(match: Match) -> bool:
    return not any(match.facts.is_constant(match[name]) for name in ("x", "y"))


TURN_GREATER = Rule(
    name="turn-greater",
    doc="Replace Greater by Less of the operands in turn.",
    match="Greater(x, y)",
    replace="Less(y, x)",
    where=(_computed,),
    min_opset=7,
)

TURN_GREATER_OR_EQUAL = Rule(
    name="turn-greater-or-equal",
    doc="Replace GreaterOrEqual by LessOrEqual of the operands in turn.",
    match="GreaterOrEqual(x, y)",
    replace="LessOrEqual(y, x)",
    where=(_computed,),
    min_opset=12,
)

PASSES: tuple[Rule, ...] = (TURN_GREATER, TURN_GREATER_OR_EQUAL)
