"""Fill the blocks of channels that a convolution kernel computes anyway."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import DataType, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness, Target
from graphopt.rewrite.conditions import condition, dtype_in
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.padding import window_pads

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
_BLOCK = 16
"""Channels that onnxruntime's blocked kernels compute at once; fewer are padded."""

_NEIGHBOURS = (2, 3, 4, 5, 8, 16)
_ALIGNED = 4
"""The runtime computes in blocks where it reads a multiple of so many channels, or less than a block."""

_START = 8
"""Columns that starting a row of results costs, by measurement."""

_WORTH = 0.85
"""Predicted share of the time below which the rearrangement pays."""

_HOPELESS = 1.2
"""Predicted share of the time above which a choice by measurement does not try it."""

_EXPLORED = (2, 4, 8, 16)
"""The numbers of columns that a choice by measurement tries, each where it may."""


@dataclass(frozen=True)
class _Site:
    """A convolution with few outputs: `w` is [o, c, kh, kw], strides and pads as of Conv, `columns` of its result."""

    outputs: int
    width: int
    strides: tuple[int, int]
    pads: tuple[int, ...]
    rows: int
    columns: int
    choices: tuple[int, ...] = _NEIGHBOURS

    def cost(self, neighbours: int) -> float:
        """Predict the time over that of the convolution as it is."""
        widened = self.width + self.strides[1] * (neighbours - 1)
        blocks = -(-neighbours * self.outputs // _BLOCK) / -(-self.outputs // _BLOCK)
        return blocks * widened / (neighbours * self.width) * (1 + _START * neighbours / self.columns)

    @property
    def neighbours(self) -> int:
        return min(self.choices, key=self.cost)

    @property
    def wide(self) -> int:
        """Columns of the packed result, the last of which may overhang."""
        return -(-self.columns // self.neighbours)


def _site(match: Match, choices: tuple[int, ...] = _NEIGHBOURS) -> _Site | None:
    """Read the convolution; None if a size is not known or it is of another kind."""
    conv, opset, facts = match.root, match.opset, match.facts
    shape, w, pads = facts.shape(match.result), facts.static_shape(match["w"]), window_pads(conv, opset, 2)
    if shape is None or w is None or len(shape) != 4 or len(w) != 4 or pads is None or has_reference(conv):
        return None
    dilations = list(attribute(conv, "dilations", opset) or [1, 1])
    if dilations != [1, 1] or attribute(conv, "group", opset) != 1 or w[0] >= _BLOCK or min(pads) < 0:
        return None
    if w[1] > _BLOCK and w[1] % _ALIGNED:
        return None
    rows, columns = shape[2:]
    if not isinstance(rows, int) or not isinstance(columns, int) or min(rows, columns) < 1:
        return None
    strides = tuple(attribute(conv, "strides", opset) or [1, 1])
    return _Site(w[0], w[3], strides, tuple(pads), rows, columns, choices)


@condition("neighbouring columns fill the channel block")
def _worth(match: Match) -> bool:
    site = _site(match)
    return site is not None and site.cost(site.neighbours) < _WORTH


def _shifted(w: Array, count: int, step: int) -> Array:
    """Return `count` copies of each output's kernel, each `step` columns further right: [o * count, c, kh, wider]."""
    outputs, channels, height, width = w.shape
    found = np.zeros((outputs, count, channels, height, width + step * (count - 1)), w.dtype)
    for index in range(count):
        found[:, index, ..., index * step : index * step + width] = w
    return found.reshape(outputs * count, channels, height, -1)


def _pack(build: Builder, match: Match, choices: tuple[int, ...] = _NEIGHBOURS) -> Value | None:
    site, w, b = _site(match, choices), match.constant("w"), match.constant("b")
    if site is None or w is None or (match.get("b") is not None and b is None):
        return None
    count, (down, step) = site.neighbours, site.strides
    weights, bias = build.constant(_shifted(w, count, step)), None if b is None else build.constant(np.repeat(b, count))
    pads = [*site.pads[:3], site.pads[3] + step * (site.wide * count - site.columns)]
    packed = build.op("Conv", match["x"], weights, bias, strides=[down, step * count], pads=pads)
    return _unpack(build, packed, site)


def _unpack(build: Builder, packed: Value, site: _Site) -> Value:
    """Bring [n, outputs * neighbours, rows, wide] into [n, outputs, rows, columns]."""
    made = build.op("Reshape", packed, build.shape(-1, site.outputs, site.neighbours, site.rows * site.wide))
    made = build.op("Transpose", made, perm=[0, 1, 3, 2])
    made = build.op("Reshape", made, build.shape(-1, site.outputs, site.rows, site.wide * site.neighbours))
    if site.wide * site.neighbours != site.columns:
        made = build.op("Slice", made, build.shape(0), build.shape(site.columns), build.shape(3))
    value: Value = made
    return value


PACK_CONV = Rule(
    name="pack-conv",
    doc="Let a convolution with few outputs compute neighbouring columns as further channels.",
    match="Conv(x, const(w), opt(const(b)))",
    replace=_pack,
    where=(dtype_in("x", frozenset({DataType.FLOAT})), _worth),
    exactness=Exactness.APPROXIMATE,
    stage="steer",
    targets=(Target.ORT_CPU, Target.OPENVINO),
    min_opset=10,
)


def _explored(neighbours: int) -> Rule:
    """Make the rule that always computes so many columns at once, wherever that is not hopeless."""

    @condition(f"{neighbours} columns are not hopeless")
    def able(match: Match) -> bool:
        site = _site(match, (neighbours,))
        return site is not None and site.cost(neighbours) < _HOPELESS

    return replace(
        PACK_CONV,
        name=f"pack-conv-{neighbours}",
        doc=f"Let a convolution with few outputs compute {neighbours} neighbouring columns as further channels.",
        replace=partial(_pack, choices=(neighbours,)),
        where=(PACK_CONV.where[0], able),
        stage="explore",
    )


PASSES = (PACK_CONV, *map(_explored, _EXPLORED))
