"""Tell what differs between two versions of a model, as parts that can be chosen one by one."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Any

from graphopt.graph.cut import held_constant
from graphopt.graph.model import Attr, Model, Node, Value, subgraphs

__all__ = ["Change", "Digests", "changes"]

_KINDS = {"TENSOR", "SPARSE_TENSOR"}


@dataclass(frozen=True)
class Change:
    """Nodes of the version before, and those of the version after that stand in their place."""

    before: tuple[Node, ...]
    after: tuple[Node, ...]


class Digests:
    """What a node says, in a form that can be compared across versions; large constants are read once."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[Any, str]] = {}

    def node(self, node: Node) -> Hashable:
        """Return operator, attributes, operands (constants by their content) and the names of the results."""
        operands = tuple("" if value is None else self._operand(value) for value in node.inputs)
        results = tuple(value.name for value in node.outputs)
        return node.domain, node.op_type, node.overload, self.attributes(node), operands, results

    def attributes(self, node: Node) -> Hashable:
        """Return the attributes in the order of their names."""
        return tuple(sorted((name, self._attribute(attr)) for name, attr in node.attributes.items()))

    def tensor(self, tensor: Any) -> str:
        """Return type, shape and a hash of the content."""
        key = id(tensor)
        if key not in self._known:
            digest = hashlib.sha256(tensor.tobytes()).hexdigest()
            self._known[key] = tensor, f"{tensor.dtype}{tuple(tensor.shape)}{digest}"
        return self._known[key][1]

    def _operand(self, value: Value) -> str:
        if not held_constant(value) or value.const_value is None:
            return f"={value.name}"
        return self.tensor(value.const_value)

    def _attribute(self, attr: Attr) -> str:
        if attr.is_ref():
            return f"reference {attr.ref_attr_name}"
        if attr.type.name in _KINDS:
            return self.tensor(attr.value)
        if attr.type.name in {"GRAPH", "GRAPHS"}:
            graphs = attr.as_graphs() if attr.type.name == "GRAPHS" else [attr.as_graph()]
            return repr([[self.node(node) for node in graph] for graph in graphs])
        return f"{attr.type.name} {attr.value!r}"


def changes(before: Model, after: Model, digests: Digests) -> list[Change]:
    """Find the nodes of the two main graphs that differ, grouped by what has to change together.

    `digests` remembers the constants of the version before.

    A value that both versions have under one name parts two groups; one that a single version has joins its maker and
    its readers.
    """
    # What is known of the constants of the version behind would keep that in memory.
    known = ((before, digests), (after, Digests()))
    versions = [{memo.node(node): node for node in model.graph} for model, memo in known]
    differing = [[node for key, node in one.items() if key not in other] for one, other in (versions, versions[::-1])]
    joined = _Joined()
    both = set.intersection(
        *({value.name for node in model.graph for value in node.outputs} for model in (before, after))
    )
    makers: dict[str | None, list[Node]] = {}
    for node in (*differing[0], *differing[1]):
        joined.add(node)
        for value in node.outputs:
            makers.setdefault(value.name, []).append(node)
    for nodes in makers.values():
        joined.join(nodes)
    for node in (*differing[0], *differing[1]):
        for name in _read(node) - both:
            joined.join([node, *makers.get(name, [])])
    old = set(differing[0])
    groups = joined.groups()
    return [
        Change(tuple(node for node in group if node in old), tuple(node for node in group if node not in old))
        for group in groups
    ]


def _read(node: Node) -> set[str | None]:
    inner = (value for graph in subgraphs(node) for each in graph.all_nodes() for value in each.inputs)
    return {value.name for value in (*node.inputs, *inner) if value is not None and value.name}


class _Joined:
    """Nodes in disjoint groups, in the order in which they were added."""

    def __init__(self) -> None:
        self._parent: dict[Node, Node] = {}

    def add(self, node: Node) -> None:
        self._parent[node] = node

    def join(self, nodes: Iterable[Node]) -> None:
        roots = [self._root(node) for node in nodes]
        for root in roots[1:]:
            self._parent[root] = roots[0]

    def groups(self) -> list[list[Node]]:
        found: dict[Node, list[Node]] = {}
        for node in self._parent:
            found.setdefault(self._root(node), []).append(node)
        return list(found.values())

    def _root(self, node: Node) -> Node:
        while self._parent[node] is not node:
            self._parent[node] = self._parent[self._parent[node]]
            node = self._parent[node]
        return node
