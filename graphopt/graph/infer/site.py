"""Give a rule of inference what it needs to know of one node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from graphopt.graph.dims import Dim, Expr
from graphopt.graph.model import DataType, Graph, Node, Value

__all__ = ["UNKNOWN", "Array", "Contents", "Dtypes", "Fact", "Operator", "Shape", "Shapes", "Site", "Source"]

Array = np.ndarray[Any, Any]
Shape = tuple[Dim, ...]
Contents = tuple[Dim, ...]


class Fact(NamedTuple):
    """What is known of a value.

    `contents` are the elements, in row order, of a small tensor of integers or booleans (0, 1).
    """

    dtype: DataType | None
    shape: Shape | None
    contents: Contents | None


UNKNOWN = Fact(None, None, None)


class Source(Protocol):
    """Where a rule reads facts of other values; never raises."""

    def fact(self, value: Value) -> Fact:
        """Return what is known of `value`."""

    def contents_of(self, value: Value) -> Contents | None:
        """Return the elements of `value`, constants included."""

    def constant(self, value: Value) -> Array | None:
        """Return the data of a constant."""

    def fresh(self) -> Expr:
        """Return a size that nothing is known of."""

    def opset_at(self, graph: Any, domain: str) -> int:
        """Return the version of `domain` that governs the nodes of `graph`."""


Dtypes = DataType | None | Sequence[DataType | None]
"""The dtype of the first output, or a list with one for each output."""
Shapes = Shape | None | list[Shape | None]
"""The shape of the first output, or a list with one for each output."""


class Site:
    """One node and what is known of its inputs.

    A rule that cannot tell returns None or raises `ValueError`, `TypeError`, `LookupError` or `ArithmeticError`.
    """

    __slots__ = ("node", "source", "version")

    def __init__(self, source: Source, node: Node, version: int) -> None:
        self.source = source
        self.node = node
        self.version = version

    def value(self, index: int) -> Value | None:
        """Return an input, None if it is left out."""
        inputs = self.node.inputs
        return inputs[index] if index < len(inputs) else None

    def has(self, index: int) -> bool:
        """Tell whether an input is given."""
        return self.value(index) is not None

    def count(self) -> int:
        """Return the number of inputs."""
        return len(self.node.inputs)

    def outputs(self) -> int:
        """Return the number of outputs."""
        return len(self.node.outputs)

    def dtype(self, index: int) -> DataType | None:
        """Return the dtype of an input."""
        value = self.value(index)
        return None if value is None else self.source.fact(value).dtype

    def shape(self, index: int) -> Shape | None:
        """Return the shape of an input, None if it is unknown or the input is left out."""
        value = self.value(index)
        return None if value is None else self.source.fact(value).shape

    def known_shape(self, index: int) -> Shape:
        """Return the shape of an input; raise `ValueError` if it is unknown."""
        shape = self.shape(index)
        if shape is None:
            msg = "the shape of an input is unknown"
            raise ValueError(msg)
        return shape

    def rank(self, index: int) -> int | None:
        """Return the rank of an input."""
        shape = self.shape(index)
        return None if shape is None else len(shape)

    def contents(self, index: int) -> Contents | None:
        """Return the elements of a small integer input."""
        value = self.value(index)
        return None if value is None else self.source.contents_of(value)

    def ints(self, index: int) -> tuple[int, ...] | None:
        """Return the elements of a small integer input if all of them are numbers."""
        contents = self.contents(index)
        if contents is None:
            return None
        numbers = tuple(element for element in contents if isinstance(element, int))
        return numbers if len(numbers) == len(contents) else None

    def array(self, index: int) -> Array | None:
        """Return the data of a constant input."""
        value = self.value(index)
        return None if value is None else self.source.constant(value)

    def fresh(self) -> Expr:
        """Return a size that nothing is known of."""
        return self.source.fresh()

    def unknown(self, rank: int) -> Shape:
        """Return a shape of which only the rank is known."""
        return tuple(self.source.fresh() for _ in range(rank))

    def attribute(self, name: str) -> Any:
        """Return the value of an attribute, None if it is left out.

        Raises `ValueError` for a reference to a function's attribute: its value differs from call to call.
        """
        attr = self.node.attributes.get(name)
        if attr is None:
            return None
        if attr.is_ref():
            msg = f"attribute {name!r} is a reference"
            raise ValueError(msg)
        return attr.value

    def integer(self, name: str, default: int) -> int:
        """Return an INT attribute."""
        value = self.attribute(name)
        return default if value is None else int(value)

    def integers(self, name: str) -> tuple[int, ...] | None:
        """Return an INTS attribute, None if it is left out."""
        value = self.attribute(name)
        return None if value is None else tuple(int(each) for each in value)

    def text(self, name: str, default: str) -> str:
        """Return a STRING attribute."""
        value = self.attribute(name)
        if value is None:
            return default
        return value.decode() if isinstance(value, bytes) else str(value)

    def graph(self, name: str) -> Graph:
        """Return a GRAPH attribute; raise `TypeError` if it is left out."""
        found = self.attribute(name)
        if not isinstance(found, Graph):
            msg = f"attribute {name!r} is no graph"
            raise TypeError(msg)
        return found

    def axis(self, value: int, rank: int) -> int:
        """Return a possibly negative axis as an index; raise `ValueError` if it is out of range."""
        if not -rank <= value < rank:
            msg = f"axis {value} is out of range for rank {rank}"
            raise ValueError(msg)
        return value + rank if value < 0 else value


class Operator(NamedTuple):
    """The rules of one operator; `contents` is for the first output, or a list with one for each output."""

    dtype: Callable[[Site], Dtypes]
    shape: Callable[[Site], Shapes]
    contents: Callable[[Site], Contents | list[Contents | None] | None] | None = None
