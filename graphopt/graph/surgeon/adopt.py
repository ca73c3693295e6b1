"""Match a copy of an onnx-graphsurgeon graph with the model by name, which is all that a copy keeps."""

from __future__ import annotations

from typing import Any

from graphopt.graph.model import Graph, Model, Node, Value
from graphopt.graph.surgeon.attributes import graphs_of
from graphopt.graph.surgeon.data import link, owner_of

__all__ = ["adopt"]


def adopt(source: Any, model: Model) -> None:
    """Link the objects of `source`, which came from nowhere, to those of `model` that have their names."""
    _adopt_graph(source, model, model.graph)
    if not source.producer_name and not source.producer_version:  # `gs.Graph.copy` loses both.
        source.producer_name, source.producer_version = model.ir.producer_name or "", model.ir.producer_version or ""
    functions = {(function.domain, function.name): function for function in model.functions() if not function.overload}
    for item in source.functions:
        function = functions.get((item.domain or "", item.name))
        if function is not None and owner_of(item) is None:
            _adopt_graph(item, model, function.graph)
            link(item, model, function)


def _adopt_graph(source: Any, model: Model, graph: Graph) -> None:
    link(source, model, graph)
    known: dict[str, Value] = {
        value.name: value for value in [*graph.inputs, *graph.initializers.values()] if value.name
    }
    known.update({value.name: value for node in graph for value in node.outputs if value.name})
    made = [tensor for node in source.nodes for tensor in [*node.inputs, *node.outputs]]
    for tensor in [*source.inputs, *made, *source.outputs]:
        if owner_of(tensor) is None and tensor.name in known:
            link(tensor, model, known[tensor.name])
    for item in source.nodes:
        names = [tensor.name for tensor in item.outputs if tensor.name in known]
        node = known[names[0]].producer() if names else None
        if node is not None and owner_of(item) is None and node.op_type == item.op:
            link(item, model, node)
            _adopt_subgraphs(item, model, node)


def _adopt_subgraphs(item: Any, model: Model, node: Node) -> None:
    for name, value in item.attrs.items():
        attr = node.attributes.get(name)
        if attr is None or attr.is_ref():
            continue
        for source, graph in zip(graphs_of(value), graphs_of_attribute(attr.value), strict=False):
            if owner_of(source) is None:
                _adopt_graph(source, model, graph)


def graphs_of_attribute(value: Any) -> list[Graph]:
    """List the graphs that are, or are in, the value of an IR attribute."""
    items = value if isinstance(value, tuple) else (value,)
    return [item for item in items if isinstance(item, Graph)]
