"""Remove what nothing reads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graphopt.graph.edit import is_dead, is_unread
from graphopt.graph.model import Graph, Model, Node, subgraphs
from graphopt.graph.scopes import detach, walk
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass

__all__ = ["PASSES", "EliminateDead"]


@dataclass(frozen=True)
class EliminateDead(Pass):
    """Remove nodes, initializers and functions that nothing reads.

    Left unchanged: graph inputs and outputs, the interface of every subgraph, single unread results of nodes that are
    needed, nodes without results, and opset imports.
    """

    name: ClassVar[str] = "eliminate-dead"

    def run(self, model: Model, context: Context) -> int:
        """Remove dead functions first, then nodes from the last to the first, then initializers."""
        count = self._functions(model, context)
        for root in [model.graph, *(function.graph for function in model.functions())]:
            count += self._nodes(root, context)
        for scope in walk(model):
            count += self._initializers(scope.graph, context)
        return count

    def _functions(self, model: Model, context: Context) -> int:
        called = _reachable(model) if model.ir.functions else set()
        dead = [key for key in model.ir.functions if key not in called]
        gone = [key for key in dead if context.admit(self.name, "::".join(part for part in key if part))]
        for key in gone:
            del model.ir.functions[key]
        return len(gone)

    def _nodes(self, root: Graph, context: Context) -> int:
        """Visit every node after all that may read its results: in reverse, and inner graphs before their node."""
        count = 0
        todo: list[tuple[Graph, list[Node], list[Node]]] = [(root, list(root), [])]
        while todo:
            graph, nodes, dead = todo[-1]
            if not nodes:
                graph.remove(dead)
                count += len(dead)
                todo.pop()
                continue
            node = nodes.pop()
            if node.outputs and is_dead(node) and context.admit(self.name, node):
                detach(node)
                dead.append(node)
            elif node.attributes:
                todo.extend((inner, list(inner), []) for inner in subgraphs(node))
        return count

    def _initializers(self, graph: Graph, context: Context) -> int:
        dead = [value for value in graph.initializers.values() if is_unread(value)]
        gone = [value for value in dead if context.admit(self.name, value.name or "")]
        for value in gone:
            graph.initializers.pop(value.name or "")
        return len(gone)


def _reachable(model: Model) -> set[tuple[str, str, str]]:
    """Return the functions that the main graph calls, directly or through other functions."""
    found: set[tuple[str, str, str]] = set()
    todo: list[Graph] = [model.graph]
    while todo:
        graph = todo.pop()
        for node in graph:
            key = node.op_identifier()
            if key in model.ir.functions and key not in found:
                found.add(key)
                todo.append(model.ir.functions[key].graph)
            if node.attributes:
                todo.extend(subgraphs(node))
    return found


PASSES = (EliminateDead,)
