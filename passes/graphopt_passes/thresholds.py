"""Say whether a value soon meets an operator that makes large differences of small ones."""

from __future__ import annotations

from graphopt.graph.model import Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match

__all__ = ["meets_no_threshold"]

STEPS = frozenset(
    {
        "Cast", "Ceil", "DynamicQuantizeLinear", "Equal", "Floor", "Greater", "GreaterOrEqual", "Less", "LessOrEqual",
        "Mod", "QuantizeLinear", "Round", "Sign",
    }
)  # fmt: skip
PASSED = frozenset(
    {"Add", "Div", "Exp", "Identity", "Log", "Max", "Min", "Mul", "Neg", "Relu", "Reshape", "Sqrt", "Sub", "Unsqueeze"}
)
NEAR = 5
"""So many operators ahead are looked at."""


@condition("no rounding or comparison is near")
def meets_no_threshold(match: Match) -> bool:
    """Ask that the result is not soon rounded to whole numbers or compared: its last bit would decide."""
    seen: set[Value] = set()
    front = [match.result]
    for _ in range(NEAR):
        users = [user for value in front for user, _ in value.uses()]
        if len(users) > 64 or any(user.op_type in STEPS for user in users):
            return False
        front = [value for user in users if user.op_type in PASSED for value in user.outputs if value not in seen]
        seen.update(front)
    return True
