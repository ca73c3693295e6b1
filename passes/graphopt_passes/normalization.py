"""Recognise the pieces of a normalization, which runtimes fuse only if none is missing."""

from __future__ import annotations

from graphopt.graph.facts import Facts
from graphopt.graph.model import Value
from graphopt.rewrite.rule import Condition, Match

__all__ = ["is_normalized", "no_scale_of_normalization"]

_BETWEEN = frozenset({"Add", "Cast", "Div", "Mul", "Reciprocal"})
_MOST = 16


def is_normalized(value: Value) -> bool:
    """Tell whether `value` comes from a square root through few divisions, products and sums alone."""
    todo, seen = [value], 0
    while todo and seen < _MOST:
        node = todo.pop().producer()
        seen += 1
        if node is None or node.domain:
            continue
        if node.op_type == "Sqrt":
            return True
        if node.op_type in _BETWEEN:
            todo.extend(operand for operand in node.inputs if operand is not None)
    return False


def no_scale_of_normalization(name: str) -> Condition:
    """Require that `name` is not what a normalization scales and shifts, unless the other operand is one number.

    Without a scale or bias, even one of ones or zeros, a runtime does not recognise the normalization and runs its
    pieces one by one.
    """

    def check(match: Match) -> bool:
        value = match.get(name)
        if not isinstance(value, Value):
            return False
        others = [operand for operand in match.root.inputs if operand is not None and operand is not value]
        return all(_is_number(match.facts, operand) for operand in others) or not is_normalized(value)

    return Condition(f"{name} is not what a normalization scales", check)


def _is_number(facts: Facts, value: Value) -> bool:
    return facts.element_count(value) == 1
