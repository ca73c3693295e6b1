"""Decide conditions that no run but a failing one could decide otherwise."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Graph, Model, Node, Value
from graphopt.graph.schema import attribute
from graphopt.graph.scopes import walk
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass
from graphopt_passes.axes import integers
from graphopt_passes.transposes import UNARY

__all__ = ["PASSES", "DecideIf"]

_MOST_STEPS = 64
"""Operators behind an `If` that are looked at."""

_SAME_RANK = frozenset((*UNARY.split(" | "), "Identity"))
_TAKES = {
    **{(kind, place): 3 for kind in ("LSTM", "GRU", "RNN") for place in (0, 5)},
    ("LSTM", 6): 3,
    ("Gemm", 0): 2,
    ("Gemm", 1): 2,
    ("DepthToSpace", 0): 4,
    ("SpaceToDepth", 0): 4,
}
"""Operators with the place of an operand, and the only rank that this operand may have."""


@dataclass(frozen=True)
class DecideIf(Pass):
    """Make the condition of an `If` constant where the other branch's rank would make a later operator fail.

    Exporters write a conditional squeeze of an axis that is known to have size 1 only when the model runs.
    """

    name: ClassVar[str] = "decide-if"

    def run(self, model: Model, context: Context) -> int:
        """Visit every `If`; what is decided here lets later rounds decide more."""
        count = 0
        for scope in walk(model):
            for node in list(scope.graph):
                taken = _only_branch(node, context.facts) if node.op_type == "If" and not node.domain else None
                if taken is not None and context.admit(self.name, node):
                    build = Builder(model, node, context.names, in_function=scope.in_function)
                    _decide(node, build.constant(np.array(taken)))
                    count += 1
        return count


def _only_branch(node: Node, facts: Facts) -> bool | None:
    """Return which branch a run that succeeds has taken; None if either might be, or if it is known already."""
    condition = node.inputs[0]
    branches = [node.attributes.get(name) for name in ("else_branch", "then_branch")]
    if condition is None or facts.contents_of(condition) is not None:
        return None
    graphs = [None if attr is None or attr.is_ref() else attr.as_graph() for attr in branches]
    fails = [graph is not None and _fails(node, graph, facts) for graph in graphs]
    return fails[0] if fails[0] != fails[1] else None


def _fails(node: Node, branch: Graph, facts: Facts) -> bool:
    """Tell whether a result of `branch` has a rank that an operator behind `node` does not take."""
    todo = [
        (value, rank)
        for value, made in zip(node.outputs, branch.outputs, strict=False)
        if (rank := facts.rank(made)) is not None
    ]
    for _ in range(_MOST_STEPS):
        if not todo:
            break
        value, rank = todo.pop()
        for user, place in _always_read(value, node.graph):
            wanted = _wanted(user, place, facts)
            if wanted is not None and wanted != rank:
                return True
            after = _rank_after(user, place, rank, facts)
            if after is not None:
                todo.append((user.outputs[0], after))
    return False


def _always_read(value: Value, graph: Graph | None) -> Iterator[tuple[Node, int]]:
    """Yield the standard operators that read `value` whenever it is made: those of the same graph."""
    yield from ((user, place) for user, place in value.uses() if user.graph is graph and not user.domain)


def _wanted(user: Node, place: int, facts: Facts) -> int | None:
    """Return the only rank that operand `place` may have; None if it isn't known or there are several."""
    found = _TAKES.get((user.op_type, place))
    if found is not None or place:
        return found
    if user.op_type in {"Conv", "ConvTranspose"}:
        return None if user.inputs[1] is None else facts.rank(user.inputs[1])
    if user.op_type == "Transpose":
        order = attribute(user, "perm", facts.opset(user))
        return None if order is None else len(order)
    return None


def _rank_after(user: Node, place: int, rank: int, facts: Facts) -> int | None:
    if user.op_type in _SAME_RANK and not place:
        return rank
    if user.op_type not in {"Squeeze", "Unsqueeze"} or place:
        return None
    axes = integers(user, "axes", 1, facts)
    if not axes:
        return None
    return rank + len(axes) if user.op_type == "Unsqueeze" else rank - len(axes)


def _decide(node: Node, known: Value) -> None:
    """Let this `If`, and all beside it that ask for the same, read a constant."""
    condition = node.inputs[0]
    if condition is None:
        return
    for user, place in list(condition.uses()):
        if user.op_type == "If" and not user.domain and user.graph is node.graph:
            user.replace_input_with(place, known)


PASSES = (DecideIf,)
