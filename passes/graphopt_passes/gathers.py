"""Compose picks: `Gather` of a vector, `Split` and `Slice` with `Squeeze`."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Node, Value
from graphopt.rewrite.conditions import condition, is_const
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axes_of, axis_of
from graphopt_passes.slices import cuts_of

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
MANY_PARTS = 64
"""A `Split` into more parts is left alone: each of them would look at all the others."""


@condition("a new axis in front of a scalar")
def _makes_vector(match: Match) -> bool:
    return match.facts.rank(match["i"]) == 0 and match.facts.rank(match.result) == 1


def _gather_vector(build: Builder, match: Match) -> Value | None:
    index = match.constant("i")
    if index is None:
        return None
    result: Value = build.op("Gather", match["x"], build.constant(index.reshape(1)), axis=match["axis"])
    return result


def _picks(match: Match, value: Value) -> tuple[Value, Array] | None:
    """Return the vector and the constant places in it that a `Gather` for the root alone picks."""
    node = value.producer()
    if node is None or node.op_type != "Gather" or node.domain or len(value.uses()) != 1 or value.is_graph_output():
        return None
    source, index = node.inputs[0], node.inputs[1]
    if source is None or index is None or match.facts.rank(source) != 1 or match.facts.rank(index) != 1:
        return None
    array = match.facts.constant(index)
    return None if array is None else (source, array)


def _joined(match: Match) -> list[Value | tuple[Value, Array]]:
    """List the operands, neighbours that pick from one vector joined."""
    found: list[Value | tuple[Value, Array]] = []
    for value in match["xs"]:
        picks = _picks(match, value)
        last = found[-1] if found else None
        if picks is None:
            found.append(value)
        elif isinstance(last, tuple) and last[0] is picks[0] and last[1].dtype == picks[1].dtype:
            found[-1] = (picks[0], np.concatenate([last[1], picks[1]]))
        else:
            found.append(picks)
    return found


@condition("neighbours pick from one vector")
def _neighbours(match: Match) -> bool:
    return len(_joined(match)) < len(match["xs"])


def _merge(build: Builder, match: Match) -> Value:
    operands = [
        part if isinstance(part, Value) else build.op("Gather", part[0], build.constant(part[1]), axis=0)
        for part in _joined(match)
    ]
    result: Value = operands[0] if len(operands) == 1 else build.op("Concat", *operands, axis=0)
    return result


def _squeezed(match: Match) -> int | None:
    """Return the one axis that the root squeezes."""
    axes = axes_of(match.root, match.facts, match.facts.rank(match["t"]))
    return axes[0] if axes is not None and len(axes) == 1 else None


def _only_squeezed(split: Node, axis: int, match: Match) -> bool:
    """Tell whether every part of `split` is read by `Squeeze` of `axis` alone."""
    for part in split.outputs:
        if part.is_graph_output():
            return False
        for user, _ in part.uses():
            if user.op_type != "Squeeze" or axes_of(user, match.facts, match.facts.rank(part)) != (axis,):
                return False
    return True


def _split_place(match: Match) -> int | None:
    """Return which part of a `Split` into single layers the root squeezes."""
    split, axis = match["t"].producer(), _squeezed(match)
    if axis is None or split is None or split.op_type != "Split" or split.domain or len(split.outputs) > MANY_PARTS:
        return None
    if axis_of(split, match.facts, match.facts.rank(match["t"])) != axis:
        return None
    shapes = [match.facts.shape(part) for part in split.outputs]
    if any(shape is None or shape[axis] != 1 for shape in shapes) or not _only_squeezed(split, axis, match):
        return None
    return list(split.outputs).index(match["t"])


@condition("all parts are single layers, and squeezed")
def _single_layers(match: Match) -> bool:
    return _split_place(match) is not None


def _gather_part(build: Builder, match: Match) -> Value:
    place = np.array(_split_place(match), dtype=np.int64)
    source = match["t"].producer().inputs[0]
    result: Value = build.op("Gather", source, build.constant(place), axis=_squeezed(match))
    return result


@condition("it keeps one layer, and that is squeezed")
def _one_layer(match: Match) -> bool:
    axis, cuts = _squeezed(match), cuts_of(match["t"].producer(), match.facts)
    if axis is None or cuts is None or set(cuts) != {axis}:
        return False
    shape = match.facts.shape(match["t"])
    # Where the slice turns out empty, Squeeze fails as Gather does.
    return cuts[axis].end == cuts[axis].start + 1 or (shape is not None and shape[axis] == 1)


def _gather_layer(build: Builder, match: Match) -> Value | None:
    axis, cuts = _squeezed(match), cuts_of(match["t"].producer(), match.facts)
    if axis is None or cuts is None:
        return None
    place = np.array(cuts[axis].start, dtype=np.int64)
    result: Value = build.op("Gather", match["x"], build.constant(place), axis=axis)
    return result


GATHER_VECTOR = Rule(
    name="gather-vector",
    doc="Gather a vector of one element instead of a scalar that becomes one.",
    match="Unsqueeze(Gather(x, i, axis=axis), *a)",
    replace=_gather_vector,
    where=(is_const("i"), _makes_vector),
)

MERGE_GATHERED_PARTS = Rule(
    name="merge-gathered-parts",
    doc="Merge neighbours in a `Concat` that pick constant places of one vector.",
    match="Concat(*xs)",
    replace=_merge,
    where=(_neighbours,),
    min_opset=4,
)

GATHER_SPLIT_LAYER = Rule(
    name="gather-split-layer",
    doc="Gather the layers that a `Split` cuts out and `Squeeze` makes flat.",
    match="Squeeze(t, *b)",
    replace=_gather_part,
    where=(_single_layers,),
    shared=True,
)

GATHER_SLICED_LAYER = Rule(
    name="gather-sliced-layer",
    doc="Gather the layer that a `Slice` keeps and `Squeeze` makes flat.",
    match="Squeeze((t := Slice(x, *a)), *b)",
    replace=_gather_layer,
    where=(_one_layer,),
)

PASSES: tuple[Rule, ...] = (GATHER_VECTOR, MERGE_GATHERED_PARTS, GATHER_SPLIT_LAYER, GATHER_SLICED_LAYER)
