"""Select rows before they are computed rather than afterwards."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from graphopt.graph.edit import Builder, forward, remove_dead
from graphopt.graph.model import Graph, Model, Node, Value
from graphopt.kinds import Exactness
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass
from graphopt_passes.axes import axis_of
from graphopt_passes.row_plan import Plan, plan_rows
from graphopt_passes.rowwise import Rows, locate

__all__ = ["PASSES", "HoistSelections"]


@dataclass(frozen=True)
class HoistSelections(Pass):
    """Hoist a `Gather` or `Slice` that keeps few rows above what computes each row by itself.

    Where all that is read of the last layer is one token, only that token is computed. Nothing is computed twice: a
    node is narrowed if all readers of its results need the same rows, and all of a graph's are narrowed at once.
    """

    name: ClassVar[str] = "hoist-selections"
    exactness: ClassVar[Exactness] = Exactness.REASSOCIATES

    def run(self, model: Model, context: Context) -> int:
        """Visit every graph; the nodes that are narrowed in one count as one rewrite."""
        if self.exactness not in context.selection.allowed:
            return 0
        functions = {id(function.graph) for function in model.functions()}
        count = 0
        for graph in model.scopes():
            plan = _plan(graph, context)
            if plan is None or not context.admit(self.name, next(iter(plan.narrowed)), self.exactness):
                continue
            _Edit(model, context, plan, in_function=id(graph) in functions).run()
            context.refresh()
            count += 1
        return count


def _plan(graph: Graph, context: Context) -> Plan | None:
    if not any(node.op_type in {"Gather", "Slice"} for node in graph):
        return None
    return plan_rows(reversed(graph), context.facts)


@dataclass
class _Edit:
    """Narrow the nodes of a plan in place; `cut` holds the selections made so far."""

    model: Model
    context: Context
    plan: Plan
    in_function: bool
    cut: dict[tuple[Value, Rows], Value] = field(default_factory=dict)

    def run(self) -> None:
        """Narrow what the plan narrows, first to last, and take away the selections below."""
        for node, operands in reversed(self.plan.narrowed.items()):
            self.narrow(node, operands)
        for root, rows in self.plan.roots.items():
            source = root.inputs[0]
            if source is not None and self.plan.is_narrowed(source):
                self.replace(root, source, rows)

    def narrow(self, node: Node, operands: dict[int, Rows]) -> None:
        """Let `node` read no more rows than it needs."""
        build = self.builder(node)
        for index, rows in operands.items():
            value = node.inputs[index]
            if value is None or self.plan.is_narrowed(value):
                continue
            if (value, rows) not in self.cut:
                self.cut[value, rows] = self.select(build, value, rows)
            node.replace_input_with(index, self.cut[value, rows])
        if node in self.plan.targets:
            asked = node.inputs[1]
            node.replace_input_with(1, build.shape(*self.plan.targets[node]))
            remove_dead([producer] if asked is not None and (producer := asked.producer()) is not None else [])
            # A 0 among the targets copies a size.
            node.attributes.pop("allowzero", None)
        for value in node.outputs:
            value.shape = None

    def builder(self, node: Node) -> Builder:
        return Builder(self.model, node, self.context.names, in_function=self.in_function)

    def select(self, build: Builder, value: Value, rows: Rows) -> Value:
        """Select the rows of a value that has them all."""
        place = locate(self.plan.facts.shape(value), rows)
        axis = 0 if place is None else place.axis
        result: Value
        if not rows.slices:
            result = build.op("Gather", value, build.shape(*rows.picked), axis=axis or None)
        elif self.plan.facts.opset_at(build.graph, "") < 10:
            result = build.op("Slice", value, starts=[rows.picked[0]], ends=[rows.picked[1]], axes=[axis])
        else:
            result = build.op("Slice", value, *(build.shape(number) for number in (*rows.picked, axis)))
        return result

    def replace(self, root: Node, source: Value, rows: Rows) -> None:
        """Put what has only the selected rows in the place of the selection."""
        facts = self.plan.facts
        result, rank = source, facts.rank(source)
        if not rows.slices and rank != facts.rank(root.outputs[0]):
            build, axis = self.builder(root), axis_of(root, facts, rank) or 0
            new = facts.opset(root) >= 13
            result = build.op("Squeeze", source, build.shape(axis)) if new else build.op("Squeeze", source, axes=[axis])
        forward(root.outputs[0], result, self.context.names)
        remove_dead([root])


PASSES = (HoistSelections,)
