"""Validate the scopes of a model: every name defined once, every read resolved, no cycles, every node well-formed."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import onnx

from graphopt.graph.escape import quote
from graphopt.graph.validate_tensor import check_sparse, check_tensor, holds

if TYPE_CHECKING:
    from graphopt.graph.survey import Survey

__all__ = ["Scope", "check_attribute", "check_graph", "check_nodes", "check_value", "nested_graphs"]

A = onnx.AttributeProto

MAX_DEPTH = 64
"""Graphs inside graphs; more does not pass through protobuf."""

_FIELD_OF_TYPE = {
    A.FLOAT: "f",
    A.INT: "i",
    A.STRING: "s",
    A.TENSOR: "t",
    A.GRAPH: "g",
    A.SPARSE_TENSOR: "sparse_tensor",
    A.TYPE_PROTO: "tp",
    A.FLOATS: "floats",
    A.INTS: "ints",
    A.STRINGS: "strings",
    A.TENSORS: "tensors",
    A.GRAPHS: "graphs",
    A.SPARSE_TENSORS: "sparse_tensors",
    A.TYPE_PROTOS: "type_protos",
}
_SINGLE = frozenset({"t", "g", "sparse_tensor", "tp"})
_SIMPLE = frozenset({A.FLOAT, A.INT, A.FLOATS, A.INTS})

Reads = dict[str, str]
"""A name that a graph reads and does not define, and the node that reads it."""


@dataclass(frozen=True)
class Scope:
    """Where the walk is: the names defined outside and the depth."""

    outer: frozenset[str] = frozenset()
    depth: int = 0


def nested_graphs(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    """List the graphs in the attributes of `node`."""
    graphs = []
    for attribute in node.attribute:
        if attribute.type == A.GRAPH and not attribute.ref_attr_name:
            graphs.append(attribute.g)
        elif attribute.type == A.GRAPHS:
            graphs.extend(attribute.graphs)
    return graphs


def check_graph(graph: onnx.GraphProto, survey: Survey, scope: Scope) -> Reads:
    """Check one graph and all in it; sort its nodes if they are out of order; return what it reads from outside."""
    at = f"graph {quote(graph.name)}"
    survey.require_text((graph.name, graph.doc_string), "a graph")
    survey.require_entries(graph.metadata_props, at)
    for note in graph.quantization_annotation:
        survey.require_text((note.tensor_name,), at)
        survey.require_entries(note.quant_parameter_tensor_names, at)
    if scope.depth > MAX_DEPTH:
        raise survey.fail(f"graphs nested deeper than {MAX_DEPTH}", at=at)
    inputs = _unique((value.name for value in graph.input), survey, f"{at}, its inputs")
    constants = _check_initializers(graph, survey, at)
    names = inputs | constants
    _check_values(graph, survey, at, main=scope.depth == 0)
    reads = check_nodes(graph.node, names, survey, scope, at)
    for output in graph.output:
        if not output.name or output.name not in names:
            known = "an outer value; put an Identity between" if output.name in scope.outer else "not defined"
            raise survey.fail(f"output {quote(output.name)} is {known}", at=at)
    return reads


def _unique(names: Iterable[str], survey: Survey, at: str) -> set[str]:
    seen: set[str] = set()
    for name in names:
        if not name:
            raise survey.fail("a name is missing", at=at)
        if name in seen:
            raise survey.fail(f"{quote(name)} is defined twice", at=at)
        seen.add(name)
    return seen


def _check_initializers(graph: onnx.GraphProto, survey: Survey, at: str) -> set[str]:
    place = f"{at}, its initializers"
    names = [tensor.name for tensor in graph.initializer] + [sparse.values.name for sparse in graph.sparse_initializer]
    found = _unique(names, survey, place)
    for tensor in graph.initializer:
        check_tensor(tensor, survey, place)
    for sparse in graph.sparse_initializer:
        check_sparse(sparse, survey, place)
    if graph.sparse_initializer:
        survey.graphs.append(graph)
    return found


def _check_values(graph: onnx.GraphProto, survey: Survey, at: str, *, main: bool) -> None:
    for value in graph.input:
        kind = value.type.WhichOneof("value")
        untyped = kind is None or (kind == "tensor_type" and not value.type.tensor_type.elem_type)
        if main and untyped:
            raise survey.fail(f"input {quote(value.name)} has no type", at=at)
    for values in (graph.input, graph.output, graph.value_info):
        for value in values:
            check_value(value, survey, at)


def check_value(value: onnx.ValueInfoProto, survey: Survey, at: str) -> None:
    """Check the name and type of a value; note a type that the IR cannot hold."""
    survey.require_text((value.name, value.doc_string), at)
    if value.metadata_props:
        survey.require_entries(value.metadata_props, at)
    if not holds(value.type, survey, f"value {quote(value.name)}, {at}"):
        survey.values.append(value)


def check_nodes(nodes: Iterable[onnx.NodeProto], names: set[str], survey: Survey, scope: Scope, at: str) -> Reads:
    """Check the nodes of one graph or function, sort them if needed; add their results to `names`.

    `nodes` is the repeated field itself, so that it can be sorted in place.
    """
    ready = set(names)
    _define(nodes, names, survey, at)
    visible = scope.outer | names if _any_nested(nodes) else scope.outer
    inner = Scope(frozenset(visible), scope.depth + 1)
    reads: Reads = {}
    in_order = True
    for node in nodes:
        wanted = _reads(node, survey, inner, at)
        for name in sorted(wanted.keys() - ready):
            if name in names:
                in_order = False
            elif name in scope.outer:
                reads.setdefault(name, wanted[name])
            else:
                raise survey.fail(f"{quote(name)} is read but nowhere defined", at=f"{wanted[name]}, {at}")
        ready.update(node.output)
    if not in_order:
        _sort(nodes, survey, at)
    return reads


def _define(nodes: Iterable[onnx.NodeProto], names: set[str], survey: Survey, at: str) -> None:
    for node in nodes:
        for name in node.output:
            if name and name in names:
                raise survey.fail(f"{quote(name)} is defined twice", at=f"{_title(node)}, {at}")
            names.add(name)
    names.discard("")


def _any_nested(nodes: Iterable[onnx.NodeProto]) -> bool:
    return any(attribute.type in {A.GRAPH, A.GRAPHS} for node in nodes for attribute in node.attribute)


def _reads(node: onnx.NodeProto, survey: Survey, inner: Scope, at: str) -> Reads:
    title = _title(node)
    survey.require_text((node.name, node.op_type, node.domain, node.overload, node.doc_string), at)
    survey.require_text((*node.input, *node.output), f"{title}, {at}")
    if node.metadata_props:
        survey.require_entries(node.metadata_props, f"{title}, {at}")
    wanted = {name: title for name in node.input if name}
    if node.attribute:
        _check_attributes(node, survey, f"{title}, {at}")
        for graph in nested_graphs(node):
            wanted.update(check_graph(graph, survey, inner))
    if not node.op_type:
        raise survey.fail("a node has no operator", at=f"{title}, {at}")
    return wanted


def _title(node: onnx.NodeProto) -> str:
    name = node.name or next(iter(node.output), "")
    return f"{quote(node.op_type)} node {quote(name)}"


def _sort(nodes: Iterable[onnx.NodeProto], survey: Survey, at: str) -> None:
    """Sort nodes so that each stands behind what it reads; among those that may come next, the earlier first."""
    listed = list(nodes)
    maker = {name: index for index, node in enumerate(listed) for name in node.output if name}
    waits = [{maker[name] for name in _captured(node) if name in maker} for node in listed]
    users: list[list[int]] = [[] for _ in listed]
    for index, makers in enumerate(waits):
        for made in makers:
            users[made].append(index)
    left = [len(makers) for makers in waits]
    heap = [index for index, count in enumerate(left) if not count]
    rank: dict[int, int] = {}
    while heap:
        index = heapq.heappop(heap)
        rank[index] = len(rank)
        for user in users[index]:
            left[user] -= 1
            if not left[user]:
                heapq.heappush(heap, user)
    if len(rank) < len(listed):
        stuck = next(index for index in range(len(listed)) if index not in rank)
        raise survey.fail("the graph has a cycle", at=f"{_title(listed[stuck])}, {at}")
    _reorder(nodes, rank)
    survey.remarks.append(f"the nodes of {at} were out of order and have been sorted")


def _captured(node: onnx.NodeProto) -> set[str]:
    """Name all that `node` and the graphs in it read; names of inner values are harmless here."""
    names = set(node.input)
    todo = nested_graphs(node)
    while todo:
        graph = todo.pop()
        own = {value.name for value in graph.input} | {name for inner in graph.node for name in inner.output}
        names.update(name for inner in graph.node for name in inner.input if name not in own)
        todo.extend(inner for held in graph.node for inner in nested_graphs(held))
    return names


def _reorder(nodes: Iterable[onnx.NodeProto], rank: Mapping[int, int]) -> None:
    # The field calls its key once for each element, in order.
    order = iter(range(len(rank)))
    nodes.sort(key=lambda _: rank[next(order)])  # type: ignore[attr-defined]


def _check_attributes(node: onnx.NodeProto, survey: Survey, at: str) -> None:
    seen: set[str] = set()
    for attribute in node.attribute:
        survey.require_text((attribute.name, attribute.ref_attr_name, attribute.doc_string), at)
        if attribute.name in seen or not attribute.name:
            raise survey.fail(f"attribute {quote(attribute.name)} is missing its name or given twice", at=at)
        seen.add(attribute.name)
        check_attribute(attribute, survey, at)


def check_attribute(attribute: onnx.AttributeProto, survey: Survey, at: str) -> None:
    """Check the type of an attribute and all it holds; give it its type if an old exporter left that out."""
    if attribute.ref_attr_name or attribute.type in _SIMPLE:
        return
    place = f"attribute {quote(attribute.name)}, {at}"
    if not attribute.type:
        _give_type(attribute, survey, place)
    field = _FIELD_OF_TYPE.get(attribute.type)
    if field is None or (field in _SINGLE and not attribute.HasField(field)):
        raise survey.fail(f"attribute {quote(attribute.name)} has no value of its type", at=at)
    if not _is_held(attribute, survey, place):
        survey.attributes.append(attribute)


def _give_type(attribute: onnx.AttributeProto, survey: Survey, at: str) -> None:
    names = [descriptor.name for descriptor, _ in attribute.ListFields()]
    types = [kind for kind, field in _FIELD_OF_TYPE.items() if field in names]
    if len(types) != 1:
        raise survey.fail("an attribute has no type", at=at)
    attribute.type = types[0]


def _is_held(attribute: onnx.AttributeProto, survey: Survey, at: str) -> bool:
    kind = attribute.type
    if kind in {A.STRING, A.STRINGS}:
        return all(_is_text(text) for text in (attribute.strings if kind == A.STRINGS else [attribute.s]))
    if kind in {A.TENSOR, A.TENSORS}:
        for tensor in attribute.tensors if kind == A.TENSORS else [attribute.t]:
            check_tensor(tensor, survey, at)
        return True
    if kind in {A.SPARSE_TENSOR, A.SPARSE_TENSORS}:
        for sparse in attribute.sparse_tensors if kind == A.SPARSE_TENSORS else [attribute.sparse_tensor]:
            check_sparse(sparse, survey, at)
        return False
    if kind in {A.TYPE_PROTO, A.TYPE_PROTOS}:
        types = attribute.type_protos if kind == A.TYPE_PROTOS else [attribute.tp]
        # No early end: every one is to be checked.
        return sum(not holds(proto, survey, at) for proto in types) == 0
    return True


def _is_text(text: bytes) -> bool:
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True
