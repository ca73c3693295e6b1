"""Know the halves of a last axis: where one is cut out, and where both hold the same.

`paired` says what the halves are: every other element, not the front and the back.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import has_reference
from graphopt_passes.axes import axis_of
from graphopt_passes.slices import INT64_MAX, Cut, cuts_of
from graphopt_passes.transposes import permutation

__all__ = ["first_half", "halves_are_equal", "is_half"]

Array = np.ndarray[Any, Any]
_ELEMENTWISE = frozenset({"Add", "Cast", "Cos", "Div", "Identity", "Mul", "Neg", "Sin", "Sub"})
_MOST_NODES = 32
"""Equal halves that lie deeper are not looked for."""


def _last(value: Value | None, facts: Facts) -> int | None:
    """Return the size of the last axis, if it is known."""
    shape = None if value is None else facts.shape(value)
    size = shape[-1] if shape else None
    return size if isinstance(size, int) else None


def is_half(value: Value, x: Value, which: int, facts: Facts, *, paired: bool = False) -> bool:
    """Tell whether `value` is the first half (`which` is 0) or the second (1) of the last axis of `x`."""
    node, size, rank = value.producer(), _last(x, facts), facts.rank(x)
    if node is None or node.domain or node.inputs[0] is not x or rank is None or size is None or size % 2:
        return False
    if node.op_type == "Slice":
        middle = Cut(0, size // 2, 1) if which == 0 else Cut(size // 2, INT64_MAX, 1)
        return cuts_of(node, facts) == {rank - 1: Cut(which, INT64_MAX, 2) if paired else middle}
    if node.op_type != "Split" or has_reference(node) or len(node.outputs) != 2 or paired:
        return False
    return node.outputs[which] is value and axis_of(node, facts, rank) == rank - 1 and _last(value, facts) == size // 2


def halves_are_equal(value: Value, facts: Facts, *, paired: bool = False) -> bool:
    """Tell whether the second half of the last axis of `value` surely repeats the first."""
    todo = [value]
    for _ in range(_MOST_NODES):
        if not todo:
            return True
        needed = _needed(todo.pop(), facts, paired=paired)
        if needed is None:
            return False
        todo.extend(needed)
    return False


def _halves(array: Array, *, paired: bool) -> tuple[Array, Array]:
    middle = array.shape[-1] // 2
    return (array[..., ::2], array[..., 1::2]) if paired else (array[..., :middle], array[..., middle:])


def _needed(value: Value, facts: Facts, *, paired: bool) -> list[Value] | None:
    """List the values whose halves must be equal for those of `value` to be so; None if they are not for sure."""
    size, node = _last(value, facts), value.producer()
    if size is None or size < 2 or size % 2:
        return None
    if facts.is_constant(value):
        array = facts.constant(value)
        return [] if array is not None and np.array_equal(*_halves(array, paired=paired)) else None
    if node is None or node.domain or has_reference(node):
        return None
    if _single(node, facts, paired=paired) is not None:
        return []
    if node.op_type in _ELEMENTWISE:
        return _broadcast_to(size, node, facts)
    source = node.inputs[0]
    return [source] if source is not None and _keeps_last(node, source, size, facts) else None


def _single(node: Node, facts: Facts, *, paired: bool) -> Value | None:
    """Return what `node` doubles: [..., h] to [..., 2 h], or if `paired` [..., h, 1]; None if it does not."""
    if paired:
        return _repeated(node, facts)
    rank = facts.rank(node.outputs[0])
    if node.op_type != "Concat" or rank is None or len(node.inputs) != 2 or node.inputs[0] is not node.inputs[1]:
        return None
    return node.inputs[0] if axis_of(node, facts, rank) == rank - 1 else None


def _repeated(node: Node, facts: Facts) -> Value | None:
    """Return the value of shape [..., h, 1] each element of which `node`, of shape [..., 2 h], has twice."""
    copy = None if node.op_type != "Reshape" or node.inputs[0] is None else node.inputs[0].producer()
    source = None if copy is None or copy.domain or copy.op_type not in {"Expand", "Tile"} else copy.inputs[0]
    if copy is None or source is None:
        return None
    narrow, wide, joined = (facts.shape(value) for value in (source, copy.outputs[0], node.outputs[0]))
    if not narrow or not wide or not joined or len(wide) < 2 or wide[-1] != 2:
        return None
    return source if narrow == (*wide[:-1], 1) and joined == (*wide[:-2], wide[-2] * 2) else None


def _broadcast_to(size: int, node: Node, facts: Facts) -> list[Value] | None:
    """List the operands that are as long as the result; None if one is neither that nor 1."""
    found = []
    for value in node.inputs:
        length = 1 if value is not None and facts.rank(value) == 0 else _last(value, facts)
        if value is None or length not in {1, size}:
            return None
        found += [value] if length == size else []
    return found


def _keeps_last(node: Node, source: Value, size: int, facts: Facts) -> bool:
    """Tell whether rows of `size` elements are moved as they are."""
    rank = facts.rank(source)
    if rank is None or _last(source, facts) != size:
        return False
    if node.op_type == "Transpose":
        return (permutation(node, facts) or [0])[-1] == rank - 1
    if node.op_type == "Gather":
        return axis_of(node, facts, rank) not in {None, rank - 1}
    return node.op_type in {"Squeeze", "Unsqueeze"}


def first_half(build: Builder, value: Value, facts: Facts, *, paired: bool = False) -> Value:
    """Build the first half of the last axis of a value whose halves are equal, computing nothing twice."""
    array, node = facts.constant(value), value.producer()
    if array is not None:
        return build.constant(np.ascontiguousarray(_halves(array, paired=paired)[0]), value.name or "")
    if node is None:
        msg = f"{value.name!r} has no halves that are equal"
        raise ValueError(msg)
    single = _single(node, facts, paired=paired)
    if single is not None:
        return build.op("Squeeze", single, build.shape(-1)) if paired else single
    needed = _needed(value, facts, paired=paired) or []
    attributes: dict[str, Any] = dict(node.attributes)
    operands = [first_half(build, v, facts, paired=paired) if v is not None and v in needed else v for v in node.inputs]
    result: Value = build.op(node.op_type, *operands, **attributes)
    return result
