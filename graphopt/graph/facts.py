"""Know dtype, shape and small integer values of every value of a model, without running it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from graphopt.graph._onnx_ir import ir
from graphopt.graph.dims import Dim, Expr, product, symbol
from graphopt.graph.freeze import is_overridable
from graphopt.graph.infer.contents import LIMIT
from graphopt.graph.infer.control import body_input, body_outputs
from graphopt.graph.infer.site import UNKNOWN, Array, Contents, Fact, Shape, Site
from graphopt.graph.infer.table import OPERATORS
from graphopt.graph.model import DataType, Model, Node, Value, subgraphs

__all__ = ["Facts"]

_NOT_SURE = (TypeError, ValueError, LookupError, ArithmeticError, AttributeError)
"""What a rule raises at a malformed node: wrong ranks, missing or mistyped attributes, axes out of range, formulas that
outgrow their bound. Nothing is known of such a node."""

_INTEGERS = frozenset({DataType.INT64, DataType.INT32})
_FOLLOWED = frozenset({DataType.INT64, DataType.INT32, DataType.BOOL})
_CONTROL = frozenset({"If", "Loop", "Scan"})
_MAX_VALUE = 1 << 62
_MAX_FORMULA = 48
"""Formulas with more atoms give way to a fresh size, lest they grow from node to node."""


class Facts:
    """What is known of the values of a model; nothing is computed before it is asked for, and nothing raises.

    Trusted are the declared types of the model's inputs, the initializers and the operators' definition; what the model
    declares of other values is not. A size that is not known is a symbol, `?1`, `?2`, ...; two sizes are surely the
    same only if their formulas are equal. After a change of the graph `forget` what was found.
    """

    def __init__(self, model: Model) -> None:
        self.model = model
        self._sizes = 0
        self._memo: dict[Value, Fact] = {}
        self._contents: dict[Value, Contents | None] = {}
        self._owners: dict[Any, Node | ir.Function] | None = None

    def forget(self) -> None:
        """Drop what was found; for after a change of the graph."""
        self._memo.clear()
        self._contents.clear()
        self._owners = None

    def dtype(self, value: Value) -> DataType | None:
        """Return the dtype; None if it is unknown or `value` is no tensor."""
        return self.fact(value).dtype

    def shape(self, value: Value) -> Shape | None:
        """Return the shape; None if the rank is unknown or `value` is no tensor."""
        return self.fact(value).shape

    def rank(self, value: Value) -> int | None:
        """Return the number of dimensions."""
        shape = self.fact(value).shape
        return None if shape is None else len(shape)

    def static_shape(self, value: Value) -> tuple[int, ...] | None:
        """Return the shape if all dimensions are numbers."""
        shape = self.fact(value).shape
        if shape is None:
            return None
        numbers = tuple(dim for dim in shape if isinstance(dim, int))
        return numbers if len(numbers) == len(shape) else None

    def element_count(self, value: Value) -> Dim | None:
        """Return the number of elements."""
        shape = self.fact(value).shape
        try:
            return None if shape is None else product(shape)
        except OverflowError:
            return None

    def nbytes(self, value: Value) -> int | None:
        """Return the size in bytes; None if it is not a known number."""
        count, dtype = self.element_count(value), self.dtype(value)
        if not isinstance(count, int) or dtype is None or dtype in {DataType.STRING, DataType.UNDEFINED}:
            return None
        return (count * int(dtype.bitwidth) + 7) // 8

    def contents(self, value: Value) -> Contents | None:
        """Return the elements of an int64 or int32 tensor of rank <= 1 with at most 64 elements."""
        fact = self.fact(value)
        if fact.dtype not in _INTEGERS or fact.shape is None or len(fact.shape) > 1:
            return None
        return self.contents_of(value)

    def is_constant(self, value: Value) -> bool:
        """Tell whether `value` is an initializer that no caller can override, or comes from a `Constant` node.

        Reads no data.
        """
        return self._tensor(value) is not None

    def constant(self, value: Value) -> Array | None:
        """Return the data of a constant; None if `value` is none, or its data can't be read."""
        tensor = self._tensor(value)
        if tensor is None or isinstance(tensor, np.ndarray):
            return tensor
        try:
            array: Array = tensor.numpy()
        except (OSError, RuntimeError, *_NOT_SURE):
            # External data may be missing, cut short or of another size than declared.
            return None
        return array

    def opset(self, node: Node) -> int:
        """Return the version of the node's domain that governs it: the model's, or the enclosing function's."""
        return self.opset_at(node.graph, node.domain)

    def opset_at(self, graph: Any, domain: str) -> int:
        """Return the version of `domain` that governs the nodes of `graph`; 1 if it is not imported."""
        imports = self.model.ir.opset_imports
        if graph is not self.model.graph:
            root = self._root(graph)
            imports = root.opset_imports if isinstance(root, ir.Function) else imports
        if domain in imports:
            return int(imports[domain])
        return int(imports.get("ai.onnx", 1)) if not domain else 1

    def fresh(self) -> Expr:
        """Return a size that nothing is known of."""
        self._sizes += 1
        return symbol(f"?{self._sizes}")

    def fact(self, value: Value) -> Fact:
        """Return dtype, shape and, if an operator gave them, elements."""
        found = self._memo.get(value)
        if found is None:
            self._solve(value)
            found = self._memo.get(value, UNKNOWN)
        return found

    def contents_of(self, value: Value) -> Contents | None:
        """Return the elements, in row order, of an integer or boolean tensor with at most 64 elements."""
        fact = self.fact(value)
        if fact.contents is not None or fact.dtype not in _FOLLOWED:
            return fact.contents
        if value not in self._contents:
            self._contents[value] = self._constant_contents(value)
        return self._contents[value]

    def _constant_contents(self, value: Value) -> Contents | None:
        count = self.element_count(value)
        array = self.constant(value) if isinstance(count, int) and count <= LIMIT else None
        if array is None or array.dtype.kind not in "ib" or array.size != count:
            return None
        return tuple(int(element) for element in array.reshape(-1))

    def _solve(self, value: Value) -> None:
        """Find facts of `value` after those of all it depends on; without recursion, for graphs are deep."""
        memo = self._memo
        opened: set[Value] = set()
        stack = [value]
        while stack:
            value = stack[-1]
            if value in memo:
                stack.pop()
                continue
            needed = [other for other in self._needs(value) if other is not None and other not in memo]
            if needed and value not in opened:
                opened.add(value)
                stack.extend(needed)
                continue
            # What is needed and still unknown depends on `value` itself: a cycle, of which nothing is known.
            for other in needed:
                memo[other] = UNKNOWN
            stack.pop()
            self._settle(value)

    def _needs(self, value: Value) -> Sequence[Value | None]:
        producer = value.producer()
        if producer is not None:
            if producer.op_type in _CONTROL:
                return [*producer.inputs, *body_outputs(producer)]
            return producer.inputs
        owner = self._root_node(value)
        return () if owner is None else owner.inputs

    def _settle(self, value: Value) -> None:
        producer = value.producer()
        if producer is None:
            self._memo[value] = self._leaf(value)
            return
        outputs = producer.outputs
        for output, fact in zip(outputs, self._infer(producer), strict=True):
            self._memo[output] = fact

    def _leaf(self, value: Value) -> Fact:
        tensor = value.const_value
        if tensor is not None and value.is_initializer() and not value.is_graph_input():
            return self._of_tensor(tensor)
        if not value.is_graph_input():
            return UNKNOWN
        if value.graph is self.model.graph:
            return self._declared(value)
        owner = self._root_node(value)
        if owner is None or value.graph is None:
            return UNKNOWN
        try:
            return body_input(Site(self, owner, self.opset(owner)), list(value.graph.inputs).index(value))
        except _NOT_SURE:
            return UNKNOWN

    def _of_tensor(self, tensor: Any) -> Fact:
        try:
            shape = tuple(int(dim) for dim in tensor.shape)
            return UNKNOWN if min(shape, default=0) < 0 else Fact(DataType(tensor.dtype), shape, None)
        except _NOT_SURE:
            return UNKNOWN

    def _declared(self, value: Value) -> Fact:
        """Return the declared type of an input of the model; a size without a name, or below 1, is unknown."""
        if not isinstance(value.type, ir.TensorType):
            return UNKNOWN
        dtype = value.type.dtype
        if value.shape is None or dtype == DataType.UNDEFINED:
            return Fact(None if dtype == DataType.UNDEFINED else dtype, None, None)
        return Fact(dtype, tuple(self._declared_dim(dim) for dim in value.shape), None)

    def _declared_dim(self, dim: Any) -> Dim:
        if isinstance(dim, int):
            # Exporters write 0 and -1 for "any".
            return dim if dim > 0 else self.fresh()
        name = dim.value
        if not name:
            return self.fresh()
        # Keep declared names apart from those that `fresh` gives.
        return symbol(f"={name}" if name[0] in "?=" else name)

    def _infer(self, node: Node) -> list[Fact]:
        count = len(node.outputs)
        domain = "" if node.domain == "ai.onnx" else node.domain
        if not domain and node.op_type == "Constant":
            return [self._of_constant(node)] * count
        rule = OPERATORS.get((domain, node.op_type))
        if rule is None or (self.model.ir.functions and node.op_identifier() in self.model.ir.functions):
            return [UNKNOWN] * count
        site = Site(self, node, self.opset(node))
        dtypes = _column(rule.dtype, site, count)
        shapes = _column(rule.shape, site, count)
        if rule.contents is None or dtypes[0] not in _FOLLOWED:
            return [Fact(dtype, self._checked(shape), None) for dtype, shape in zip(dtypes, shapes, strict=True)]
        values = _column(rule.contents, site, count)
        rows = zip(dtypes, map(self._checked, shapes), values, strict=True)
        return [Fact(dtype, shape, _checked_contents(dtype, shape, found)) for dtype, shape, found in rows]

    def _of_constant(self, node: Node) -> Fact:
        tensor = _constant_tensor(node)
        if isinstance(tensor, np.ndarray):
            return Fact(_ARRAY_DTYPES[tensor.dtype.kind], tensor.shape, None)
        return UNKNOWN if tensor is None else self._of_tensor(tensor)

    def _checked(self, shape: Shape | None) -> Shape | None:
        if shape is None:
            return None
        for dim in shape:
            if (dim.size > _MAX_FORMULA) if isinstance(dim, Expr) else not 0 <= dim < _MAX_VALUE:
                return tuple(self._checked_dim(each) for each in shape)
        return shape

    def _checked_dim(self, dim: Dim) -> Dim:
        bad = dim.size > _MAX_FORMULA if isinstance(dim, Expr) else not 0 <= dim < _MAX_VALUE
        return self.fresh() if bad else dim

    def _tensor(self, value: Value) -> Any:
        """Return the tensor (or the array) of a constant, unread."""
        producer = value.producer()
        if producer is not None:
            is_standard = producer.domain in {"", "ai.onnx"}
            return _constant_tensor(producer) if producer.op_type == "Constant" and is_standard else None
        if not value.is_initializer() or is_overridable(value):
            return None
        return value.const_value

    def _root_node(self, value: Value) -> Node | None:
        """Return the node whose body has `value` as an input."""
        if not value.is_graph_input() or value.graph is self.model.graph:
            return None
        owner = self._owner_of(value.graph)
        return owner if isinstance(owner, Node) else None

    def _root(self, graph: Any) -> Any:
        """Return the model's graph or the function that `graph` is nested in."""
        while isinstance(owner := self._owner_of(graph), Node):
            graph = owner.graph
        return graph if owner is None else owner

    def _owner_of(self, graph: Any) -> Node | ir.Function | None:
        if isinstance(graph, ir.Function):
            return graph
        if self._owners is None:
            self._owners = {function.graph: function for function in self.model.functions()}
            for scope in self.model.scopes():
                for node in scope:
                    self._owners.update(dict.fromkeys(subgraphs(node), node))
        return self._owners.get(graph)


