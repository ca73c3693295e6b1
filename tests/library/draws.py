"""Draw inputs for a small model: sizes for its symbolic dimensions, then arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import ModelProto, TypeProto, helper

__all__ = ["Draw", "draws", "is_native"]

Array = np.ndarray[Any, Any]
SIZES = (2, 7, 1, 0)
SCALES = (1.0, 1e-3, 1e3)
_WORDS = np.array(["", "a", "B c", "zero", "\u00e9"], dtype=object)


@dataclass(frozen=True)
class Draw:
    """Inputs by name and the sizes that the named dimensions got."""

    inputs: dict[str, Any]
    sizes: dict[str, int]


def draws(
    model: ModelProto, rng: np.random.Generator, choices: dict[str, list[Any]], *, special: bool
) -> Iterator[Draw]:
    """Draw inputs: every size for every symbolic dimension in changing company, several scales.

    With `special`, NaN, infinities, both zeros, subnormals and the largest numbers are strewn into half of the draws.
    """
    fixed = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in fixed]
    symbols = _symbols(inputs)
    dynamic = bool(symbols) or any(not value.type.tensor_type.HasField("shape") for value in inputs)
    for number in range(10 if dynamic else 6):
        sizes = {name: SIZES[(number + index * (number // 4)) % 4] for index, name in enumerate(symbols)}
        strewn = special and number % 2 == 1
        arrays = {
            value.name: _value(value.type, value.name, sizes, rng, number, strewn=strewn)
            for value in inputs
            if value.name not in choices
        }
        for name, listed in choices.items():
            dtype = next(value for value in inputs if value.name == name).type.tensor_type.elem_type
            arrays[name] = np.array(listed[number % len(listed)], dtype=helper.tensor_dtype_to_np_dtype(dtype))
        yield Draw(arrays, sizes)


def is_native(model: ModelProto) -> bool:
    """Tell whether all inputs and outputs have element types that numpy knows by itself."""
    kinds = {_tensor(value.type).elem_type for value in (*model.graph.input, *model.graph.output)}
    return all(np.dtype(helper.tensor_dtype_to_np_dtype(kind)).isbuiltin == 1 for kind in kinds)


def _tensor(kind: TypeProto) -> Any:
    while kind.HasField("sequence_type") or kind.HasField("optional_type"):
        kind = kind.sequence_type.elem_type if kind.HasField("sequence_type") else kind.optional_type.elem_type
    return kind.tensor_type


def _symbols(inputs: list[Any]) -> list[str]:
    found: dict[str, None] = {}
    for value in inputs:
        for index, dim in enumerate(_tensor(value.type).shape.dim):
            if not dim.HasField("dim_value"):
                found[dim.dim_param or f"{value.name}.{index}"] = None
    return list(found)


def _value(
    kind: TypeProto, name: str, sizes: dict[str, int], rng: np.random.Generator, number: int, *, strewn: bool
) -> Any:
    if kind.HasField("sequence_type"):
        inner = kind.sequence_type.elem_type
        return [_value(inner, name, sizes, rng, number, strewn=strewn) for _ in range(3)]
    tensor = _tensor(kind)
    shape = [
        dim.dim_value if dim.HasField("dim_value") else sizes[dim.dim_param or f"{name}.{index}"]
        for index, dim in enumerate(tensor.shape.dim)
    ]
    if not tensor.HasField("shape"):
        shape = [int(size) for size in rng.integers(1, 4, size=number % 4)]
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(tensor.elem_type))
    return _array(dtype, shape, rng, SCALES[number % 3], strewn=strewn)


def _array(dtype: Any, shape: list[int], rng: np.random.Generator, scale: float, *, strewn: bool) -> Array:
    if dtype.kind == "O":
        return np.asarray(rng.choice(_WORDS, size=shape), dtype=object)
    if dtype.kind == "b":
        return np.asarray(rng.integers(0, 2, size=shape)).astype(bool)
    if dtype.kind in "iu":
        return _integers(dtype, shape, rng, strewn=strewn)
    array = np.asarray(rng.standard_normal(shape) * scale)
    if dtype.kind == "c":
        return (array + 1j * rng.standard_normal(shape)).astype(dtype)
    array = array.astype(dtype)
    if strewn and dtype.kind == "f":
        info = np.finfo(dtype)
        odd = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, info.max, info.smallest_subnormal, 0.5, -1.5], dtype=dtype)
        array = np.where(rng.random(shape) < 0.4, rng.choice(odd, size=shape), array).astype(dtype)
    return array


def _integers(dtype: Any, shape: list[int], rng: np.random.Generator, *, strewn: bool) -> Array:
    array = np.asarray(rng.integers(0, 3, size=shape)).astype(dtype)
    if not strewn:
        return array
    info = np.iinfo(dtype)
    odd = np.array([info.min, info.max, 0, 1, info.max // 2], dtype=dtype)
    return np.where(rng.random(shape) < 0.5, rng.choice(odd, size=shape), array).astype(dtype)
