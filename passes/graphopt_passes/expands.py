"""Eliminate `Expand` and `Tile` that change nothing, and make computed shapes constant."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from graphopt.graph.dims import Dim
from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import attribute, has_reference
from graphopt.rewrite.conditions import condition, same_shape
from graphopt.rewrite.rule import Match, Rule

__all__ = ["BROADCASTING", "PASSES", "broadcasts_to"]

BROADCASTING = (
    "Add | Sub | Mul | Div | Pow | Mod | And | Or | Xor | Equal | Greater | Less | GreaterOrEqual | LessOrEqual | Where"
    " | Min | Max | Sum | Mean | BitwiseAnd | BitwiseOr | BitwiseXor | BitShift"
)

MANY_OPERANDS = 32
"""A `Sum` or the like of more is left alone: for each of them all the others are looked at."""

Shape = tuple[Dim, ...]


def _target(match: Match) -> list[int] | None:
    """Return the constant shape that expands `x` as the root does; None if there is none."""
    given, shape = match.facts.shape(match["x"]), match.facts.shape(match.result)
    if given is None or shape is None:
        return None
    padded = (1,) * (len(shape) - len(given)) + given
    target = [1 if dim == old else dim for dim, old in zip(shape, padded, strict=True)]
    return None if any(not isinstance(dim, int) for dim in target) else [int(str(dim)) for dim in target]


@condition("the shape is computed")
def _computed(match: Match) -> bool:
    return not match.facts.is_constant(match["s"])


@condition("a constant says the same shape")
def _expressible(match: Match) -> bool:
    return _target(match) is not None


def _materialize(build: Builder, match: Match) -> Value | None:
    target = _target(match)
    if target is None:
        return None
    result: Value = build.op("Expand", match["x"], build.constant(np.array(target, dtype=np.int64)))
    return result


def broadcasts_to(shapes: Sequence[Shape | None], result: Shape | None) -> bool:
    """Tell whether the shapes surely broadcast to `result`."""
    if result is None or any(shape is None or len(shape) > len(result) for shape in shapes):
        return False
    if all(shape is not None and len(shape) < len(result) for shape in shapes):
        return False
    for place in range(1, len(result) + 1):
        dims = [shape[-place] for shape in shapes if shape is not None and len(shape) >= place]
        wanted = result[-place]
        if any(dim not in (1, wanted) for dim in dims) or wanted not in (*dims, 1):
            return False
    return True


def _expanded(match: Match, facts: Facts) -> tuple[int, Value] | None:
    """Return the place of an expanded operand and what it is expanded from, where the operator expands it anyway.

    A `ConstantOfShape` is expanded from an attribute: it stands for that itself.
    """
    operands = match["xs"] if len(match["xs"]) <= MANY_OPERANDS else ()
    for index, value in enumerate(operands):
        node: Node | None = value.producer()
        source = None if node is None else _source(node, value)
        if source is None:
            continue
        others = [facts.shape(other) for other in (*operands[:index], *operands[index + 1 :])]
        narrow = () if source is value else facts.shape(source)
        if broadcasts_to([*others, narrow], facts.shape(match.result)):
            return index, source
    return None


def _source(node: Node, value: Value) -> Value | None:
    if node.domain or has_reference(node):
        return None
    return value if node.op_type == "ConstantOfShape" else node.inputs[0] if node.op_type == "Expand" else None


@condition("the operator itself expands an operand")
def _needless(match: Match) -> bool:
    return _expanded(match, match.facts) is not None


def _fill(node: Node, opset: int) -> np.ndarray[Any, Any]:
    """Return the element that a `ConstantOfShape` repeats, as a scalar."""
    tensor = attribute(node, "value", opset)
    array: np.ndarray[Any, Any] = np.zeros(1, np.float32) if tensor is None else tensor.numpy()
    return array.reshape(())


def _without_expand(build: Builder, match: Match) -> Value | None:
    found = _expanded(match, match.facts)
    if found is None:
        return None
    operands = list(match["xs"])
    place, source = found
    node = source.producer()
    operands[place] = build.constant(_fill(node, match.opset)) if node and source is operands[place] else source
    attributes: dict[str, Any] = dict(match.root.attributes)
    result: Value = build.op(match.root.op_type, *operands, **attributes)
    return result


ELIMINATE_EXPAND = Rule(
    name="eliminate-expand",
    doc="Eliminate an `Expand` or `Tile` that leaves the shape alone.",
    match="(Expand | Tile)(x, *rest)",
    replace="x",
    where=(same_shape("x", "result"),),
    min_opset=6,
)

DROP_EXPAND_BEFORE_BROADCAST = Rule(
    name="drop-expand-before-broadcast",
    doc="Drop an `Expand` or a `ConstantOfShape` before an operator that broadcasts by itself.",
    match=f"({BROADCASTING})(*xs)",
    replace=_without_expand,
    where=(_needless,),
    min_opset=8,
    shared=True,
)

MATERIALIZE_EXPAND_SHAPE = Rule(
    name="materialize-expand-shape",
    doc="Materialize the shape that an `Expand` computes.",
    match="Expand(x, s)",
    replace=_materialize,
    where=(_computed, _expressible),
    min_opset=8,
)


@condition("one number is expanded, and to the shape that is asked for")
def _one_number(match: Match) -> bool:
    asked, rank = match.facts.shape(match["s"]), match.facts.rank(match["x"])
    if asked is None or len(asked) != 1 or rank is None or not isinstance(asked[0], int) or rank > asked[0]:
        return False
    return match.facts.element_count(match["x"]) == 1


def _filled(build: Builder, match: Match) -> Value | None:
    array = match.constant("x")
    return None if array is None else build.op("ConstantOfShape", match["s"], value=array.reshape(1))


EXPAND_NUMBER_TO_FILL = Rule(
    name="expand-number-to-fill",
    doc="Replace the `Expand` of one number to a computed shape by a `ConstantOfShape`.",
    match="Expand(const(x), s)",
    replace=_filled,
    where=(_computed, _one_number),
    min_opset=9,
)

PASSES: tuple[Rule, ...] = (
    ELIMINATE_EXPAND,
    DROP_EXPAND_BEFORE_BROADCAST,
    MATERIALIZE_EXPAND_SHAPE,
    EXPAND_NUMBER_TO_FILL,
)
