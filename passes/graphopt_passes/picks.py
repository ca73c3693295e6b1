"""Replace constant picks that take everything in its order by a `Reshape`.

A mask over batch and positions is exported as such: a view is read at the constant places of every element.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axis_of
from graphopt_passes.reshapes import constant_target

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]


def _counts(places: Array, size: int) -> bool:
    """Tell whether `places`, negative ones counted from `size`, are 0 to `size` - 1 in order."""
    flat = places.reshape(-1)
    return flat.size == size and np.array_equal(np.where(flat < 0, flat + size, flat), np.arange(size))


@condition("the places are all of the axis, in order")
def _whole_axis(match: Match) -> bool:
    shape, places = match.facts.shape(match["x"]), match.constant("i")
    axis = None if shape is None else axis_of(match.root, match.facts, len(shape))
    if shape is None or places is None or axis is None or not 0 <= axis < len(shape):
        return False
    size = shape[axis]
    return isinstance(size, int) and _counts(places, size)


@condition("the places are all of the leading axes, in order")
def _whole_front(match: Match) -> bool:
    shape, places = match.facts.shape(match["x"]), match.constant("i")
    if shape is None or places is None or not places.ndim or not 0 < places.shape[-1] <= len(shape):
        return False
    front = shape[: places.shape[-1]]
    sizes = tuple(size for size in front if isinstance(size, int))
    if len(sizes) != len(front) or math.prod(sizes) * len(sizes) != places.size:
        return False
    positive = np.where(places < 0, places + np.array(sizes), places)
    within = bool(np.all((positive >= 0) & (positive < np.array(sizes))))
    steps = np.array([math.prod(sizes[at + 1 :]) for at in range(len(sizes))])
    return within and _counts((positive * steps).sum(axis=-1), math.prod(sizes))


@condition("a constant says the shape")
def _expressible(match: Match) -> bool:
    return constant_target(match.root, match["x"], match.facts) is not None


def _reshape(build: Builder, match: Match) -> Value | None:
    target = constant_target(match.root, match["x"], match.facts)
    return None if target is None else build.op("Reshape", match["x"], build.shape(*target))


GATHER_ALL = Rule(
    name="gather-all",
    doc="Replace a `Gather` of all places of an axis, in order, by a `Reshape`.",
    match="Gather(x, const(i))",
    replace=_reshape,
    where=(_whole_axis, _expressible),
    min_opset=5,
)

GATHER_ALL_FRONT = Rule(
    name="gather-all-front",
    doc="Replace a `GatherND` of all places of the leading axes, in order, by a `Reshape`.",
    match="GatherND(x, const(i), batch_dims=0)",
    replace=_reshape,
    where=(_whole_front, _expressible),
    min_opset=11,
)

PASSES: tuple[Rule, ...] = (GATHER_ALL, GATHER_ALL_FRONT)
