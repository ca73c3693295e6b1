"""Recognise LayerNormalization, RMSNormalization and InstanceNormalization spelled out in other operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.graph.schema import attribute
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Condition, Match, Rule
from graphopt_passes.axes import axes_of
from graphopt_passes.broadcasting import keeps_shape

__all__ = ["PASSES", "SINGLE", "averaged", "row_sizes", "single_number", "squares"]

Array = np.ndarray[Any, Any]
SINGLE = frozenset({DataType.FLOAT})
"""Operators of normalization compute in 32 bits, whatever the type of their operand."""


def averaged(match: Match, name: str) -> tuple[int, ...]:
    """Return the axes of `x`, counted from the front, that the reduction `name` treats and keeps; else nothing."""
    node, rank = match[name].producer(), match.facts.rank(match["x"])
    axes = axes_of(node, match.facts, rank)
    if rank is None or axes is None or not attribute(node, "keepdims", match.opset):
        return ()
    return tuple(sorted(axes))


def _is_last(match: Match, name: str) -> bool:
    axes, rank = averaged(match, name), match.facts.rank(match["x"])
    return rank is not None and bool(axes) and axes == tuple(range(rank - len(axes), rank))


def row_sizes(match: Match, name: str) -> tuple[int, ...] | None:
    """Return the sizes of the axes that `name` treats, if these are the last ones of `x` and known numbers."""
    shape = match.facts.shape(match["x"])
    if shape is None or not _is_last(match, name):
        return None
    sizes = tuple(size for size in shape[len(shape) - len(averaged(match, name)) :] if isinstance(size, int))
    return sizes if len(sizes) == len(averaged(match, name)) else None


@condition("mean and variance are of the same axes")
def _same_axes(match: Match) -> bool:
    return bool(averaged(match, "m")) and averaged(match, "m") == averaged(match, "v")


@condition("the normalized axes are the last ones, of known sizes")
def _sized(match: Match) -> bool:
    """Ask for what the scale of ones has as its shape."""
    return row_sizes(match, "v") is not None


@condition("the normalized axes are all spatial ones, two or more, and the channels are a known number")
def _spatial(match: Match) -> bool:
    shape, axes = match.facts.shape(match["x"]), averaged(match, "v")
    return shape is not None and len(shape) > 3 and axes == tuple(range(2, len(shape))) and isinstance(shape[1], int)


def single_number(name: str) -> Condition:
    """Require that `name` is a constant of one element that is finite and not negative."""

    def check(match: Match) -> bool:
        array = match.constant(name)
        return array is not None and array.size == 1 and bool(np.isfinite(array).all() and (array >= 0).all())

    return Condition(f"{name} is one number, not below zero", check)


def squares(name: str, operand: str) -> Condition:
    """Require that `name` is the square of `operand`."""

    def check(match: Match) -> bool:
        node = match[name].producer()
        if node.op_type == "Mul":
            return node.inputs[1] is match[operand] and node.inputs[0] is match[operand]
        exponent = match.facts.constant(node.inputs[1])
        return node.inputs[0] is match[operand] and exponent is not None and exponent.shape == () and exponent == 2

    return Condition(f"{name} is the square of {operand}", check)


def _epsilon(match: Match) -> float:
    array = match.constant("e")
    return 0.0 if array is None else float(array.reshape(-1)[0])


def _layer_normalization(build: Builder, match: Match) -> Value | None:
    sizes = row_sizes(match, "v")
    if sizes is None:
        return None
    ones = build.constant(np.ones(sizes, np.float32))
    value: Value = build.op("LayerNormalization", match["x"], ones, axis=-len(sizes), epsilon=_epsilon(match))
    return value


def _rms_normalization(build: Builder, match: Match) -> Value | None:
    sizes = row_sizes(match, "v")
    if sizes is None:
        return None
    ones = build.constant(np.ones(sizes, np.float32))
    value: Value = build.op("RMSNormalization", match["x"], ones, axis=-len(sizes), epsilon=_epsilon(match))
    return value


def _instance_normalization(build: Builder, match: Match) -> Value | None:
    channels = (match.facts.shape(match["x"]) or (0, 0))[1]
    ones, zeros = np.ones(channels, np.float32), np.zeros(channels, np.float32)  # type: ignore[arg-type]
    value: Value = build.op(
        "InstanceNormalization", match["x"], build.constant(ones), build.constant(zeros), epsilon=_epsilon(match)
    )
    return value


def _turned_normalization(build: Builder, match: Match) -> Value | None:
    """Normalize the channels as the last axis, which the kernels are made for."""
    shape = match.facts.shape(match["x"]) or ()
    last = [0, *range(2, len(shape)), 1]
    ones = build.constant(np.ones(shape[1], np.float32))
    rows = build.op("Transpose", match["x"], perm=last)
    made = build.op("LayerNormalization", rows, ones, axis=-1, epsilon=_epsilon(match))
    value: Value = build.op("Transpose", made, perm=[0, len(shape) - 1, *range(1, len(shape) - 1)])
    return value


@condition("the normalized axis is that of the channels, a known number, of a picture")
def _of_channels(match: Match) -> bool:
    shape = match.facts.shape(match["x"])
    return shape is not None and len(shape) in {3, 4, 5} and averaged(match, "v") == (1,) and isinstance(shape[1], int)


_CENTERED = """
    d = Sub(x, (m := ReduceMean(x, *_)))
    v = ReduceMean((q := (Mul | Pow)(d, _)), *_)
    Div(d, Sqrt(Add(v, const(e))))
"""
_PLAIN = (dtype_in("x", SINGLE), squares("q", "d"), _same_axes, single_number("e"), keeps_shape("e", "x"))

RECOGNIZE_LAYER_NORMALIZATION = Rule(
    name="recognize-layer-normalization",
    doc="Replace mean, difference, variance and quotient by LayerNormalization.",
    match=_CENTERED,
    replace=_layer_normalization,
    where=(*_PLAIN, _sized),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=17,
)

RECOGNIZE_INSTANCE_NORMALIZATION = Rule(
    name="recognize-instance-normalization",
    doc="Replace mean, difference, variance and quotient over all spatial axes by InstanceNormalization.",
    match=_CENTERED,
    replace=_instance_normalization,
    where=(*_PLAIN, _spatial),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=6,
)

# Measured on onnxruntime 1.32, one thread: 0.35 to 0.55 of the time, both transpositions counted.
TURN_CHANNEL_NORMALIZATION = Rule(
    name="turn-channel-normalization",
    doc="Normalize over the channels of a picture as LayerNormalization over the last axis, between transpositions.",
    match=_CENTERED,
    replace=_turned_normalization,
    where=(*_PLAIN, _of_channels),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=17,
    targets=(Target.ORT_CPU,),
)

RECOGNIZE_RMS_NORMALIZATION = Rule(
    name="recognize-rms-normalization",
    doc="Replace the quotient by the root of the mean of squares by RMSNormalization.",
    match="Div(x, Sqrt(Add((v := ReduceMean((q := (Mul | Pow)(x, _)), *_)), const(e))))",
    replace=_rms_normalization,
    where=(dtype_in("x", SINGLE), squares("q", "x"), single_number("e"), keeps_shape("e", "x"), _sized),
    exactness=Exactness.REASSOCIATES,
    stage="recognize",
    min_opset=23,
)

PASSES = (
    RECOGNIZE_INSTANCE_NORMALIZATION,
    RECOGNIZE_LAYER_NORMALIZATION,
    TURN_CHANNEL_NORMALIZATION,
    RECOGNIZE_RMS_NORMALIZATION,
)
