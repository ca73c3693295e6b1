"""Cut nodes that read constants only out of a model, as a model of their own."""

from __future__ import annotations

from collections.abc import Sequence

from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Model, Node, Value

__all__ = ["region_model"]


def region_model(model: Model, nodes: Sequence[Node], outputs: Sequence[Value]) -> tuple[bytes, dict[str, Value]]:
    """Serialise `nodes`, which stand in order, with the constants that they read; no inputs, these `outputs`.

    Returns the bytes and, for each name of an output in them, the value of `model` that it stands for.
    """
    inside: dict[Value, Value] = {}
    stored: list[Value] = []
    copies = [_copy(node, inside, stored) for node in nodes]
    results = [inside[value] for value in outputs]
    graph = ir.Graph(
        [], results, nodes=copies, initializers=stored, opset_imports=dict(model.ir.opset_imports), name="region"
    )
    proto = ir.to_proto(ir.Model(graph, ir_version=max(4, model.ir.ir_version)))
    named = {result.name or "": value for result, value in zip(results, outputs, strict=True)}
    return proto.SerializeToString(), named


def _copy(node: Node, inside: dict[Value, Value], stored: list[Value]) -> Node:
    operands = [None if value is None else _operand(value, inside, stored) for value in node.inputs]
    made = [Value(name=f"r{len(inside)}_{index}" if value.name else "") for index, value in enumerate(node.outputs)]
    inside.update(zip(node.outputs, made, strict=True))
    return Node(node.domain, node.op_type, operands, node.attributes, overload=node.overload, outputs=made)


def _operand(value: Value, inside: dict[Value, Value], stored: list[Value]) -> Value:
    found = inside.get(value)
    if found is not None:
        return found
    tensor = value.const_value
    if tensor is None:
        msg = f"{value.name!r} is no constant"
        raise ValueError(msg)
    name = f"c{len(stored)}"
    shape = ir.Shape(tensor.shape.numpy())
    # A tensor carries one name, and this one is in use.
    shared = ir.LazyTensor(lambda: tensor, dtype=tensor.dtype, shape=shape, name=name)
    copy = Value(name=name, shape=ir.Shape(shape.dims), type=ir.TensorType(tensor.dtype), const_value=shared)
    stored.append(copy)
    inside[value] = copy
    return copy
