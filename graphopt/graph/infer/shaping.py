"""Infer operators that rearrange elements: Reshape, Transpose, Squeeze, Tile and their kin."""

from __future__ import annotations

from graphopt.graph.dims import Dim, Expr, broadcast, floordiv, known_positive, product, substitute
from graphopt.graph.infer.contents import LIMIT, filled_values, first_values, transposed_values
from graphopt.graph.infer.dtypes import always, first
from graphopt.graph.infer.site import Contents, Operator, Shape, Shapes, Site
from graphopt.graph.model import DataType

__all__ = ["OPERATORS", "axes_of", "wanted_shape"]


def axes_of(site: Site, index: int, since: int) -> tuple[int, ...] | None:
    """Return axes: an attribute before opset `since`, then input `index`. None if they are left out.

    Raises `ValueError` if they are given and not known.
    """
    if site.version < since:
        return site.integers("axes")
    if not site.has(index):
        return None
    axes = site.ints(index)
    if axes is None:
        msg = "the axes are not constant"
        raise ValueError(msg)
    return axes


def wanted_shape(site: Site, index: int) -> tuple[Dim, ...] | None:
    """Return the elements of a shape input; elements that are not known become fresh sizes.

    None if even their number is unknown.
    """
    contents = site.contents(index)
    if contents is not None:
        return contents
    shape = site.shape(index)
    if shape is None or len(shape) != 1 or not isinstance(shape[0], int) or shape[0] > LIMIT:
        return None
    return site.unknown(shape[0])


def _reshape(site: Site) -> Shapes:
    if site.version < 5:
        target: tuple[Dim, ...] | None = site.integers("shape")
    else:
        target = site.contents(1)
    if target is None:
        return wanted_shape(site, 1)
    source = site.shape(0)
    keep_zero = site.integer("allowzero", 0) == 1 and site.version >= 14
    total = None if source is None else product(source)
    dims = [_reshaped(site, dim, axis, source, total, keep_zero) for axis, dim in enumerate(target)]
    return _fill_rest(site, dims, total)


def _reshaped(site: Site, dim: Dim, axis: int, source: Shape | None, total: Dim | None, keep_zero: bool) -> Dim | None:
    """Return one dimension of a Reshape, None for the one that takes the rest."""
    if isinstance(dim, int):
        if dim == -1:
            return None
        if dim != 0 or keep_zero:
            return dim
        return source[axis] if source is not None else site.fresh()
    if keep_zero or known_positive(dim) or (source is not None and axis < len(source) and source[axis] == dim):
        return dim
    # Where the formula is zero, Reshape copies the input's dimension. That is the same if the input is empty then.
    return dim if total is not None and _vanishes_with(total, dim) else site.fresh()


def _vanishes_with(total: Dim, dim: Expr) -> bool:
    """Tell whether `total` is surely zero where `dim` is."""
    monomial = dim.terms[0][0]
    if len(dim.terms) == 1 and all(atom.kind == "symbol" for atom in monomial):
        return all(substitute(total, {atom.name: 0}) == 0 for atom in monomial)
    return floordiv(total, dim) * dim == total


def _fill_rest(site: Site, dims: list[Dim | None], total: Dim | None) -> Shape:
    if None not in dims:
        return tuple(dim for dim in dims if dim is not None)
    known = product(dim for dim in dims if dim is not None)
    rest: Dim = site.fresh() if total is None or known == 0 else floordiv(total, known)
    return tuple(rest if dim is None else dim for dim in dims)


def _flatten(site: Site) -> Shapes:
    shape = site.known_shape(0)
    axis = site.integer("axis", 1)
    if not -len(shape) <= axis <= len(shape):
        return None
    axis = axis + len(shape) if axis < 0 else axis
    return (product(shape[:axis]), product(shape[axis:]))


