"""Give symbolic dimensions of the interface a number."""

from __future__ import annotations

from collections.abc import Mapping

from graphopt.errors import UsageError, nearest
from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Model

__all__ = ["specialize"]


def specialize(model: Model, dims: Mapping[str, int]) -> None:
    """Replace the symbolic dimensions named in `dims` in the model's inputs and outputs by numbers.

    Raises `UsageError` if the model has no dimension of that name, or if a number is negative.
    """
    if not dims:
        return
    values = [*model.graph.inputs, *model.graph.outputs]
    known = {
        dim.value for value in values for dim in value.shape or () if isinstance(dim, ir.SymbolicDim) and dim.value
    }
    for name, number in dims.items():
        if name not in known:
            advice = nearest(name, known) or f"symbolic dimensions here: {', '.join(sorted(known)) or 'none'}"
            raise UsageError(f"the model has no dimension {name!r}", advice=advice)
        if number < 0:
            raise UsageError(f"dimension {name!r} cannot be {number}", advice="give a number from 0 on")
    for value in values:
        if value.shape is not None:
            sizes = [_size(dim, dims) for dim in value.shape]
            denotations = [value.shape.get_denotation(axis) for axis in range(len(sizes))]
            value.shape = ir.Shape(sizes, denotations)


def _size(dim: int | ir.SymbolicDim, dims: Mapping[str, int]) -> int | ir.SymbolicDim:
    if isinstance(dim, ir.SymbolicDim) and dim.value is not None:
        return dims.get(dim.value, dim)
    return dim
