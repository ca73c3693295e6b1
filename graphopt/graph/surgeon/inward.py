"""Bring an edited onnx-graphsurgeon graph back into the IR, in place."""

from __future__ import annotations

from functools import partial
from typing import Any

from onnx import defs
from onnx_graphsurgeon import Constant

from graphopt.errors import ModelError
from graphopt.graph._onnx_ir import ir
from graphopt.graph.facts import Facts
from graphopt.graph.model import Attr, Function, Graph, Model, Node, Value
from graphopt.graph.surgeon.adopt import adopt
from graphopt.graph.surgeon.apply import Apply
from graphopt.graph.surgeon.attributes import attribute_in
from graphopt.graph.surgeon.data import check_type, link, linked, origin, owner_of, weight_of
from graphopt.graph.surgeon.header import functions_of, new_model, put_functions, put_header, put_imports, put_texts
from graphopt.graph.surgeon.names import chosen_names
from graphopt.graph.surgeon.scopes import Plan, Scope, Step

__all__ = ["Inward"]


class Inward:
    """The way back of one graph: plan and check everything first, then change the IR."""

    def __init__(self, source: Any, model: Model | None) -> None:
        self._source = source
        self._model = model or owner_of(source) or new_model(source)
        self._plan = Plan(self._model)

    def run(self) -> Model:
        """Return the model, changed to what the graph says."""
        if linked(self._source, self._model) is None:
            adopt(self._source, self._model)
        functions = functions_of(self._source, self._model)
        self._survey(functions)
        weights = {v: weight_of(t, v.const_value) for scope in self._plan.scopes for t, v in scope.constants()}
        attributes = {s: _attributes(scope, s) for scope in self._plan.scopes for s in scope.steps}
        declared = [self._declared(source, function) for source, function in functions]
        outputs = set(self._model.graph.outputs)
        new = {root: _domains(family, only_new=True) for root, family in self._plan.families().items()}
        Apply(self._plan, chosen_names(self._plan), weights, attributes).run()
        put_functions(self._model, functions, declared)
        self._type_outputs(outputs)
        put_header(self._model, self._source)
        for root, family in self._plan.families().items():
            put_imports(root, _domains(family), new[root])
            for scope in family:
                put_texts(scope)
        self._link(functions)
        return self._model

    def _survey(self, functions: list[tuple[Any, Function]]) -> None:
        self._plan.add(self._source, self._model.graph)
        for source, function in functions:
            self._plan.add(source, function.graph, is_function=True)
        self._plan.settle()
        for scope in self._plan.scopes:
            for tensor, value in scope.defined:
                if not isinstance(tensor, Constant):
                    check_type(value, tensor)
        for tensor, value in zip(self._source.inputs, self._plan.scopes[0].inputs, strict=True):
            if tensor.dtype is None and value not in self._plan.kept and not isinstance(tensor, Constant):
                raise ModelError(f"input {tensor.name!r} has no element type", advice="set the tensor's dtype")

    def _declared(self, source: Any, function: Function) -> list[Attr]:
        """Return the attributes that a function takes, with their defaults."""
        return [
            attribute_in(name, value, function.attributes.get(name), lambda: None)
            if value is not None
            else _required(name, function)
            for name, value in source.attrs.items()
        ]

    def _type_outputs(self, before: set[Value]) -> None:
        """Give the outputs that are new as outputs a type, which inner values may lack and outputs may not."""
        facts = Facts(self._model)
        for value in self._model.graph.outputs:
            if value.type is not None or value in before:
                continue
            dtype = facts.dtype(value)
            if dtype is None:
                raise ModelError(
                    f"output {value.name!r} has no element type", advice="set the tensor's dtype before it is an output"
                )
            value.type = ir.TensorType(dtype)
            dims = facts.shape(value)
            if dims is not None and value.shape is None:
                value.shape = ir.Shape([dim if isinstance(dim, int) else None for dim in dims])

    def _link(self, functions: list[tuple[Any, Function]]) -> None:
        """Note on every object what it now stands for, so that the graph can be edited and brought back again."""
        for scope in self._plan.scopes:
            link(scope.source, self._model, scope.graph)
            for tensor, value in scope.defined:
                link(tensor, self._model, value)
            for step in scope.steps:
                link(step.source, self._model, step.node)
        for source, function in functions:
            link(source, self._model, function)


def _domains(family: list[Scope], *, only_new: bool = False) -> set[str]:
    """Return the domains of the nodes in some scopes; with `only_new`, of the nodes that call a new operator."""
    steps = [step for scope in family for step in scope.steps]
    if only_new:
        steps = [step for step in steps if step.node is None or step.node.domain != (step.source.domain or "")]
    return {step.source.domain or "" for step in steps}


def _required(name: str, function: Function) -> Attr:
    old = function.attributes.get(name)
    if old is not None and old.value is None and not old.is_ref():
        return old
    return Attr(name, ir.AttributeType.UNDEFINED, None)


def _attributes(scope: Scope, step: Step) -> list[Attr]:
    """Return the attributes of a node, the old objects where nothing changed."""
    like = step.node or origin(step.source)
    before = like.attributes if isinstance(like, Node) else {}
    made: list[Attr] = []
    for name, value in step.source.attrs.items():
        old = before.get(name)
        if name in step.inner:
            made.append(_graph_attribute(name, value, old, [inner.graph for inner in step.inner[name]]))
        else:
            made.append(attribute_in(name, value, old, partial(_schema_type, scope.source.opset, step.source, name)))
    return made


def _graph_attribute(name: str, value: Any, old: Attr | None, graphs: list[Graph]) -> Attr:
    single = not isinstance(value, list | tuple)
    kind = ir.AttributeType.GRAPH if single else ir.AttributeType.GRAPHS
    if not single and len(value) != len(graphs):
        raise ModelError("graphs and other things in one list have no form in ONNX", where=f"attribute {name!r}")
    if old is not None and old.type == kind and ([old.value] if single else list(old.value)) == graphs:
        return old
    return Attr(name, kind, graphs[0] if single else graphs, doc_string=None if old is None else old.doc_string)


def _schema_type(opset: int, source: Any, name: str) -> Any:
    """Return the type that the standard gives an attribute, or None."""
    if source.domain not in (None, "", "ai.onnx"):
        return None
    try:
        schema = defs.get_schema(source.op, opset, "")
    except defs.SchemaError:
        return None
    known: Any = schema.attributes.get(name)
    return None if known is None else ir.AttributeType(int(known.type))