def _squeeze(site: Site) -> Shapes:
    shape = site.known_shape(0)
    axes = axes_of(site, 1, 13)
    if axes is None:
        # Without axes every dimension of 1 goes; a formula may be 1.
        return tuple(dim for dim in shape if dim != 1) if all(isinstance(dim, int) for dim in shape) else None
    gone = {site.axis(axis, len(shape)) for axis in axes}
    return tuple(dim for index, dim in enumerate(shape) if index not in gone)


def _unsqueeze(site: Site) -> Shapes:
    shape = site.known_shape(0)
    axes = axes_of(site, 1, 13)
    if axes is None:
        return None
    rank = len(shape) + len(axes)
    new = {site.axis(axis, rank) for axis in axes}
    if len(new) != len(axes):
        return None
    old = iter(shape)
    return tuple(1 if index in new else next(old) for index in range(rank))


def _transpose(site: Site) -> Shapes:
    shape = site.known_shape(0)
    perm = site.integers("perm")
    if perm is None:
        return shape[::-1]
    if sorted(perm) != list(range(len(shape))):
        return None
    return tuple(shape[axis] for axis in perm)


def _expand(site: Site) -> Shapes:
    shape, target = site.known_shape(0), wanted_shape(site, 1)
    if target is None:
        return None
    rank = max(len(shape), len(target))
    source = (1,) * (rank - len(shape)) + shape
    wanted = (1,) * (rank - len(target)) + target
    return tuple(broadcast(a, b) for a, b in zip(source, wanted, strict=True))


def _tile(site: Site) -> Shapes:
    shape = site.known_shape(0)
    if site.version < 6:
        return site.unknown(len(shape))
    repeats = site.contents(1)
    if repeats is None:
        return site.unknown(len(shape))
    return tuple(dim * repeat for dim, repeat in zip(shape, repeats, strict=True))


def _depth_to_space(site: Site) -> Shapes:
    n, c, h, w = site.known_shape(0)
    block = site.integer("blocksize", 0)
    return (n, floordiv(c, block * block), h * block, w * block)


def _space_to_depth(site: Site) -> Shapes:
    n, c, h, w = site.known_shape(0)
    block = site.integer("blocksize", 0)
    return (n, c * (block * block), floordiv(h, block), floordiv(w, block))


def _shape(site: Site) -> Shapes:
    shape = site.shape(0)
    if shape is None:
        return (site.fresh(),)
    return (len(_shape_piece(site, shape)),)


def _shape_piece(site: Site, shape: Shape) -> Shape:
    if site.version < 15:
        return shape
    end = site.attribute("end")
    start, stop = (
        _clamp(bound, len(shape)) for bound in (site.integer("start", 0), len(shape) if end is None else end)
    )
    return shape[start:stop]


def _clamp(bound: int, rank: int) -> int:
    return min(max(bound + rank if bound < 0 else bound, 0), rank)


def _shape_values(site: Site) -> Contents | None:
    shape = site.shape(0)
    return None if shape is None else _shape_piece(site, shape)


def _size_values(site: Site) -> Contents | None:
    shape = site.shape(0)
    return None if shape is None else (product(shape),)


def _scalar(_site: Site) -> Shapes:
    return ()


_INT64 = always(DataType.INT64)

OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Reshape"): Operator(first, _reshape, first_values),
    ("", "Flatten"): Operator(first, _flatten),
    ("", "Squeeze"): Operator(first, _squeeze, first_values),
    ("", "Unsqueeze"): Operator(first, _unsqueeze, first_values),
    ("", "Transpose"): Operator(first, _transpose, transposed_values),
    ("", "Expand"): Operator(first, _expand, filled_values),
    ("", "Tile"): Operator(first, _tile),
    ("", "DepthToSpace"): Operator(first, _depth_to_space),
    ("", "SpaceToDepth"): Operator(first, _space_to_depth),
    ("", "Shape"): Operator(_INT64, _shape, _shape_values),
    ("", "Size"): Operator(_INT64, _scalar, _size_values),
}
