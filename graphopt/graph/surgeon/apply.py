"""Change the IR to what the plan of an edited graph says."""

from __future__ import annotations

from typing import Any

from onnx_graphsurgeon import Constant

from graphopt.errors import ModelError
from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Attr, Graph, Node, Value, subgraphs
from graphopt.graph.surgeon.data import named, origin, retype
from graphopt.graph.surgeon.names import Pool
from graphopt.graph.surgeon.scopes import Plan, Scope, Step

__all__ = ["Apply"]


class Apply:
    """One application of a plan, with the names, weights and attributes that were chosen for it."""

    def __init__(
        self, plan: Plan, names: dict[Value, str], weights: dict[Value, Any], attributes: dict[Step, list[Attr]]
    ) -> None:
        self._plan = plan
        self._names = names
        self._weights = weights
        self._attributes = attributes
        kept = (step.source.name for scope in plan.scopes for step in scope.steps if step.node)
        self._node_names = Pool(set(kept))

    def run(self) -> None:
        """Take apart what changes, then build it up.

        Raises `ModelError` if the nodes of a graph form a cycle.
        """
        scopes = self._plan.scopes
        inits = {scope: self._initializers(scope) for scope in scopes}
        self._take_apart(inits)
        self._rename()
        for scope in scopes:
            self._fill_values(scope)
            for value in inits[scope]:
                if not value.is_initializer():
                    scope.graph.initializers.add(value)
        moved = {scope.root for scope in scopes if self._put_nodes(scope)}
        for scope in scopes:
            _put_list(scope.graph.inputs, scope.inputs)
            _put_list(scope.graph.outputs, scope.outputs)
        for root in dict.fromkeys(scope.root for scope in scopes):
            if root in moved and not _is_sorted(root.graph):
                _sort(root)

    def _initializers(self, scope: Scope) -> list[Value]:
        """List what shall be the initializers of a graph."""
        listed = list(scope.idle)
        if not scope.is_function:
            listed.extend(value for _, value in scope.weights)
        for tensor, value in zip(scope.source.inputs, scope.inputs, strict=True):
            if isinstance(tensor, Constant) or (value.is_initializer() and value.is_graph_input()):
                listed.append(value)
        return listed

    def _take_apart(self, inits: dict[Scope, list[Value]]) -> None:
        target = {step.node: scope.graph for scope in self._plan.scopes for step in scope.steps if step.node}
        surviving = {scope.graph: scope for scope in self._plan.scopes}
        for graph in self._plan.originals():
            gone = [node for node in graph if target.get(node) is not graph]
            for node in gone:
                if node not in target:
                    node.resize_inputs(0)
            graph.remove(gone)
            scope = surviving.get(graph)
            keep = set(inits[scope]) if scope else set()
            for name in [name for name, value in graph.initializers.items() if value not in keep]:
                del graph.initializers[name]
            if scope is None or list(graph.inputs) != scope.inputs:
                graph.inputs.clear()
            if scope is None or list(graph.outputs) != scope.outputs:
                graph.outputs.clear()

    def _rename(self) -> None:
        renamed = {value: name for value, name in self._names.items() if value.name != name}
        for number, value in enumerate(renamed):
            if value.is_initializer():
                value.name = f"\0{number}"  # Two may swap names, and the table of initializers takes each only once.
        for value, name in renamed.items():
            value.name = name

    def _fill_values(self, scope: Scope) -> None:
        for tensor, value in scope.defined:
            if tensor.name != value.name:
                tensor.name = value.name
            if value in self._weights:
                _put_weight(value, self._weights[value])
            elif not isinstance(tensor, Constant):
                interface = value in scope.inputs or value in scope.outputs
                retype(value, tensor, keep_type=interface)
        for value in scope.inputs:
            if value.is_initializer() and value not in self._weights and not value.is_graph_input():
                value.const_value = None

    def _put_nodes(self, scope: Scope) -> bool:
        """Put the nodes of a graph in; tell whether what stands where, or what reads what, changed."""
        changed = False
        order: list[Node] = [self._constant_node(value) for _, value in scope.weights] if scope.is_function else []
        for step in scope.steps:
            inputs = [scope.resolve(tensor) for tensor in step.source.inputs]
            if step.node is None:
                step.node = self._new_node(step, inputs)
                changed = True
            else:
                changed |= self._update(step.node, step, inputs)
            order.append(step.node)
        order.extend(self._identity(item.value, item.output) for item in scope.passed)
        if order != list(scope.graph):
            scope.graph.extend(order)
            changed = True
        return changed

    def _new_node(self, step: Step, inputs: list[Value | None]) -> Node:
        source = step.source
        source.name = self._node_names.fresh(source.name or source.op)
        like = origin(source)
        like = like if isinstance(like, Node) else None
        same_operator = like is not None and (like.op_type, like.domain) == (source.op, source.domain or "")
        node = Node(
            source.domain or "",
            source.op,
            inputs,
            self._attributes[step],
            overload=like.overload if like is not None and same_operator else "",
            outputs=step.outputs,
            version=like.version if like is not None and same_operator else None,
            name=source.name,
            doc_string=None if like is None else like.doc_string,
            metadata_props={} if like is None else dict(like.metadata_props),
        )
        if like is not None:
            node.meta.update(like.meta)
        return node

    def _update(self, node: Node, step: Step, inputs: list[Value | None]) -> bool:
        """Bring one node up to date; tell whether it reads something else."""
        source = step.source
        if (node.op_type, node.domain) != (source.op, _domain(source.domain)):
            node.op_type, node.domain = source.op, source.domain or ""
            node.overload = ""
        if (node.name or "") != source.name:
            node.name = source.name
        attributes = self._attributes[step]
        before = list(node.attributes.values())
        if len(before) != len(attributes) or any(old is not new for old, new in zip(before, attributes, strict=True)):
            node.attributes.clear()
            for attr in attributes:
                node.attributes.add(attr)
        if len(inputs) == len(node.inputs) and all(o is n for o, n in zip(node.inputs, inputs, strict=True)):
            return False
        node.resize_inputs(len(inputs))
        for index, value in enumerate(inputs):
            if node.inputs[index] is not value:
                node.replace_input_with(index, value)
        return True

    def _identity(self, value: Value, output: Value) -> Node:
        return Node("", "Identity", [value], outputs=[output], name=self._node_names.fresh(f"{output.name}_identity"))

    def _constant_node(self, value: Value) -> Node:
        """Make the node that gives a constant in the body of a function, which has no initializers."""
        attr = Attr("value", ir.AttributeType.TENSOR, value.const_value)
        value.const_value = None
        return Node("", "Constant", [], [attr], outputs=[value], name=self._node_names.fresh(f"{value.name}_constant"))


