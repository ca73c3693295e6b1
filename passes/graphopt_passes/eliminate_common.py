"""Compute once what is computed several times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from graphopt.graph._onnx_ir import ir
from graphopt.graph.edit import forward
from graphopt.graph.identity import node_key
from graphopt.graph.model import Graph, Model, Node, Value, subgraphs
from graphopt.graph.schema import is_deterministic
from graphopt.graph.scopes import detach
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass

__all__ = ["PASSES", "EliminateCommon"]

_TRIVIAL = frozenset({"Constant", "Flatten", "Identity", "Reshape", "Shape", "Size", "Squeeze", "Unsqueeze"})
"""What costs no more than the `Identity` that would keep the name of a second graph output."""


@dataclass
class _Table:
    """The nodes seen so far in one graph, by key; `outer` holds those around it that ran before."""

    graph: Graph
    outer: _Table | None
    todo: list[Node]
    seen: dict[Any, Node] = field(default_factory=dict)
    dead: list[Node] = field(default_factory=list)

    def find(self, key: Any) -> Node | None:
        table: _Table | None = self
        while table is not None:
            if key in table.seen:
                return table.seen[key]
            table = table.outer
        return None


@dataclass(frozen=True)
class EliminateCommon(Pass):
    """Merge nodes that compute the same from the same values.

    A node in a subgraph may be replaced by one that runs before it in a graph around it. Left unchanged: random and
    training-mode nodes, other domains than the standard's, nodes that hold graphs, and trivial nodes of which both
    results are graph outputs.
    """

    name: ClassVar[str] = "eliminate-common"

    def run(self, model: Model, context: Context) -> int:
        """Visit all nodes in execution order, inner graphs at the place of the node that holds them."""
        count = 0
        for root in [model.graph, *(function.graph for function in model.functions())]:
            standard = not {"", "ai.onnx"}.isdisjoint(root.opset_imports)
            todo = [_Table(root, None, list(root)[::-1])]
            while todo:
                table = todo[-1]
                if not table.todo:
                    table.graph.remove(table.dead)
                    count += len(table.dead)
                    todo.pop()
                    continue
                node = table.todo.pop()
                if not node.attributes or not subgraphs(node):
                    self._visit(node, table, context, standard=standard)
                    continue
                todo.extend(_Table(inner, table, list(inner)[::-1]) for inner in reversed(subgraphs(node)))
        return count

    def _visit(self, node: Node, table: _Table, context: Context, *, standard: bool) -> None:
        key = node_key(node) if node.outputs and is_deterministic(node) else None
        if key is None:
            return
        first = table.find(key)
        if first is None:
            table.seen[key] = node
            return
        if not _mergeable(first, node, standard=standard) or not context.admit(self.name, node):
            return
        for old, new in zip(node.outputs, first.outputs, strict=True):
            if old.uses() or old.is_graph_output():
                _merge(old, new, context)
        detach(node)
        table.dead.append(node)


def _mergeable(first: Node, node: Node, *, standard: bool) -> bool:
    """Tell whether merging `node` into `first` saves work even where an `Identity` must keep a name.

    There is no `Identity` where ai.onnx is not imported, which `standard` tells, and in old opsets none of sequences
    and optionals.
    """
    pairs = zip(node.outputs, first.outputs, strict=True)
    kept = [old for old, new in pairs if old.is_graph_output() and _is_bound(new, node)]
    if not standard or node.op_type in _TRIVIAL:
        return not kept
    return all(isinstance(value.type, ir.TensorType) for value in kept)


def _is_bound(value: Value, node: Node) -> bool:
    producer = value.producer()
    return value.is_graph_output() or producer is None or producer.graph is not node.graph


def _merge(old: Value, new: Value, context: Context) -> None:
    if new.type is None:
        new.type = old.type
    if new.shape is None:
        new.shape = old.shape
    forward(old, new, context.names)


PASSES = (EliminateCommon,)
