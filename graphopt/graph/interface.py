"""Describe what a caller of a model relies on: its inputs and outputs."""

from __future__ import annotations

from graphopt.graph._onnx_ir import ir
from graphopt.graph.facts import Facts
from graphopt.graph.model import Model, Value

__all__ = ["false_declarations", "signature", "type_text"]


def signature(model: Model) -> list[tuple[str, str, str]]:
    """List (kind, name, type) of what a caller sees: `input`, `initializer` that may be overridden, `output`."""
    inputs = [value for value in model.graph.inputs if not value.is_initializer()]
    optional = [value for value in model.graph.inputs if value.is_initializer()]
    return [
        *(("input", value.name or "", type_text(value)) for value in inputs),
        *(("initializer", value.name or "", type_text(value)) for value in optional),
        *(("output", value.name or "", type_text(value)) for value in model.graph.outputs),
    ]


def type_text(value: Value) -> str:
    """Print the declared type and shape, as in float[n, 3, 224, 224]."""
    if value.type is None:
        return "?"
    if not isinstance(value.type, ir.TensorType):
        return str(value.type).lower()
    name = value.type.dtype.name.lower()
    if value.shape is None:
        return f"{name}[...]"
    dims = (str(dim) if isinstance(dim, int) else dim.value or "?" for dim in value.shape)
    return f"{name}[{', '.join(dims)}]"


def false_declarations(model: Model, facts: Facts) -> list[str]:
    """Say which outputs are declared with a rank that they do not have; the declaration is kept as it is."""
    found = []
    for value in model.graph.outputs:
        rank = facts.rank(value)
        if value.shape is not None and rank is not None and rank != len(value.shape):
            found.append(f"output {value.name!r} is declared with rank {len(value.shape)} and has rank {rank}")
    return found
