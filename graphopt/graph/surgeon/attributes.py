"""Translate attributes between the IR and onnx-graphsurgeon."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from onnx_graphsurgeon import Constant, Graph, Node
from onnx_graphsurgeon.util import misc

from graphopt.errors import ModelError
from graphopt.graph._onnx_ir import ir
from graphopt.graph.model import Attr
from graphopt.graph.surgeon.data import LazyWeights, to_data_type, weight_of

__all__ = ["GraphsNode", "attribute_in", "attribute_out", "graphs_of"]

Type = ir.AttributeType
_PLAIN = {Type.INT: int, Type.FLOAT: float, Type.INTS: list, Type.FLOATS: list, Type.STRINGS: list}
_WIDER = {Type.INT: Type.FLOAT, Type.INTS: Type.FLOATS}
_LISTS = frozenset({Type.INTS, Type.FLOATS, Type.STRINGS, Type.TENSORS, Type.GRAPHS})


class GraphsNode(Node):  # type: ignore[misc]
    """A node with a list of graphs in an attribute, which onnx-graphsurgeon's own node would not look into."""

    def subgraphs(self, recursive: bool = False) -> Any:
        """Yield the graphs in the attributes; with `recursive`, those inside them too."""
        todo = [graph for value in self.attrs.values() for graph in graphs_of(value)]
        for graph in todo:
            yield graph
            if recursive:
                for node in graph.nodes:
                    yield from node.subgraphs(recursive=True)


def graphs_of(value: Any) -> list[Any]:
    """List the graphs that are, or are in, the value of an attribute."""
    if isinstance(value, Graph):
        return [value]
    if isinstance(value, list | tuple):
        return [item for item in value if isinstance(item, Graph)]
    return []


def attribute_out(attr: Attr, graph_out: Callable[[Any], Any]) -> Any:
    """Return the value that stands for `attr` in onnx-graphsurgeon; `attr` itself if there is none."""
    if attr.is_ref():
        return Node.AttributeRef(attr.ref_attr_name, misc.convert_from_onnx_attr_type(int(attr.type)))
    if attr.type in _PLAIN:
        return _PLAIN[attr.type](attr.value)
    if attr.type == Type.STRING:
        return attr.value
    if attr.type == Type.TENSOR:
        return Constant(attr.value.name or "", LazyWeights(attr.value))
    if attr.type == Type.GRAPH:
        return graph_out(attr.value)
    if attr.type == Type.GRAPHS:
        return [graph_out(graph) for graph in attr.value]
    return attr


def attribute_in(name: str, value: Any, old: Attr | None, hint: Callable[[], Any]) -> Attr:
    """Return the attribute for a value of onnx-graphsurgeon: `old` if it says the same.

    `hint` gives the type that the operator's schema wants, or None. Graphs are not for this function.
    """
    if isinstance(value, Attr):
        return value if value.name == name else Attr(name, value.type, value.value, value.ref_attr_name)
    if isinstance(value, Node.AttributeRef):
        return _reference(name, value, old)
    if isinstance(value, Constant):
        return _tensor(name, weight_of(value, old.value if old is not None and old.type == Type.TENSOR else None), old)
    if old is not None and not old.is_ref() and _same(old, value):
        return old
    doc = None if old is None else old.doc_string
    wanted = hint() if old is None or old.is_ref() else old.type
    kind, plain = _typed(name, value, wanted)
    return Attr(name, kind, plain, doc_string=doc)


def _reference(name: str, value: Any, old: Attr | None) -> Attr:
    number = misc.convert_to_onnx_attr_type(value.type)
    if old is not None and old.is_ref() and old.ref_attr_name == value.name and int(old.type) == number:
        return old
    if number is None:
        raise ModelError(f"ONNX has no attribute type {value.type!r}", where=f"attribute {name!r}")
    return Attr(name, Type(number), None, value.name, doc_string=None if old is None else old.doc_string)


def _tensor(name: str, weight: Any, old: Attr | None) -> Attr:
    if old is not None and old.value is weight:
        return old
    return Attr(name, Type.TENSOR, weight, doc_string=None if old is None else old.doc_string)


def _same(old: Attr, value: Any) -> bool:
    if old.type == Type.STRING:
        return type(value) is type(old.value) and bool(value == old.value)
    if old.type == Type.INT:
        return isinstance(value, int) and value == old.value
    if old.type == Type.FLOAT:
        return isinstance(value, float) and _same_float(value, old.value)
    if not isinstance(value, list | tuple) or old.type not in _LISTS or len(value) != len(old.value):
        return False
    pairs = list(zip(value, old.value, strict=True))
    if old.type == Type.FLOATS:
        return all(isinstance(new, float) and _same_float(new, before) for new, before in pairs)
    kind = int if old.type == Type.INTS else str
    return all(isinstance(new, kind) and new == before for new, before in pairs)


def _same_float(new: float, old: float) -> bool:
    if math.isnan(old):
        return math.isnan(new)
    return new == old and math.copysign(1, new) == math.copysign(1, old)


def _typed(name: str, value: Any, wanted: Any) -> tuple[Any, Any]:
    """Return the attribute type of a Python value and the value in the form of that type."""
    if isinstance(value, np.ndarray) and (wanted == Type.TENSOR or value.ndim > 1):
        return Type.TENSOR, weight_of(Constant("", value), None)
    if isinstance(value, type | np.dtype):
        return Type.INT, int(to_data_type(value, f"attribute {name!r}"))
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    kind = _list_type(value, wanted) if isinstance(value, list | tuple | range) else _scalar_type(value)
    if kind is None:
        raise ModelError(f"{value!r} has no form as an ONNX attribute", where=f"attribute {name!r}")
    if kind in _WIDER and _WIDER[kind] == wanted:
        kind = wanted
    if kind == Type.STRINGS:
        return kind, [_text(item, name) for item in value]
    return kind, value


def _text(item: str | bytes, name: str) -> str:
    try:
        return item if isinstance(item, str) else item.decode()
    except UnicodeDecodeError as error:
        raise ModelError(f"{item!r} is not UTF-8", where=f"attribute {name!r}") from error


def _scalar_type(value: Any) -> Any:
    if isinstance(value, int | np.integer):
        return Type.INT
    if isinstance(value, float | np.floating):
        return Type.FLOAT
    return Type.STRING if isinstance(value, str | bytes) else None


def _list_type(items: Any, wanted: Any) -> Any:
    kinds = {_scalar_type(item) for item in items}
    if not kinds:
        return wanted if wanted in _LISTS else None
    if kinds == {Type.INT}:
        return Type.INTS
    if kinds <= {Type.INT, Type.FLOAT}:
        return Type.FLOATS
    return Type.STRINGS if kinds == {Type.STRING} else None
