"""Infer matrix products."""

from __future__ import annotations

from graphopt.graph.dims import Dim, broadcast
from graphopt.graph.infer.dtypes import always, first, of_input
from graphopt.graph.infer.elementwise import broadcast_shapes
from graphopt.graph.infer.site import Operator, Shape, Shapes, Site
from graphopt.graph.model import DataType

__all__ = ["OPERATORS", "matmul_shape"]


def matmul_shape(a: Shape, b: Shape) -> Shape:
    """Return the shape of the product: as numpy.matmul."""
    if not a or not b:
        msg = "a scalar is no operand of MatMul"
        raise ValueError(msg)
    rows, columns = a[-2:-1], b[-1:] if len(b) > 1 else ()
    return (*broadcast_shapes(a[:-2], b[:-2]), *rows, *columns)


def _matmul(site: Site) -> Shapes:
    return matmul_shape(site.known_shape(0), site.known_shape(1))


def _qlinear_matmul(site: Site) -> Shapes:
    return matmul_shape(site.known_shape(0), site.known_shape(3))


def _gemm(site: Site) -> Shapes:
    a, b = site.known_shape(0), site.known_shape(1)
    if len(a) != 2 or len(b) != 2:
        return None
    return (a[1] if site.integer("transA", 0) else a[0], b[0] if site.integer("transB", 0) else b[1])


def _einsum(site: Site) -> Shapes:
    equation = site.text("equation", "").replace(" ", "")
    left, arrow, right = equation.partition("->")
    terms = left.split(",")
    if len(terms) != site.count():
        return None
    sizes: dict[str, Dim] = {}
    for index, term in enumerate(terms):
        _bind(sizes, term, site.known_shape(index))
    dots = "".join(sorted((name for name in sizes if name.isdigit()), reverse=True))
    if not arrow:
        letters = left.replace(",", "").replace(".", "")
        if not letters.islower():
            # The order of capitals is not defined.
            return None
        right = "..." + "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
    return tuple(sizes[name] for name in right.replace("...", dots))


def _bind(sizes: dict[str, Dim], term: str, shape: Shape) -> None:
    """Bind the letters of one operand; dimensions of an ellipsis are named 0, 1, ... from the last one."""
    before, ellipsis, after = term.partition("...")
    extra = len(shape) - len(before) - len(after)
    if extra < 0 or (extra > 0 and not ellipsis) or extra > 10:
        msg = f"{term!r} does not fit rank {len(shape)}"
        raise ValueError(msg)
    names = before + "".join(str(number) for number in reversed(range(extra))) + after
    for name, dim in zip(names, shape, strict=True):
        sizes[name] = broadcast(sizes[name], dim) if name in sizes else dim


def _det(site: Site) -> Shapes:
    return site.known_shape(0)[:-2]


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "MatMul"): Operator(of_input(0, 1), _matmul),
    ("", "MatMulInteger"): Operator(always(DataType.INT32), _matmul),
    ("", "QLinearMatMul"): Operator(of_input(7), _qlinear_matmul),
    ("", "Gemm"): Operator(of_input(0, 1), _gemm),
    ("", "Einsum"): Operator(of_input(0, 1), _einsum),
    ("", "Det"): Operator(first, _det),
}
