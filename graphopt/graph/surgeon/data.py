"""Translate element types, shapes, weights and attributes between the IR and onnx-graphsurgeon."""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import numpy as np
from onnx_graphsurgeon.ir.tensor import LazyValues, SparseValues

from graphopt.errors import ModelError, UnsupportedError
from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import DataType, Model, Value

__all__ = [
    "LazyWeights",
    "check_type",
    "described",
    "gs_dtype",
    "link",
    "linked",
    "named",
    "new_value",
    "origin",
    "owner_of",
    "retype",
    "to_data_type",
    "weight_of",
]

_KINDS: dict[Any, str] = {
    ir.SequenceType: "sequence_type",
    ir.OptionalType: "optional_type",
    ir.SparseTensorType: "sparse_tensor_type",
}
_NOT_IN_GS = frozenset(
    {
        DataType.BFLOAT16,
        DataType.FLOAT8E4M3FN,
        DataType.FLOAT8E4M3FNUZ,
        DataType.FLOAT8E5M2,
        DataType.FLOAT8E5M2FNUZ,
    }
)
"""The element types that onnx-graphsurgeon shows as ONNX's number, not as a numpy type."""

_LINK = "_graphopt_link"


class _Link(NamedTuple):
    """What an object of onnx-graphsurgeon was made from: `item`, a part of `owner`."""

    owner: Model
    item: Any


def link(thing: Any, owner: Model, item: Any) -> None:
    """Note on `thing` that it stands for `item` of `owner`."""
    vars(thing)[_LINK] = _Link(owner, item)


def linked(thing: Any, owner: Model) -> Any:
    """Return what `thing` stands for in `owner`; None if it is new or of another model."""
    found = vars(thing).get(_LINK)
    return found.item if found is not None and found.owner is owner else None


def origin(thing: Any) -> Any:
    """Return what `thing` stands for in whatever model, or None."""
    found = vars(thing).get(_LINK)
    return None if found is None else found.item


def owner_of(thing: Any) -> Model | None:
    """Return the model that `thing` was made from, or None."""
    found = vars(thing).get(_LINK)
    return None if found is None else found.owner


