"""Cut a region out of a model, as a model of its own."""

from __future__ import annotations

from collections.abc import Collection

from graphopt.graph._onnx_ir import ir
from graphopt.graph.facts import Facts
from graphopt.graph.model import Model, Node, Value, subgraphs

__all__ = ["around", "extract"]


def around(node: Node, hops: int) -> list[Node]:
    """List the nodes of the same graph at most `hops` edges away from `node`, in graph order."""
    found = {node}
    edge = [node]
    for _ in range(hops):
        reached = {other for each in edge for other in (*each.predecessors(), *each.successors())}
        edge = [other for other in reached - found if other.graph is node.graph]
        found.update(edge)
    return [] if node.graph is None else [each for each in node.graph if each in found]


def _read(node: Node) -> list[Value]:
    inner = (value for graph in subgraphs(node) for each in graph.all_nodes() for value in each.inputs)
    return [value for value in (*node.inputs, *inner) if value is not None]


def extract(model: Model, nodes: Collection[Node], facts: Facts) -> Model | None:
    """Cut `nodes` of the main graph out of `model`, which is left without them.

    What they read from outside becomes an input (constants stay constants), what is read outside of them an output.
    None if a value at the border has no known element type.
    """
    inside = set(nodes)
    outside = _outside(nodes)
    constants = [value for value in outside if value.is_initializer() and value.const_value is not None]
    inputs = [value for value in outside if value not in set(constants)]
    outputs = sorted((v for node in nodes for v in node.outputs if _leaves(v, inside)), key=lambda v: v.name or "")
    if not all(_declare(value, facts) for value in (*inputs, *outputs)):
        return None
    source = model.graph
    ordered = [node for node in source if node in inside]
    source.outputs.clear()
    source.inputs.clear()
    for value in constants:
        if value.graph is not None and value.name is not None:
            value.graph.initializers.pop(value.name)
    inputs = [_detached(value) for value in inputs]
    source.remove(ordered)
    imports = dict(source.opset_imports)
    graph = ir.Graph(inputs, outputs, nodes=ordered, initializers=constants, opset_imports=imports, name="reduced")
    functions = list(model.functions())
    return Model(ir.Model(graph, ir_version=model.ir.ir_version, functions=functions), None, model.carried)


def _outside(nodes: Collection[Node]) -> list[Value]:
    """List what `nodes` and their subgraphs read that none of them makes."""
    made: set[Value] = set()
    for node in nodes:
        made.update(node.outputs)
        for graph in subgraphs(node):
            made.update(graph.inputs, (value for each in graph.all_nodes() for value in each.outputs))
    return list(dict.fromkeys(value for node in nodes for value in _read(node) if value not in made))


def _leaves(value: Value, inside: set[Node]) -> bool:
    return value.is_graph_output() or not value.uses() or any(user not in inside for user, _ in value.uses())


def _declare(value: Value, facts: Facts) -> bool:
    """Declare what is known of a value's type; False if its element type is not known."""
    dtype, shape = facts.dtype(value), facts.shape(value)
    if dtype is None:
        return False
    value.type = ir.TensorType(dtype)
    value.shape = None if shape is None else ir.Shape([dim if isinstance(dim, int) else str(dim) for dim in shape])
    return True


def _detached(value: Value) -> Value:
    """Return `value`, or a value without producer that takes its place."""
    if value.producer() is None:
        return value
    free = Value(name=value.name, type=value.type, shape=value.shape)
    value.replace_all_uses_with(free, replace_graph_outputs=True)
    return free
