"""Turn computed values into stored ones, and measure what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import DataType, Model, Node, Value
from graphopt.graph.names import Names
from graphopt.graph.scopes import walk

__all__ = ["constant_attribute", "materialize", "narrowed", "stored_bytes", "stored_tensors", "tensor_of", "widened"]

Array = np.ndarray[Any, Any]

_BIG = 1 << 20
_NARROW = "graphopt.narrow"
_SCALAR_FORMS = {
    "value_int": DataType.INT64,
    "value_ints": DataType.INT64,
    # A Python float becomes float64 when the element type is not said.
    "value_float": DataType.FLOAT,
    "value_floats": DataType.FLOAT,
}


def constant_attribute(node: Node) -> Any:
    """Return what a `Constant` node holds as a tensor; None if it is sparse, a reference or malformed."""
    if len(node.attributes) != 1:
        return None
    attr = next(iter(node.attributes.values()))
    if attr.is_ref():
        return None
    if attr.name == "value" and attr.type == ir.AttributeType.TENSOR:
        return attr.as_tensor()
    if attr.name in _SCALAR_FORMS:
        return ir.tensor(attr.value, dtype=_SCALAR_FORMS[attr.name])
    if attr.name in {"value_string", "value_strings"}:
        texts = [attr.value] if attr.name == "value_string" else list(attr.value)
        raw = [text.encode() if isinstance(text, str) else bytes(text) for text in texts]
        shape = () if attr.name == "value_string" else (len(raw),)
        return ir.StringTensor(raw, shape=ir.Shape(shape))
    return None


def tensor_of(array: Array, dtype: DataType) -> Any:
    """Wrap an array as a tensor of that element type.

    A small array that is not contiguous is copied; a big one stays a view, lest mapped weights enter the memory.
    """
    array = np.asarray(array)
    if dtype == DataType.STRING:
        raw = [text.encode() if isinstance(text, str) else bytes(text) for text in array.reshape(-1).tolist()]
        return ir.StringTensor(raw, shape=ir.Shape(array.shape))
    if not array.flags.c_contiguous and array.nbytes < _BIG:
        array = array.copy(order="C")
    return ir.Tensor(array, dtype=dtype)


def widened(tensor: Any) -> Any:
    """Return a tensor of the same numbers in float32; they are converted whenever they are read."""
    wide = ir.LazyTensor(
        lambda: ir.Tensor(tensor.numpy().astype(np.float32)),
        dtype=DataType.FLOAT,
        shape=tensor.shape,
        name=tensor.name,
    )
    wide.meta[_NARROW] = tensor
    return wide


def narrowed(tensor: Any, to: DataType) -> Any:
    """Return a tensor of the numbers rounded to `to`: the one that it was `widened` from, or a copy."""
    source = tensor.meta.get(_NARROW)
    if source is not None and source.dtype == to:
        return _renamed_view(source)
    with np.errstate(over="ignore"):
        return tensor_of(tensor.numpy().astype(to.numpy()), to)


def materialize(value: Value, tensor: Any, names: Names) -> Value:
    """Let an initializer of the same name take the place of a node's result, for its readers and as graph output.

    The node stays, with its result renamed and unread. No data is copied.
    """
    node = value.producer()
    if node is None or node.graph is None or value.name is None:
        msg = f"{value.name!r} is not a node's result"
        raise ValueError(msg)
    graph, name = node.graph, value.name
    owner = graph.initializers.get(tensor.name or "")
    if owner is not None and owner.const_value is tensor:
        # A tensor carries its initializer's name; two values can't share one.
        tensor = _renamed_view(tensor)
    # In this order: a value hands its name on to the tensor that it holds.
    value.name = names.fresh(f"{name}_unread")
    tensor.name = name
    made = Value(name=name, shape=ir.Shape(tensor.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    made.doc_string = value.doc_string
    made.metadata_props.update(value.metadata_props)
    made.meta.update(value.meta)
    graph.register_initializer(made)
    _take_over(value, made)
    return made


def _take_over(old: Value, new: Value) -> None:
    graph = new.graph
    if old.is_graph_output() and graph is not None:
        # The interface keeps the type it declared, symbolic dimensions included.
        new.type = old.type or new.type
        new.shape = old.shape if old.shape is not None else new.shape
    old.replace_all_uses_with(new, replace_graph_outputs=True)


def _renamed_view(tensor: Any) -> Any:
    return ir.LazyTensor(lambda: tensor, dtype=tensor.dtype, shape=tensor.shape)


def stored_tensors(model: Model) -> Iterator[Any]:
    """Yield the tensors of all initializers and constant attributes; nothing is read."""
    for scope in walk(model):
        yield from (value.const_value for value in scope.graph.initializers.values() if value.const_value is not None)
        for node in scope.graph:
            yield from (attr.value for attr in node.attributes.values() if _holds_tensor(attr))


def stored_bytes(model: Model) -> int:
    """Add up the sizes of all initializers and constant attributes; nothing is read."""
    return sum(int(tensor.nbytes) for tensor in stored_tensors(model))


def _holds_tensor(attr: Any) -> bool:
    return attr.type == ir.AttributeType.TENSOR and not attr.is_ref()


def dtype_of(array: Array) -> DataType:
    """Return the element type that an array stores; objects and text are strings."""
    return DataType.STRING if array.dtype.kind in "OSU" else DataType.from_numpy(array.dtype)
