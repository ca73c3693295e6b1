"""Retype nodes of a graph, and put conversions where narrow and wide values meet."""

from __future__ import annotations

from typing import Any

from graphopt.graph.constants import narrowed
from graphopt.graph.edit import add_initializer, drop_initializer, make_attribute
from graphopt.graph.model import DataType, Graph, Model, Node, Value
from graphopt.graph.names import Names
from graphopt.graph.scopes import walk
from graphopt.kinds import Exactness
from graphopt.pipeline.context import Context
from graphopt_passes.narrow_plan import Choice, Plan

__all__ = ["compute_narrow", "converted_behind", "narrow_copy"]

_WIDE = DataType.FLOAT


def compute_narrow(plan: Plan, rule: str, context: Context) -> int:
    """Let the nodes of a plan compute in its type, as far as they are admitted; return how many do."""
    chosen = {node: choice for node, choice in plan.nodes.items() if context.admit(rule, node, Exactness.LOSSY)}
    if chosen:
        _Narrowing(plan, chosen, context.names).run()
    return len(chosen)


def narrow_copy(value: Value, to: DataType, names: Names) -> Value:
    """Add a copy of an initializer in another type to its graph."""
    if value.graph is None or value.const_value is None:
        raise ValueError(f"{value.name!r} is no initializer")
    return add_initializer(value.graph, narrowed(value.const_value, to), names.fresh(f"{value.name}_{to.name.lower()}"))


def converted_behind(value: Value, to: DataType, names: Names) -> Value:
    """Convert a value right behind where it is made, or at the beginning of its graph; return the result."""
    graph, producer = value.graph, value.producer()
    if graph is None and producer is not None:
        graph = producer.graph
    if graph is None:
        raise ValueError(f"{value.name!r} is in no graph")
    node = _cast(value, to, names)
    if producer is not None:
        graph.insert_after(producer, node)
    elif (first := next(iter(graph), None)) is not None:
        graph.insert_before(first, node)
    else:
        graph.append(node)
    return node.outputs[0]


def _cast(value: Value, to: DataType, names: Names) -> Node:
    node = Node("", "Cast", [value], [make_attribute("to", to.value)], name=names.fresh(f"{value.name}_cast"))
    made = node.outputs[0]
    made.name = names.fresh(f"{value.name}_{to.name.lower()}")
    made.dtype, made.shape = to, value.shape
    return node


class _Narrowing:
    def __init__(self, plan: Plan, chosen: dict[Node, Choice], names: Names) -> None:
        self.plan, self.chosen, self.names = plan, chosen, names
        self.narrow = {node.outputs[at] for node, choice in chosen.items() for at in choice.outputs}
        self.made: dict[tuple[Value, DataType], Value] = {}

    def run(self) -> None:
        model = self.plan.model
        scopes = [scope.graph for scope in walk(model) if not scope.in_function]
        reads = [read for graph in scopes for node in graph for read in self.mismatches(node)]
        for value in self.narrow:
            value.dtype = self.plan.to
        for graph in scopes:
            self.keep_outputs(graph, model)
        for node, at, value, wanted in reads:
            node.replace_input_with(at, self.convert(value, wanted))
        for value, _ in list(self.made):
            drop_initializer(value)

    def mismatches(self, node: Node) -> list[tuple[Node, int, Value, DataType]]:
        """List the operands of a node that are of another type than it will read."""
        found: list[tuple[Node, int, Value, DataType]] = []
        narrow = self.chosen[node].inputs if node in self.chosen else ()
        for at, value in enumerate(node.inputs):
            if value is None or (at in narrow) == (value in self.narrow):
                continue
            found.append((node, at, value, self.plan.to if at in narrow else _WIDE))
        return found

    def convert(self, value: Value, to: DataType) -> Value:
        """Return a value in that type; the same one for all that read it."""
        key = (value, to)
        if key not in self.made:
            constant = value.is_initializer() and self.plan.facts.is_constant(value)
            make: Any = narrow_copy if constant else converted_behind
            self.made[key] = make(value, to, self.names)
        return self.made[key]

    def keep_outputs(self, graph: Graph, model: Model) -> None:
        """Give the outputs of a graph in the type that they had, those of the model under their names."""
        for index, value in enumerate(graph.outputs):
            if value not in self.narrow:
                continue
            name = value.name
            wide = self.made.get((value, _WIDE))
            if wide is None:
                if graph is model.graph:
                    value.name = self.names.fresh(f"{name}_{self.plan.to.name.lower()}")
                wide = self.made[value, _WIDE] = converted_behind(value, _WIDE, self.names)
                if graph is model.graph:
                    wide.name = name
            graph.outputs[index] = wide
