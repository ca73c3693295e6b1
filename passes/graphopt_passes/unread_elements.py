"""Settle elements of constants that are never chosen, so that what is computed of the others can be folded.

The bias of relative positions takes the logarithm of all distances and chooses it for the long ones only; that of zero
is no number that an integer could hold.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.model import Node, Value
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
ELEMENTWISE = frozenset({"Add", "Max", "Min", "Mul", "Sub"})
DEPTH = 8


def _chain(match: Match, value: Value) -> list[tuple[Node, int]] | None:
    """List the nodes from `value` back to the `Cast` of a constant, each with the place of the operand that varies."""
    found: list[tuple[Node, int]] = []
    current: Value | None = value
    while current is not None and len(found) < DEPTH:
        node = current.producer()
        if node is None or node.domain or node.op_type not in ELEMENTWISE | {"Cast"}:
            return None
        places = [at for at, one in enumerate(node.inputs) if one is None or not match.facts.is_constant(one)]
        if node.op_type == "Cast":
            return None if places else [*found, (node, 0)]
        if len(places) != 1 or len(node.inputs) != 2:
            return None
        found.append((node, places[0]))
        current = node.inputs[places[0]]
    return None


def _settled(match: Match, chain: list[tuple[Node, int]], unread: Array) -> Array | None:
    """Return the constant at the end of the chain with zeros where nothing is read; None if that changes nothing."""
    source = chain[-1][0].inputs[0]
    array = None if source is None else match.facts.constant(source)
    shape = match.facts.static_shape(match.result)
    if array is None or shape is None or array.dtype.kind != "f" or array.shape != shape:
        return None
    unread = np.broadcast_to(unread, shape)
    return None if np.isfinite(array[unread]).all() else np.where(unread, array.dtype.type(0), array)


def _plan(match: Match) -> tuple[list[tuple[Node, int]], Array] | None:
    condition_, y = match.constant("c"), match["y"]
    chain = None if condition_ is None else _chain(match, y)
    if condition_ is None or chain is None:
        return None
    array = _settled(match, chain, condition_ if match.root.inputs[2] is y else ~condition_)
    return None if array is None else (chain, array)


@condition("elements that are never chosen are not finite")
def _unread(match: Match) -> bool:
    return _plan(match) is not None


def _settle(build: Builder, match: Match) -> Value | None:
    plan = _plan(match)
    if plan is None:
        return None
    chain, array = plan
    value = build.constant(array)
    for node, place in reversed(chain):
        attributes: dict[str, Any] = dict(node.attributes)
        value = build.op(node.op_type, *node.inputs[:place], value, *node.inputs[place + 1 :], **attributes)
    result: Value = build.op("Where", *(value if one is match["y"] else one for one in match.root.inputs))
    return result


SETTLE_UNREAD = Rule(
    name="settle-unread",
    doc="Settle elements that a constant choice never reads before they are converted to integers.",
    match="Where(const(c), const(a), y)",
    replace=_settle,
    where=(_unread,),
)

SETTLE_UNREAD_FIRST = Rule(
    name="settle-unread-first",
    doc="Settle elements that a constant choice never reads where they stand first.",
    match="Where(const(c), y, const(a))",
    replace=_settle,
    where=(_unread,),
)

PASSES: tuple[Rule, ...] = (SETTLE_UNREAD, SETTLE_UNREAD_FIRST)
