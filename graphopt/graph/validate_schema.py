"""Validate operators: known, with the attributes, types and shapes that their schema asks for.

The knowledge is onnx's own checker and shape inference. They see a copy without large tensors, and without what is
only a hint or what runtimes do not insist on: value_info, declared output shapes, the name of the graph.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import onnx
from onnx import checker, shape_inference

from graphopt.graph.escape import clean
from graphopt.graph.validate_graph import nested_graphs
from graphopt.graph.validate_model import domain_key, expanded_size
from graphopt.graph.validate_tensor import is_external, size_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from graphopt.graph.survey import Survey

__all__ = ["check_schemas"]

_SMALL = 1024
"""Elements up to which a constant's data are shown to shape inference, which reads shapes, axes and the like."""

_MAX_EXPANDED = 200_000
_MAX_CALLS = 50
_OUTSIDE = "graphopt.outside"
_MAX_MODEL = 1 << 30

_BORROWED = {"SimplifiedLayerNormalization": 1 << 30, "LayerNormalization": 17}
"""Operators that onnxruntime puts into ai.onnx, and the opset from which ONNX has them itself."""


_SURE = re.compile(
    r"\(op_type:[^)]*\): (\[\w+\] )?[^\n(]*"
    r"(inconsistent type|[Ii]ncompatible dimensions|must be in \[|attribute perm|repeated value|[Ee]xpected range"
    r"|elem(ent)? type|[Mm]ismatch|Can't merge shape info|must have at least|not specify a valid type)[^\n]*"
)
"""Errors of inference that every runtime shares. Others are remarks: inference refuses, here and there, what runs."""


def check_schemas(proto: onnx.ModelProto, survey: Survey) -> None:
    """Refuse what onnx's checker or its strict inference refuses and no runtime runs.

    Inference is left out where it would expand functions without end, or where constants outside the model matter.
    """
    shared, complete = _stripped(proto)
    if len(shared) > _MAX_MODEL:
        return
    try:
        checker.check_model(shared + _interface(proto, typed=False))
    except (checker.ValidationError, ValueError) as error:
        raise survey.fail(clean(str(error))) from error
    expanded = expanded_size(proto)
    if not complete or expanded is None or expanded[0] > _MAX_EXPANDED or expanded[1] > _MAX_CALLS:
        return
    try:
        shape_inference.infer_shapes(shared + _interface(proto, typed=True), check_type=True, strict_mode=True)
    except (shape_inference.InferenceError, ValueError) as error:
        sure = _SURE.search(str(error))
        if sure:
            raise survey.fail(clean(sure[0])) from error
        survey.remarks.append(f"onnx's shape inference has doubts: {clean(str(error))}")


def _stripped(proto: onnx.ModelProto) -> tuple[bytes, bool]:
    """Return the model without its interface and large tensors, and whether inference can be done on it."""
    copy = onnx.ModelProto(ir_version=max(proto.ir_version, 4))
    copy.opset_import.extend(proto.opset_import)
    copy.functions.extend(proto.functions)
    copy.graph.name = proto.graph.name or "graph"
    copy.graph.node.extend(proto.graph.node)
    copy.graph.initializer.extend(tensor for tensor in proto.graph.initializer if _is_small(tensor))
    versions = {domain_key(entry.domain): entry.version for entry in proto.opset_import}
    if not proto.opset_import:
        copy.opset_import.add(domain="", version=1)
        versions[""] = 1
    copy.opset_import.add(domain=_OUTSIDE, version=1)
    complete = _lighten(copy.graph.node, versions.get("", 1))
    for function in copy.functions:
        del function.value_info[:]
        function.opset_import.add(domain=_OUTSIDE, version=1)
        complete = _lighten(function.node, versions.get("", 1)) and complete
    return copy.SerializeToString(), complete


def _is_small(tensor: onnx.TensorProto) -> bool:
    return not is_external(tensor) and size_of(tensor) <= _SMALL


def _lighten(nodes: Iterable[onnx.NodeProto], opset: int) -> bool:
    """Strip nodes in place; return False if a tensor had to go that inference may need."""
    complete = True
    for node in nodes:
        if node.op_type in _BORROWED and not domain_key(node.domain) and opset < _BORROWED[node.op_type]:
            node.domain = _OUTSIDE
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR and is_external(attribute.t):
                _empty(attribute.t)
                complete = False
        for graph in nested_graphs(node):
            complete = _lighten_graph(graph, opset) and complete
    return complete


def _lighten_graph(graph: onnx.GraphProto, opset: int) -> bool:
    complete = True
    graph.name = graph.name or "graph"
    del graph.value_info[:]
    del graph.quantization_annotation[:]
    for value in (*graph.input, *graph.output):
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.ClearField("shape")
    for tensor in graph.initializer:
        if is_external(tensor):
            _empty(tensor)
            complete = False
    return _lighten(graph.node, opset) and complete


def _empty(tensor: onnx.TensorProto) -> None:
    name, dtype = tensor.name, tensor.data_type
    tensor.Clear()
    tensor.name, tensor.data_type = name, dtype
    tensor.dims.append(0)
    tensor.raw_data = b""


def _interface(proto: onnx.ModelProto, *, typed: bool) -> bytes:
    """Return inputs and outputs as bytes to be put behind the model's: protobuf merges the two.

    The checker wants shapes that the model need not have, so it gets made-up ones (`typed=False`); large initializers
    stand as inputs.
    """
    part = onnx.ModelProto()
    listed = set()
    for value in proto.graph.input:
        listed.add(value.name)
        added = part.graph.input.add(name=value.name)
        _type(added, value.type if typed else None)
    small = {tensor.name for tensor in proto.graph.initializer if _is_small(tensor)}
    for name, dtype, dims in _large(proto.graph, small):
        if name not in listed:
            added = part.graph.input.add(name=name)
            added.type.tensor_type.elem_type = dtype
            added.type.tensor_type.shape.dim.extend(onnx.TensorShapeProto.Dimension(dim_value=dim) for dim in dims)
    if typed:
        for value in proto.graph.output:
            if value.type.tensor_type.elem_type:
                part.graph.output.add(name=value.name).type.tensor_type.elem_type = value.type.tensor_type.elem_type
    return part.SerializeToString()


def _large(graph: onnx.GraphProto, small: set[str]) -> list[tuple[str, int, list[int]]]:
    dense = [(tensor.name, tensor.data_type, list(tensor.dims)) for tensor in graph.initializer]
    sparse = [(held.values.name, held.values.data_type, list(held.dims)) for held in graph.sparse_initializer]
    return [entry for entry in dense if entry[0] not in small] + sparse


def _type(value: onnx.ValueInfoProto, proto: onnx.TypeProto | None) -> None:
    if proto is not None:
        value.type.CopyFrom(proto)
        return
    value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT
    value.type.tensor_type.shape.SetInParent()
