"""Replace calls of local functions by the functions' bodies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graphopt.graph.inline import expanded_size, inline_call, why_not
from graphopt.graph.model import Model, Node, subgraphs
from graphopt.graph.scopes import walk
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass

__all__ = ["PASSES", "InlineFunctions"]


@dataclass(frozen=True)
class InlineFunctions(Pass):
    """Replace calls of local functions by the functions' bodies, calls inside them included.

    Left unchanged, with a remark: every call if the model would get more than `max_nodes` nodes, calls that pass
    graphs, and functions that import another version of an operator set than the model. Functions that nothing calls
    any more are left to `eliminate-dead`.
    """

    name: ClassVar[str] = "inline-functions"

    max_nodes: int = 100_000
    """Number of nodes that the main graph may have afterwards."""

    def run(self, model: Model, context: Context) -> int:
        """Inline the calls of the main graph and its subgraphs in order, and those that come with the bodies."""
        functions = model.ir.functions
        calls = [
            node
            for scope in walk(model)
            if not scope.in_function
            for node in scope.graph
            if node.op_identifier() in functions
        ]
        if not calls:
            return 0
        if expanded_size(model, self.max_nodes + 1) > self.max_nodes:
            context.steps.note(self.name, f"not inlined: the model would get more than {self.max_nodes} nodes")
            return 0
        count = 0
        todo = calls[::-1]
        while todo:
            call = todo.pop()
            function = functions[call.op_identifier()]
            reason = why_not(model, function, call)
            if reason:
                context.steps.note(self.name, f"not inlined: {reason}", call)
                continue
            if context.admit(self.name, call):
                made = inline_call(model, function, call, context.names)
                todo.extend(node for node in _all_nodes(made)[::-1] if node.op_identifier() in functions)
                count += 1
        return count


def _all_nodes(nodes: list[Node]) -> list[Node]:
    """List `nodes` and those of the graphs that they hold, outer first."""
    found = list(nodes)
    for node in found:
        found.extend(inner for graph in subgraphs(node) for inner in graph)
    return found


PASSES = (InlineFunctions,)
