"""Read operands that moved from attributes to inputs: axes and the like."""

from __future__ import annotations

from graphopt.graph.facts import Facts
from graphopt.graph.model import Node
from graphopt.graph.schema import attribute

__all__ = ["axes_of", "axis_of", "integers"]


def integers(node: Node, name: str, index: int, facts: Facts) -> tuple[int, ...] | None:
    """Return the integers of attribute `name`, or of the constant that is input `index`.

    Empty if both are left out; None if they are not known.
    """
    if name in node.attributes:
        listed = attribute(node, name, facts.opset(node))
        return None if listed is None else tuple(int(number) for number in listed)
    value = node.inputs[index] if index < len(node.inputs) else None
    if value is None:
        return ()
    array = facts.constant(value)
    return None if array is None else tuple(int(number) for number in array.reshape(-1))


def axes_of(node: Node, facts: Facts, rank: int | None) -> tuple[int, ...] | None:
    """Return the axes of a node (attribute `axes` or second input), counted from the front of `rank` axes.

    Empty if they are left out; None if they are not known, or negative and the rank is not known.
    """
    axes = integers(node, "axes", 1, facts)
    if axes is None or (any(axis < 0 for axis in axes) and rank is None):
        return None
    return tuple(axis + (rank or 0) if axis < 0 else axis for axis in axes)


def axis_of(node: Node, facts: Facts, rank: int | None) -> int | None:
    """Return the attribute `axis`, counted from the front of `rank` axes; None if it is not known."""
    axis = attribute(node, "axis", facts.opset(node))
    if not isinstance(axis, int) or (axis < 0 and rank is None):
        return None
    return axis + (rank or 0) if axis < 0 else axis
