"""Count what a model is made of: nodes, parameters, bytes, multiply-accumulates."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from typing import Any

from graphopt.graph.facts import Facts
from graphopt.graph.model import Model, Node
from graphopt.graph.schema import attribute

__all__ = ["GraphStats", "stats"]


@dataclass(frozen=True)
class GraphStats:
    """What a model is made of.

    `nodes` counts all graphs and function bodies without Constant nodes; `operators` splits it by type. `parameters` and
    `bytes` are of the initializers. `macs` are multiply-accumulates of the main graph's convolutions and matrix products,
    None if a shape of one of them is not known as numbers.
    """

    nodes: int
    operators: dict[str, int]
    parameters: int
    bytes: int
    macs: int | None


def stats(model: Model, facts: Facts) -> GraphStats:
    """Count the parts of `model`."""
    operators: Counter[str] = Counter()
    parameters = size = 0
    for scope in model.scopes():
        for node in scope:
            if node.op_type != "Constant" or node.domain:
                operators[f"{node.domain}.{node.op_type}" if node.domain else node.op_type] += 1
        for value in scope.initializers.values():
            if value.const_value is not None:
                parameters += value.const_value.size
                size += value.const_value.nbytes
    counts = [_macs(node, facts) for node in model.graph if not node.domain and node.op_type in _COUNTED]
    macs = None if any(count is None for count in counts) else sum(count or 0 for count in counts)
    ordered = dict(sorted(operators.items(), key=lambda item: (-item[1], item[0])))
    return GraphStats(operators.total(), ordered, parameters, size, macs)


_COUNTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def _macs(node: Node, facts: Facts) -> int | None:
    """Count the multiply-accumulates of one node; None if a shape is not known as numbers."""
    result = facts.static_shape(node.outputs[0])
    shapes: list[Any] = [None if value is None else facts.static_shape(value) for value in node.inputs[:2]]
    if result is None or len(shapes) < 2 or shapes[0] is None or shapes[1] is None:
        return None
    data, weight = shapes
    if node.op_type == "Conv":
        return int(math.prod(result) * math.prod(weight[1:]))
    if node.op_type == "ConvTranspose":
        return int(math.prod(data) * math.prod(weight[1:]))
    inner = data[-1] if data else 1
    if node.op_type == "Gemm" and attribute(node, "transA", facts.opset(node)):
        inner = data[0]
    return int(math.prod(result) * inner)
