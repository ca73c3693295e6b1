"""Take the branch of an `If` whose condition is known."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from graphopt.graph.edit import forward, remove_dead
from graphopt.graph.model import Graph, Model, Node, Value
from graphopt.graph.names import Names
from graphopt.graph.scopes import inner_graphs, walk
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass

__all__ = ["PASSES", "InlineIf"]


@dataclass(frozen=True)
class InlineIf(Pass):
    """Replace an `If` whose condition is constant by the nodes of the branch that it takes.

    Names that are already in use around the `If` get a number. Left unchanged: a branch with initializers inside a
    function body, which holds none, or below IR version 4, where they are inputs.
    """

    name: ClassVar[str] = "inline-if"

    def run(self, model: Model, context: Context) -> int:
        """Visit every `If` from the outside in, those of inlined branches too."""
        todo: deque[Node] = deque()
        sealed: set[Graph] = set()
        for scope in walk(model):
            todo.extend(node for node in scope.graph if _is_if(node))
            if scope.in_function or model.ir.ir_version < 4:
                sealed.add(scope.graph)
        if not todo:
            return 0
        uses = Counter(_given_names(scope.graph for scope in walk(model)))
        gone: set[Graph] = set()
        count = 0
        for node in todo:
            if node.graph is None or node.graph in gone:
                continue
            branch = _taken(node, context)
            if branch is None or not _is_movable(node, branch, sealed) or not context.admit(self.name, node):
                continue
            kept = {branch, *(inner for each in branch for inner in inner_graphs(each))}
            left = [inner for inner in inner_graphs(node) if inner not in kept]
            gone.update(left)
            uses.subtract(_given_names(left))
            _inline(node, branch, context.names, uses)
            count += 1
        return count


def _is_if(node: Node) -> bool:
    return node.op_type == "If" and not node.domain


def _given_names(graphs: Iterable[Graph]) -> Iterator[str]:
    """Yield every name that the graphs give to a value or a node."""
    for graph in graphs:
        yield from (value.name for value in graph.inputs if value.name)
        yield from graph.initializers
        for node in graph:
            yield from (name for name in (node.name, *(value.name for value in node.outputs)) if name)


def _taken(node: Node, context: Context) -> Graph | None:
    """Return the branch that `node` always takes; None if it isn't known."""
    condition = node.inputs[0] if node.inputs else None
    if condition is None:
        return None
    contents = context.facts.contents_of(condition)
    if contents is None or len(contents) != 1 or not isinstance(contents[0], int):
        return None
    attr = node.attributes.get("then_branch" if contents[0] else "else_branch")
    return None if attr is None or attr.is_ref() else attr.as_graph()


def _is_movable(node: Node, branch: Graph, sealed: set[Graph]) -> bool:
    if branch.inputs or len(branch.outputs) != len(node.outputs):
        return False
    if branch.initializers and node.graph in sealed:
        return False
    # A result that the branch itself does not make is no valid ONNX.
    return all(value.producer() is not None or value.is_initializer() for value in branch.outputs)


def _inline(node: Node, branch: Graph, names: Names, uses: Counter[str]) -> None:
    graph = node.graph
    if graph is None:
        return
    results = list(branch.outputs)
    branch.outputs.clear()
    for value in list(branch.initializers.values()):
        branch.initializers.pop(value.name or "")
        _rename(value, names, uses)
        graph.register_initializer(value)
    body = list(branch)
    branch.remove(body)
    for inner in body:
        for value in inner.outputs:
            _rename(value, names, uses)
        if inner.name and uses[inner.name] > 1:
            inner.name = names.fresh(inner.name)
    graph.insert_before(node, body)
    for old, new in zip(node.outputs, results, strict=True):
        if old.uses() or old.is_graph_output():
            _hand_over(old, new)
            forward(old, new, names)
    remove_dead([node])


def _rename(value: Value, names: Names, uses: Counter[str]) -> None:
    """Give `value` a new name if another graph, where it was no clash, has the same."""
    if value.name and uses[value.name] > 1:
        uses[value.name] -= 1
        value.name = names.fresh(value.name)


def _hand_over(old: Value, new: Value) -> None:
    if new.type is None:
        new.type = old.type
    if new.shape is None:
        new.shape = old.shape


PASSES = (InlineIf,)
