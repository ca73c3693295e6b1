"""Put the body of a local function in the place of a call to it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from graphlib import CycleError, TopologicalSorter

from graphopt.graph._onnx_ir import ir
from graphopt.graph.edit import forward
from graphopt.graph.model import Attr, Function, Graph, Model, Node, Value, subgraphs
from graphopt.graph.names import Names
from graphopt.graph.scopes import detach, inner_graphs

__all__ = ["expanded_size", "inline_call", "why_not"]

_GRAPHS = frozenset({ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS})


def why_not(model: Model, function: Function, call: Node) -> str:
    """Say why `call` can't be replaced by the body of `function`; empty if it can."""
    if any(attr.is_ref() or attr.type in _GRAPHS for attr in call.attributes.values()):
        return "the call passes a graph, or an attribute of the function around it"
    if len(call.inputs) > len(function.inputs) or len(call.outputs) > len(function.outputs):
        return "the call has more operands or results than the function"
    given = dict(zip(function.inputs, call.inputs, strict=False))
    for value in function.outputs:
        if value.producer() is None and given.get(value) is None:
            return "a result is an operand that the call leaves out"
    local = {domain for domain, _, _ in model.ir.functions}
    used = {node.domain for graph in _graphs(function) for node in graph} - local
    imports = model.ir.opset_imports
    for domain in sorted(used):
        wanted = function.opset_imports.get(domain)
        if wanted is None or imports.get(domain, wanted) != wanted:
            return f"function and model import different versions of {domain or 'ai.onnx'}"
    return ""


def inline_call(model: Model, function: Function, call: Node, names: Names) -> list[Node]:
    """Replace `call` by a copy of the function's body and return its nodes; tensors are shared.

    Attributes that the body takes from the caller get the call's values, or the function's defaults, or are left out.
    The call must have passed `why_not`.
    """
    graph = call.graph
    if graph is None:
        msg = f"{call.name!r} is in no graph"
        raise ValueError(msg)
    body = function.graph.clone()
    results = list(body.outputs)[: len(call.outputs)]
    operands = dict(zip(body.inputs, [*call.inputs, *[None] * len(function.inputs)], strict=False))
    body.outputs.clear()
    nodes = list(body)
    body.remove(nodes)
    _bind_attributes(nodes, {**_defaults(function), **call.attributes})
    _rename(nodes, f"{call.name or call.op_type}/", names)
    for formal, actual in operands.items():
        for node, index in formal.uses():
            node.replace_input_with(index, actual)
    graph.insert_before(call, nodes)
    for node in nodes:
        node.metadata_props.update({**call.metadata_props, **node.metadata_props})
    _import_domains(model, function)
    for old, new in zip(call.outputs, results, strict=True):
        actual = operands.get(new)
        if actual is not None:
            forward(old, actual, names)
        elif old.uses() or old.is_graph_output():
            _hand_over(old, new, names)
    detach(call)
    graph.remove(call)
    return nodes


def _import_domains(model: Model, function: Function) -> None:
    for domain in sorted({node.domain for graph in _graphs(function) for node in graph}):
        if domain in function.opset_imports:
            model.ir.opset_imports.setdefault(domain, function.opset_imports[domain])


def expanded_size(model: Model, limit: int) -> int:
    """Count the nodes that the main graph has with all calls inlined; `limit` stands for anything above.

    A function that calls itself gives `limit`.
    """
    counts = {key: _operators(function.graph) for key, function in model.ir.functions.items()}
    order = TopologicalSorter({key: set(found).intersection(counts) for key, found in counts.items()})
    sizes: dict[tuple[str, str, str], int] = {}
    try:
        for key in order.static_order():
            sizes[key] = _total(counts[key], sizes, limit)
    except CycleError:
        return limit
    return _total(_operators(model.graph), sizes, limit)


def _operators(graph: Graph) -> Counter[tuple[str, str, str]]:
    return Counter(node.op_identifier() for each in (graph, *_nested(graph)) for node in each)


def _total(found: Counter[tuple[str, str, str]], sizes: Mapping[tuple[str, str, str], int], limit: int) -> int:
    return min(limit, sum(count * sizes.get(key, 1) for key, count in found.items()))


def _hand_over(old: Value, new: Value, names: Names) -> None:
    """Let the readers of `old` read `new`, a result of the body, which takes its name."""
    new.type = new.type or old.type
    new.shape = new.shape if new.shape is not None else old.shape
    if not old.is_graph_output() and not new.is_graph_output():
        name, old.name = old.name, names.fresh(f"{old.name}_called")
        new.name = name
    forward(old, new, names)


def _defaults(function: Function) -> dict[str, Attr]:
    return {name: attr for name, attr in function.attributes.items() if attr.value is not None}


def _bind_attributes(nodes: list[Node], given: Mapping[str, Attr]) -> None:
    todo = list(nodes)
    while todo:
        node = todo.pop()
        for key, attr in list(node.attributes.items()):
            if not attr.is_ref():
                continue
            actual = given.get(attr.ref_attr_name or "")
            if actual is None:
                del node.attributes[key]
            else:
                node.attributes[key] = Attr(key, actual.type, actual.value)
        todo.extend(inner for graph in subgraphs(node) for inner in graph)


def _rename(nodes: list[Node], prefix: str, names: Names) -> None:
    """Give everything that the copy defines a name of its own; the body may be copied many times."""
    for node in nodes:
        _rename_node(node, prefix, names)
        for graph in inner_graphs(node):
            for value in [*graph.inputs, *graph.initializers.values()]:
                value.name = names.fresh(f"{prefix}{value.name}")
            for inner in graph:
                _rename_node(inner, prefix, names)


def _rename_node(node: Node, prefix: str, names: Names) -> None:
    node.name = names.fresh(f"{prefix}{node.name or node.op_type}")
    for value in node.outputs:
        if value.name:
            value.name = names.fresh(f"{prefix}{value.name}")


def _graphs(function: Function) -> list[Graph]:
    return [function.graph, *_nested(function.graph)]


def _nested(graph: Graph) -> list[Graph]:
    return [inner for node in graph for inner in inner_graphs(node)]