def _put_weight(value: Value, weight: Any) -> None:
    if weight is value.const_value and value.is_initializer():
        return
    value.const_value = named(weight, value.name or "")
    if value.dtype != weight.dtype or value.type is None:
        value.type = ir.TensorType(weight.dtype)
    if value.shape is None or tuple(value.shape) != tuple(weight.shape):
        value.shape = ir.Shape(weight.shape)


def _put_list(values: Any, wanted: list[Value]) -> None:
    if list(values) != wanted:
        values.clear()
        values.extend(wanted)


def _domain(domain: str | None) -> str:
    return "" if domain in (None, "ai.onnx") else str(domain)


def _is_sorted(graph: Graph) -> bool:
    """Tell whether every node stands behind what it reads, in all scopes of a main graph or a function."""
    inside = set(graph.all_nodes())
    return _stands_behind(graph, inside, set())


def _stands_behind(graph: Graph, inside: set[Node], done: set[Node]) -> bool:
    for node in graph:
        for value in node.inputs:
            producer = None if value is None else value.producer()
            if producer is not None and producer in inside and producer not in done:
                return False
        if not all(_stands_behind(inner, inside, done) for inner in subgraphs(node)):
            return False
        done.add(node)
    return True


def _sort(root: Scope) -> None:
    try:
        root.graph.sort()
    except ValueError as error:
        raise ModelError("the nodes form a cycle", where=f"graph {root.source.name!r}") from error
    root_nodes = {step.node: step.source for step in root.steps}
    root.source.nodes = [root_nodes[node] for node in root.graph if node in root_nodes]
