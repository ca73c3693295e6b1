"""Infer reductions."""

from __future__ import annotations

from graphopt.graph.infer.contents import product_values
from graphopt.graph.infer.dtypes import always, first
from graphopt.graph.infer.shaping import axes_of
from graphopt.graph.infer.site import Operator, Shape, Shapes, Site
from graphopt.graph.model import DataType

__all__ = ["OPERATORS"]

_NAMES = ["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"]


def _reduce(site: Site) -> Shapes:
    shape = site.known_shape(0)
    since = 13 if site.node.op_type == "ReduceSum" else 18
    keep = site.integer("keepdims", 1) != 0
    try:
        axes = axes_of(site, 1, since)
    except ValueError:
        return site.unknown(len(shape)) if keep else None
    if not axes:
        if site.version >= since and site.integer("noop_with_empty_axes", 0):
            return shape
        axes = tuple(range(len(shape)))
    return _without(shape, {site.axis(axis, len(shape)) for axis in axes}, keep=keep)


def _without(shape: Shape, axes: set[int], *, keep: bool) -> Shape:
    if keep:
        return tuple(1 if axis in axes else dim for axis, dim in enumerate(shape))
    return tuple(dim for axis, dim in enumerate(shape) if axis not in axes)


def _arg(site: Site) -> Shapes:
    shape = site.known_shape(0)
    axis = site.axis(site.integer("axis", 0), len(shape))
    return _without(shape, {axis}, keep=site.integer("keepdims", 1) != 0)


_ARG = Operator(always(DataType.INT64), _arg)

OPERATORS: dict[tuple[str, str], Operator] = {
    **{("", f"Reduce{name}"): Operator(first, _reduce) for name in _NAMES},
    ("", "ReduceProd"): Operator(first, _reduce, product_values),
    ("", "ArgMax"): _ARG,
    ("", "ArgMin"): _ARG,
}
