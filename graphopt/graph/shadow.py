"""Rename inner values that hide an outer value of the same name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from graphopt.graph.escape import quote
from graphopt.graph.validate_graph import nested_graphs

if TYPE_CHECKING:
    from collections.abc import Iterable

    import onnx

    from graphopt.graph.survey import Survey

__all__ = ["rename_shadowing"]


def rename_shadowing(proto: onnx.ModelProto, survey: Survey) -> None:
    """Give values of inner graphs that hide an outer value names of their own.

    The specification forbids them, exporters write them, the runtime runs them. Renamed, no rewrite can confuse two.
    """
    _visit(proto.graph.node, _defined(proto.graph), survey)
    for function in proto.functions:
        outer = {*function.input, *(name for node in function.node for name in node.output)}
        _visit(function.node, outer, survey)


def _defined(graph: onnx.GraphProto) -> set[str]:
    names = {value.name for value in graph.input} | {tensor.name for tensor in graph.initializer}
    names.update(sparse.values.name for sparse in graph.sparse_initializer)
    names.update(name for node in graph.node for name in node.output)
    return names - {""}


def _visit(nodes: Iterable[onnx.NodeProto], outer: set[str], survey: Survey) -> None:
    for node in nodes:
        for graph in nested_graphs(node):
            own = _defined(graph)
            hidden = sorted(own & outer)
            if hidden:
                taken = own | outer | _mentioned(graph)
                names = {name: _fresh(name, taken) for name in hidden}
                _rename(graph, names)
                own = (own - names.keys()) | set(names.values())
                survey.remarks.append(f"{len(hidden)} inner values hid outer ones, first {quote(hidden[0])}; renamed")
            _visit(graph.node, outer | own, survey)


def _mentioned(graph: onnx.GraphProto) -> set[str]:
    names: set[str] = set()
    todo = [graph]
    while todo:
        held = todo.pop()
        names |= _defined(held)
        names.update(name for node in held.node for name in node.input)
        todo.extend(inner for node in held.node for inner in nested_graphs(node))
    return names


def _fresh(name: str, taken: set[str]) -> str:
    number = 1
    while f"{name}_inner_{number}" in taken:
        number += 1
    taken.add(f"{name}_inner_{number}")
    return f"{name}_inner_{number}"


def _rename(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = names.get(value.name, value.name)
    for tensor in graph.initializer:
        tensor.name = names.get(tensor.name, tensor.name)
    for sparse in graph.sparse_initializer:
        sparse.values.name = names.get(sparse.values.name, sparse.values.name)
    for note in graph.quantization_annotation:
        note.tensor_name = names.get(note.tensor_name, note.tensor_name)
    for node in graph.node:
        _replace(node.output, names)
    _rename_reads(graph.node, names)


def _rename_reads(nodes: Iterable[onnx.NodeProto], names: dict[str, str]) -> None:
    for node in nodes:
        _replace(node.input, names)
        for graph in nested_graphs(node):
            own = _defined(graph)
            visible = {old: new for old, new in names.items() if old not in own}
            if visible:
                _rename_reads(graph.node, visible)


def _replace(field: Iterable[str], names: dict[str, str]) -> None:
    listed = list(field)
    if any(name in names for name in listed):
        field[:] = [names.get(name, name) for name in listed]  # type: ignore[index]
