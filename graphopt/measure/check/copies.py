"""Count the copies between device and host that a placement makes."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from graphopt.graph.model import Node, Value
from graphopt.measure.check.subject import Subject

__all__ = ["copies"]

_HOST_INPUTS = {
    "Reshape": (1,),
    "Expand": (1,),
    "Slice": (1, 2, 3, 4),
    "Tile": (1,),
    "Unsqueeze": (1,),
    "Squeeze": (1,),
    "Pad": (1, 2, 3),
    "Resize": (1, 2, 3),
    "Upsample": (1,),
    "TopK": (1,),
    "Split": (1,),
    "OneHot": (1,),
    "CumSum": (1,),
    "Range": (0, 1, 2),
    "ConstantOfShape": (0,),
    "ReduceMean": (1,),
    "ReduceSum": (1,),
    "ReduceMax": (1,),
    "ReduceMin": (1,),
    "If": (0,),
    "Loop": (0, 1),
}
"""Operands that a kernel of the device reads in the host's memory."""
_HOST_OUTPUTS = frozenset({"Shape", "Size"})


def copies(subject: Subject, on_host: Collection[Node]) -> int:
    """Count the values of the main graph that are made on one side and read on the other, once for each direction.

    Inputs and outputs of the model do not count: they are copied in any case.
    """
    graph = subject.model.graph
    made = [value for node in graph for value in node.outputs]
    return sum(_crosses(value, on_host, subject) for value in (*graph.inputs, *made))


def _crosses(value: Value, on_host: Collection[Node], subject: Subject) -> bool:
    if subject.facts.is_constant(value):
        return False
    sides = {_reads_on_host(user, at, on_host) for user, at in value.uses()}
    producer: Any = value.producer()
    if producer is None:
        return len(sides) == 2
    origin = producer in on_host or producer.op_type in _HOST_OUTPUTS
    return (not origin) in sides


def _reads_on_host(node: Node, at: int, on_host: Collection[Node]) -> bool:
    return node in on_host or at in _HOST_INPUTS.get(node.op_type, ())
