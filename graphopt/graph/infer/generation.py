"""Infer operators that make tensors: Range, ConstantOfShape, EyeLike, random draws, windows."""

from __future__ import annotations

from graphopt.graph.dims import ceildiv, maximum
from graphopt.graph.infer.contents import filled_values, range_values
from graphopt.graph.infer.dtypes import attribute_dtype, of_input
from graphopt.graph.infer.elementwise import same_shape
from graphopt.graph.infer.shaping import wanted_shape
from graphopt.graph.infer.site import Dtypes, Operator, Shapes, Site
from graphopt.graph.model import DataType

__all__ = ["OPERATORS"]


def _filled_dtype(site: Site) -> Dtypes:
    tensor = site.attribute("value")
    dtype: DataType = DataType.FLOAT if tensor is None else tensor.dtype
    return dtype


def _filled(site: Site) -> Shapes:
    return wanted_shape(site, 0)


def _range(site: Site) -> Shapes:
    start, limit, delta = site.contents(0), site.contents(1), site.ints(2)
    if start is None or limit is None or delta is None or delta[0] == 0:
        return (site.fresh(),)
    span, step = (limit[0] - start[0], delta[0]) if delta[0] > 0 else (start[0] - limit[0], -delta[0])
    return (maximum(ceildiv(span, step), 0),)


def _like_dtype(site: Site) -> Dtypes:
    return attribute_dtype(site, "dtype", site.dtype(0))


def _random_dtype(site: Site) -> Dtypes:
    return attribute_dtype(site, "dtype", DataType.FLOAT)


def _random(site: Site) -> Shapes:
    return site.integers("shape")


def _multinomial_dtype(site: Site) -> Dtypes:
    return attribute_dtype(site, "dtype", DataType.INT32)


def _multinomial(site: Site) -> Shapes:
    return (site.known_shape(0)[0], site.integer("sample_size", 1))


def _window_dtype(site: Site) -> Dtypes:
    return attribute_dtype(site, "output_datatype", DataType.FLOAT)


def _window(site: Site) -> Shapes:
    size = site.contents(0)
    return (site.fresh() if size is None else size[0],)


def _mel(site: Site) -> Shapes:
    bins, length = site.contents(0), site.contents(1)
    rows = site.fresh() if length is None or not isinstance(length[0], int) else length[0] // 2 + 1
    return (rows, site.fresh() if bins is None else bins[0])


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "ConstantOfShape"): Operator(_filled_dtype, _filled, filled_values),
    ("", "Range"): Operator(of_input(0, 1, 2), _range, range_values),
    ("", "EyeLike"): Operator(_like_dtype, same_shape),
    ("", "RandomNormalLike"): Operator(_like_dtype, same_shape),
    ("", "RandomUniformLike"): Operator(_like_dtype, same_shape),
    ("", "RandomNormal"): Operator(_random_dtype, _random),
    ("", "RandomUniform"): Operator(_random_dtype, _random),
    ("", "Multinomial"): Operator(_multinomial_dtype, _multinomial),
    ("", "MelWeightMatrix"): Operator(_window_dtype, _mel),
    **{("", f"{name}Window"): Operator(_window_dtype, _window) for name in ("Blackman", "Hamming", "Hann")},
}
