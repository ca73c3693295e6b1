"""Copy one node out of a model, as a model of its own, and leave the model as it is."""

from __future__ import annotations

from graphopt.graph._onnx_ir import ir
from graphopt.graph.facts import Facts
from graphopt.graph.model import Attr, Model, Node, Value, subgraphs

__all__ = ["single"]

_MAX_CONSTANT_BYTES = 4 << 20


def single(node: Node, model: Model, facts: Facts) -> Model | None:
    """Build a model of a copy of `node` alone: constants below 4 MB stay constants, all else that it reads is an input.

    None if the node holds graphs or refers to a function's attribute, or if the element type of an input is not known.
    """
    if subgraphs(node) or any(attr.is_ref() for attr in node.attributes.values()):
        return None
    read = list(dict.fromkeys(value for value in node.inputs if value is not None))
    taken: dict[Value, Value] = {}
    inputs, constants = [], []
    for value in read:
        tensor = _small_constant(value, facts)
        if tensor is not None:
            shape = ir.Shape(tensor.shape.numpy())
            taken[value] = Value(name=value.name, type=ir.TensorType(tensor.dtype), shape=shape)
            taken[value].const_value = tensor
            constants.append(taken[value])
            continue
        copy = _typed(value, facts)
        if copy is None:
            return None
        inputs.append(copy)
        taken[value] = copy
    outputs = [_typed(value, facts) or Value(name=value.name) for value in node.outputs]
    copied = Node(
        node.domain,
        node.op_type,
        [None if value is None else taken[value] for value in node.inputs],
        list(node.attributes.values()),
        outputs=outputs,
        name=node.name,
    )
    named = [value for value in outputs if value.name]
    imports = {domain: facts.opset_at(node.graph, domain) for domain in {"", node.domain}}
    graph = ir.Graph(inputs, named, nodes=[copied], initializers=constants, opset_imports=imports, name="single")
    return Model(ir.Model(graph, ir_version=model.ir.ir_version), None, model.carried)


def _small_constant(value: Value, facts: Facts) -> ir.TensorProtocol | None:
    """Return the tensor of a constant, unread; None if it is none, or large."""
    producer = value.producer()
    tensor = value.const_value if producer is None else _held(producer.attributes.get("value"))
    if tensor is None or not facts.is_constant(value) or tensor.nbytes > _MAX_CONSTANT_BYTES:
        return None
    return tensor


def _held(attr: Attr | None) -> ir.TensorProtocol | None:
    return None if attr is None or attr.is_ref() or attr.type != ir.AttributeType.TENSOR else attr.value


def _typed(value: Value, facts: Facts) -> Value | None:
    dtype, shape = facts.dtype(value), facts.shape(value)
    if dtype is None and isinstance(value.type, ir.TensorType):
        # Nothing is known of what a foreign operator makes but what the model says of it.
        dtype = value.type.dtype
    if dtype is None:
        return None
    dims = None if shape is None else ir.Shape([dim if isinstance(dim, int) else str(dim) for dim in shape])
    return Value(name=value.name, type=ir.TensorType(dtype), shape=dims)
