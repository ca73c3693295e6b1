"""Count what a model is made of: nodes, parameters, bytes, multiply-accumulates."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from graphopt.graph.constants import stored_tensors
from graphopt.graph.dims import substitute, symbols
from graphopt.graph.facts import Facts
from graphopt.graph.model import Model, Node, Value
from graphopt.graph.schema import attribute

__all__ = ["GraphStats", "node_macs", "stats"]


@dataclass(frozen=True)
class GraphStats:
    """What a model is made of.

    `nodes` counts all graphs and function bodies without Constant nodes; `operators` splits it by type. `parameters`
    and `bytes` are of the initializers and of constants in attributes. `macs` are multiply-accumulates of all
    convolutions and matrix products with every symbolic size taken as 1; None if a rank is not known.
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
    counts = [node_macs(node, facts) for scope in model.scopes() for node in scope]
    macs = None if any(count is None for count in counts) else sum(count or 0 for count in counts)
    ordered = dict(sorted(operators.items(), key=lambda item: (-item[1], item[0])))
    return GraphStats(operators.total(), ordered, parameters, size, macs)


_COUNTED = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


def node_macs(node: Node, facts: Facts) -> int | None:
    """Count the multiply-accumulates of one node, each symbolic size as 1; None if a rank is not known.

    All but convolutions and matrix products count 0.
    """
    if node.domain or node.op_type not in _COUNTED:
        return 0
    if len(node.inputs) < 2:
        return None
    result, data, weight = (_sizes(value, facts) for value in (node.outputs[0], *node.inputs[:2]))
    if result is None or data is None or weight is None:
        return None
    if node.op_type == "Conv":
        return math.prod(result) * math.prod(weight[1:])
    if node.op_type == "ConvTranspose":
        return math.prod(data) * math.prod(weight[1:])
    inner = data[-1] if data else 1
    if node.op_type == "Gemm" and attribute(node, "transA", facts.opset(node)):
        inner = data[0]
    return math.prod(result) * inner


def _sizes(value: Value | None, facts: Facts) -> tuple[int, ...] | None:
    shape = None if value is None else facts.shape(value)
    if shape is None:
        return None
    ones = {name: 1 for dim in shape for name in symbols(dim)}
    try:
        sizes = [substitute(dim, ones) for dim in shape]
    except ValueError:
        # Sizes of 1 do not fit together everywhere, as in a window that is larger than its input.
        return None
    return tuple(size if isinstance(size, int) else 1 for size in sizes)
