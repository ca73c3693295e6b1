"""Keep convolutions of lines in four axes, the rank that onnxruntime has a blocked layout for."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Value
from graphopt.graph.schema import has_reference
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, dtype_in, rank
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axes_of, axis_of
from graphopt_passes.transposes import BINARY, UNARY

__all__ = ["PASSES"]

_POOLS = "MaxPool | AveragePool | GlobalMaxPool | GlobalAveragePool"
_SUNK = f"{UNARY} | {BINARY} | Sum | Clip | BatchNormalization | Concat | {_POOLS}"
_REGION = frozenset({"Conv", *(name.strip() for name in _SUNK.split("|"))})
"""Operators whose results stay in four axes."""

_UNIT = 2
"""The axis of size 1 that is put in: lines become pictures of one row."""


def _raised_attributes(match: Match) -> dict[str, Any] | None:
    """Return the root's attributes as they are with the unit axis; None if they depend on a function's caller."""
    node, found = match.root, dict[str, Any](match.root.attributes)
    if has_reference(node):
        return None
    for name in ("kernel_shape", "strides", "dilations"):
        if name in found:
            found[name] = [1, *found[name].as_ints()]
    if "pads" in found:
        before, behind = found["pads"].as_ints()
        found["pads"] = [0, before, 0, behind]
    if node.op_type == "Concat":
        axis = axis_of(node, match.facts, 3)
        found["axis"] = None if axis is None else axis + (axis >= _UNIT)
    return found


def _flat_source(value: Value | None, facts: Facts) -> Value | None:
    """Return what `value` is without its unit axis, if an operator of the region made it."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "Squeeze" or node.domain or node.inputs[0] is None:
        return None
    wide = node.inputs[0]
    maker = wide.producer()
    if facts.rank(wide) != 4 or axes_of(node, facts, 4) != (_UNIT,) or maker is None or maker.domain:
        return None
    return wide if maker.op_type in _REGION else None


def _raised(build: Builder, value: Value | None, match: Match) -> Value | None:
    """Return an operand as it is read beside values with the unit axis."""
    size = None if value is None else match.facts.rank(value)
    if value is None or size is None or size < 2:
        return value
    wide = _flat_source(value, match.facts)
    axis = size - 1
    array = match.facts.constant(value) if wide is None else None
    if array is not None:
        return build.constant(np.expand_dims(array, axis), value.name or "")
    result: Value = build.op("Unsqueeze", value, build.shape(axis)) if wide is None else wide
    return result


def _raise(build: Builder, match: Match) -> Value | None:
    w, attributes = match.constant("w"), _raised_attributes(match)
    if w is None or attributes is None:
        return None
    kernel = build.constant(np.expand_dims(w, _UNIT), match["w"].name or "")
    made = build.op("Conv", _raised(build, match["x"], match), kernel, match["b"], **attributes)
    result: Value = build.op("Squeeze", made, build.shape(_UNIT))
    return result


@condition("an operand has lost its unit axis just before")
def _is_flat(match: Match) -> bool:
    return any(_flat_source(value, match.facts) is not None for value in match["xs"])


@condition("all ranks are known")
def _known(match: Match) -> bool:
    return all(value is None or match.facts.rank(value) is not None for value in match["xs"])


def _sink(build: Builder, match: Match) -> Value | None:
    attributes = _raised_attributes(match)
    if attributes is None:
        return None
    operands = [_raised(build, value, match) for value in match["xs"]]
    made = build.op(match.root.op_type, *operands, **attributes)
    result: Value = build.op("Squeeze", made, build.shape(_UNIT))
    return result


RAISE_CONV1D = Rule(
    name="raise-conv1d",
    doc="Compute a Conv of lines as one of pictures of one row, for which onnxruntime has a blocked layout.",
    match="Conv(x, const(w), opt(b))",
    replace=_raise,
    where=(dtype_in("x", frozenset({DataType.FLOAT})), rank("x", 3)),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    targets=(Target.ORT_CPU,),
    min_opset=13,
)

SINK_UNIT_AXIS = Rule(
    name="sink-unit-axis",
    doc="Compute with the unit axis of a raised convolution what follows it.",
    match=f"({_SUNK})(*xs)",
    replace=_sink,
    where=(rank("result", 3), _is_flat, _known),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    targets=(Target.ORT_CPU,),
    min_opset=13,
)

PASSES = (RAISE_CONV1D, SINK_UNIT_AXIS)
