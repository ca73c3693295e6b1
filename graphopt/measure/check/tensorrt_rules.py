"""Say what TensorRT's parser and builder refuse, from the graph alone.

Each rule was seen to hold for TensorRT-RTX 1.7 (see tests/measure/test_check.py, which asks it).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from graphopt.graph.model import DataType, Node, Value
from graphopt.measure.check.lists import tensorrt_operators
from graphopt.measure.check.records import Finding, label, operator
from graphopt.measure.check.subject import Subject
from graphopt.measure.check.tensorrt_limits import limits

__all__ = ["rules"]

_QUANTIZERS = frozenset({"QuantizeLinear", "DequantizeLinear"})
_REFUSED_NAMES = frozenset(
    [
        "INT16",
        "UINT16",
        "UINT32",
        "UINT64",
        "INT2",
        "UINT2",
        "UINT4",
        "FLOAT8E5M2",
        "FLOAT8E4M3FNUZ",
        "FLOAT8E5M2FNUZ",
        "STRING",
        "COMPLEX64",
        "COMPLEX128",
    ]
)
# By name, as not every version knows the smallest.
_REFUSED = frozenset(dtype for name, dtype in DataType.__members__.items() if name in _REFUSED_NAMES)
_PACKED = frozenset({DataType.INT4, DataType.FLOAT8E4M3FN})
_LOW = frozenset({DataType.INT8, DataType.INT4, DataType.FLOAT8E4M3FN})
_SYMMETRIC = "quantize with zero points of 0 and int8 (ActivationSymmetric, WeightSymmetric)"
_BIAS = "leave biases in float (QuantizeBias=False)"
_QDQ = "quantize with QuantizeLinear and DequantizeLinear around float operators instead"
_NBITS = "store the weight in int4 blocks behind a DequantizeLinear of opset 21"
_CLOSE = "let a DequantizeLinear read the weight, and the operator read its result"


def rules(subject: Subject) -> Iterator[Finding]:
    """Yield what would be refused."""
    known = tensorrt_operators()
    yield from _refused_types(subject)
    for node in subject.nodes:
        if subject.is_call(node):
            continue
        if node.op_type not in known:
            advice = _QDQ if "Integer" in node.op_type or node.op_type.startswith(("QLinear", "Dynamic")) else ""
            yield _finding(node, "the parser has no importer for it", advice)
        elif node.op_type in _QUANTIZERS:
            yield from _quantizer(node, subject)
        elif node.op_type == "MatMulNBits":
            yield from _matmul_nbits(node, subject)
        elif node.op_type == "Loop" and (len(node.inputs) < 2 or node.inputs[1] is None):
            yield _finding(node, "it has no condition", "give it one that is always true")
        else:
            yield from (_finding(node, what) for what in limits(node, subject.facts))
            yield from _operands(node, subject)


def _finding(node: Node, what: str, advice: str = "") -> Finding:
    return Finding("fails", label(node), operator(node), what, advice)


def _refused_types(subject: Subject) -> Iterator[Finding]:
    """Yield inputs and initializers of a refused type, used or not."""
    graph = subject.model.graph
    for value in graph.inputs:
        dtype = subject.facts.dtype(value)
        if dtype in _REFUSED:
            yield Finding("fails", "", "", f"input {value.name!r} is {_name(dtype)}, which is not taken")
    for scope in subject.model.scopes():
        made = (value for node in scope if node.op_type == "Constant" for value in node.outputs)
        for value in (*getattr(scope, "initializers", {}).values(), *made):
            dtype = subject.facts.dtype(value)
            if dtype in _REFUSED:
                reader = next((user for user, _ in value.uses()), None)
                what = f"constant {value.name!r} is {_name(dtype)}, which is not taken"
                advice = _SYMMETRIC if reader is not None and reader.op_type in _QUANTIZERS else ""
                yield _finding(reader, what, advice) if reader else Finding("fails", "", "", what)


def _name(dtype: DataType | None) -> str:
    return "unknown" if dtype is None else dtype.name.lower()


def _quantizer(node: Node, subject: Subject) -> Iterator[Finding]:
    facts = subject.facts
    data, scale, *rest = (*node.inputs, None, None)[:3]
    zero = rest[0]
    dtype = None if data is None else facts.dtype(data)
    if node.op_type == "DequantizeLinear" and dtype == DataType.INT32:
        yield _finding(node, "it dequantizes int32, which is not taken", _BIAS)
        return
    if node.op_type == "DequantizeLinear" and dtype == DataType.UINT8 and not _is_quantized(data):
        yield _finding(node, "it dequantizes uint8 that no QuantizeLinear makes", _SYMMETRIC)
        return
    if zero is not None:
        values = facts.constant(zero)
        if not facts.is_constant(zero):
            yield _finding(node, "its zero point is no constant", _SYMMETRIC)
        elif values is not None and np.any(values.astype(np.int32) != 0):
            yield _finding(node, "its zero point is not 0", _SYMMETRIC)
    values = None if scale is None else facts.constant(scale)
    grid = facts.dtype(node.outputs[0]) if node.op_type == "QuantizeLinear" else dtype
    if grid != DataType.INT4 and values is not None and np.any(values.astype(np.float32) <= 0):
        yield _finding(node, "its scale is not positive")


def _is_quantized(value: Value | None) -> bool:
    producer = None if value is None else value.producer()
    return producer is not None and producer.op_type == "QuantizeLinear"


def _matmul_nbits(node: Node, subject: Subject) -> Iterator[Finding]:
    first = node.inputs[0]
    if first is not None and subject.facts.dtype(first) == DataType.FLOAT16:
        yield _finding(node, "it needs a plug-in that the package does not hold", _NBITS)
    else:
        yield _finding(node, "it is taken for float16 only", _NBITS)


def _operands(node: Node, subject: Subject) -> Iterator[Finding]:
    """Yield readers of low precision constants, and nodes that compute in a refused type."""
    facts = subject.facts
    for value in node.inputs:
        if value is None:
            continue
        dtype = facts.dtype(value)
        if dtype in _LOW and facts.is_constant(value):
            yield _finding(node, f"it reads the {_name(dtype)} constant {value.name!r} itself", _CLOSE)
            return
        if dtype in _PACKED and node.op_type == "Cast":
            yield _finding(node, f"it casts {_name(dtype)}, which only DequantizeLinear reads")
            return
        if dtype == DataType.UINT8 and node.op_type != "Cast" and not facts.is_constant(value):
            yield _finding(node, "it computes in uint8", "cast to a type of more bits first")
            return
    for value in node.outputs:
        if facts.dtype(value) in _REFUSED:
            yield _finding(node, f"it makes {_name(facts.dtype(value))}, which is not taken")
            return
