"""Give symbolic dimensions of the interface a number."""

from __future__ import annotations

from collections.abc import Mapping

from graphopt.errors import UsageError, nearest
from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Model, Value

__all__ = ["specialize"]


def specialize(model: Model, dims: Mapping[str, int]) -> None:
    """Replace the symbolic dimensions named in `dims` in the model's inputs and outputs by numbers.

    A dimension of an input that has no name goes by the input and its axis, such as `image.0`.

    Raises `UsageError` if the model has no dimension of that name, or if a number is negative.
    """
    if not dims:
        return
    values = [*model.graph.inputs, *model.graph.outputs]
    known = dict.fromkeys(name for value in values for axis in _axes(value) if (name := _name(value, axis, model)))
    for name, number in dims.items():
        if name not in known:
            close = nearest(name, known)
            here = f"symbolic dimensions here: {', '.join(known) or 'none'}"
            raise UsageError(f"the model has no dimension {name!r}", advice=f"{close} {here}" if close else here)
        if number < 0:
            raise UsageError(f"dimension {name!r} cannot be {number}", advice="give a number from 0 on")
    for value in values:
        if value.shape is not None:
            sizes = [dims.get(_name(value, axis, model), value.shape[axis]) for axis in _axes(value)]
            denotations = [value.shape.get_denotation(axis) for axis in range(len(sizes))]
            value.shape = ir.Shape(sizes, denotations)


def _axes(value: Value) -> range:
    return range(0 if value.shape is None else len(value.shape))


def _name(value: Value, axis: int, model: Model) -> str:
    """Return what a dimension goes by; empty for a number, and for one without a name that no input has."""
    dim = value.shape[axis] if value.shape is not None else 0
    if isinstance(dim, ir.SymbolicDim) and dim.value:
        return str(dim.value)
    is_open = isinstance(dim, ir.SymbolicDim) or dim < 0
    return f"{value.name}.{axis}" if is_open and value.is_graph_input() and value.graph is model.graph else ""
