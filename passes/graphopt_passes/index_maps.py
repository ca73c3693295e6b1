"""Compose what only moves the elements of one value about into one Gather of its rows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from graphopt.graph.dims import Dim, known_at_least
from graphopt.graph.edit import Builder
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import has_reference
from graphopt.kinds import Target
from graphopt.rewrite.conditions import condition
from graphopt.rewrite.rule import Match, Rule
from graphopt_passes.axes import axis_of
from graphopt_passes.slices import INT64_MAX, cuts_of
from graphopt_passes.transposes import permutation

__all__ = ["PASSES"]

Array = np.ndarray[Any, Any]
_VIEWS = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
_COPIES = frozenset({"Concat", "Gather", "Slice", "Transpose"})
_MANY_NODES = 64
_MANY_ELEMENTS = 1 << 22
"""Larger values are left alone: their elements are followed one by one."""

_ROW_BYTES = 64
"""Shorter rows are copied slower one by one than several times all at once."""


def _moved(node: Node) -> list[Value]:
    """Return the operands whose elements are moved."""
    return [value for value in (node.inputs if node.op_type == "Concat" else node.inputs[:1]) if value is not None]


def _joins(value: Value, nodes: list[Node]) -> bool:
    """Tell whether a value is made by moving elements, for `nodes` alone."""
    node = value.producer()
    if node is None or node.domain or node.op_type not in _VIEWS | _COPIES or node.graph is not nodes[0].graph:
        return False
    return not value.is_graph_output() and all(user in nodes for user, _ in value.uses())


def _chain(root: Node) -> tuple[Value, list[Node]] | None:
    """Follow the operands of `root` back to the one value that all elements come from; None if there are several.

    The nodes in between come with it, `root` the first of them and every node behind those that read it.
    """
    nodes = [root]
    for node in nodes:
        for value in _moved(node):
            producer = value.producer()
            if producer is not None and producer not in nodes and _joins(value, nodes):
                nodes.append(producer)
        if len(nodes) > _MANY_NODES:
            return None
    sources = {value for node in nodes for value in _moved(node) if value.producer() not in nodes}
    return (sources.pop(), nodes) if len(sources) == 1 and not any(map(has_reference, nodes)) else None


@condition("all that it holds comes from one value and is copied more than once on the way")
def _is_copied_twice(match: Match) -> bool:
    found = _chain(match.root)
    if found is None:
        return False
    counts = [match.facts.element_count(node.outputs[0]) for node in found[1] if node.op_type in _COPIES]
    total: Dim = 0
    for count in counts:
        if count is None:
            return False
        total = total + count
    return counts[0] is not None and known_at_least(total - 2 * counts[0], 0)


class _Places:
    """Where in the source each element of a value comes from; in one sample of it, where the first size is unknown.

    `batch` is that size, or 1 where all sizes are known.
    """

    def __init__(self, source: Value, facts: Facts) -> None:
        self.facts = facts
        shape = facts.shape(source) or (0,)
        self.batch: Dim = 1 if facts.static_shape(source) is not None else shape[0]
        sizes = tuple(dim for dim in (shape if self.is_whole else (1, *shape[1:])) if isinstance(dim, int))
        known = len(sizes) == len(shape) and 0 < math.prod(sizes) <= _MANY_ELEMENTS
        self.size = math.prod(sizes) if known else 0
        self.found = {source: np.arange(self.size).reshape(sizes) if known else None}

    @property
    def is_whole(self) -> bool:
        """Whether all samples are followed, not one for all."""
        return isinstance(self.batch, int)

    def of(self, nodes: list[Node]) -> Array | None:
        """Return the places of the elements that the first of `nodes` gives; None if they cannot be told."""
        for node in reversed(nodes):
            operands = [self.found.get(value) for value in _moved(node)]
            arrays = [array for array in operands if array is not None]
            self.found[node.outputs[0]] = self.move(node, arrays) if len(arrays) == len(operands) else None
        return self.found[nodes[0].outputs[0]]

    def move(self, node: Node, arrays: list[Array]) -> Array | None:
        """Do with places what `node` does with elements."""
        if node.op_type in _VIEWS:
            return self.view(node, arrays[0])
        if node.op_type == "Transpose":
            perm = permutation(node, self.facts)
            return None if perm is None or not (self.is_whole or perm[0] == 0) else arrays[0].transpose(perm)
        if node.op_type == "Slice":
            return self.cut(node, arrays[0])
        axis = axis_of(node, self.facts, arrays[0].ndim)
        if axis is None or not (self.is_whole or axis):
            return None
        return np.concatenate(arrays, axis) if node.op_type == "Concat" else self.pick(node, arrays[0], axis)

    def view(self, node: Node, array: Array) -> Array | None:
        """Give `array` another shape."""
        shape = self.facts.shape(node.outputs[0]) or (0,)
        rest = [dim for dim in shape[1:] if isinstance(dim, int)]
        if len(rest) < len(shape) - 1 or 0 in rest:
            return None
        first = array.size // math.prod(rest)
        return array.reshape(first, *rest) if shape[0] == self.batch * first else None

    def cut(self, node: Node, array: Array) -> Array | None:
        """Slice `array`."""
        cuts = cuts_of(node, self.facts)
        if cuts is None or not (self.is_whole or 0 not in cuts):
            return None
        window = [slice(None)] * array.ndim
        for axis, cut in cuts.items():
            window[axis] = slice(cut.start, None if cut.end == INT64_MAX else cut.end, cut.step)
        return array[tuple(window)]

    def pick(self, node: Node, array: Array, axis: int) -> Array | None:
        """Gather from `array`."""
        index = None if node.inputs[1] is None else self.facts.constant(node.inputs[1])
        size = array.shape[axis]
        if index is None or index.size * array.size > _MANY_ELEMENTS * size:
            return None
        return array.take(index, axis) if ((index >= -size) & (index < size)).all() else None


def _row(places: Array, size: int) -> int:
    """Return the length of the longest rows of a value of `size` elements that the places consist of."""
    flat = places.reshape(-1)
    starts = np.flatnonzero(np.diff(flat) != 1) + 1
    return int(np.gcd.reduce([size, flat.size, flat[0], *starts, *flat[starts]]))


def _gather(build: Builder, match: Match) -> Value | None:
    source, nodes = _chain(match.root) or (match.result, [])
    places, dtype = _Places(source, match.facts), match.facts.dtype(source)
    found = places.of(nodes)
    if found is None or not found.size or dtype is None:
        return None
    row, samples, rows = _row(found, places.size), [] if places.is_whole else [-1], source
    if not row == places.size == found.size:
        if row * dtype.bitwidth < 8 * _ROW_BYTES:
            return None
        rows = build.op("Reshape", source, build.shape(*samples, places.size // row, row))
        rows = build.op("Gather", rows, build.constant(found.reshape(-1)[::row] // row), axis=len(samples))
    value: Value = build.op("Reshape", rows, build.shape(*samples, *found.shape[len(samples) :]))
    return value


COMPOSE_INDEX_MAPS = Rule(
    name="compose-index-maps",
    doc="Compose rolling, slicing, joining and transposing one value into one Gather of its rows.",
    match="(Concat | Gather | Slice | Transpose)(*_)",
    replace=_gather,
    where=(_is_copied_twice,),
    stage="steer",
    targets=(Target.ORT_CPU, Target.OPENVINO),
    min_opset=5,
)

PASSES = (COMPOSE_INDEX_MAPS,)
