"""Build an onnx-graphsurgeon graph from the IR, object for object."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx_graphsurgeon as gs
from onnx import helper

from graphopt.graph.model import Function, Graph, Model, Node, Value
from graphopt.graph.surgeon.attributes import GraphsNode, attribute_out
from graphopt.graph.surgeon.data import LazyWeights, described, link

__all__ = ["Outward", "standard_opset"]


def standard_opset(imports: Mapping[str, int]) -> int | None:
    """Return the imported version of ai.onnx under either of its names; None if it is not imported."""
    return imports.get("", imports.get("ai.onnx"))


class Outward:
    """The way out of one model: every value becomes one tensor, in whatever scope it is read."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._tensors: dict[Value, Any] = {}
        self._imports: Mapping[str, int] = {}

    def run(self) -> Any:
        """Return the graph of the model, with its functions and subgraphs."""
        whole = self._model.ir
        functions = [self._function(function) for function in self._model.functions()]
        self._imports = whole.opset_imports
        graph = gs.Graph(
            **self._body(self._model.graph),
            name=self._model.graph.name or "",
            doc_string=self._model.graph.doc_string or "",
            producer_name=whole.producer_name or "",
            producer_version=whole.producer_version or "",
            functions=functions,
            ir_version=whole.ir_version,
        )
        link(graph, self._model, self._model.graph)
        return graph

    def _function(self, function: Function) -> Any:
        self._imports = function.opset_imports or self._model.ir.opset_imports
        attrs = {
            name: None if attr.value is None and not attr.is_ref() else attribute_out(attr, self._subgraph)
            for name, attr in function.attributes.items()
        }
        made = gs.Function(
            function.name,
            domain=function.domain,
            **self._body(function.graph),
            doc_string=function.doc_string or "",
            attrs=attrs,
        )
        link(made, self._model, function)
        return made

    def _subgraph(self, graph: Graph) -> Any:
        made = gs.Graph(**self._body(graph), name=graph.name or "", doc_string=graph.doc_string or "")
        link(made, self._model, graph)
        return made

    def _body(self, graph: Graph) -> dict[str, Any]:
        """Return what graphs, functions and subgraphs have in common, as arguments of their constructors."""
        return {
            "inputs": [self._tensor(value) for value in graph.inputs],
            "nodes": [self._node(node) for node in graph],
            "outputs": [self._tensor(value) for value in graph.outputs],
            "opset": standard_opset(self._imports) or 1,
            "import_domains": [helper.make_opsetid(name, version) for name, version in self._imports.items()],
        }

    def _node(self, node: Node) -> Any:
        attrs = {name: attribute_out(attr, self._subgraph) for name, attr in node.attributes.items()}
        kind = (
            GraphsNode
            if any(isinstance(v, list) and v and isinstance(v[0], gs.Graph) for v in attrs.values())
            else gs.Node
        )
        made = kind(
            op=node.op_type,
            name=node.name or "",
            attrs=attrs,
            inputs=[gs.Variable.empty() if value is None else self._tensor(value) for value in node.inputs],
            outputs=[self._tensor(value) for value in node.outputs],
            domain=node.domain or None,
        )
        link(made, self._model, node)
        return made

    def _tensor(self, value: Value) -> Any:
        if value in self._tensors:
            return self._tensors[value]
        if value.is_initializer() and not value.is_graph_input() and value.const_value is not None:
            made = gs.Constant(value.name, LazyWeights(value.const_value))
        else:
            dtype, shape, kind = described(value)
            made = gs.Variable(value.name or "", dtype=dtype, shape=shape, type=kind)
        link(made, self._model, value)
        self._tensors[value] = made
        return made
