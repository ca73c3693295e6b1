"""Know which rows of its operands an operator needs for some rows of its result."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from graphopt.graph.dims import Dim, product
from graphopt.graph.facts import Facts
from graphopt.graph.infer.site import Shape
from graphopt.graph.model import Node
from graphopt.graph.schema import attribute
from graphopt_passes.axes import axes_of, axis_of, integers
from graphopt_passes.transposes import BINARY, UNARY, permutation

__all__ = ["VIEWS", "Place", "Rows", "locate", "operand_rows"]


@dataclass(frozen=True)
class Rows:
    """Rows of a value seen as [outer, size, rest], whatever its shape: a view of it has the same rows.

    `picked` names them: the indices of a `Gather`, or if it `slices`, start and end. `count` is their number, `sure`
    whether there are that many for every input.
    """

    outer: Dim
    size: Dim
    picked: tuple[int, ...]
    count: int
    sure: bool
    slices: bool

    def at(self, outer: Dim) -> Rows:
        """Return the same rows of a value with another `outer`."""
        return replace(self, outer=outer)


@dataclass(frozen=True)
class Place:
    """Where a shape has the rows: the axis, and how often they repeat in it, joined with the axes before."""

    axis: int
    lead: Dim


def locate(shape: Shape | None, rows: Rows) -> Place | None:
    """Return where `shape` has the rows; None if no axis has them, or none surely."""
    outer: Dim = 1
    try:
        for axis, dim in enumerate(shape or ()):
            if dim == rows.size and outer == rows.outer:
                return Place(axis, 1)
            outer = outer * dim
        return Place(0, rows.outer) if shape and shape[0] == rows.outer * rows.size else None
    except OverflowError:
        return None


class _Reader:
    """A node whose result has the rows at `place`, and its operands."""

    def __init__(self, node: Node, facts: Facts, rows: Rows, place: Place) -> None:
        self.node, self.facts, self.rows, self.place = node, facts, rows, place
        self.opset = facts.opset(node)
        self.shapes = [None if value is None else facts.shape(value) for value in node.inputs]
        self.result = facts.shape(node.outputs[0]) or ()

    def at(self, index: int, axis: int) -> dict[int, Rows] | None:
        """Return that operand `index` has the rows at `axis`."""
        shape = self.shapes[index]
        if shape is None or not 0 <= axis < len(shape) or shape[axis] != self.place.lead * self.rows.size:
            return None
        return {index: self.rows.at(product(shape[:axis]) * self.place.lead)}

    def aligned(self, *indices: int) -> dict[int, Rows] | None:
        """Return which of these operands, which broadcast to the result, have the rows; the others have them all."""
        found: dict[int, Rows] = {}
        for index in indices:
            shape = self.shapes[index]
            if shape is None:
                return None
            axis = self.place.axis - len(self.result) + len(shape)
            if axis < 0 or shape[axis] == 1:
                continue
            needed = self.at(index, axis)
            if needed is None:
                return None
            found |= needed
        return found

    def present(self) -> list[int]:
        return [index for index, value in enumerate(self.node.inputs) if value is not None]


Rule = Callable[[_Reader], dict[int, Rows] | None]


def _elementwise(reader: _Reader) -> dict[int, Rows] | None:
    return reader.aligned(*reader.present())


def _first(reader: _Reader) -> dict[int, Rows] | None:
    return reader.at(0, reader.place.axis)


def _first_by_scalars(reader: _Reader) -> dict[int, Rows] | None:
    """Read an operator whose other operands have one element."""
    others = [reader.shapes[index] for index in reader.present()[1:]]
    return _first(reader) if all(shape is not None and set(shape) <= {1} for shape in others) else None


def _view(reader: _Reader) -> dict[int, Rows] | None:
    axes = integers(reader.node, "axes", 1, reader.facts) if reader.node.op_type != "Reshape" else None
    # Without axes, Squeeze would also take away the rows.
    return None if reader.node.op_type == "Squeeze" and not axes else {0: reader.rows}


def _transpose(reader: _Reader) -> dict[int, Rows] | None:
    perm = permutation(reader.node, reader.facts)
    return None if perm is None else reader.at(0, perm[reader.place.axis])


def _normalization(reader: _Reader) -> dict[int, Rows] | None:
    axis = axis_of(reader.node, reader.facts, len(reader.result))
    if reader.node.domain and axis is None:
        axis = len(reader.result) - 1
    return _elementwise(reader) if axis is not None and reader.place.axis < axis else None


def _softmax(reader: _Reader) -> dict[int, Rows] | None:
    axis = axis_of(reader.node, reader.facts, len(reader.result))
    apart = axis is not None and (reader.place.axis < axis or (reader.opset >= 13 and reader.place.axis != axis))
    return _first(reader) if apart else None


def _along(reader: _Reader) -> dict[int, Rows] | None:
    """Read an operator along one axis of operands that agree in all others."""
    axis = axis_of(reader.node, reader.facts, len(reader.result))
    if axis is None or axis == reader.place.axis:
        return None
    found: dict[int, Rows] = {}
    for index in reader.present() if reader.node.op_type == "Concat" else [0]:
        needed = reader.at(index, reader.place.axis)
        if needed is None:
            return None
        found |= needed
    return found


def _slice(reader: _Reader) -> dict[int, Rows] | None:
    starts = integers(reader.node, "starts", 1, reader.facts)
    axes = integers(reader.node, "axes", 3, reader.facts)
    if starts is None or axes is None:
        return None
    cut = [axis % len(reader.result) for axis in axes] or list(range(len(starts)))
    return None if reader.place.axis in cut else _first(reader)


def _gather(reader: _Reader) -> dict[int, Rows] | None:
    table, indices = reader.shapes[0], reader.shapes[1]
    axis = None if table is None else axis_of(reader.node, reader.facts, len(table))
    if axis is None or indices is None:
        return None
    if reader.place.axis < axis:
        return _first(reader)
    if reader.place.axis < axis + len(indices):
        return reader.at(1, reader.place.axis - axis)
    return reader.at(0, reader.place.axis - len(indices) + 1)


def _reduction(reader: _Reader) -> dict[int, Rows] | None:
    shape = reader.shapes[0]
    axes = None if shape is None else axes_of(reader.node, reader.facts, len(shape))
    if shape is None or not axes:
        return None
    if attribute(reader.node, "keepdims", reader.opset):
        kept = list(range(len(shape)))
    else:
        kept = [axis for axis in range(len(shape)) if axis not in axes]
    axis = kept[reader.place.axis]
    return None if axis in axes else reader.at(0, axis)


def _matmul(reader: _Reader) -> dict[int, Rows] | None:
    first, second = reader.shapes[0], reader.shapes[1]
    if first is None or second is None or min(len(first), len(second)) < 2:
        return None
    behind = len(reader.result) - reader.place.axis
    if behind > 2:
        return reader.aligned(0, 1)
    return reader.at(0, len(first) - 2) if behind == 2 else reader.at(1, len(second) - 1)


def _gemm(reader: _Reader) -> dict[int, Rows] | None:
    index = reader.place.axis
    flipped = attribute(reader.node, "transB" if index else "transA", reader.opset)
    factor = reader.at(index, 1 - index if flipped else index)
    bias = reader.aligned(*reader.present()[2:])
    return None if factor is None or bias is None else factor | bias


VIEWS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity"})
"""Operators that move no data."""

_REDUCTIONS = ("Max", "Mean", "Min", "Prod", "Sum", "SumSquare", "L1", "L2", "LogSum", "LogSumExp")
_RULES: dict[tuple[str, str], Rule] = {
    **{("", name.strip()): _elementwise for name in f"{UNARY} | {BINARY}".split("|")},
    **{("", name): _elementwise for name in ("Max", "Mean", "Min", "Sum", "Where", "Swish")},
    **{("", name): _first_by_scalars for name in ("Clip", "QuantizeLinear", "DequantizeLinear")},
    **{("", name): _view for name in VIEWS},
    **{("", f"Reduce{name}"): _reduction for name in _REDUCTIONS},
    **{("", name): _normalization for name in ("LayerNormalization", "RMSNormalization")},
    **{("", name): _softmax for name in ("Softmax", "LogSoftmax", "Hardmax")},
    **{("", name): _along for name in ("Concat", "Split", "LpNormalization")},
    ("", "Transpose"): _transpose,
    ("", "Slice"): _slice,
    ("", "Gather"): _gather,
    ("", "MatMul"): _matmul,
    ("", "Gemm"): _gemm,
    **{("com.microsoft", name): _elementwise for name in ("BiasGelu", "FastGelu", "Gelu", "QuickGelu")},
}


def operand_rows(node: Node, facts: Facts, rows: Rows, place: Place) -> dict[int, Rows] | None:
    """Return which rows of which operands give these rows of the results; operands not named are needed whole.

    None if the operator mixes rows, or nothing is known of it.
    """
    rule = _RULES.get((node.domain, node.op_type))
    try:
        return None if rule is None else rule(_Reader(node, facts, rows, place))
    except OverflowError:
        # A formula of sizes grew too large.
        return None
