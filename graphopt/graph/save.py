"""Turn a model into protobuf and bytes, and write it to a file, wholly or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from graphopt.errors import OutputError
from graphopt.graph._onnx_ir import ir
from graphopt.graph.carry import restore
from graphopt.graph.dims import symbols
from graphopt.graph.freeze import INPUT_ORDER
from graphopt.graph.opset import split_imports
from graphopt.graph.validate_graph import nested_graphs

if TYPE_CHECKING:
    import os

    from graphopt.graph.dims import Dim
    from graphopt.graph.facts import Facts
    from graphopt.graph.model import Model, Value

__all__ = ["refresh_value_info", "save", "to_bytes", "to_proto"]

_LISTED_UNTIL = 3
"""IR versions up to this one list every initializer as a graph input."""


def save(model: Model, path: str | os.PathLike[str]) -> None:
    """Write `model` to `path`: the old file or the new one is there at any moment, never a part.

    Large models and those that came with external data get a data file beside the model. Raises `OutputError`.
    """
    from graphopt.graph.stage import stage

    with stage(model, path) as staged:
        staged.commit()


def to_bytes(model: Model) -> bytes:
    """Serialize `model`; tensors in external data stay references. Equal models give equal bytes.

    Raises `OutputError` beyond the 2 GiB that protobuf can hold.
    """
    return serialize(to_proto(model))


def serialize(proto: onnx.ModelProto) -> bytes:
    """Serialize a protobuf model. Raises `OutputError` beyond the 2 GiB that protobuf can hold."""
    from google.protobuf.message import EncodeError

    try:
        return proto.SerializeToString(deterministic=True)
    except (ValueError, EncodeError) as error:
        raise OutputError("the model is larger than 2 GiB", advice="save it to a file, with external data") from error


def to_proto(model: Model) -> onnx.ModelProto:
    """Return `model` as protobuf, with all that the IR cannot hold put back; `model` is left unchanged."""
    proto = ir.to_proto(model.ir)
    restore(proto, model.carried)
    split_imports(proto, model)
    for graph in _graphs(proto):
        _drop_plain_hints(graph)
    if proto.ir_version <= _LISTED_UNTIL:
        _hoist_initializers(proto)
        _list_initializers(proto.graph, model)
    return proto


def _graphs(proto: onnx.ModelProto) -> list[onnx.GraphProto]:
    """List the main graph and all graphs nested in it or in functions."""
    found = [proto.graph]
    todo = [proto.graph.node, *(function.node for function in proto.functions)]
    while todo:
        for node in todo.pop():
            inner = nested_graphs(node) if node.attribute else []
            found.extend(inner)
            todo.extend(graph.node for graph in inner)
    return found


def _drop_plain_hints(graph: onnx.GraphProto) -> None:
    """Drop the value_info that the IR writes for every initializer; it repeats the tensor's own type."""
    names = {tensor.name for tensor in graph.initializer}
    kept = [value for value in graph.value_info if value.name not in names or value.doc_string or value.metadata_props]
    if len(kept) < len(graph.value_info):
        copies = [onnx.ValueInfoProto.FromString(value.SerializeToString()) for value in kept]
        del graph.value_info[:]
        graph.value_info.extend(copies)


def _hoist_initializers(proto: onnx.ModelProto) -> None:
    """Move initializers of inner graphs to the main graph, where old IR versions want them, if no name clashes."""
    inner = [graph for graph in _graphs(proto)[1:] if graph.initializer]
    if not inner or proto.functions:
        return
    names = [name for graph in _graphs(proto) for name in _names(graph)]
    once = {name for name in names if names.count(name) == 1}
    for graph in inner:
        for tensor in list(graph.initializer):
            if tensor.name in once:
                proto.graph.initializer.add().CopyFrom(tensor)
                graph.initializer.remove(tensor)


def _names(graph: onnx.GraphProto) -> list[str]:
    made = [name for node in graph.node for name in node.output]
    held = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
    return [*held, *made]


def _list_initializers(graph: onnx.GraphProto, model: Model) -> None:
    """List every initializer as an input, as old IR versions want it: inputs in their old order, new ones last."""
    listed = {value.name for value in graph.input}
    for tensor in graph.initializer:
        if tensor.name in listed:
            continue
        value = model.graph.initializers.get(tensor.name)
        if value is not None and value.type is not None:
            graph.input.append(ir.to_proto(value))
            continue
        added = graph.input.add(name=tensor.name)
        added.type.tensor_type.elem_type = tensor.data_type
        for dim in tensor.dims:
            added.type.tensor_type.shape.dim.add(dim_value=dim)
    order = {name: index for index, name in enumerate(model.graph.meta.get(INPUT_ORDER) or ())}
    graph.input.sort(key=lambda value: order.get(value.name, len(order)))


def refresh_value_info(model: Model, facts: Facts) -> None:
    """Correct the types that the model declares of interior values, where `facts` knows better; add none."""
    for graph in model.scopes():
        for node in graph:
            for value in node.outputs:
                if not value.is_graph_output() and (value.type is not None or value.shape is not None):
                    _refresh(value, facts)


def _refresh(value: Value, facts: Facts) -> None:
    dtype, shape = facts.dtype(value), facts.shape(value)
    if dtype is not None and (not isinstance(value.type, ir.TensorType) or value.type.dtype != dtype):
        value.type = ir.TensorType(dtype)
    if shape is None or (value.shape is not None and _agrees(value.shape, shape)):
        return
    value.shape = ir.Shape([_declared(dim) for dim in shape])


def _agrees(declared: ir.Shape, shape: tuple[Dim, ...]) -> bool:
    """Tell whether a declared shape says as much as `shape` and nothing else."""
    if len(declared) != len(shape):
        return False
    for said, dim in zip(declared, shape, strict=True):
        known = _declared(dim)
        # Two names may mean one size, and a number where nothing is known may be right.
        if known is not None and (isinstance(said, int) or isinstance(known, int)) and said != known:
            return False
    return True


def _declared(dim: Dim) -> int | str | None:
    if isinstance(dim, int):
        return dim
    names = symbols(dim)
    return None if any(name.startswith("?") for name in names) else str(dim)
