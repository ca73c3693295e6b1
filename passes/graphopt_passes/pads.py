"""Eliminate and merge padding and resizing."""

from __future__ import annotations

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import integers

__all__ = ["PASSES"]


def _pads(match: Match, node: Node) -> tuple[int, ...] | None:
    return integers(node, "paddings" if match.opset < 2 else "pads", 1, match.facts)


def _axes_left_out(node: Node) -> bool:
    return len(node.inputs) < 4 or node.inputs[3] is None


@condition("nothing is padded")
def _pads_nothing(match: Match) -> bool:
    pads = _pads(match, match.root)
    return pads is not None and bool(pads) and not any(pads)


@condition("both pad every axis with a constant and cut nothing off")
def _plain(match: Match) -> bool:
    for node in (match["t"].producer(), match.root):
        pads = _pads(match, node)
        if not pads or min(pads) < 0 or not _axes_left_out(node):
            return False
    return True


def _fill(match: Match, node: Node) -> float | None:
    """Return what a constant padding pads with."""
    if match.opset < 11:
        value: float | None = attribute(node, "value", match.opset)
        return value
    operand = node.inputs[2] if len(node.inputs) > 2 else None
    if operand is None:
        return 0.0
    array = match.facts.constant(operand)
    return None if array is None or array.size != 1 or array.dtype.kind not in "fiu" else array.reshape(-1)[0]


@condition("both pad with the same number")
def _same_fill(match: Match) -> bool:
    first, second = _fill(match, match["t"].producer()), _fill(match, match.root)
    return first is not None and second is not None and bool(first == second)


def _merge(build: Builder, match: Match) -> Value | None:
    first, second = _pads(match, match["t"].producer()), _pads(match, match.root)
    if first is None or second is None or len(first) != len(second):
        return None
    pads = [a + b for a, b in zip(first, second, strict=True)]
    if match.opset < 11:
        old: Value = build.op("Pad", match["x"], pads=pads, value=_fill(match, match.root))
        return old
    fill = match.root.inputs[2] if len(match.root.inputs) > 2 else None
    operands = [build.constant(np.array(pads, dtype=np.int64)), *([] if fill is None else [fill])]
    result: Value = build.op("Pad", match["x"], *operands)
    return result


@condition("nearest neighbours, half pixels or none")
def _copies(match: Match) -> bool:
    if match.root.op_type == "Upsample" or match.opset < 11:
        return bool(attribute(match.root, "mode", match.opset) == "nearest")
    aligned = attribute(match.root, "coordinate_transformation_mode", match.opset)
    return bool(attribute(match.root, "mode", match.opset) == "nearest") and aligned in {"half_pixel", "asymmetric"}


@condition("every scale is 1")
def _scales_one(match: Match) -> bool:
    node = match.root
    if "scales" in node.attributes:
        scales = attribute(node, "scales", match.opset)
        return bool(scales) and all(scale == 1 for scale in scales)
    index = 2 if node.op_type == "Resize" and match.opset >= 11 else 1
    value = node.inputs[index] if index < len(node.inputs) else None
    array = None if value is None else match.facts.constant(value)
    return array is not None and array.size > 0 and bool(np.all(array == 1))


ELIMINATE_PAD = Rule(
    name="eliminate-pad",
    doc="Eliminate a `Pad` by nothing.",
    match="Pad(x, *rest)",
    replace="x",
    where=(_pads_nothing,),
)

MERGE_PADS = Rule(
    name="merge-pads",
    doc="Merge two `Pad` with the same number.",
    match='Pad((t := Pad(x, *a, mode="constant")), *b, mode="constant")',
    replace=_merge,
    where=(_plain, _same_fill),
    min_opset=2,
)

ELIMINATE_RESIZE = Rule(
    name="eliminate-resize",
    doc="Eliminate a `Resize` or `Upsample` that only copies.",
    match="(Resize | Upsample)(x, *rest)",
    replace="x",
    where=(_copies, _scales_one),
    min_opset=7,
)

PASSES: tuple[Rule, ...] = (ELIMINATE_PAD, MERGE_PADS, ELIMINATE_RESIZE)
