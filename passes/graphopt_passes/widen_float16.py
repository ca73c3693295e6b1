"""Compute in float32 what a model computes in float16."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphopt.graph.constants import widened
from graphopt.graph.edit import make_attribute
from graphopt.graph.freeze import is_overridable
from graphopt.graph.model import Attr, DataType, Graph, Model, Node, Value
from graphopt.kinds import Exactness, Target
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass
from graphopt_passes.narrow_storage import expect_narrow

__all__ = ["PASSES", "WidenFloat16"]

_HALF, _WIDE = DataType.FLOAT16, DataType.FLOAT
_NAMES_A_TYPE = ("to", "dtype", "output_dtype", "output_datatype")
_REFUSED = frozenset(
    {"BitCast", "Bernoulli", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Range"}
)
"""What would give other values in the wider type, or another number of them."""


@dataclass(frozen=True)
class WidenFloat16(Pass):
    """Compute in float32 what a model computes in float16, for onnxruntime's CPU, which has float32 kernels only.

    It would convert every operand and result back and forth, and no fusion reaches across that. Inputs and outputs stay
    float16; weights do until other rules have seen them, and `store-narrow` brings them back. Results are rounded less
    often, and do not overflow at 65504. Left unchanged, with a remark: a model with local functions, with operators of
    other domains on float16, or with values whose type is not known.
    """

    name: ClassVar[str] = "widen-float16"
    exactness: ClassVar[Exactness] = Exactness.APPROXIMATE

    def run(self, model: Model, context: Context) -> int:
        """Widen the whole model, or nothing."""
        chosen = context.selection
        if chosen.target != Target.ORT_CPU or self.exactness not in chosen.allowed:
            return 0
        halves = [value for graph in model.scopes() for value in _values(graph) if _is_half(value, context)]
        if all(value.producer() is None or _only_converts(value) for value in halves):
            return 0
        if reason := _why_not(model, context):
            context.steps.note(self.name, f"float16 stays: {reason}")
            return 0
        if not context.admit(self.name, "float16 to float32", self.exactness):
            return 0
        _widen(model, halves, context)
        context.refresh()
        return 1


def _values(graph: Graph) -> Iterator[Value]:
    yield from graph.inputs
    yield from (value for value in graph.initializers.values() if not value.is_graph_input())
    for node in graph:
        yield from (value for value in node.outputs if value.name)


def _is_half(value: Value, context: Context) -> bool:
    return context.facts.dtype(value) == _HALF


def _only_converts(value: Value) -> bool:
    """Tell whether a value is a mere conversion, which costs the runtime nothing more."""
    producer = value.producer()
    return producer is not None and producer.op_type == "Cast"


def _why_not(model: Model, context: Context) -> str:
    """Say why the model is left as it is; empty if it can be widened."""
    if model.ir.functions:
        return "the model has local functions"
    for graph in model.scopes():
        for node in graph:
            values = [value for value in (*node.inputs, *node.outputs) if value is not None and value.name]
            kinds = [context.facts.dtype(value) for value in values]
            if None in kinds:
                return f"the type of an operand or result of {node.name!r} is not known"
            if _HALF in kinds and (node.domain or node.op_type in _REFUSED or "Sequence" in node.op_type):
                return f"{node.op_type} {node.name!r} takes or gives float16"
    for value in (*model.graph.inputs, *model.graph.outputs):
        if _is_half(value, context) and value.is_graph_output() and value.producer() is None:
            return f"{value.name!r} is an output that no node makes"
    return ""


def _widen(model: Model, halves: list[Value], context: Context) -> None:
    main = model.graph
    for graph in model.scopes():
        for node in graph:
            _retype(node)
    expect_narrow(model, _HALF)
    for value in halves:
        if value.is_initializer() and not is_overridable(value) and not value.is_graph_output():
            _widen_weight(value, context)
            continue
        if value.is_initializer() or (value.is_graph_input() and value.graph is main):
            _convert_behind(value, value.graph, context)
            continue
        value.dtype = _WIDE
        if value.is_graph_output() and value.graph is main:
            _convert_output(main, value, context)


def _widen_weight(value: Value, context: Context) -> None:
    """Let a weight be float32; its numbers are converted whenever they are read."""
    tensor = value.const_value
    if tensor is None:
        raise ValueError(f"{value.name!r} holds nothing")
    value.const_value = widened(tensor)
    value.dtype = _WIDE
    if context.size_limit is not None:
        context.size_limit += int(tensor.nbytes)


def _retype(node: Node) -> None:
    """Let what names float16 in an attribute name float32."""
    for key, attr in list(node.attributes.items()):
        if key in _NAMES_A_TYPE and attr.value == _HALF.value:
            node.attributes[key] = make_attribute(key, _WIDE.value)
        elif _holds_half(attr):
            node.attributes[key] = make_attribute(key, attr.as_tensor().numpy().astype(np.float32))


def _holds_half(attr: Attr) -> bool:
    return attr.type.name == "TENSOR" and not attr.is_ref() and attr.as_tensor().dtype == _HALF


def _convert_behind(value: Value, graph: Graph | None, context: Context) -> None:
    """Convert what stays float16 once, for all that read it."""
    if graph is None or not value.uses():
        return
    node = _cast(value, _WIDE, context)
    value.replace_all_uses_with(node.outputs[0])
    node.replace_input_with(0, value)
    first = next(iter(graph), None)
    if first is None:
        graph.append(node)
    else:
        graph.insert_before(first, node)


def _convert_output(graph: Graph, value: Value, context: Context) -> None:
    """Convert back what the model gives, under its name."""
    name, producer = value.name, value.producer()
    value.name = context.names.fresh(f"{name}_wide")
    node = _cast(value, _HALF, context)
    node.outputs[0].name = name
    if producer is None:
        raise ValueError(f"{name!r} has no producer")
    graph.insert_after(producer, node)
    for index, output in enumerate(graph.outputs):
        if output is value:
            graph.outputs[index] = node.outputs[0]


def _cast(value: Value, to: DataType, context: Context) -> Node:
    node = Node("", "Cast", [value], [make_attribute("to", to.value)], name=context.names.fresh(f"{value.name}_cast"))
    made = node.outputs[0]
    made.name = context.names.fresh(f"{value.name}_{to.name.lower()}")
    made.dtype, made.shape = to, value.shape
    return node


PASSES = (WidenFloat16,)
