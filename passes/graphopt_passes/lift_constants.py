"""Turn `Constant` nodes into initializers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from graphopt.graph.constants import constant_attribute, materialize
from graphopt.graph.model import Graph, Model, Node
from graphopt.graph.scopes import Scope, walk
from graphopt.pipeline.context import Context
from graphopt.pipeline.passes import Pass

__all__ = ["PASSES", "LiftConstants"]


@dataclass(frozen=True)
class LiftConstants(Pass):
    """Turn `Constant` nodes into initializers of the same name.

    Left unchanged: sparse constants, function bodies (which hold no initializers), and below IR version 4, where every
    initializer is an input, subgraphs and constants that are graph outputs.
    """

    name: ClassVar[str] = "lift-constants"

    def run(self, model: Model, context: Context) -> int:
        """Lift the constants of the main graph and of all subgraphs."""
        count = 0
        strict = model.ir.ir_version < 4
        for scope in walk(model):
            if not scope.in_function:
                count += self._lift(scope, context, strict=strict)
        return count

    def _lift(self, scope: Scope, context: Context, *, strict: bool) -> int:
        if strict and scope.parent is not None:
            return 0
        lifted: list[Node] = []
        for node in list(scope.graph):
            if not _liftable(node, strict=strict):
                continue
            tensor = constant_attribute(node)
            if tensor is None or not context.admit(self.name, node):
                continue
            made = materialize(node.outputs[0], tensor, context.names)
            _keep_origin(node, made.graph, made.name)
            lifted.append(node)
        scope.graph.remove(lifted)
        return len(lifted)


def _liftable(node: Node, *, strict: bool) -> bool:
    if node.op_type != "Constant" or node.domain or len(node.outputs) != 1 or not node.outputs[0].name:
        return False
    return not (strict and node.outputs[0].is_graph_output())


def _keep_origin(node: Node, graph: Graph | None, name: str | None) -> None:
    if graph is None or name is None:
        return
    made = graph.initializers[name]
    for key, text in node.metadata_props.items():
        made.metadata_props.setdefault(key, text)
    made.doc_string = made.doc_string or node.doc_string


PASSES = (LiftConstants,)
