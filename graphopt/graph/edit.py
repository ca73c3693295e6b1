"""Change a graph and keep it valid: forward values, remove dead nodes, add nodes and constants."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from graphopt.graph._onnx_ir import ir
from graphopt.graph.constants import tensor_of
from graphopt.graph.model import Attr, Graph, Model, Node, Value, subgraphs
from graphopt.graph.names import Names
from graphopt.graph.pins import is_pinned

__all__ = ["Builder", "can_forward", "forward", "is_dead", "remove_dead"]

Array = np.ndarray[Any, Any]


def _can_rename(old: Value, new: Value) -> bool:
    """Tell whether `new` can take over the name of graph output `old`."""
    producer = new.producer()
    old_producer = old.producer()
    if producer is None or old_producer is None or producer.graph is not old_producer.graph:
        return False
    return not new.is_graph_output()


def can_forward(old: Value, new: Value) -> bool:
    """Tell whether every use of `old` can read `new` without a copy in between."""
    return old is not new and (not old.is_graph_output() or _can_rename(old, new))


def forward(old: Value, new: Value, names: Names) -> None:
    """Let every user of `old` read `new`; where `old` is a graph output, keep its name.

    If `new` cannot take the name (it is an input, an initializer, an output or of another scope), an `Identity` keeps
    it.
    """
    if not old.is_graph_output():
        old.replace_all_uses_with(new)
        return
    producer = old.producer()
    if producer is None or producer.graph is None:
        msg = f"{old.name!r} is an input that is an output: nothing can be forwarded"
        raise ValueError(msg)
    name = old.name
    old.name = names.fresh(f"{name}_old")
    if _can_rename(old, new):
        new.name = name
        if new.type is None:
            new.type = old.type
        new.shape = old.shape
        old.replace_all_uses_with(new, replace_graph_outputs=True)
        return
    copy = Node("", "Identity", [new], num_outputs=1, name=names.fresh(f"{name}_copy"))
    copy.outputs[0].name = name
    copy.outputs[0].type, copy.outputs[0].shape = old.type, old.shape
    graph = producer.graph
    graph.insert_after(producer, copy)
    for index, output in enumerate(graph.outputs):
        if output is old:
            graph.outputs[index] = copy.outputs[0]
    old.replace_all_uses_with(new)


def is_dead(node: Node) -> bool:
    """Tell whether nothing reads any result of `node`."""
    return all(not value.uses() and not value.is_graph_output() for value in node.outputs)


def remove_dead(nodes: Iterable[Node]) -> list[Node]:
    """Remove the dead ones of `nodes` and what dies with them; return the nodes removed.

    Initializers that lose their last user are removed as well, unless they are graph inputs or outputs.
    """
    removed: list[Node] = []
    todo = list(nodes)
    while todo:
        node = todo.pop()
        if node.graph is None or not is_dead(node):
            continue
        read = [*node.inputs, *_captured(node)]
        _detach(node)
        node.graph.remove(node)
        removed.append(node)
        for value in read:
            producer = None if value is None else value.producer()
            if producer is not None:
                todo.append(producer)
            elif value is not None:
                drop_initializer(value)
    return removed


def is_unread(value: Value) -> bool:
    """Tell whether no node, no caller and no annotation refers to `value`."""
    return not (value.uses() or value.is_graph_input() or value.is_graph_output() or is_pinned(value))


def drop_initializer(value: Value) -> bool:
    """Remove an initializer that nothing reads; keep graph inputs, outputs and what annotations name."""
    if not value.is_initializer() or not is_unread(value):
        return False
    if value.graph is None or value.name is None:
        return False
    value.graph.initializers.pop(value.name)
    return True


def _captured(node: Node) -> list[Value]:
    """List what the nodes in the subgraphs of `node` read."""
    return [value for graph in subgraphs(node) for inner in graph.all_nodes() for value in inner.inputs if value]


def _detach(node: Node) -> None:
    for index in range(len(node.inputs)):
        node.replace_input_with(index, None)
    for graph in subgraphs(node):
        for inner in graph.all_nodes():
            for index in range(len(inner.inputs)):
                inner.replace_input_with(index, None)


class Builder:
    """Add nodes and constants in front of one node; what it made is in `nodes`.

    Names derive from the node that is replaced, so that a user finds the origin of everything in the result.
    """

    def __init__(self, model: Model, anchor: Node, names: Names, *, in_function: bool = False) -> None:
        if anchor.graph is None:
            msg = f"{anchor.name!r} is in no graph"
            raise ValueError(msg)
        self.graph: Graph = anchor.graph
        self.nodes: list[Node] = []
        self._stand_ins: list[tuple[Value, str]] = []
        self._anchor = anchor
        self._names = names
        self._in_function = in_function
        self._model = model

    def op(self, op_type: str, *inputs: Value | None, domain: str = "", outputs: int = 1, **attributes: Any) -> Any:
        """Add a node and return its value, or the tuple of its values if `outputs` is above 1.

        An attribute that is None is left out. Values: int, float, str, bytes, lists of them, arrays, tensors, graphs.
        Operands at the end that are None are left out as well: onnxruntime keeps a Conv that names an empty bias out of
        its blocked layout. A domain that the model does not import is imported in its version 1.
        """
        given = list(inputs)
        while given and given[-1] is None:
            given.pop()
        if domain:
            for imports in (self._model.ir.opset_imports, *(each.opset_imports for each in self._model.functions())):
                imports.setdefault(domain, 1)
        attrs = [make_attribute(key, value) for key, value in attributes.items() if value is not None]
        origin = self._anchor.outputs[0].name or op_type
        node = Node(domain, op_type, given, attrs, num_outputs=outputs)
        node.name = self._names.fresh(f"{self._anchor.name or origin}/{op_type}")
        for value in node.outputs:
            value.name = self._names.fresh(f"{origin}/{op_type}")
        self.graph.insert_before(self._anchor, node)
        self.nodes.append(node)
        return node.outputs[0] if outputs == 1 else tuple(node.outputs)

    def constant(self, array: Array, hint: str = "") -> Value:
        """Add a constant; an initializer, or in a function body (which has none) a `Constant` node.

        `hint` is the name of the constant that it stands in for, if there is one.
        """
        origin = hint or f"{self._anchor.outputs[0].name or 'value'}/const"
        tensor = make_tensor(array)
        if self._in_function:
            value: Value = self.op("Constant", value=tensor)
            return value
        value = add_initializer(self.graph, tensor, self._names.fresh(origin))
        if hint in self.graph.initializers:
            self._stand_ins.append((value, hint))
        return value

    def shape(self, *sizes: int) -> Value:
        """Add these numbers as a constant of int64, such as the second operand of Reshape."""
        return self.constant(np.array(sizes, np.int64))

    def reclaim_names(self) -> None:
        """Give constants the names of those that they stand in for, where these are gone."""
        for value, name in self._stand_ins:
            if value.is_initializer() and name not in self.graph.initializers:
                value.name = name


def make_tensor(array: Any) -> Any:
    """Wrap an array or a scalar as an IR tensor; a tensor stays as it is."""
    if isinstance(array, np.ndarray) or np.isscalar(array):
        array = np.asarray(array)
        return tensor_of(array, ir.DataType.STRING) if array.dtype.kind in "OSU" else ir.Tensor(array)
    return array


def make_attribute(name: str, value: Any) -> Attr:
    """Make an attribute of the type that fits the Python value."""
    if isinstance(value, Attr):
        reference = value.ref_attr_name
        return Attr(name, value.type, value.value) if reference is None else ir.RefAttr(name, reference, value.type)
    if isinstance(value, np.ndarray):
        value = make_tensor(value)
    if isinstance(value, np.generic):
        value = value.item()
    return ir.convenience.convert_attribute(name, value)


def add_initializer(graph: Graph, tensor: Any, name: str) -> Value:
    """Add a tensor to the initializers of `graph` and return its value."""
    value = Value(name=name, shape=ir.Shape(tensor.shape), type=ir.TensorType(tensor.dtype), const_value=tensor)
    tensor.name = name
    graph.register_initializer(value)
    return value
