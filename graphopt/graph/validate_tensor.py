"""Validate tensors and types: known element types, sane dims, data of exactly the size that they need."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import onnx
from onnx import numpy_helper

from graphopt.errors import ModelError, UnsupportedError
from graphopt.graph.escape import quote

if TYPE_CHECKING:
    from graphopt.graph.survey import Survey

__all__ = ["bits_of", "check_sparse", "check_tensor", "holds", "is_external", "size_of"]

T = onnx.TensorProto

_BITS: dict[int, int] = {
    **dict.fromkeys((T.UINT2, T.INT2), 2),
    **dict.fromkeys((T.UINT4, T.INT4, T.FLOAT4E2M1), 4),
    **dict.fromkeys((getattr(T, "FLOAT6E2M3", -1), getattr(T, "FLOAT6E3M2", -1)), 6),
    **dict.fromkeys((T.UINT8, T.INT8, T.BOOL, T.FLOAT8E4M3FN, T.FLOAT8E4M3FNUZ, T.FLOAT8E5M2, T.FLOAT8E5M2FNUZ), 8),
    **dict.fromkeys((T.FLOAT8E8M0,), 8),
    **dict.fromkeys((T.UINT16, T.INT16, T.FLOAT16, T.BFLOAT16), 16),
    **dict.fromkeys((T.FLOAT, T.INT32, T.UINT32), 32),
    **dict.fromkeys((T.DOUBLE, T.INT64, T.UINT64, T.COMPLEX64), 64),
    T.COMPLEX128: 128,
    T.STRING: 0,
}
_FIELDS: dict[int, str] = {
    T.FLOAT: "float_data",
    T.COMPLEX64: "float_data",
    T.DOUBLE: "double_data",
    T.COMPLEX128: "double_data",
    T.INT64: "int64_data",
    T.UINT32: "uint64_data",
    T.UINT64: "uint64_data",
    T.STRING: "string_data",
}
_TYPED = ("float_data", "int32_data", "string_data", "int64_data", "double_data", "uint64_data")
_LIMIT = 1 << 62
_NUMBER = re.compile(r"[0-9]{1,18}")


def bits_of(dtype: int) -> int | None:
    """Return the bits of one element; 0 for strings, None for an unknown type."""
    return _BITS.get(dtype) if dtype > 0 else None


def is_external(tensor: onnx.TensorProto) -> bool:
    """Tell whether the data lie outside the model."""
    return bool(tensor.data_location == T.EXTERNAL)


def size_of(tensor: onnx.TensorProto) -> int:
    """Return the number of elements; -1 if a dim is negative or the product is beyond all memory."""
    size, zero = 1, False
    for dim in tensor.dims:
        if dim < 0:
            return -1
        zero = zero or dim == 0
        size = min(size * max(dim, 1), _LIMIT)
    if size >= _LIMIT:
        return -1
    return 0 if zero else size


def check_tensor(tensor: onnx.TensorProto, survey: Survey, at: str) -> None:
    """Refuse a tensor that has not exactly the data that its type and dims need."""
    survey.require_text((tensor.name, tensor.doc_string), at)
    survey.require_entries(tensor.metadata_props, at)
    survey.require_entries(tensor.external_data, at)
    bits, size = bits_of(tensor.data_type), size_of(tensor)
    if bits is None:
        raise survey.fail(f"tensor {quote(tensor.name)} has the unknown data type {tensor.data_type}", at=at)
    if size < 0:
        raise survey.fail(f"tensor {quote(tensor.name)} has impossible dims {list(tensor.dims)[:8]}", at=at)
    if tensor.HasField("segment"):
        raise UnsupportedError(f"tensor {quote(tensor.name)} is split into segments", where=f"{at} in {survey.where}")
    if tensor.metadata_props:
        survey.described.append(tensor)
    if is_external(tensor):
        _check_external(tensor, survey, at, (size * bits + 7) // 8)
        return
    typed = [name for name in _TYPED if len(getattr(tensor, name))]
    if tensor.HasField("raw_data"):
        _check_raw(tensor, survey, at, (size * bits + 7) // 8, typed)
        return
    _check_typed(tensor, survey, at, size, typed)


def _check_raw(tensor: onnx.TensorProto, survey: Survey, at: str, expected: int, typed: list[str]) -> None:
    name = quote(tensor.name)
    if typed:
        raise survey.fail(f"tensor {name} has both raw data and {typed[0]}", at=at)
    if tensor.data_type == T.STRING:
        raise survey.fail(f"tensor {name} holds strings as raw data", at=at)
    found = len(tensor.raw_data)
    if found != expected:
        raise survey.fail(f"tensor {name} has {found} bytes of data; its type and dims need {expected}", at=at)


def _check_typed(tensor: onnx.TensorProto, survey: Survey, at: str, size: int, typed: list[str]) -> None:
    dtype, name = tensor.data_type, quote(tensor.name)
    field = _FIELDS.get(dtype, "int32_data")
    wrong = [other for other in typed if other != field]
    if wrong:
        raise survey.fail(f"tensor {name} of type {T.DataType.Name(dtype)} has {wrong[0]}", at=at)
    expected = size
    if dtype in {T.COMPLEX64, T.COMPLEX128}:
        expected = 2 * size
    elif _BITS[dtype] in {2, 4}:
        expected = (size * _BITS[dtype] + 7) // 8
    found = len(getattr(tensor, field))
    if found != expected:
        raise survey.fail(f"tensor {name} has {found} numbers in {field}; its type and dims need {expected}", at=at)


def _check_external(tensor: onnx.TensorProto, survey: Survey, at: str, expected: int) -> None:
    name = quote(tensor.name)
    entries = _external_entries(tensor, survey, at)
    if survey.folder is None:
        advice = "load the model from its file"
        raise survey.fail(f"tensor {name} has external data, but the model has no folder", at=at, advice=advice)
    offset, length = int(entries.get("offset", 0)), int(entries.get("length", expected))
    if length != expected:
        raise survey.fail(f"tensor {name} has {length} bytes of external data; it needs {expected}", at=at)
    try:
        available = survey.folder.check(entries.get("location", ""))
    except ModelError as error:
        raise ModelError(error.what, where=f"tensor {name}, {at} in {survey.where}", advice=error.advice) from error
    if offset + length > available:
        what = f"tensor {name} needs bytes {offset} to {offset + length} of a file of {available} bytes"
        raise survey.fail(what, at=at, advice=f"is {quote(entries.get('location', ''))} complete?")
    survey.external = True


def _external_entries(tensor: onnx.TensorProto, survey: Survey, at: str) -> dict[str, str]:
    """Return location, offset and length as the tensor states them, the last two as digits."""
    name = quote(tensor.name)
    entries = {entry.key: entry.value for entry in tensor.external_data}
    if tensor.data_type == T.STRING:
        raise survey.fail(f"tensor {name} holds strings in external data", at=at)
    if tensor.HasField("raw_data") or any(len(getattr(tensor, field)) for field in _TYPED):
        raise survey.fail(f"tensor {name} has data both in the model and outside it", at=at)
    for key in ("offset", "length"):
        if key in entries and not _NUMBER.fullmatch(entries[key]):
            raise survey.fail(f"tensor {name} has the external data {key} {quote(entries[key])}", at=at)
    return entries


def check_sparse(sparse: onnx.SparseTensorProto, survey: Survey, at: str) -> None:
    """Refuse a sparse tensor whose values and indices do not fit its dims."""
    name = quote(sparse.values.name)
    if is_external(sparse.values) or is_external(sparse.indices):
        raise UnsupportedError(f"sparse tensor {name} in external data", where=f"{at} in {survey.where}")
    check_tensor(sparse.values, survey, at)
    check_tensor(sparse.indices, survey, at)
    dense = onnx.TensorProto(dims=sparse.dims)
    count = size_of(sparse.values)
    shape = list(sparse.indices.dims)
    fits = shape in ([count], [count, len(sparse.dims)]) and sparse.indices.data_type == T.INT64
    if size_of(dense) < 0 or len(sparse.values.dims) != 1 or not fits:
        raise survey.fail(f"sparse tensor {name} has values and indices that do not fit its dims", at=at)
    limits = np.array(sparse.dims if len(shape) == 2 else [size_of(dense)], np.int64)
    places = numpy_helper.to_array(sparse.indices)
    if ((places < 0) | (places >= limits)).any():
        raise survey.fail(f"sparse tensor {name} has an index outside its dims", at=at)


def holds(proto: onnx.TypeProto, survey: Survey, at: str) -> bool:
    """Tell whether the IR can hold a type; refuse an unknown element type."""
    survey.require_text((proto.denotation,), at)
    kind = proto.WhichOneof("value")
    if kind in {"sequence_type", "optional_type"}:
        inner = getattr(proto, kind)
        return inner.HasField("elem_type") and holds(inner.elem_type, survey, at)
    if kind not in {"tensor_type", "sparse_tensor_type"}:
        return kind is None and not proto.denotation
    for dim in getattr(proto, kind).shape.dim:
        survey.require_text((dim.dim_param, dim.denotation), at)
    dtype = getattr(proto, kind).elem_type
    if dtype and bits_of(dtype) is None:
        raise survey.fail(f"unknown element type {dtype}", at=at)
    return bool(dtype)
