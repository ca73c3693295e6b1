"""Say when two tensors, attributes or nodes are the same, bit by bit."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Attr, DataType, Node, Value

__all__ = ["node_key", "sample_key", "tensor_digest"]

_BLOCK = 1 << 22
_SAMPLE = 1024
_META = "graphopt.digest"

_COMMUTATIVE = frozenset(
    {"Add", "And", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "Equal", "Max", "Min", "Mul", "Or", "Sum", "Xor"}
)
"""Operators whose result is the same bit by bit in every order of two operands."""


def tensor_digest(tensor: Any) -> bytes:
    """Hash element type, shape and all bytes, once for each tensor object.

    The data is read in blocks where it lies; mapped files stay mapped.
    """
    if _META not in tensor.meta:
        state = hashlib.blake2b(_header(tensor), digest_size=20)
        for block in _blocks(tensor):
            state.update(block)
        tensor.meta[_META] = state.digest()
    found: bytes = tensor.meta[_META]
    return found


def sample_key(tensor: Any) -> tuple[bytes, bytes, bytes]:
    """Return type and shape with the first and the last elements: what equal tensors surely have in common."""
    if tensor.dtype == DataType.STRING:
        return _header(tensor), tensor_digest(tensor), b""
    data = tensor.numpy().flat
    return _header(tensor), _bytes(data[:_SAMPLE]), _bytes(data[-_SAMPLE:])


def _header(tensor: Any) -> bytes:
    return f"{tensor.dtype.name}{tuple(tensor.shape)}".encode()


def _bytes(part: np.ndarray[Any, Any]) -> bytes:
    return np.ascontiguousarray(part).tobytes()


def _blocks(tensor: Any) -> Iterator[Any]:
    if tensor.dtype == DataType.STRING:
        for text in tensor.numpy().reshape(-1).tolist():
            raw = text.encode() if isinstance(text, str) else text
            yield struct.pack("<q", len(raw)) + raw
        return
    array = tensor.numpy()
    if array.flags.c_contiguous and array.size:
        data = array.reshape(-1).view(np.uint8)
        yield from (data[start : start + _BLOCK] for start in range(0, data.size, _BLOCK))
        return
    # A view on mapped data: put one block after the other in order.
    for start in range(0, array.size, _BLOCK):
        yield _bytes(array.flat[start : start + _BLOCK])


def _attribute_key(attr: Attr) -> Any:
    """Return a key that only equal attributes share; None if they can't be compared cheaply."""
    if attr.is_ref():
        return (attr.name, attr.type, "ref", attr.ref_attr_name)
    kinds = ir.AttributeType
    if attr.type == kinds.FLOAT:
        return (attr.name, attr.type, struct.pack("<d", attr.value))
    if attr.type == kinds.FLOATS:
        return (attr.name, attr.type, struct.pack(f"<{len(attr.value)}d", *attr.value))
    if attr.type in {kinds.INT, kinds.STRING}:
        return (attr.name, attr.type, attr.value)
    if attr.type in {kinds.INTS, kinds.STRINGS}:
        return (attr.name, attr.type, tuple(attr.value))
    if attr.type == kinds.TENSOR:
        return (attr.name, attr.type, tensor_digest(attr.value))
    return None


def node_key(node: Node) -> Any:
    """Return a key that two nodes share if they compute the same from the same values.

    None if that can't be told: graphs, types or sparse tensors among the attributes, or a placement on devices.
    """
    if node.device_configurations:
        return None
    attrs = [_attribute_key(attr) for attr in node.attributes.values()]
    if any(key is None for key in attrs):
        return None
    inputs: tuple[Value | None, ...] = tuple(node.inputs)
    operands = tuple(0 if value is None else id(value) for value in inputs)
    if len(operands) == 2 and node.op_type in _COMMUTATIVE and not node.domain and not attrs:
        operands = tuple(sorted(operands))
    outputs = tuple(bool(value.name) for value in node.outputs)
    return (node.domain, node.op_type, node.overload, operands, frozenset(attrs), outputs)
