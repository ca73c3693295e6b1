"""Bring into forms that TensorRT takes what it refuses as it stands."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]

_PLAIN = frozenset({"hidden_size", "direction"})
"""Attributes that an LSTM may have and still be the textbook's."""


@condition("it is the textbook's recurrence in one direction")
def _plain(match: Match) -> bool:
    return set(match.root.attributes) <= _PLAIN


@condition("there is one step")
def _one_step(match: Match) -> bool:
    shape = match.facts.shape(match["x"])
    return shape is not None and len(shape) == 3 and shape[0] == 1


@condition("it stands in a branch or a body")
def _nested(match: Match) -> bool:
    return match.root.graph is not match.facts.model.graph


def _step(build: Builder, match: Match) -> tuple[Value, Value, Value] | None:
    w, r, b = (match.constant(name) for name in "wrb")
    if w is None or r is None or b is None:
        return None
    front, hidden = build.shape(0), r.shape[2]
    x, h, c = (build.op("Squeeze", match[name], front) for name in ("x", "h", "c"))
    gates = build.op("Gemm", x, build.constant(w[0]), build.constant(b[0].reshape(2, -1).sum(0)), transB=1)
    gates = build.op("Gemm", h, build.constant(r[0]), gates, transB=1)
    i, o, f, g = build.op("Split", gates, build.shape(*[hidden] * 4), axis=1, outputs=4)
    kept = build.op("Mul", build.op("Sigmoid", f), c)
    made = build.op("Add", kept, build.op("Mul", build.op("Sigmoid", i), build.op("Tanh", g)))
    shown = build.op("Mul", build.op("Sigmoid", o), build.op("Tanh", made))
    last = build.op("Unsqueeze", shown, front)
    return build.op("Unsqueeze", last, front), last, build.op("Unsqueeze", made, front)


# TensorRT makes a loop of a recurrence, and no engine where a loop stands in a branch.
LOWER_LSTM_STEP = Rule(
    name="lower-lstm-step",
    doc="Compute the single step of an LSTM in a branch with matrix products.",
    match='LSTM(x, const(w), const(r), const(b), None, h, c, direction="forward")',
    replace=_step,
    where=(dtype_in("x", frozenset({DataType.FLOAT})), _plain, _one_step, _nested),
    exactness=Exactness.REASSOCIATES,
    stage="steer",
    targets=(Target.TENSORRT,),
    min_opset=14,
)


def _axis(match: Match) -> int | None:
    """Return the axis along which the scale varies, 0 where it does not; None if it is no scale by channels."""
    shape, scale = match.facts.static_shape(match["q"]), match.facts.static_shape(match["s"])
    if shape is None or scale is None or len(scale) > len(shape):
        return None
    sizes = (1,) * (len(shape) - len(scale)) + scale
    axes = [axis for axis, size in enumerate(sizes) if size != 1]
    if len(axes) > 1 or any(sizes[axis] != shape[axis] for axis in axes):
        return None
    return axes[0] if axes else 0


@condition("one positive scale for each channel")
def _by_channel(match: Match) -> bool:
    scale = match.constant("s")
    return _axis(match) is not None and scale is not None and bool(np.all((scale > 0) & np.isfinite(scale)))


def _dequantize(build: Builder, match: Match) -> Value | None:
    scale, axis = match.constant("s"), _axis(match)
    if scale is None or axis is None:
        return None
    single = scale.size == 1
    scales = build.constant(scale.reshape(() if single else -1))
    value: Value = build.op("DequantizeLinear", match["q"], scales, axis=None if single else axis)
    return value


# TensorRT lets no other operator read constants of 8 bits.
DEQUANTIZE_WEIGHT = Rule(
    name="dequantize-weight",
    doc="Let DequantizeLinear read an int8 constant that is cast and scaled.",
    match="Mul(Cast(const(q), to=1), const(s))",
    replace=_dequantize,
    where=(dtype_in("q", frozenset({DataType.INT8})), _by_channel),
    stage="steer",
    targets=(Target.TENSORRT,),
    min_opset=13,
)

PASSES = (LOWER_LSTM_STEP, DEQUANTIZE_WEIGHT)
