"""Infer normalizations."""

from __future__ import annotations

from graphopt.graph.infer.dtypes import attribute_dtype, first
from graphopt.graph.infer.elementwise import same_shape
from graphopt.graph.infer.site import Dtypes, Operator, Shapes, Site
from graphopt.graph.model import DataType

__all__ = ["OPERATORS"]


def _batch(site: Site) -> Shapes:
    x = site.known_shape(0)
    # Opset 14 returns statistics of one channel each; older ones have more outputs of the same shape.
    return [x, *((x[1:2],) * (site.outputs() - 1))]


def _batch_dtype(site: Site) -> Dtypes:
    statistics = site.dtype(3) if site.version >= 14 else site.dtype(0)
    return [site.dtype(0), *([statistics] * (site.outputs() - 1))]


def _layer(site: Site) -> Shapes:
    x = site.known_shape(0)
    axis = site.axis(site.integer("axis", -1), len(x))
    statistics = (*x[:axis], *(1 for _ in x[axis:]))
    return [x, statistics, statistics]


def _layer_dtype(site: Site) -> Dtypes:
    statistics = attribute_dtype(site, "stash_type", DataType.FLOAT)
    return [site.dtype(0), statistics, statistics]


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "BatchNormalization"): Operator(_batch_dtype, _batch),
    ("", "LayerNormalization"): Operator(_layer_dtype, _layer),
    ("", "InstanceNormalization"): Operator(first, same_shape),
    ("", "GroupNormalization"): Operator(first, same_shape),
    ("", "RMSNormalization"): Operator(first, same_shape),
}
