"""Bring back what stands beside the graphs: functions, opset imports, versions, producer and texts."""

from __future__ import annotations

from typing import Any

from onnx import IR_VERSION, helper

from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Attr, Function, Graph, Model
from graphopt.graph.surgeon.data import linked
from graphopt.graph.surgeon.outward import standard_opset
from graphopt.graph.surgeon.scopes import Scope

__all__ = ["functions_of", "new_model", "put_functions", "put_header", "put_imports", "put_texts"]


def new_model(source: Any) -> Model:
    """Make the empty model that a user's own graph is brought into.

    Without an IR version of its own it gets the lowest that its opset can be in, but at least 10, which has types in
    functions and elements of 4 bits.
    """
    imports = _stated_imports(source)
    opsets = [helper.make_opsetid(name, version) for name, version in imports.items() if name in ("", "ai.onnx")]
    version = source.ir_version or min(max(10, helper.find_min_ir_version_for(opsets, ignore_unknown=True)), IR_VERSION)
    graph = Graph([], [], nodes=[], name=source.name, opset_imports=imports)
    return Model(ir.Model(graph, ir_version=version))


def _stated_imports(source: Any) -> dict[str, int]:
    """Return the imports that a graph states; where it states none, that of its opset."""
    if source.import_domains:
        return {item.domain: item.version for item in source.import_domains}
    return {"": source.opset}


def functions_of(source: Any, model: Model) -> list[tuple[Any, Function]]:
    """Pair every function of the graph with its IR function; a new one where there is none."""
    pairs: list[tuple[Any, Function]] = []
    taken: set[Function] = set()
    for item in source.functions:
        function = linked(item, model)
        if not isinstance(function, Function) or function in taken:
            graph = Graph([], [], nodes=[], opset_imports=_stated_imports(item), doc_string=item.doc_string or None)
            function = Function(item.domain or "", item.name, graph=graph, attributes=[])
        taken.add(function)
        pairs.append((item, function))
    return pairs


def put_functions(model: Model, functions: list[tuple[Any, Function]], declared: list[list[Attr]]) -> None:
    """Make `functions` those of the model, in their order.

    A function that the graph lost is kept while a node calls it: onnx-graphsurgeon takes overloads for one function.
    """
    for (source, function), attributes in zip(functions, declared, strict=True):
        if (source.domain or "", source.name) != (function.domain, function.name):
            function.domain, function.name = source.domain or "", source.name
        if list(function.attributes.values()) != attributes:
            function.attributes.clear()
            for attr in attributes:
                function.attributes.add(attr)
    table = model.ir.functions
    present = {function for _, function in functions}
    called = {node.op_identifier() for graph in model.scopes() for node in graph}
    lost = [f for f in table.values() if f not in present and f.identifier() in called]
    order = {function.identifier(): function for function in [*(f for _, f in functions), *lost]}
    if list(order.items()) == list(table.items()):
        return
    if lost and order.keys() == table.keys():
        return  # Only the sorting of onnx-graphsurgeon lost them: the model's own order holds.
    table.clear()
    table.update(order)


def put_header(model: Model, source: Any) -> None:
    """Bring back versions and producer."""
    whole = model.ir
    if source.ir_version is not None and source.ir_version != whole.ir_version:
        whole.ir_version = source.ir_version
    if source.producer_name != (whole.producer_name or ""):
        whole.producer_name = source.producer_name
    if source.producer_version != (whole.producer_version or ""):
        whole.producer_version = source.producer_version


def put_texts(scope: Scope) -> None:
    """Bring back the name and the text of a graph."""
    graph, source = scope.graph, scope.source
    if not scope.is_function and source.name != (graph.name or ""):
        graph.name = source.name
    if (source.doc_string or "") != (graph.doc_string or ""):
        graph.doc_string = source.doc_string


def put_imports(root: Scope, used: set[str], new: set[str]) -> None:
    """Bring back the imports of a main graph or a function.

    `used` are the domains of all its nodes, `new` those of new nodes, which get version 1 if nothing is said. A
    domain that the graph states no more goes if nothing uses it.
    """
    imports, source = root.graph.opset_imports, root.source
    stated = {item.domain: item.version for item in source.import_domains or ()}
    changed = {name: version for name, version in stated.items() if imports.get(name) != version}
    if source.opset != (standard_opset(imports) or 1) and not changed.keys() & {"", "ai.onnx"}:
        changed["ai.onnx" if "ai.onnx" in imports else ""] = source.opset
    imports.update(changed)
    for name in [name for name in imports if stated and name not in stated and name not in used | {"", "ai.onnx"}]:
        del imports[name]
    for name in sorted(new):
        if name == "" and standard_opset(imports) is None:
            imports[""] = source.opset
        elif name and name not in imports:
            imports[name] = 1
