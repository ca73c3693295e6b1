"""Carry what the IR cannot hold around it: a placeholder goes in, the real thing comes back at save.

| content | placeholder |
| --- | --- |
| sparse initializer | a node without inputs of domain `graphopt.carried`, whose name is the key |
| sparse tensor, map or opaque type, text that is not UTF-8, in an attribute | a string attribute, the key |
| map or opaque type of a value | no type; the key in the value's metadata |
| an output that is an input as well, or listed twice, with a type of its own | the output's position |

What a placeholder stood for is dropped only with the placeholder, as a dead initializer is.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import onnx

from graphopt.graph._onnx_ir import ir
from graphopt.graph.external import ExternalData
from graphopt.graph.validate_graph import nested_graphs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from graphopt.graph.external import DataFolder
    from graphopt.graph.model import Graph, Model
    from graphopt.graph.survey import Survey

__all__ = ["CARRIED", "SPARSE", "is_placeholder", "lift", "restore", "settle"]

CARRIED = "graphopt.carried"
"""Domain of placeholder nodes, start of every key, and key of the metadata that names a type."""

SPARSE = "SparseInitializer"

Carried = dict[str, object]


def is_placeholder(node: ir.Node) -> bool:
    """Tell whether `node` stands for a sparse initializer: a constant that nothing here can read."""
    return bool(node.domain == CARRIED)


def lift(proto: onnx.ModelProto, survey: Survey) -> Carried:
    """Replace what the IR cannot hold by placeholders, in place; return what was taken out, by key."""
    carried: Carried = {}
    for attribute in survey.attributes:
        held = onnx.AttributeProto()
        held.CopyFrom(attribute)
        attribute.Clear()
        attribute.name, attribute.doc_string = held.name, held.doc_string
        attribute.type, attribute.s = onnx.AttributeProto.STRING, _keep(carried, held).encode()
    for value in survey.values:
        kind = onnx.TypeProto()
        kind.CopyFrom(value.type)
        value.ClearField("type")
        value.metadata_props.add(key=CARRIED, value=_keep(carried, kind))
    for graph in survey.graphs:
        for sparse in graph.sparse_initializer:
            kept = onnx.SparseTensorProto()
            kept.CopyFrom(sparse)
            graph.node.add(domain=CARRIED, op_type=SPARSE, name=_keep(carried, kept), output=[sparse.values.name])
        del graph.sparse_initializer[:]
    _keep_outputs(proto.graph, carried)
    return carried


def _keep(carried: Carried, content: onnx.AttributeProto | onnx.TypeProto | onnx.SparseTensorProto) -> str:
    # Named by content, so that two equal attributes stay equal.
    digest = hashlib.sha256(content.SerializeToString(deterministic=True)).hexdigest()
    key = f"{CARRIED}/{digest[:32]}"
    carried[key] = content
    return key


def _output_key(index: int, name: str) -> str:
    return f"{CARRIED}/output/{index}/{name}"


def _keep_outputs(graph: onnx.GraphProto, carried: Carried) -> None:
    """Keep the declarations of outputs that share their value with an input or another output."""
    declared = {value.name: value for value in graph.input}
    for index, value in enumerate(graph.output):
        first = declared.setdefault(value.name, value)
        if first is value or first == value:
            continue
        kept = onnx.ValueInfoProto()
        kept.CopyFrom(value)
        carried[_output_key(index, value.name)] = kept
        value.CopyFrom(first)


def settle(model: Model, folder: DataFolder | None, survey: Survey) -> None:
    """Finish the IR made from a lifted model: placeholders first, external tensors through their folder."""
    for tensor in survey.described:
        # The IR has read them, and would write them twice.
        del tensor.metadata_props[:]
    for graph in model.scopes() if survey.graphs else ():
        held = [node for node in graph if is_placeholder(node)]
        if held and graph[0] not in held:
            first = graph[0]
            graph.remove(held)
            graph.insert_before(first, held)
    if survey.external and folder is not None:
        for graph in model.scopes():
            _attach(graph, folder)


def _attach(graph: Graph, folder: DataFolder) -> None:
    for value in graph.initializers.values():
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = ExternalData(value.const_value, folder)
    for node in graph:
        for name, attribute in list(node.attributes.items()):
            if not attribute.is_ref() and attribute.type == ir.AttributeType.TENSOR:
                tensor = attribute.as_tensor()
                if isinstance(tensor, ir.ExternalTensor):
                    node.attributes[name] = ir.AttrTensor(name, ExternalData(tensor, folder), attribute.doc_string)


def restore(proto: onnx.ModelProto, carried: Carried) -> None:
    """Put back, in place, what the placeholders still in `proto` stand for."""
    if not carried:
        return
    for graph in _graphs(proto):
        _restore_nodes(graph, carried)
        if isinstance(graph, onnx.GraphProto):
            for values in (graph.input, graph.output, graph.value_info):
                _restore_types(values, carried)
        else:
            _restore_types(graph.value_info, carried)
    for index, value in enumerate(proto.graph.output):
        kept = carried.get(_output_key(index, value.name))
        if isinstance(kept, onnx.ValueInfoProto):
            value.CopyFrom(kept)


def _graphs(proto: onnx.ModelProto) -> Iterator[onnx.GraphProto | onnx.FunctionProto]:
    todo: list[onnx.GraphProto | onnx.FunctionProto] = [proto.graph, *proto.functions]
    while todo:
        graph = todo.pop()
        yield graph
        todo.extend(inner for node in graph.node for inner in nested_graphs(node))


def _restore_nodes(graph: onnx.GraphProto | onnx.FunctionProto, carried: Carried) -> None:
    standing = [index for index, node in enumerate(graph.node) if node.domain == CARRIED]
    for index in reversed(standing):
        node = graph.node[index]
        kept = carried.get(node.name)
        if isinstance(kept, onnx.SparseTensorProto) and isinstance(graph, onnx.GraphProto):
            sparse = graph.sparse_initializer.add()
            sparse.CopyFrom(kept)
            sparse.values.name = node.output[0]
            del graph.node[index]
    if isinstance(graph, onnx.GraphProto) and len(graph.sparse_initializer) > 1:
        graph.sparse_initializer.reverse()
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    if isinstance(graph, onnx.FunctionProto):
        attributes.extend(graph.attribute_proto)
    for attribute in attributes:
        if attribute.type == onnx.AttributeProto.STRING and attribute.s.startswith(CARRIED.encode()):
            kept = carried.get(attribute.s.decode())
            if isinstance(kept, onnx.AttributeProto):
                name = attribute.name
                attribute.CopyFrom(kept)
                attribute.name = name


def _restore_types(values: object, carried: Carried) -> None:
    for value in values:  # type: ignore[attr-defined]
        for index, entry in enumerate(value.metadata_props):
            kept = carried.get(entry.value) if entry.key == CARRIED else None
            if isinstance(kept, onnx.TypeProto):
                value.type.CopyFrom(kept)
                del value.metadata_props[index]
                break
