"""Read integer tensors whose elements are an affine function of their coordinates, such as positions and indices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from graphopt.graph.dims import Dim, known_at_least, product
from graphopt.graph.facts import Facts
from graphopt.graph.model import DataType, Node, Value
from graphopt_passes.transposes import permutation

__all__ = ["Grid", "counts", "grid_of", "grid_of_array"]

DEPTH = 16
"""So many nodes back an index is followed."""
MANY_ELEMENTS = 1 << 22
"""Larger constants are not read."""

Array = np.ndarray[Any, Any]
Shape = tuple[Dim, ...]


@dataclass(frozen=True)
class Grid:
    """The tensor whose element at (i, j, ...) is base + steps[0] * i + steps[1] * j + ...

    The step along an axis of size 1 is 0.
    """

    shape: Shape
    base: Dim
    steps: Shape

    @property
    def uniform(self) -> bool:
        """Tell whether all elements are the same."""
        return all(step == 0 for step in self.steps)

    @property
    def rises(self) -> bool:
        """Tell whether no element is negative."""
        return known_at_least(self.base, 0) and all(known_at_least(step, 0) for step in self.steps)


def counts(shape: Shape, base: Dim, steps: Shape) -> bool:
    """Tell whether the elements are 0, 1, 2, ... in order."""
    tails = [product(shape[axis + 1 :]) for axis in range(len(shape))]
    return base == 0 and all(dim == 1 or step == tail for dim, step, tail in zip(shape, steps, tails, strict=True))


def grid_of(value: Value | None, facts: Facts, depth: int = DEPTH) -> Grid | None:
    """Return the affine function that an int64 or int32 tensor holds; None if it is none, or that cannot be told."""
    if value is None or not depth or facts.dtype(value) not in {DataType.INT64, DataType.INT32}:
        return None
    shape = facts.shape(value)
    if shape is None:
        return None
    if facts.is_constant(value):
        return _of_constant(value, facts)
    contents = facts.contents(value)
    if contents is not None and len(contents) == 1:
        return Grid(shape, contents[0], (0,) * len(shape))
    node = value.producer()
    reader = None if node is None or node.domain else READERS.get(node.op_type)
    if node is None or reader is None:
        return None
    try:
        return reader(node, shape, facts, depth - 1)
    except OverflowError:
        return None


def _of_constant(value: Value, facts: Facts) -> Grid | None:
    size = facts.element_count(value)
    array = facts.constant(value) if isinstance(size, int) and 0 < size <= MANY_ELEMENTS else None
    return None if array is None else grid_of_array(array)


def grid_of_array(array: Array) -> Grid | None:
    """Return the affine function that an array of integers, not empty, holds; None if it holds none."""
    base = int(array.flat[0])
    steps = [0] * array.ndim
    for axis in _long(array.shape):
        steps[axis] = int(np.moveaxis(array, axis, 0)[1].flat[0]) - base
    told = np.full(array.shape, base)
    places: Array
    for axis, places in enumerate(np.indices(array.shape, sparse=True)):
        told += steps[axis] * places
    return Grid(array.shape, base, tuple(steps)) if np.array_equal(told, array) else None


def _long(shape: Shape) -> list[int]:
    return [axis for axis, dim in enumerate(shape) if dim != 1]


def _range(node: Node, shape: Shape, facts: Facts, depth: int) -> Grid | None:
    start, step = grid_of(node.inputs[0], facts, depth), grid_of(node.inputs[2], facts, depth)
    if start is None or step is None:
        return None
    return Grid(shape, start.base, (0 if shape == (1,) else step.base,))


def _same(node: Node, shape: Shape, facts: Facts, depth: int) -> Grid | None:
    inner = grid_of(node.inputs[0], facts, depth)
    return None if inner is None else Grid(shape, inner.base, inner.steps)


def _view(node: Node, shape: Shape, facts: Facts, depth: int) -> Grid | None:
    inner = grid_of(node.inputs[0], facts, depth)
    if inner is None:
        return None
    old, new = _long(inner.shape), _long(shape)
    if [inner.shape[axis] for axis in old] != [shape[axis] for axis in new]:
        return None
    steps = dict(zip(new, (inner.steps[axis] for axis in old), strict=True))
    return Grid(shape, inner.base, tuple(steps.get(axis, 0) for axis in range(len(shape))))


def _transpose(node: Node, shape: Shape, facts: Facts, depth: int) -> Grid | None:
    inner, perm = grid_of(node.inputs[0], facts, depth), permutation(node, facts)
    return None if inner is None or perm is None else Grid(shape, inner.base, tuple(inner.steps[axis] for axis in perm))


def _spread(grid: Grid, shape: Shape) -> Shape | None:
    """Return the steps of a grid that is broadcast to `shape`."""
    steps = (0,) * (len(shape) - len(grid.shape)) + grid.steps
    dims = (1,) * (len(shape) - len(grid.shape)) + grid.shape
    fits = all(dim in (1, wide) for dim, wide in zip(dims, shape, strict=True))
    return steps if fits else None


def _expand(node: Node, shape: Shape, facts: Facts, depth: int) -> Grid | None:
    inner = grid_of(node.inputs[0], facts, depth)
    steps = None if inner is None else _spread(inner, shape)
    return None if inner is None or steps is None else Grid(shape, inner.base, steps)


def _arithmetic(node: Node, shape: Shape, facts: Facts, depth: int) -> Grid | None:
    a, b = grid_of(node.inputs[0], facts, depth), grid_of(node.inputs[1], facts, depth)
    if a is None or b is None:
        return None
    first, second = _spread(a, shape), _spread(b, shape)
    if first is None or second is None:
        return None
    if node.op_type == "Mul":
        return _scaled(a, b, first, second, shape)
    sign = 1 if node.op_type == "Add" else -1
    return Grid(shape, a.base + sign * b.base, tuple(x + sign * y for x, y in zip(first, second, strict=True)))


def _scaled(a: Grid, b: Grid, first: Shape, second: Shape, shape: Shape) -> Grid | None:
    if b.uniform:
        return Grid(shape, a.base * b.base, tuple(step * b.base for step in first))
    return Grid(shape, a.base * b.base, tuple(step * a.base for step in second)) if a.uniform else None


READERS: dict[str, Callable[[Node, Shape, Facts, int], Grid | None]] = {
    **dict.fromkeys(("Add", "Mul", "Sub"), _arithmetic),
    **dict.fromkeys(("Cast", "Identity"), _same),
    **dict.fromkeys(("Flatten", "Reshape", "Squeeze", "Unsqueeze"), _view),
    "Expand": _expand,
    "Range": _range,
    "Transpose": _transpose,
}
