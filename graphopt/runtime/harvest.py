"""Read from a model what its feeds should look like."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Model, Node, Value
from graphopt.runtime.feeds import FeedsPlan
from graphopt.runtime.sizes import InputSpec

if TYPE_CHECKING:
    from pathlib import Path

    from graphopt.runtime.frames import Array

__all__ = ["draws_random", "harvest_hints", "input_specs", "narrowest_float", "nudgeable", "plan_feeds"]

_COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"})
_THROUGH = frozenset(
    {"Cast", "Identity", "Squeeze", "Unsqueeze", "Reshape", "Flatten", "Expand", "Slice", "Gather", "Transpose"}
)
_RANDOM = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)
_FLOATS_NARROW_FIRST = ("FLOAT8E5M2", "FLOAT8E4M3FN", "BFLOAT16", "FLOAT16", "FLOAT", "DOUBLE")
_MAX_STEPS = 64
_MAX_COMPARED = 1 << 16
_MAX_HINT = 1 << 31
_MAX_NUDGED = 32
_MAX_NUDGED_BYTES = 1 << 18


class _Constants(Protocol):
    """What harvesting needs of `graphopt.graph.facts.Facts`."""

    def constant(self, value: Value) -> Array | None: ...


def input_specs(model: Model) -> tuple[InputSpec, ...]:
    """Describe the inputs that must be fed; those with a default of their own are left at it."""
    graph = model.graph
    return tuple(_spec(value) for value in graph.inputs if value.name not in graph.initializers)


def _spec(value: Value) -> InputSpec:
    name = value.name or ""
    if not isinstance(value.type, ir.TensorType) or value.dtype is None:
        return InputSpec(name, "", None, drawable=False)
    dtype = "string" if value.dtype == ir.DataType.STRING else value.dtype.numpy().name
    if value.shape is None:
        return InputSpec(name, dtype, None)
    return InputSpec(name, dtype, tuple(dim if isinstance(dim, int) else dim.value for dim in value.shape))


def harvest_hints(model: Model, facts: _Constants) -> dict[str, list[int]]:
    """Find integers worth feeding: those that an input is compared with, and the last rows of tables it indexes.

    Looks through operators that only move or convert the input's values.
    """
    hints = {}
    for value in model.graph.inputs:
        integer = value.dtype is not None and value.dtype.is_integer()
        found = sorted(_hints_of(value, facts)) if integer and value.name not in model.graph.initializers else []
        if found:
            hints[value.name or ""] = found
    return hints


def _hints_of(value: Value, facts: _Constants) -> set[int]:
    found: set[int] = set()
    seen = {value}
    todo = deque([value])
    while todo and len(seen) < _MAX_STEPS:
        current = todo.popleft()
        for node, at in current.uses():
            found |= _hints_at(node, at, facts)
            if node.op_type in _THROUGH and at == 0 and not (node.op_type == "Gather" and len(node.inputs) < 2):
                todo.extend(output for output in node.outputs if output not in seen)
                seen.update(node.outputs)
    return found


def _hints_at(node: Node, at: int, facts: _Constants) -> set[int]:
    if node.op_type in _COMPARISONS and len(node.inputs) == 2:
        return _small_integers(facts, _behind(node.inputs[1 - at]))
    if node.op_type == "OneHot" and at == 0 and len(node.inputs) > 1:
        return {limit - 1 for limit in _small_integers(facts, node.inputs[1]) if limit > 1}
    if node.op_type != "Gather" or at != 1:
        return set()
    rows = _extent(node)
    return {rows - 1, rows // 2, rows // 3} if rows > 1 else set()


def _behind(value: Value | None) -> Value | None:
    """Follow `value` back through operators that only move or convert."""
    for _ in range(_MAX_STEPS):
        producer = None if value is None else value.producer()
        if producer is None or producer.op_type not in _THROUGH:
            break
        value = producer.inputs[0]
    return value


def _extent(node: Node) -> int:
    """Return the size of the axis that a Gather indexes; 0 if unknown."""
    table = node.inputs[0]
    shape = table.shape if table is not None else None
    axis = node.attributes.get_int("axis", 0)
    if shape is None or not -len(shape) <= axis < len(shape):
        return 0
    rows = shape[axis]
    return rows if isinstance(rows, int) else 0


def _small_integers(facts: _Constants, value: Value | None) -> set[int]:
    array = None if value is None else facts.constant(value)
    if array is None or array.size == 0 or array.size > _MAX_COMPARED or array.dtype.kind not in "iuf":
        return set()
    numbers = sorted(int(one) for one in array.reshape(-1).tolist() if abs(one) < _MAX_HINT)
    return set(numbers if len(numbers) <= 8 else (numbers[0], numbers[len(numbers) // 2], numbers[-1]))


def draws_random(model: Model, facts: _Constants) -> bool:
    """Say whether any node of `model` may draw random numbers."""
    opset = model.opset()
    return any(_is_random(node, facts, opset) for graph in model.scopes() for node in graph)


def _is_random(node: Node, facts: _Constants, opset: int) -> bool:
    if node.op_type in _RANDOM:
        return True
    if node.op_type != "Dropout" or node.domain not in {"", "ai.onnx"}:
        return False
    if opset < 7:
        return node.attributes.get_int("is_test", 0) == 0
    if opset < 12 or len(node.inputs) < 3 or node.inputs[2] is None:
        return False
    mode = facts.constant(node.inputs[2])
    return mode is None or bool(mode.any())


def narrowest_float(model: Model) -> str:
    """Name (as numpy does) the least precise float dtype that `model` calculates in; empty if there is none."""
    present: set[str] = set()
    for graph in model.scopes():
        present |= {value.dtype.name for value in (*graph.initializers.values(), *graph.inputs) if value.dtype}
        for node in graph:
            present |= {value.dtype.name for value in node.outputs if value.dtype}
            if node.op_type == "Cast" and "to" in node.attributes:
                present.add(ir.DataType(node.attributes.get_int("to", 1)).name)
    name = next((name for name in _FLOATS_NARROW_FIRST if name in present), "")
    return ir.DataType[name].numpy().name if name else ""


def nudgeable(model: Model) -> dict[str, Array]:
    """Pick float initializers whose smallest change shows how well conditioned a model without float inputs is."""
    found: dict[str, Array] = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        if tensor is None or value.dtype != ir.DataType.FLOAT or not 1 < tensor.size * 4 <= _MAX_NUDGED_BYTES:
            continue
        found[name] = tensor.numpy()
        if len(found) == _MAX_NUDGED:
            break
    return found


def plan_feeds(
    model: Model,
    facts: _Constants,
    *,
    seed: int = 0,
    fixed: Mapping[str, int] | None = None,
    given: tuple[Mapping[str, Any], ...] = (),
    custom_ops: tuple[str | Path, ...] = (),
    extremes: bool = False,
) -> FeedsPlan:
    """Plan the feeds that `model`, the original, is verified with."""
    specs = input_specs(model)
    return FeedsPlan(
        specs=specs,
        seed=seed,
        given=given,
        fixed=dict(fixed or {}),
        hints=harvest_hints(model, facts),
        random=draws_random(model, facts),
        extremes=extremes,
        nudgeable={} if any("float" in spec.dtype for spec in specs) else nudgeable(model),
        custom_ops=custom_ops,
        weight_bytes=sum(
            value.const_value.nbytes for value in model.graph.initializers.values() if value.const_value is not None
        ),
    )
