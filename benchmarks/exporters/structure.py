"""Tell whether two graphs are the same but for names, the order of nodes and the values of weights."""

from __future__ import annotations

import hashlib

from graphopt.graph.facts import Facts
from graphopt.graph.model import Model, Node, Value
from graphopt.rewrite.pattern import COMMUTATIVE

__all__ = ["differing", "structures"]

SMALL = 64
"""Constants of integers of so many elements count by their values: axes, shapes and the like."""


def structures(model: Model, facts: Facts) -> list[str]:
    """Return what tells each node of the main graph apart: itself, and all that it is computed from."""
    known: dict[Value, str] = {value: f"input {at}" for at, value in enumerate(model.graph.inputs)}
    found = []
    for node in model.graph:
        if node.op_type == "Constant":
            continue
        operands = [_told(value, known, facts) for value in node.inputs]
        if node.op_type in COMMUTATIVE and not node.domain:
            operands.sort()
        told = _digest(node.domain, node.op_type, *_attributes(node), *operands)
        known |= {value: f"{told} {at}" for at, value in enumerate(node.outputs)}
        found.append(told)
    return found


def differing(first: list[str], second: list[str]) -> int:
    """Count the nodes of one that the other does not have, in both directions."""
    return len(set(first) ^ set(second))


def _told(value: Value | None, known: dict[Value, str], facts: Facts) -> str:
    if value is None:
        return "none"
    if value in known:
        return known[value]
    array = facts.constant(value) if facts.is_constant(value) else None
    if array is None:
        return "unknown"
    values = array.reshape(-1).tolist() if array.dtype.kind in "bi" and array.size <= SMALL else ""
    return f"{array.dtype} {array.shape} {values}"


def _attributes(node: Node) -> list[str]:
    return sorted(f"{name} {attr.value}" for name, attr in node.attributes.items())


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
