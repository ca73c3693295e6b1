"""Keep what the model refers to by name alone: the scales and zero points of quantization annotations."""

from __future__ import annotations

from graphopt.graph.model import Graph, Model, Value

__all__ = ["is_pinned", "pin_annotations"]

_ANNOTATION = "quant_parameter_tensor_names"
_PINNED = "graphopt.pinned"


def is_pinned(value: Value) -> bool:
    """Tell whether `value` is named by an annotation, and so must keep its name and stay."""
    return bool(value.meta.get(_PINNED))


def pin_annotations(model: Model) -> None:
    """Mark the initializers that quantization annotations of their graph name."""
    for graph in model.scopes():
        for name in _named(graph):
            value = graph.initializers.get(name)
            if value is not None:
                value.meta[_PINNED] = True


def _named(graph: Graph) -> set[str]:
    values = [*graph.inputs, *graph.initializers.values(), *(value for node in graph for value in node.outputs)]
    return {name for value in values for name in (value.meta.get(_ANNOTATION) or {}).values()}
