"""Cut the surroundings of a place out of a model, once for each alternative, so that they can be timed."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from graphopt.graph.changes import Digests
from graphopt.graph.cut import cut, held_constant, is_movable, values_by_name
from graphopt.graph.model import Model, Node, Value
from graphopt.search.candidates import Alternative, Ground, Spot

__all__ = ["BEFORE", "Region", "cut_region", "signature"]

BEFORE = "before"
"""The label of the region as it is."""

_LIGHT = frozenset(
    {
        "Add",
        "BatchNormalization",
        "Clip",
        "Concat",
        "Div",
        "Elu",
        "Gelu",
        "HardSigmoid",
        "HardSwish",
        "Identity",
        "LeakyRelu",
        "Mul",
        "PRelu",
        "Pad",
        "Relu",
        "Reshape",
        "Sigmoid",
        "Softplus",
        "Sub",
        "Sum",
        "Tanh",
        "Transpose",
    }
)
"""Operators that a runtime fuses with their neighbours or whose form depends on them: the ring goes on behind them."""

_MOST_AROUND = 16
_SMALL = 64
"""Constants of so few elements are told apart by their content, as they may be sizes, axes or exponents."""


@dataclass(frozen=True)
class Region:
    """Models of one place and its neighbours by label: `BEFORE`, and those of the alternatives.

    All give the same outputs; what they take is among `inputs`, names of values in the whole model.
    """

    spot: Spot
    models: Mapping[str, Model]
    inputs: tuple[str, ...]


def cut_region(ground: Ground, spot: Spot) -> Region | None:
    """Cut the place out with its neighbours, as a runtime's fusions and layouts reach across the border.

    None if it cannot be a model of its own; alternatives that cannot are left out.
    """
    around = _around(ground.model, spot.nodes)
    outputs = _outputs((*spot.nodes, *around))
    values = values_by_name(ground.model)
    models: dict[str, Model] = {}
    versions = {BEFORE: spot.nodes, **{each.label: _with(spot.nodes, each) for each in spot.alternatives}}
    for name, nodes in versions.items():
        whole = _with_constants((*nodes, *around))
        made = {value.name for node in whole for value in node.outputs}
        if all(is_movable(node, ground.model) for node in whole) and made.issuperset(outputs):
            part = cut(whole, outputs, ground.model, values, ground.facts)
            models.update({} if part is None else {name: part})
    if BEFORE not in models or len(models) < 2:
        return None
    read = dict.fromkeys(value.name or "" for model in models.values() for value in model.graph.inputs)
    return Region(spot, models, tuple(read))


def _with(nodes: Sequence[Node], one: Alternative) -> tuple[Node, ...]:
    return (*(node for node in nodes if node not in set(one.change.before)), *one.change.after)


def _with_constants(nodes: Sequence[Node]) -> list[Node]:
    """Add the `Constant` nodes that are read."""
    makers = [value.producer() for node in nodes for value in node.inputs if value is not None]
    constants = [node for node in makers if node is not None and node.op_type == "Constant" and not node.domain]
    return list(dict.fromkeys((*constants, *nodes)))


def _around(model: Model, inside: Collection[Node]) -> list[Node]:
    """List the neighbours, and theirs behind light operators, nearest first."""
    found = dict.fromkeys(inside)
    edge = list(inside)
    for _ in range(2):
        reached = dict.fromkeys(other for node in edge for other in _neighbours(node, model))
        edge = [node for node in reached if node not in found and is_movable(node, model)]
        edge = edge[: _MOST_AROUND + len(inside) - len(found)]
        found.update(dict.fromkeys(edge))
        edge = [node for node in edge if node.op_type in _LIGHT and not node.domain]
    return [node for node in found if node not in set(inside)]


def _neighbours(node: Node, model: Model) -> Iterable[Node]:
    for other in (*node.predecessors(), *node.successors()):
        if other.graph is model.graph and other.op_type != "Constant":
            yield other


def _outputs(nodes: Collection[Node]) -> list[str]:
    """List the results that are read by others or are outputs of the model."""
    inside = set(nodes)
    made = (value for node in nodes for value in node.outputs)
    return [value.name for value in made if value.name and _leaves(value, inside)]


def _leaves(value: Value, inside: set[Node]) -> bool:
    return value.is_graph_output() or any(user not in inside for user, _ in value.uses())


def signature(region: Region, kinds: Mapping[str, str], digests: Digests) -> str:
    """Return a hash that two regions share if the runtime has the same work with both.

    `kinds` tells type and sizes of each input. Large constants count by type and shape alone, names not at all.
    """
    texts = [label + "\n" + _text(model, kinds, digests) for label, model in region.models.items()]
    return hashlib.sha256("\n\n".join(texts).encode()).hexdigest()


def _text(model: Model, kinds: Mapping[str, str], digests: Digests) -> str:
    numbers: dict[str | None, str] = {}
    lines = [f"opset {sorted(model.ir.opset_imports.items())}"]
    for value in model.graph.inputs:
        numbers[value.name] = f"v{len(numbers)}"
        known = None if value.shape is None else [dim if isinstance(dim, int) else "?" for dim in value.shape]
        lines.append(f"{numbers[value.name]}: {kinds[value.name or '']} known as {known}")
    for node in model.graph:
        read = ["-" if value is None else _operand(value, numbers, digests) for value in node.inputs]
        for value in node.outputs:
            numbers[value.name] = f"v{len(numbers)}"
        made = [numbers[value.name] for value in node.outputs]
        lines.append(f"{made} {node.domain}.{node.op_type} {digests.attributes(node)} {read}")
    return "\n".join([*lines, str([numbers[value.name] for value in model.graph.outputs])])


def _operand(value: Value, numbers: Mapping[str | None, str], digests: Digests) -> str:
    tensor = value.const_value
    if tensor is None or not held_constant(value):
        return numbers[value.name]
    if tensor.size <= _SMALL or not tensor.dtype.is_floating_point():
        return digests.tensor(tensor)
    return f"{tensor.dtype}{tuple(tensor.shape)}"
