"""Move what copies pixels behind what computes on each of them alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.kinds import Exactness
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.padding import is_padded

__all__ = ["PASSES"]

_MANY = 64
"""Channels from which a convolution outweighs a copy of more channels than it reads."""


def _resize(match: Match) -> Node | None:
    node: Node | None = match["t"].producer()
    return node if node is not None and node.op_type == "Resize" and not has_reference(node) else None


@condition("pixels are copied, none is made up")
def _copies(match: Match) -> bool:
    """Ask for the nearest neighbour, inside of the picture."""
    node = _resize(match)
    if node is None or attribute(node, "mode", match.opset) != "nearest":
        return False
    return bool(attribute(node, "coordinate_transformation_mode", match.opset) != "tf_crop_and_resize")


@condition("only rows and columns grow")
def _grows(match: Match) -> bool:
    """Ask for constant scales or sizes which make no axis shorter and leave the first two as they are."""
    factors = _factors(match)
    return factors is not None and factors[:2] == [1, 1] and min(factors) >= 1 and max(factors) > 1


@condition("the convolution looks at one pixel")
def _is_pointwise(match: Match) -> bool:
    w, conv = match.facts.static_shape(match["w"]), match.root
    if w is None or set(w[2:]) != {1} or has_reference(conv) or is_padded(conv, match.opset):
        return False
    return set(attribute(conv, "strides", match.opset) or [1]) == {1}


@condition("the copy does not get dearer than the convolution cheaper")
def _saves(match: Match) -> bool:
    w = match.facts.static_shape(match["w"])
    return w is not None and (w[0] <= w[1] or w[1] >= _MANY)


def _factors(match: Match) -> list[float] | None:
    """Return the factor of each axis; None if it is not known."""
    node, facts = _resize(match), match.facts
    rank = facts.rank(match["x"])
    if node is None or rank is None or len(node.inputs) < 3:
        return None
    axes = attribute(node, "axes", match.opset)
    places = list(range(rank)) if axes is None else [axis % rank for axis in axes]
    given = _scales(node, match, places)
    if given is None or len(given) != len(places):
        return None
    found = dict.fromkeys(range(rank), 1.0)
    found.update(zip(places, given, strict=True))
    return [found[axis] for axis in range(rank)]


def _scales(node: Node, match: Match, places: list[int]) -> list[float] | None:
    scales = None if node.inputs[2] is None else match.facts.constant(node.inputs[2])
    if scales is not None and scales.size:
        return [float(scale) for scale in scales.reshape(-1)]
    sizes = match.facts.constant(node.inputs[3]) if len(node.inputs) > 3 and node.inputs[3] is not None else None
    shape = match.facts.static_shape(match["x"])
    if (
        sizes is None
        or shape is None
        or 0 in shape
        or attribute(node, "keep_aspect_ratio_policy", match.opset)
        not in {
            None,
            "stretch",
        }
    ):
        return None
    return [int(size) / shape[axis] for size, axis in zip(sizes.reshape(-1), places, strict=False)]


def _sink(build: Builder, match: Match) -> Value | None:
    node, conv = _resize(match), match.root
    w = match.facts.static_shape(match["w"])
    if node is None or w is None:
        return None
    rest: list[Any] = list(node.inputs[1:])
    if len(rest) > 2 and rest[2] is not None and "axes" not in node.attributes:
        sizes = np.array(match.facts.constant(rest[2]))
        sizes[1] = w[0]
        rest[2] = build.constant(sizes)
    convolved: dict[str, Any] = dict(conv.attributes)
    resized: dict[str, Any] = dict(node.attributes)
    value: Value = build.op("Resize", build.op("Conv", match["x"], *conv.inputs[1:], **convolved), *rest, **resized)
    return value


SINK_RESIZE = Rule(
    name="sink-resize",
    doc="Move a Resize to the nearest pixel behind the pointwise Conv that reads it, which then reads fewer.",
    match="Conv((t := Resize(x, *_)), w, opt(b))",
    replace=_sink,
    where=(_copies, _grows, _is_pointwise, _saves),
    exactness=Exactness.REASSOCIATES,
    stage="fuse",
    min_opset=11,
)

PASSES = (SINK_RESIZE,)
