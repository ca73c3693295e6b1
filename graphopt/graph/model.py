"""Hold a model in memory: the IR, where it came from, and what the IR cannot express."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graphopt.graph._onnx_ir import ir

__all__ = ["Attr", "DataType", "Function", "Graph", "Model", "Node", "Tensor", "Value"]

Attr = ir.Attr
DataType = ir.DataType
Function = ir.Function
Graph = ir.Graph
Node = ir.Node
Tensor = ir.Tensor
Value = ir.Value


@dataclass
class Model:
    """A model: `ir` is the onnx_ir model, `path` the file it came from (None if built in memory).

    `carried` holds, keyed by a name that stands in the graph in its place, what the IR cannot express (see
    `graphopt.graph.carry`). `remarks` are sentences for the user about what loading decided.
    """

    ir: ir.Model
    path: Path | None = None
    carried: dict[str, Any] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)

    @property
    def graph(self) -> Graph:
        """The main graph."""
        return self.ir.graph

    def opset(self, domain: str = "") -> int:
        """Return the imported version of `domain`; 1 if it is not imported."""
        return self.ir.opset_imports.get(domain, 1)

    def functions(self) -> Iterator[Function]:
        """Yield the local functions in their order."""
        yield from self.ir.functions.values()

    def scopes(self) -> Iterator[Graph]:
        """Yield every graph: the main graph, function bodies and all nested subgraphs, outer before inner."""
        todo: list[Graph] = [self.graph, *(function.graph for function in self.functions())]
        while todo:
            graph = todo.pop(0)
            yield graph
            for node in graph:
                todo.extend(subgraphs(node))


def subgraphs(node: Node) -> list[Graph]:
    """List the graphs held by the attributes of `node`, in attribute order."""
    found: list[Graph] = []
    if not node.attributes:
        return found
    for attr in node.attributes.values():
        if attr.is_ref():
            continue
        if attr.type == ir.AttributeType.GRAPH:
            found.append(attr.as_graph())
        elif attr.type == ir.AttributeType.GRAPHS:
            found.extend(attr.as_graphs())
    return found
