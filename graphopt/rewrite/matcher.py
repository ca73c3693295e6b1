"""Match compiled patterns against nodes, with backtracking over operand orders."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute
from graphopt.rewrite.pattern import Bind, Literal, NodePattern, Pattern
from graphopt.rewrite.rule import Match

__all__ = ["match_rule"]

Agenda = tuple["tuple[Pattern, Value | None]", "Agenda"] | None
_SKIPPED = ("Cast", "Identity")
_UNIFORM_LIMIT = 1 << 20


class _State:
    """What is bound so far; copied where the search branches."""

    __slots__ = ("nodes", "values")

    def __init__(self, values: dict[str, Any], nodes: dict[int, tuple[NodePattern, Node]]) -> None:
        self.values = values
        self.nodes = nodes

    def copy(self) -> _State:
        return _State(dict(self.values), dict(self.nodes))


class _Search:
    def __init__(self, facts: Facts, opset: int) -> None:
        self.facts = facts
        self.opset = opset

    def solve(self, agenda: Agenda, state: _State) -> _State | None:
        while agenda is not None:
            (pattern, value), agenda = agenda
            if isinstance(pattern, NodePattern):
                return self.node_value(pattern, value, agenda, state)
            if not self.leaf(pattern, value, state):
                return None
        return state

    def leaf(self, pattern: Bind | Literal, value: Value | None, state: _State) -> bool:
        if isinstance(pattern, Literal):
            return value is None if pattern.number is None else self.is_number(value, pattern.number)
        if value is None and not pattern.optional:
            return False
        if pattern.const and value is not None and not self.facts.is_constant(value):
            return False
        return bind(state.values, pattern.name, value)

    def is_number(self, value: Value | None, number: float) -> bool:
        if value is None or not self.facts.is_constant(value):
            return False
        count = self.facts.element_count(value)
        if not isinstance(count, int) or not 0 < count <= _UNIFORM_LIMIT:
            return False
        array = self.facts.constant(value)
        return array is not None and array.dtype.kind in "iufb" + "V" and bool(np.all(array == number))

    def node_value(self, pattern: NodePattern, value: Value | None, agenda: Agenda, state: _State) -> _State | None:
        while value is not None:
            node = value.producer()
            if node is None:
                return None
            if (node.domain, node.op_type) in pattern.ops and node.outputs[pattern.output] is value:
                found = self.node(pattern, node, agenda, state)
                if found is not None:
                    return found
            if not pattern.skip or node.op_type not in _SKIPPED or node.domain:
                return None
            value = node.inputs[0]
        return None

    def node(self, pattern: NodePattern, node: Node, agenda: Agenda, state: _State) -> _State | None:
        """Match a node whose type fits; then the rest of the agenda."""
        if len(pattern.outputs) > len(node.outputs):
            return None
        state = state.copy()
        for name, value in zip(pattern.outputs, node.outputs, strict=False):
            if not bind(state.values, name, value):
                return None
        if not self.attributes(pattern, node, state):
            return None
        state.nodes[id(node)] = (pattern, node)
        for inputs in orders(pattern, node):
            found = self.solve(extend(agenda, inputs), state.copy())
            if found is not None:
                return found
        return None

    def attributes(self, pattern: NodePattern, node: Node, state: _State) -> bool:
        for name, (kind, wanted) in pattern.attrs:
            given = node.attributes.get(name)
            if given is not None and given.is_ref():
                # What a function's caller decides is no value to build with.
                return False
            actual = attribute(node, name, self.opset)
            if kind == "bind":
                if not bind(state.values, wanted, actual):
                    return False
            elif actual != (list(wanted) if isinstance(wanted, tuple) else wanted):
                return False
        return True


def extend(agenda: Agenda, pairs: list[tuple[Pattern, Any]]) -> Agenda:
    """Put pairs of pattern and value before the agenda."""
    for pair in reversed(pairs):
        agenda = (pair, agenda)
    return agenda


def orders(pattern: NodePattern, node: Node) -> list[list[tuple[Pattern, Any]]]:
    """Pair the operand patterns with the node's inputs, in every order that the operator allows."""
    values: list[Value | None] = list(node.inputs)
    while values and values[-1] is None:
        values.pop()
    patterns = list(pattern.inputs)
    if patterns and isinstance(patterns[-1], Bind) and patterns[-1].rest:
        rest = patterns.pop()
        if len(values) < len(patterns):
            return []
        return [[*zip(patterns, values, strict=False), (rest, tuple(values[len(patterns) :]))]]
    if len(values) > len(patterns):
        return []
    values += [None] * (len(patterns) - len(values))
    found = [list(zip(patterns, values, strict=True))]
    if pattern.commutes:
        found.append(list(zip(patterns, reversed(values), strict=True)))
    return found


def bind(values: dict[str, Any], name: str, value: Any) -> bool:
    """Bind a name, or tell whether what it is bound to is the same."""
    if not name:
        return True
    if name not in values:
        values[name] = value
        return True
    bound = values[name]
    return bound is value if isinstance(bound, Value) or isinstance(value, Value) else bound == value


def match_rule(roots: tuple[NodePattern, ...], node: Node, facts: Facts, opset: int, *, shared: bool) -> Match | None:
    """Match the last of `roots` at `node` and the others at users of what it bound; None if they do not fit.

    Unless `shared`, inner results must have no reader outside the match and not be graph outputs.
    """
    search = _Search(facts, opset)
    state = search.node(roots[-1], node, None, _State({}, {}))
    for pattern in roots[:-1]:
        if state is None:
            return None
        state = _sibling(search, pattern, state)
    if state is None:
        return None
    nodes = tuple(found for _, found in state.nodes.values())
    if not shared and not _closed(node, nodes, set(state.nodes)):
        return None
    return Match(node, facts, opset, state.values, nodes)


def _sibling(search: _Search, pattern: NodePattern, state: _State) -> _State | None:
    """Match a further root among the users of the values that its operands are bound to."""
    for operand in pattern.inputs:
        value = state.values.get(operand.name) if isinstance(operand, Bind) else None
        if not isinstance(value, Value):
            continue
        for user, _ in tuple(value.uses()):
            if (user.domain, user.op_type) in pattern.ops and id(user) not in state.nodes:
                found = search.node(pattern, user, None, state)
                if found is not None:
                    return found
        return None
    return None


def _closed(root: Node, nodes: tuple[Node, ...], inside: set[int]) -> bool:
    """Tell whether the results of all nodes but the root stay inside the match, and in the root's graph.

    What a loop captures is computed once; in its body it would be computed again and again.
    """
    for node in nodes:
        if node is root:
            continue
        if node.graph is not root.graph:
            return False
        for value in node.outputs:
            if value.is_graph_output() or any(id(user) not in inside for user, _ in value.uses()):
                return False
    return True
