"""Walk a model's graphs with what encloses each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from graphopt.graph.model import Graph, Model, Node, subgraphs

__all__ = ["Scope", "detach", "inner_graphs", "walk"]


@dataclass(frozen=True, eq=False)
class Scope:
    """One graph, the scope that encloses it, and whether a function body is around it or is it."""

    graph: Graph
    parent: Scope | None
    in_function: bool

    def outward(self) -> Iterator[Scope]:
        """Yield this scope and all around it, from the inside out."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent


def walk(model: Model) -> Iterator[Scope]:
    """Yield every graph of the model, outer before inner; functions come after the main graph."""
    roots = [Scope(model.graph, None, in_function=False)]
    roots += [Scope(function.graph, None, in_function=True) for function in model.functions()]
    for root in roots:
        todo = [root]
        while todo:
            scope = todo.pop()
            yield scope
            inner = [graph for node in scope.graph for graph in subgraphs(node)]
            todo.extend(Scope(graph, scope, scope.in_function) for graph in reversed(inner))


def inner_graphs(node: Node) -> list[Graph]:
    """List the graphs held by `node` and all graphs nested in them."""
    found: list[Graph] = []
    todo = subgraphs(node)
    while todo:
        graph = todo.pop()
        found.append(graph)
        todo.extend(inner for each in graph for inner in subgraphs(each))
    return found


def detach(node: Node) -> None:
    """Let `node` and the nodes of its graphs read nothing any more, as they are about to go."""
    for index in range(len(node.inputs)):
        node.replace_input_with(index, None)
    for graph in inner_graphs(node):
        graph.outputs.clear()
        for inner in graph:
            for index in range(len(inner.inputs)):
                inner.replace_input_with(index, None)
