"""Infer operators that pick, join, place or order elements."""

from __future__ import annotations

from graphopt.graph.dims import Dim, ceildiv, floordiv, known_at_least, known_positive, maximum, minimum
from graphopt.graph.infer.contents import concat_values, gather_values, slice_values
from graphopt.graph.infer.dtypes import always, first, of_input
from graphopt.graph.infer.elementwise import same_shape
from graphopt.graph.infer.shaping import axes_of
from graphopt.graph.infer.site import Contents, Dtypes, Operator, Shape, Shapes, Site
from graphopt.graph.model import DataType

__all__ = ["OPERATORS"]

_FAR = (1 << 31) - 1


def _replaced(shape: Shape, axis: int, *dims: Dim) -> Shape:
    return (*shape[:axis], *dims, *shape[axis + 1 :])


def _concat(site: Site) -> Shapes:
    shapes = [site.known_shape(index) for index in range(site.count())]
    if site.version >= 4 and site.attribute("axis") is None:
        return None
    place = site.axis(site.integer("axis", 1), len(shapes[0]))
    if any(len(shape) != len(shapes[0]) for shape in shapes):
        return None
    # Off the axis all inputs agree, so that any of them tells; a number tells most.
    dims = [next((dim for dim in column if isinstance(dim, int)), column[0]) for column in zip(*shapes, strict=True)]
    total: Dim = 0
    for shape in shapes:
        total = total + shape[place]
    return _replaced(tuple(dims), place, total)


def _split_sizes(site: Site, total: Dim) -> list[Dim] | None:
    sizes: tuple[Dim, ...] | None = None
    if site.version >= 13:
        if site.has(1):
            sizes = site.contents(1)
            return None if sizes is None else list(sizes)
    elif site.version >= 2 or not site.has(1):
        sizes = site.integers("split")
    elif site.has(1):
        sizes = site.ints(1)
    if sizes is not None:
        return list(sizes)
    if site.version < 18:
        # Only an equal split is valid.
        return [floordiv(total, site.outputs())] * site.outputs()
    count = site.integer("num_outputs", site.outputs())
    chunk = ceildiv(total, count)
    last = total - chunk * (count - 1)
    return [chunk] * (count - 1) + [last]


def _split(site: Site) -> Shapes:
    shape = site.known_shape(0)
    axis = site.axis(site.integer("axis", 0), len(shape))
    sizes = _split_sizes(site, shape[axis])
    if sizes is None or len(sizes) != site.outputs():
        return [_replaced(shape, axis, site.fresh()) for _ in range(site.outputs())]
    return [_replaced(shape, axis, size) for size in sizes]


def _split_dtype(site: Site) -> Dtypes:
    return [site.dtype(0)] * site.outputs()


def _split_values(site: Site) -> list[Contents | None] | None:
    elements = site.contents(0) if site.rank(0) == 1 else None
    sizes = None if elements is None else _split_sizes(site, len(elements))
    if elements is None or sizes is None or len(sizes) != site.outputs():
        return None
    found: list[Contents | None] = []
    start = 0
    for size in sizes:
        if not isinstance(size, int) or size < 0:
            return None
        found.append(elements[start : start + size])
        start += size
    return found


def _slice(site: Site) -> Shapes:
    shape = list(site.known_shape(0))
    bounds = _slice_bounds(site, len(shape))
    if bounds is None:
        return site.unknown(len(shape))
    for axis, (start, end, step) in bounds.items():
        length = None if start is None or end is None or step is None else _slice_length(shape[axis], start, end, step)
        shape[axis] = site.fresh() if length is None else length
    return tuple(shape)


_Bound = tuple[Dim | None, Dim | None, int | None]


def _slice_bounds(site: Site, rank: int) -> dict[int, _Bound] | None:
    """Return start, end and step for each axis that is cut; None if even the axes are unknown."""
    if site.version < 10:
        starts, ends, axes = site.integers("starts"), site.integers("ends"), site.integers("axes")
        if starts is None or ends is None:
            return None
        places = range(len(starts)) if axes is None else axes
        return {site.axis(axis, rank): (a, b, 1) for axis, a, b in zip(places, starts, ends, strict=True)}
    known = axes_of(site, 3, 0)
    count = _length(site, 1) or _length(site, 2) or (None if known is None else len(known))
    if count is None:
        return None
    nothing: tuple[None, ...] = (None,) * count
    steps: tuple[int | None, ...] | None = site.ints(4) if site.has(4) else (1,) * count
    columns = (site.contents(1) or nothing, site.contents(2) or nothing, steps or nothing)
    rows = zip(range(count) if known is None else known, *columns, strict=True)
    return {site.axis(axis, rank): (start, end, step) for axis, start, end, step in rows}


def _length(site: Site, index: int) -> int | None:
    shape = site.shape(index)
    return shape[0] if shape is not None and len(shape) == 1 and isinstance(shape[0], int) else None


def _slice_length(dim: Dim, start: Dim, end: Dim, step: int) -> Dim | None:
    """Return the number of elements that a slice keeps of `dim`; None if that is not sure."""
    if step == 0 or (step < 0 and known_at_least(end, _FAR)):
        # Backwards to the largest number, runtimes go to the first element or nowhere.
        return None
    if step > 0:
        # A start behind the end leaves nothing, clamped to it or not.
        first_index, last_index = _position(dim, start, 0, None), _position(dim, end, 0, dim)
    else:
        first_index, last_index = _last_start(dim, start), _position(dim, end, -1, dim - 1)
    if first_index is None or last_index is None:
        return None
    length = ceildiv(last_index - first_index, step) if step > 0 else ceildiv(first_index - last_index, -step)
    # No dimension is negative, though its formula may not show it.
    return length if abs(step) == 1 and length == dim else maximum(length, 0)


