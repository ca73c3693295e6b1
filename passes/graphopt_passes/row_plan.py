"""Plan which nodes need not compute all rows of their results, because all that is read are a few."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from graphopt.graph.dims import Dim, known_at_least, known_positive, product
from graphopt.graph.facts import Facts
from graphopt.graph.model import Node, Value
from graphopt.graph.schema import has_reference
from graphopt.rewrite.conditions import FLOATS
from graphopt_passes.axes import axis_of, integers
from graphopt_passes.rowwise import VIEWS, Rows, locate, operand_rows

__all__ = ["Plan", "plan_rows"]

_SMALL = 4096
"""Elements that take no longer to compute than one more node takes to start."""

_ROUNDS = 16
"""Plans that are made before the graph is left as it is; each knows the nodes at which those before it failed."""

_INT32_MAX = (1 << 31) - 1


def _selected(node: Node, facts: Facts) -> Rows | None:
    """Return which rows of its operand a `Gather` or `Slice` at constant places keeps; None if it is no such node."""
    source = node.inputs[0] if node.inputs else None
    shape = None if source is None or node.domain or has_reference(node) else facts.shape(source)
    if shape is None or len(shape) < 2 or 0 in shape or facts.dtype(node.outputs[0]) not in FLOATS:
        return None
    try:
        return _gathered(node, facts, shape) if node.op_type == "Gather" else _sliced(node, facts, shape)
    except OverflowError:
        return None


def _gathered(node: Node, facts: Facts, shape: tuple[Dim, ...]) -> Rows | None:
    axis, picked = axis_of(node, facts, len(shape)), integers(node, "indices", 1, facts)
    if axis is None or not picked or len(shape) - len(facts.shape(node.outputs[0]) or ()) not in {0, 1}:
        return None
    return _few(shape, axis, Rows(1, shape[axis], picked, len(picked), sure=True, slices=False))


def _sliced(node: Node, facts: Facts, shape: tuple[Dim, ...]) -> Rows | None:
    bounds = [integers(node, name, index, facts) for index, name in enumerate(("starts", "ends", "axes", "steps"), 1)]
    starts, ends, axes, steps = bounds
    if not starts or not ends or not axes or len(starts) != 1 or steps not in {(), (1,)}:
        return None
    axis, start, end = axes[0] % len(shape), starts[0], ends[0]
    last = 0 if start < 0 and end >= _INT32_MAX else end
    if (last <= 0) != (start < 0) or last <= start:
        return None
    sure = known_at_least(shape[axis], max(-start, last))
    return _few(shape, axis, Rows(1, shape[axis], (start, end), last - start, sure=sure, slices=True))


def _few(shape: tuple[Dim, ...], axis: int, rows: Rows) -> Rows | None:
    """Place the rows in `shape`, if they are half of all or less; of an unknown number, one is."""
    few = 2 * rows.count <= rows.size if isinstance(rows.size, int) else rows.count == 1
    return rows.at(product(shape[:axis])) if few else None


@dataclass
class Plan:
    """What of a graph's values is asked for, and what that comes to.

    `asked`: the rows of a value that its readers need, None if they differ, and the number of those readers.
    `narrowed`: the nodes that compute fewer rows, last first, and the rows that they then need of their operands.
    `targets`: the shapes to which those that are `Reshape` bring them. `roots`: the selections. `mixed`: nodes that
    must compute all rows.
    """

    facts: Facts
    mixed: frozenset[Node] = frozenset()
    asked: dict[Value, tuple[Rows | None, int]] = field(default_factory=dict)
    narrowed: dict[Node, dict[int, Rows]] = field(default_factory=dict)
    targets: dict[Node, list[int]] = field(default_factory=dict)
    roots: dict[Node, Rows] = field(default_factory=dict)

    def add(self, node: Node) -> None:
        """Ask for what `node` needs; all its readers have asked before."""
        needed = self._needed(node)
        if needed is not None:
            self.narrowed[node] = needed
        elif node.op_type in {"Gather", "Slice"} and (rows := _selected(node, self.facts)) is not None:
            self.roots[node] = rows
            needed = {0: rows}
        for index, rows in (needed or {}).items():
            value = node.inputs[index]
            if value is not None:
                before, count = self.asked.get(value, (rows, 0))
                self.asked[value] = (rows if before == rows else None, count + 1)

    def rows_of(self, value: Value) -> Rows | None:
        """Return the rows that all readers of `value` ask for."""
        rows, count = self.asked.get(value, (None, 0))
        return rows if count == len(value.uses()) and not value.is_graph_output() else None

    def is_narrowed(self, value: Value) -> bool:
        """Tell whether `value` will have only the rows that are asked for."""
        return value.producer() in self.narrowed

    def failures(self) -> frozenset[Node]:
        """Return nodes that would spare no work before them, or need rows of what has no axis to select them on."""
        found: set[Node] = set()
        for node in reversed(self.narrowed):
            spared = self._is_work(node)
            for index, rows in self.narrowed[node].items():
                value = node.inputs[index]
                if value is None or (self.is_narrowed(value) and value.producer() not in found):
                    spared = True
                elif (place := locate(self.facts.shape(value), rows)) is None or place.lead != 1:
                    found.add(node)
            if not spared:
                found.add(node)
        return frozenset(found)

    def _needed(self, node: Node) -> dict[int, Rows] | None:
        """Return which rows of which operands `node` needs; None if it must have all of all."""
        used = [value for value in node.outputs if value.uses() or value.is_graph_output()]
        if node in self.mixed or not used or used[0] not in self.asked or has_reference(node):
            return None
        rows = self.rows_of(used[0])
        alike = used[0] is node.outputs[0] and all(self.rows_of(value) == rows for value in used)
        if rows is None or not alike or (len(used) > 1 and node.op_type != "Split"):
            return None
        place = locate(self.facts.shape(used[0]), rows)
        if place is None:
            return None
        if node.op_type == "Reshape":
            target = _target(node, self.facts, rows)
            if target is None:
                return None
            self.targets[node] = target
        return operand_rows(node, self.facts, rows, place)

    def _is_work(self, node: Node) -> bool:
        """Tell whether narrowing `node` saves time by itself; two selections only change places."""
        count = self.facts.element_count(node.outputs[0])
        selects = node.op_type in {"Gather", "Slice", "Split"} and 0 in self.narrowed[node]
        return node.op_type not in VIEWS and not selects and not (isinstance(count, int) and count <= _SMALL)


def plan_rows(nodes: Iterable[Node], facts: Facts) -> Plan | None:
    """Plan for the nodes of one graph, given from the last to the first; None if there is nothing to do."""
    order, mixed = list(nodes), frozenset[Node]()
    for _ in range(_ROUNDS):
        plan = Plan(facts, mixed)
        for node in order:
            plan.add(node)
        failures = plan.failures()
        if not failures:
            return plan if plan.narrowed else None
        mixed |= failures
    return None


def _target(node: Node, facts: Facts, rows: Rows) -> list[int] | None:
    """Return the constant shape to which a `Reshape` brings these rows; None if there is none."""
    source = node.inputs[0] if len(node.inputs) == 2 else None
    shape, given = facts.shape(node.outputs[0]), None if source is None else facts.shape(source)
    place, inside = locate(shape, rows), locate(given, rows)
    if shape is None or given is None or place is None:
        return None
    target: list[int] = []
    for axis, dim in enumerate(shape):
        here = axis == place.axis
        size = place.lead * rows.count if here and rows.sure else dim
        copied = axis < len(given) and given[axis] == dim and here == (inside is not None and axis == inside.axis)
        if isinstance(size, int) and size > 0 and (rows.sure or not here):
            target.append(size)
        else:
            target.append(0 if copied else -1)
    return target if _may_infer(node, facts, target) else None


def _may_infer(node: Node, facts: Facts, target: list[int]) -> bool:
    """Tell whether -1 fails for no input that `node` takes."""
    if -1 not in target:
        return True
    at, shape = target.index(-1), facts.shape(node.outputs[0]) or ()
    asked = None if node.inputs[1] is None else facts.contents(node.inputs[1])
    given = asked is not None and len(asked) == len(target) and asked[at] == -1
    copied = (dim for dim, size in zip(shape, target, strict=True) if size == 0)
    return target.count(-1) == 1 and (given or all(known_positive(dim) for dim in copied))
