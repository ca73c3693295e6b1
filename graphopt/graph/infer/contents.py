"""Follow the elements of small integer tensors through operators, as formulas over dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from graphopt.graph.dims import Dim, Expr, floordiv, known_at_least, known_positive, maximum, minimum, mod, product
from graphopt.graph.infer.site import Array, Contents, Site
from graphopt.graph.model import DataType

__all__ = [
    "LIMIT",
    "cast_values",
    "compare_equal",
    "concat_values",
    "elementwise_values",
    "filled_values",
    "first_values",
    "gather_values",
    "product_values",
    "range_values",
    "slice_values",
    "transposed_values",
    "where_values",
]

LIMIT = 64
"""Tensors with more elements are not followed."""

ContentsRule = Callable[[Site], Contents | list[Contents | None] | None]
_INTEGERS = frozenset({DataType.INT64, DataType.INT32})


def first_values(site: Site) -> Contents | None:
    """Keep the elements of the first input: for operators that only change the shape."""
    return site.contents(0)


def _divide(a: Dim, b: Dim) -> Dim:
    # Div truncates towards zero, which is floordiv only for operands that are not negative.
    if isinstance(a, int) and isinstance(b, int) and b != 0:
        return abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
    if known_at_least(a, 0) and known_at_least(b, 0) and b != 0:
        return floordiv(a, b)
    exact = mod(a, b)
    if isinstance(b, int) and exact == 0:
        return floordiv(a, b)
    msg = "the sign of an operand is unknown"
    raise ValueError(msg)


def _modulo(a: Dim, b: Dim) -> Dim:
    if known_at_least(a, 0) and known_at_least(b, 0) and b != 0:
        return mod(a, b)
    msg = "the sign of an operand is unknown"
    raise ValueError(msg)


_FUNCTIONS: dict[str, Callable[..., Dim]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mul": lambda a, b: a * b,
    "Div": _divide,
    "Mod": _modulo,
    "Max": maximum,
    "Min": minimum,
    "Sum": lambda *operands: sum(operands[1:], operands[0]),
    "Neg": lambda a: a * -1,
    "Abs": lambda a: maximum(a, a * -1),
}


def elementwise_values(name: str) -> ContentsRule | None:
    """Return the rule for an elementwise operator, None if there is none."""
    function = _FUNCTIONS.get(name)
    if function is None:
        return None

    def rule(site: Site) -> Contents | None:
        operands = _aligned([site.contents(index) for index in range(site.count())])
        if operands is None or site.version < 7:
            return None
        return tuple(function(*elements) for elements in zip(*operands, strict=True))

    return rule


def _aligned(operands: Sequence[Contents | None]) -> list[Contents] | None:
    """Repeat single elements to the length of the others; None if an operand is unknown or lengths differ."""
    known = [operand for operand in operands if operand is not None]
    if not known or len(known) != len(operands):
        return None
    lengths = {len(operand) for operand in known} - {1}
    if len(lengths) > 1:
        return None
    length = lengths.pop() if lengths else 1
    return [operand * length if len(operand) == 1 else operand for operand in known]


def compare_equal(site: Site) -> Contents | None:
    """Decide Equal where formulas are the same, or surely differ."""
    operands = _aligned([site.contents(0), site.contents(1)])
    if operands is None or site.version < 7:
        return None
    return tuple(_equal(a, b) for a, b in zip(*operands, strict=True))


def _equal(a: Dim, b: Dim) -> int:
    if a == b:
        return 1
    difference = a - b
    if known_positive(difference) or known_positive(difference * -1):
        return 0
    msg = "equality is not decidable"
    raise ValueError(msg)


def where_values(site: Site) -> Contents | None:
    """Choose between elements where the condition is known."""
    operands = _aligned([site.contents(0), site.contents(1), site.contents(2)])
    if operands is None:
        return None
    return tuple(a if condition else b for condition, a, b in zip(*operands, strict=True) if condition in {0, 1})


def cast_values(site: Site) -> Contents | None:
    """Keep the elements between the integer dtypes that hold sizes."""
    target = site.attribute("to") if site.node.op_type == "Cast" else site.dtype(1)
    if site.dtype(0) not in _INTEGERS or target not in _INTEGERS:
        return None
    return site.contents(0)


def concat_values(site: Site) -> Contents | None:
    """Concatenate the elements of vectors."""
    parts = [_grid(site, index) for index in range(site.count())]
    known = [part for part in parts if part is not None]
    if not known or len(known) != len(parts):
        return None
    return tuple(np.concatenate(known, axis=site.integer("axis", 0)).flat)


def gather_values(site: Site) -> Contents | None:
    """Pick elements."""
    elements, indices = _grid(site, 0), _grid(site, 1)
    if elements is None or indices is None or any(isinstance(index, Expr) for index in indices.flat):
        return None
    # A single element comes back without its array.
    picked = np.asarray(np.take(elements, indices.astype(np.int64), axis=site.integer("axis", 0)), dtype=object)
    return tuple(picked.flat)


def transposed_values(site: Site) -> Contents | None:
    """Permute the axes."""
    elements = _grid(site, 0)
    return None if elements is None else tuple(elements.transpose(site.integers("perm")).flat)


def slice_values(site: Site) -> Contents | None:
    """Cut a piece out; all bounds must be numbers."""
    elements = _grid(site, 0)
    starts, ends = _bound(site, 1, "starts"), _bound(site, 2, "ends")
    if elements is None or starts is None or ends is None:
        return None
    axes = _bound(site, 3, "axes") if site.has(3) or "axes" in site.node.attributes else tuple(range(len(starts)))
    steps = site.ints(4) if site.has(4) else (1,) * len(starts)
    if axes is None or steps is None or 0 in steps:
        return None
    place = [slice(None)] * elements.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        if step < 0 and (start < -elements.shape[site.axis(axis, elements.ndim)] or end >= (1 << 31) - 1):
            # Backwards from before the first element, or to the largest number, runtimes differ.
            return None
        place[site.axis(axis, elements.ndim)] = slice(start, end, step)
    return tuple(elements[tuple(place)].flat)


def _grid(site: Site, index: int) -> Array | None:
    """Return the elements of an input in its shape."""
    elements, shape = site.contents(index), site.shape(index)
    if elements is None or shape is None:
        return None
    sizes = [dim for dim in shape if isinstance(dim, int)]
    grid = np.empty(len(elements), dtype=object)
    grid[:] = elements
    return grid.reshape(sizes)


def _bound(site: Site, index: int, name: str) -> tuple[int, ...] | None:
    return site.integers(name) if site.version < 10 else site.ints(index)


def filled_values(site: Site) -> Contents | None:
    """Repeat the one element of ConstantOfShape or of the first operand of Expand."""
    shape = site.ints(1) if site.node.op_type == "Expand" else site.ints(0)
    if shape is None or len(shape) > 1:
        return None
    count = shape[0] if shape else 1
    if not 0 <= count <= LIMIT:
        return None
    if site.node.op_type == "ConstantOfShape":
        tensor = site.attribute("value")
        if tensor is None or tensor.dtype not in _INTEGERS:
            return None
        return (int(tensor.numpy().reshape(-1)[0]),) * count
    elements = site.contents(0)
    if elements is None:
        return None
    return elements * count if len(elements) == 1 else elements


def range_values(site: Site) -> Contents | None:
    """Count from a number to a number."""
    start, limit, delta = site.ints(0), site.ints(1), site.ints(2)
    if start is None or limit is None or delta is None or delta[0] == 0:
        return None
    numbers = range(start[0], limit[0], delta[0])
    return tuple(numbers) if len(numbers) <= LIMIT else None


def product_values(site: Site) -> Contents | None:
    """Multiply all elements."""
    elements = site.contents(0)
    return None if elements is None else (product(elements),)
