"""Keep convolutions of lines in four axes, the rank that onnxruntime has a blocked layout for."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Value
from graphopt.graph.schema import attribute, has_reference
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

_BLOCK = 16
"""Channels that the blocked layout keeps together; fewer are padded."""

_WASTE = 0.06
"""Cost of multiplying and adding what is padding, in copies of a value.

With it, of 160 measured cases that get raised (1 to 512 channels, 3 to 128 taps, 50 to 16,000 columns, alone and in a
row of four) each takes 0.11 to 1.00 of its time, except one of 6 microseconds, 1.03.
"""

_BIG = 1 << 20
"""Values of a result that no longer stay near the processor: copies cost twice as much."""

_SIGHT = 32
"""Operators to look at for a raised convolution further down."""


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


def _padded(channels: int) -> int:
    return -(-channels // _BLOCK) * _BLOCK


def _is_blocked(channels: int, outputs: int, group: int) -> bool:
    """Tell whether onnxruntime has a blocked kernel for such a convolution, and not only for a few outputs."""
    if group == 1:
        return outputs >= _BLOCK // 2 and (channels < _BLOCK or channels % 4 == 0)
    if group == channels == outputs:
        return channels >= _BLOCK // 2 and channels % 4 == 0
    return all(size % (_BLOCK * group) == 0 for size in (channels, outputs))


def _is_taken_up(value: Value) -> bool:
    """Tell whether a raised convolution reads what becomes of `value`."""
    users = [user for user, _ in value.uses()]
    for seen, user in enumerate(users):
        below = [following for following, _ in user.outputs[0].uses()]
        if user.op_type == "Unsqueeze" and any(following.op_type == "Conv" for following in below):
            return True
        if seen < _SIGHT and user.op_type in _REGION and user.op_type != "Conv":
            users.extend(following for following in below if following not in users)
    return False


def _reordering(match: Match, channels: int, outputs: int, *, direct: bool) -> int:
    """Return the values for each column that raising reorders in front and behind, less those that it spares there."""
    enter = 0 if direct else _padded(channels) * (attribute(match.root, "strides", match.opset) or [1])[0]
    if _flat_source(match["x"], match.facts) is not None:
        enter = -enter if len(match["x"].uses()) == 1 else 0
    leave = _padded(outputs)
    return enter - leave if _is_taken_up(match.result) else enter + leave


@condition("the blocked layout saves more copies than it costs")
def _pays(match: Match) -> bool:
    """Compare the values copied for the taps of each column of results with those that are reordered or padding."""
    w, shape = match.facts.static_shape(match["w"]), match.facts.shape(match.result)
    group = attribute(match.root, "group", match.opset)
    if w is None or shape is None or not isinstance(group, int) or not _is_blocked(group * w[1], w[0], group):
        return False
    channels, (outputs, _, taps) = group * w[1], w
    big = isinstance(shape[2], int) and max(channels, outputs) * shape[2] > _BIG
    saved = channels * taps if taps > 1 or not big else 0
    direct = group == 1 and channels < _BLOCK
    read = channels if direct else _padded(channels)
    waste = _WASTE * taps * (read * _padded(outputs) - channels * outputs) if group == 1 else 0
    return saved > (1 + big) * _reordering(match, channels, outputs, direct=direct) + waste


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
    where=(dtype_in("x", frozenset({DataType.FLOAT})), rank("x", 3), _pays),
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