def _position(dim: Dim, bound: Dim, low: int, high: Dim | None) -> Dim | None:
    """Clamp a bound of a slice, to the upper side only if `high` is given; a negative one counts from the end."""
    if isinstance(bound, int) and abs(bound) >= _FAR:
        # Exporters write the largest int32 or int64 for "to the end", the smallest for "to the start".
        return low if bound < 0 else dim if high is None else high
    if not known_at_least(bound, 0):
        # A formula like -n counts from the end where n > 0, but from the start where n is 0.
        if not known_positive(bound * -1):
            return None
        bound = dim + bound
    return maximum(bound if high is None else minimum(bound, high), low)


def _last_start(dim: Dim, bound: Dim) -> Dim | None:
    """Return where a slice that runs backwards starts; None where runtimes differ: before the first element."""
    if known_at_least(bound, 0):
        return dim - 1 if known_at_least(bound, _FAR) else minimum(bound, dim - 1)
    return dim + bound if bound == -1 or known_at_least(dim + bound, 0) else None


def _gather(site: Site) -> Shapes:
    data, indices = site.known_shape(0), site.known_shape(1)
    return _replaced(data, site.axis(site.integer("axis", 0), len(data)), *indices)


def _gather_nd(site: Site) -> Shapes:
    data, indices = site.known_shape(0), site.known_shape(1)
    batch = site.integer("batch_dims", 0)
    depth = indices[-1]
    if not isinstance(depth, int) or batch + depth > len(data):
        return None
    return (*indices[:-1], *data[batch + depth :])


def _second_shape(site: Site) -> Shapes:
    return site.shape(1)


def _pad(site: Site) -> Shapes:
    shape = site.known_shape(0)
    pads = site.contents(1) if site.version >= 11 else site.integers("pads" if site.version > 1 else "paddings")
    axes = axes_of(site, 3, 0) if site.version >= 18 else None
    places = list(range(len(shape))) if axes is None else [site.axis(axis, len(shape)) for axis in axes]
    if pads is None or len(pads) != 2 * len(places):
        kept = set(range(len(shape))) - set(places)
        return tuple(dim if axis in kept else site.fresh() for axis, dim in enumerate(shape))
    dims = list(shape)
    for index, axis in enumerate(places):
        dims[axis] = dims[axis] + pads[index] + pads[index + len(places)]
    return tuple(dims)


def _one_hot(site: Site) -> Shapes:
    indices = site.known_shape(0)
    depth = site.contents(1)
    axis = site.axis(site.integer("axis", -1), len(indices) + 1)
    return (*indices[:axis], site.fresh() if depth is None else depth[0], *indices[axis:])


def _non_zero(site: Site) -> Shapes:
    return (site.rank(0) or site.fresh(), site.fresh())


def _top_k(site: Site) -> Shapes:
    shape = site.known_shape(0)
    axis = site.axis(site.integer("axis", -1), len(shape))
    k: tuple[Dim, ...] | None = (site.integer("k", -1),) if site.version < 10 else site.contents(1)
    found = _replaced(shape, axis, site.fresh() if k is None else k[0])
    return [found, found]


def _top_k_dtype(site: Site) -> Dtypes:
    return [site.dtype(0), DataType.INT64]


def _compress(site: Site) -> Shapes:
    axis = site.attribute("axis")
    if axis is None:
        return (site.fresh(),)
    shape = site.known_shape(0)
    return _replaced(shape, site.axis(int(axis), len(shape)), site.fresh())


def _unique(site: Site) -> Shapes:
    count = site.fresh()
    axis = site.attribute("axis")
    if axis is None:
        return [(count,), (count,), (site.fresh(),), (count,)]
    shape = site.shape(0)
    values = None if shape is None else _replaced(shape, site.axis(int(axis), len(shape)), count)
    return [values, (count,), (site.fresh(),), (count,)]


def _unique_dtype(site: Site) -> Dtypes:
    return [site.dtype(0), DataType.INT64, DataType.INT64, DataType.INT64]


def _center_crop_pad(site: Site) -> Shapes:
    shape = list(site.known_shape(0))
    axes = site.integers("axes")
    places = list(range(len(shape))) if axes is None else [site.axis(axis, len(shape)) for axis in axes]
    wanted = site.contents(1)
    for index, axis in enumerate(places):
        shape[axis] = site.fresh() if wanted is None else wanted[index]
    return tuple(shape)


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "Concat"): Operator(first, _concat, concat_values),
    ("", "Split"): Operator(_split_dtype, _split, _split_values),
    ("", "Slice"): Operator(first, _slice, slice_values),
    ("", "Gather"): Operator(first, _gather, gather_values),
    ("", "GatherElements"): Operator(first, _second_shape),
    ("", "GatherND"): Operator(first, _gather_nd),
    ("", "Scatter"): Operator(first, same_shape),
    ("", "ScatterElements"): Operator(first, same_shape),
    ("", "ScatterND"): Operator(first, same_shape),
    ("", "TensorScatter"): Operator(first, same_shape),
    ("", "Pad"): Operator(first, _pad),
    ("", "OneHot"): Operator(of_input(2), _one_hot),
    ("", "NonZero"): Operator(always(DataType.INT64), _non_zero),
    ("", "TopK"): Operator(_top_k_dtype, _top_k),
    ("", "Compress"): Operator(first, _compress),
    ("", "Unique"): Operator(_unique_dtype, _unique),
    ("", "CenterCropPad"): Operator(first, _center_crop_pad),
}
