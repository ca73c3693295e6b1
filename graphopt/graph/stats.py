"""Count what a model is made of: nodes, parameters, bytes, multiply-accumulates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from graphopt.graph.constants import stored_tensors
from graphopt.graph.costs import Costs
from graphopt.graph.facts import Facts
from graphopt.graph.model import Model, Node

__all__ = ["GraphStats", "node_macs", "stats"]


@dataclass(frozen=True)
class GraphStats:
    """What a model is made of.

    `nodes` counts all graphs and function bodies without Constant nodes; `operators` splits it by type. `parameters`
    and `bytes` are of the initializers and of constants in attributes. `macs` are multiply-accumulates of all
    operators, recurrent ones and attention included, with every symbolic size taken as 1; None if a rank is not known.
    """

    nodes: int
    operators: dict[str, int]
    parameters: int
    bytes: int
    macs: int | None


def stats(model: Model, facts: Facts) -> GraphStats:
    """Count the parts of `model`."""
    operators: Counter[str] = Counter()
    for scope in model.scopes():
        for node in scope:
            if node.op_type != "Constant" or node.domain:
                operators[f"{node.domain}.{node.op_type}" if node.domain else node.op_type] += 1
    tensors = list(stored_tensors(model))
    parameters, size = (sum(int(getattr(tensor, name)) for tensor in tensors) for name in ("size", "nbytes"))
    macs = Costs(facts, {}, other=1).macs(model)
    ordered = dict(sorted(operators.items(), key=lambda item: (-item[1], item[0])))
    return GraphStats(operators.total(), ordered, parameters, size, macs)


def node_macs(node: Node, facts: Facts) -> int | None:
    """Count the multiply-accumulates of one node, each symbolic size as 1; None if a rank is not known."""
    return Costs(facts, {}, other=1).macs_of(node)
