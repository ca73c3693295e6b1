"""Find out which part of the IR each object of an edited onnx-graphsurgeon graph is, and what is new.

Nothing is changed here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from onnx_graphsurgeon import Constant

from graphopt.errors import ModelError
from graphopt.graph.model import Graph, Model, Node, Value, subgraphs
from graphopt.graph.surgeon.attributes import graphs_of
from graphopt.graph.surgeon.data import linked, new_value, origin

__all__ = ["Passthrough", "Plan", "Scope", "Step"]


@dataclass(eq=False)
class Step:
    """One node: `source` as edited, `node` of the IR if it can stay, its values, and its subgraphs by attribute."""

    source: Any
    node: Node | None
    outputs: list[Value] = field(default_factory=list)
    inner: dict[str, list[Scope]] = field(default_factory=dict)


@dataclass(eq=False)
class Passthrough:
    """An output that no node of its graph makes, so that an `Identity` has to: it copies `value` to `output`."""

    tensor: Any
    value: Value
    output: Value


@dataclass(eq=False)
class Scope:
    """One graph: `source` as edited, the IR `graph` that it becomes, and the `values` defined in it, by tensor."""

    owner: Model
    source: Any
    graph: Graph
    parent: Scope | None
    is_function: bool = False
    steps: list[Step] = field(default_factory=list)
    defined: list[tuple[Any, Value]] = field(default_factory=list)
    values: dict[int, Value] = field(default_factory=dict)
    made: set[Value] = field(default_factory=set)
    weights: list[tuple[Any, Value]] = field(default_factory=list)
    copies: dict[tuple[str, int], Value] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    passed: list[Passthrough] = field(default_factory=list)
    idle: list[Value] = field(default_factory=list)

    @property
    def root(self) -> Scope:
        """The main graph or function that this is in."""
        return list(self.outwards())[-1]

    def constants(self) -> Iterator[tuple[Any, Value]]:
        """Yield the constants defined here, those among the inputs too."""
        yield from ((tensor, value) for tensor, value in self.weights if isinstance(tensor, Constant))
        pairs = zip(self.source.inputs, self.inputs, strict=True)
        yield from ((tensor, value) for tensor, value in pairs if isinstance(tensor, Constant))

    def define(self, tensor: Any, value: Value) -> None:
        """Say that `tensor` is `value` from here inwards."""
        self.values[id(tensor)] = value
        self.defined.append((tensor, value))

    def outwards(self) -> Iterator[Scope]:
        """Yield this scope and those around it."""
        scope: Scope | None = self
        while scope is not None:
            yield scope
            scope = scope.parent

    @cached_property
    def by_name(self) -> dict[str, Value]:
        """The values defined here by the names of their tensors; to be asked for once all are defined."""
        return {tensor.name: value for tensor, value in self.defined}

    def visible(self, tensor: Any) -> Value | None:
        """Return the value that `tensor` itself is known to be."""
        return next((scope.values[id(tensor)] for scope in self.outwards() if id(tensor) in scope.values), None)

    def resolve(self, tensor: Any) -> Value | None:
        """Return the value that a reader of `tensor` reads; None for an omitted operand.

        Raises `ModelError` if there is none.
        """
        if tensor.is_empty():
            return None
        if (found := self.visible(tensor)) is not None:
            return found
        before = linked(tensor, self.owner)
        if _is_loose(before):
            return before  # type: ignore[no-any-return]  # What came in produced by nothing goes out like that.
        for scope in self.outwards():  # Two tensors of one name are the same to onnx-graphsurgeon.
            if tensor.name in scope.by_name:
                return scope.by_name[tensor.name]
        raise ModelError(f"nothing produces {tensor.name!r}", where=f"graph {self.source.name!r}")


class Plan:
    """All scopes of an edited graph, outer before inner, with every tensor resolved to a value."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.scopes: list[Scope] = []
        self.kept: set[Any] = set()
        """The nodes, values and graphs of the IR that live on."""

    def add(self, source: Any, graph: Graph, *, is_function: bool = False) -> Scope:
        """Survey a main graph or a function, which becomes the IR `graph`."""
        self.kept.add(graph)
        return self._survey(source, graph, None, is_function=is_function)

    def families(self) -> dict[Scope, list[Scope]]:
        """Return for the main graph and each function all scopes in it, itself first."""
        found: dict[Scope, list[Scope]] = {}
        for scope in self.scopes:
            found.setdefault(scope.root, []).append(scope)
        return found

    def originals(self) -> list[Graph]:
        """List the graphs of the IR that the plan replaces: those added and all that are in them now."""
        todo = [scope.graph for scope in self.families()]
        for graph in todo:
            todo.extend(inner for node in graph for inner in subgraphs(node))
        return todo

    def settle(self) -> None:
        """Give constants a scope and resolve what the graphs give out. Call it once all graphs are added."""
        for tensor, scopes in self._constants():
            self._place(tensor, scopes)
        for scope in self.scopes:
            used = {value for _, value in scope.weights} | set(scope.inputs)
            owned = scope.graph.initializers.values()
            scope.idle = [v for v in owned if v not in used and not v.uses() and not v.is_graph_output()]
            scope.idle = [v for v in scope.idle if v not in self.kept and not v.is_graph_input()]
            for index, tensor in enumerate(scope.source.outputs):
                scope.outputs.append(self._output(scope, index, tensor))
        for scope in self.scopes:
            for step in scope.steps:
                for tensor in step.source.inputs:
                    scope.resolve(tensor)

    def _survey(self, source: Any, graph: Graph, parent: Scope | None, *, is_function: bool = False) -> Scope:
        scope = Scope(self.model, source, graph, parent, is_function)
        self.scopes.append(scope)
        for tensor in source.inputs:
            value = self._input(scope, tensor)
            scope.define(tensor, value)
            scope.inputs.append(value)
        for node in source.nodes:
            scope.steps.append(self._step(scope, node))
        return scope

    def _input(self, scope: Scope, tensor: Any) -> Value:
        before = linked(tensor, self.model)
        usable = isinstance(before, Value) and before.producer() is None and before.graph is scope.graph
        return self._keep(before) if usable and before not in self.kept else new_value(tensor, _value(origin(tensor)))

    def _keep(self, thing: Any) -> Any:
        self.kept.add(thing)
        return thing

    def _step(self, scope: Scope, source: Any) -> Step:
        step = Step(source, self._node(source))
        for index, tensor in enumerate(source.outputs):
            if id(tensor) in scope.values or isinstance(tensor, Constant):
                raise ModelError(f"{tensor.name!r} is produced twice", where=f"graph {scope.source.name!r}")
            kept = step.node is not None
            value = step.node.outputs[index] if step.node else new_value(tensor, _value(origin(tensor)))
            step.outputs.append(self._keep(value) if kept else value)
            scope.made.add(value)
            if not tensor.is_empty():
                scope.define(tensor, value)
        for name, value in source.attrs.items():
            if inner := graphs_of(value):
                step.inner[name] = [self._survey(graph, self._graph(graph), scope) for graph in inner]
        return step

    def _node(self, source: Any) -> Node | None:
        """Return the IR's own node if `source` still makes the same values; a value cannot change its producer."""
        node = linked(source, self.model)
        if node is None or node in self.kept or len(node.outputs) != len(source.outputs):
            return None
        for tensor, value in zip(source.outputs, node.outputs, strict=True):
            if tensor.is_empty() and not value.name:
                continue
            if linked(tensor, self.model) is not value:
                return None
        self.kept.add(node)
        return node  # type: ignore[no-any-return]

    def _graph(self, source: Any) -> Graph:
        graph = linked(source, self.model)
        if not isinstance(graph, Graph) or graph in self.kept:
            graph = Graph([], [], nodes=[], name=source.name, doc_string=source.doc_string or None)
        self.kept.add(graph)
        return graph

    def _constants(self) -> Iterable[tuple[Any, list[Scope]]]:
        """Return each constant with the scopes that read it; those of a function apart from those of the main graph."""
        found: dict[tuple[int, int], tuple[Any, list[Scope]]] = {}
        for scope in self.scopes:
            root = id(scope.root)
            read = [tensor for step in scope.steps for tensor in step.source.inputs]
            for tensor in [*read, *scope.source.outputs]:
                if self._is_weight(tensor) and scope.visible(tensor) is None:
                    found.setdefault((id(tensor), root), (tensor, []))[1].append(scope)
        return found.values()

    def _is_weight(self, tensor: Any) -> bool:
        if isinstance(tensor, Constant):
            return True
        before = linked(tensor, self.model)  # A graph input with a default value, listed no more, keeps the value.
        return isinstance(before, Value) and before.is_initializer() and not tensor.inputs

    def _place(self, tensor: Any, scopes: list[Scope]) -> None:
        """Define a constant in the scope it was in, if all readers see that; else in the innermost that all see."""
        around = list(dict.fromkeys(scopes[0].outwards()))
        for scope in dict.fromkeys(scopes):
            seen = set(scope.outwards())
            around = [outer for outer in around if outer in seen]
        before = linked(tensor, self.model)
        own = isinstance(before, Value) and before.is_initializer() and before not in self.kept
        home = next((outer for outer in around if own and before.graph is outer.graph), around[0])
        key = (tensor.name, id(vars(tensor).get("_values", tensor)))
        same = next((outer.copies[key] for outer in around if key in outer.copies), None)
        if same is not None:  # Copies of one constant: same name, same data object.
            home.values[id(tensor)] = same
            return
        value = self._keep(before) if own else new_value(tensor, _value(origin(tensor)))
        home.copies[key] = value
        home.define(tensor, value)
        home.weights.append((tensor, value))

    def _output(self, scope: Scope, index: int, tensor: Any) -> Value:
        """Return the value of an output; a new one, to be made by an `Identity`, if no node here makes it."""
        value = scope.resolve(tensor)
        if value is None:
            raise ModelError("an output has no name", where=f"graph {scope.source.name!r}")
        was = value in scope.graph.outputs and value.graph is scope.graph and (value in self.kept or _is_loose(value))
        if (value in scope.made or was) and value not in scope.outputs:
            return value
        if [*scope.outputs, value] == list(scope.graph.outputs[: index + 1]):
            return value  # The same value twice: odd, but so it came.
        before = scope.graph.outputs[index] if index < len(scope.graph.outputs) else None
        output = new_value(tensor, before if before is not None and before not in self.kept else None)
        output.type, output.shape = value.type, value.shape
        output.name = before.name if before is not None and before.name else tensor.name
        scope.passed.append(Passthrough(tensor, value, output))
        return output


def _value(thing: Any) -> Value | None:
    return thing if isinstance(thing, Value) else None


def _is_loose(thing: Any) -> bool:
    """Tell whether `thing` is a value of the IR that nothing produces or gives."""
    if not isinstance(thing, Value) or thing.producer() is not None:
        return False
    return not thing.is_graph_input() and not thing.is_initializer()
