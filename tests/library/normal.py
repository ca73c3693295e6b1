"""Print a model so that two models which differ only in the names of temporaries give the same text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import numpy as np
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, numpy_helper, printer

from tests.library.fixture import HEADER

__all__ = ["normal_text"]

_MOST_ELEMENTS = 256


def normal_text(model: ModelProto) -> str:
    """Return the model as text: temporaries renamed and nodes sorted in the order of need, no hints, no names."""
    copy = ModelProto()
    copy.CopyFrom(model)
    _normalise(copy.graph, {}, iter(f"t{number}" for number in range(10**9)))
    for function in copy.functions:
        names = {name: name for name in (*function.input, *function.output)}
        fresh = iter(f"t{number}" for number in range(10**9))
        del function.value_info[:]
        _rename_nodes(function.node, names, fresh)
    copy.graph.ClearField("doc_string")
    large = list(_large(copy.graph))
    kept = "\n".join(line.rstrip() for line in printer.to_text(copy).strip().splitlines())
    header, graph = kept.split("\n>\n", 1)
    header = " ".join(line.strip() for line in header.splitlines()).replace("< ", "<") + ">"
    graph = "\n".join([*large, graph])
    return graph if header == HEADER else f"{header}\n{graph}"


def _large(graph: GraphProto) -> Iterator[str]:
    """Take constants that are too big to be written out of `graph`, and say what they were."""
    kept = []
    for tensor in graph.initializer:
        if math.prod(tensor.dims) <= _MOST_ELEMENTS:
            kept.append(tensor)
            continue
        array = numpy_helper.to_array(tensor)
        norm = np.linalg.norm(array.astype(np.float64).reshape(-1))
        yield f"# {tensor.name} is {array.dtype}{list(array.shape)} of norm {norm:.4g}"
    del graph.initializer[:]
    graph.initializer.extend(kept)


def _normalise(graph: GraphProto, names: dict[str, str], fresh: Iterator[str]) -> None:
    """Rename what `graph` defines, in place; `names` holds what is seen from outside."""
    del graph.value_info[:]
    names = dict(names)
    names.update({value.name: value.name for value in (*graph.input, *graph.output)})
    nodes = list(_sorted(graph))
    del graph.node[:]
    graph.node.extend(nodes)
    tensors = {tensor.name: tensor for tensor in graph.initializer}
    order = [name for node in graph.node for name in _read(node) if name in tensors]
    ordered = list(dict.fromkeys([*order, *sorted(tensors)]))
    for name in ordered:
        names.setdefault(name, next(fresh))
    del graph.initializer[:]
    for name in ordered:
        array = numpy_helper.to_array(tensors[name])
        graph.initializer.append(numpy_helper.from_array(array, names[name]))
    _rename_nodes(graph.node, names, fresh)


def _rename_nodes(nodes: Iterable[NodeProto], names: dict[str, str], fresh: Iterator[str]) -> None:
    for node in nodes:
        node.ClearField("name")
        node.ClearField("doc_string")
        del node.metadata_props[:]
        node.attribute.sort(key=lambda attr: attr.name)
        node.input[:] = [names.get(name, name) for name in node.input]
        for name in node.output:
            if name:
                names.setdefault(name, next(fresh))
        node.output[:] = [names.get(name, name) for name in node.output]
        for graph in _graphs(node):
            _normalise(graph, names, fresh)


def _graphs(node: NodeProto) -> Iterator[GraphProto]:
    for attr in node.attribute:
        if attr.type == AttributeProto.GRAPH:
            yield attr.g
        yield from attr.graphs


def _read(node: NodeProto) -> list[str]:
    """List the names that a node reads, those that its subgraphs capture included."""
    inner = [name for graph in _graphs(node) for each in graph.node for name in _read(each)]
    outer = [value.name for graph in _graphs(node) for value in graph.output]
    return [*node.input, *inner, *outer]


def _sorted(graph: GraphProto) -> Iterator[NodeProto]:
    """Yield the nodes depth-first from the outputs, then those that no output needs."""
    producer = {name: node for node in graph.node for name in node.output if name}
    done: set[int] = set()
    starts = [producer[value.name] for value in graph.output if value.name in producer]
    for start in (*starts, *graph.node):
        stack = [(start, False)]
        while stack:
            node, ready = stack.pop()
            if ready:
                yield node
                continue
            if id(node) in done:
                continue
            done.add(id(node))
            stack.append((node, True))
            stack.extend((producer[name], False) for name in reversed(_read(node)) if name in producer)