def _column(rule: Callable[[Site], Any], site: Site, count: int) -> list[Any]:
    """Ask one rule; a list holds one answer for each output, anything else is of the first."""
    try:
        found = rule(site)
    except _NOT_SURE:
        found = None
    if not isinstance(found, list):
        found = [found]
    return found[:count] + [None] * (count - len(found)) if len(found) != count else found


def _checked_contents(dtype: DataType | None, shape: Shape | None, contents: Contents | None) -> Contents | None:
    if contents is None or shape is None or dtype not in _FOLLOWED or len(contents) > LIMIT:
        return None
    if product(dim for dim in shape if isinstance(dim, int)) != len(contents) or any(
        isinstance(dim, Expr) for dim in shape
    ):
        return None
    limit = 1 << 31 if dtype == DataType.INT32 else _MAX_VALUE
    return contents if all(_is_tame(element, limit) for element in contents) else None


def _is_tame(element: Dim, limit: int) -> bool:
    if isinstance(element, Expr):
        return element.size <= _MAX_FORMULA and all(abs(value) < limit for _, value in element.terms)
    return -limit < element < limit


def _constant_tensor(node: Node) -> Any:
    """Return the tensor or array of a `Constant` node; None if it has none or it depends on a function's caller."""
    for name, attr in node.attributes.items():
        if attr.is_ref():
            return None
        if name == "value":
            return attr.value
        dtype = _CONSTANT_DTYPES.get(name)
        if dtype is not None:
            return np.array(attr.value, dtype=dtype)
    return None


_ARRAY_DTYPES = {"i": DataType.INT64, "f": DataType.FLOAT, "O": DataType.STRING}
_CONSTANT_DTYPES: dict[str, Any] = {
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_float": np.float32,
    "value_floats": np.float32,
    "value_string": np.object_,
    "value_strings": np.object_,
}