class LazyWeights(LazyValues):  # type: ignore[misc]
    """Show a tensor of the IR to onnx-graphsurgeon; read it only on `load`."""

    def __init__(self, weight: Any) -> None:
        self.weight = weight
        self.shape = tuple(weight.shape.numpy())
        self.dtype = gs_dtype(weight.dtype)

    @property
    def nbytes(self) -> int:
        """The size of the data in bytes."""
        if self.weight.dtype == DataType.STRING:
            return int(self.weight.nbytes)
        return int((self.weight.size * self.weight.dtype.bitwidth + 7) // 8)

    @property
    def tensor(self) -> Any:
        """The weights as a new TensorProto, which is what the exporter of onnx-graphsurgeon asks for."""
        return ir.to_proto(self.weight)

    def load(self) -> np.ndarray[Any, Any]:
        """Copy the weights to an array that may be written to."""
        return np.array(self.weight.numpy())


def gs_dtype(dtype: DataType | None) -> Any:
    """Return the element type as onnx-graphsurgeon shows it: a numpy type, ONNX's number, or None."""
    if dtype is None or dtype == DataType.UNDEFINED:
        return None
    return int(dtype) if dtype in _NOT_IN_GS else dtype.numpy()


def to_data_type(dtype: Any, where: str) -> DataType:
    """Return the element type for a numpy type or ONNX's number; `where` names what has it.

    Raises `ModelError` if ONNX has no such type.
    """
    try:
        if isinstance(dtype, int | np.integer):
            return DataType(int(dtype))
        return DataType.from_numpy(np.dtype(dtype).newbyteorder("="))
    except (TypeError, ValueError) as error:
        raise ModelError(f"ONNX has no element type {dtype!r}", where=where) from error


def described(value: Value) -> tuple[Any, list[int | str | None] | None, str]:
    """Return element type, shape and kind of type as onnx-graphsurgeon shows them."""
    kind = "tensor_type" if value.type is None else _KINDS.get(type(value.type), "tensor_type")
    shape = None if value.shape is None else [dim if isinstance(dim, int) else dim.value for dim in value.shape]
    return gs_dtype(value.dtype), shape, kind


def _shape(dims: Any, old: ir.Shape | None) -> ir.Shape:
    """Make a shape; a dim that equals the old one at its place is kept with its denotation."""
    made: list[Any] = []
    for index, dim in enumerate(dims):
        before = old[index] if old is not None and index < len(old) else None
        shown = before if before is None or isinstance(before, int) else before.value
        made.append(before if before is not None and shown == dim else _dim(dim))
    denotations = [old.get_denotation(i) if old is not None and i < len(old) else None for i in range(len(made))]
    return ir.Shape(made, denotations=denotations)


def _dim(dim: Any) -> int | str | None:
    if dim is None or dim == "":
        return None
    if isinstance(dim, int | np.integer):
        return int(dim) if dim >= 0 else None
    return str(dim)


def _type(dtype: DataType, kind: str, old: Any) -> Any:
    if old is not None and (kind == "tensor_type" or _KINDS.get(type(old)) == kind):
        made = copy.deepcopy(old)
        made.dtype = dtype
        return made
    if kind == "sparse_tensor_type":
        return ir.SparseTensorType(dtype)
    inner = ir.TensorType(dtype)
    return {"sequence_type": ir.SequenceType, "optional_type": ir.OptionalType}.get(kind, lambda it: it)(inner)


def retype(value: Value, tensor: Any, *, keep_type: bool = False) -> None:
    """Give `value` the type and shape of a variable of onnx-graphsurgeon, as far as they differ from its own.

    With `keep_type`, a variable without an element type leaves that of `value`.
    """
    dtype, shape, kind = described(value)
    where = f"tensor {tensor.name!r}"
    wanted_kind = vars(tensor).get("type", kind)  # A constant turned into a variable has none.
    if tensor.dtype is None:
        if dtype is not None and not keep_type:
            value.type = None
    elif dtype is None or tensor.dtype is not dtype or wanted_kind not in (kind, "tensor_type"):
        wanted = to_data_type(tensor.dtype, where)
        if value.dtype != wanted or wanted_kind not in (kind, "tensor_type"):
            value.type = _type(wanted, wanted_kind, value.type)
    wanted_shape = None if tensor.shape is None else list(tensor.shape)
    if wanted_shape != shape:
        value.shape = None if wanted_shape is None else _shape(wanted_shape, value.shape)


def check_type(value: Value, tensor: Any) -> None:
    """Raise `ModelError` if ONNX lacks the element type of a variable of onnx-graphsurgeon."""
    if tensor.dtype is not None and tensor.dtype is not gs_dtype(value.dtype):
        to_data_type(tensor.dtype, f"tensor {tensor.name!r}")


def new_value(tensor: Any, like: Value | None) -> Value:
    """Make a value for a tensor of onnx-graphsurgeon, with the texts and notes of `like`."""
    value = Value(name=tensor.name)
    if like is not None:
        value.type, value.shape, value.doc_string = like.type, like.shape, like.doc_string
        value.metadata_props.update(like.metadata_props)
        value.meta.update(like.meta)
    return value


def weight_of(tensor: Any, before: Any) -> Any:
    """Return the IR tensor with the data of an onnx-graphsurgeon constant; `before` itself if they are the same.

    Data that was looked at is compared bit for bit, so that edits in place are found.
    """
    values = vars(tensor)["_values"]
    name = f"constant {tensor.name!r}"
    if isinstance(values, LazyWeights):
        return values.weight if values.weight is before else named(values.weight, tensor.name)
    if isinstance(values, SparseValues):
        raise UnsupportedError(f"{name} is sparse", advice="give it dense values")
    if isinstance(values, LazyValues):
        return ir.tensor(values.tensor, name=tensor.name)
    export = vars(tensor).get("_export_dtype")
    array = np.asarray(values)
    dtype = to_data_type(array.dtype, name)
    if export is not None and to_data_type(export, name) != dtype:
        dtype = to_data_type(export, name)
        array = array.astype(dtype.numpy())
    if before is not None and _same_data(before, dtype, array):
        return before
    return _tensor(array, dtype, tensor.name)


def named(weight: Any, name: str) -> Any:
    """Return `weight` under `name`; a copy that shares the data if its own name is another."""
    if (weight.name or "") == name:
        return weight
    made = copy.copy(weight)
    made.name = name
    return made


def _same_data(before: Any, dtype: DataType, array: np.ndarray[Any, Any]) -> bool:
    if before.dtype != dtype or tuple(before.shape.numpy()) != array.shape:
        return False
    data = before.numpy()
    if dtype == DataType.STRING:
        return [_bytes(item) for item in data.flat] == [_bytes(item) for item in array.flat]
    return bool(data.tobytes() == array.tobytes())


def _bytes(text: Any) -> bytes:
    return text if isinstance(text, bytes) else str(text).encode()


def _tensor(array: np.ndarray[Any, Any], dtype: DataType, name: str) -> Any:
    if dtype == DataType.STRING:
        items = [_bytes(item) for item in array.flat]
        return ir.StringTensor(items, shape=ir.Shape(array.shape), name=name)
    return ir.Tensor(array.astype(array.dtype.newbyteorder("="), copy=False), dtype=dtype, name=name)
