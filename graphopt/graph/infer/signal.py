"""Infer losses, Fourier transforms and operators on text."""

from __future__ import annotations

from graphopt.graph.dims import floordiv
from graphopt.graph.infer.dtypes import always, first
from graphopt.graph.infer.elementwise import same_shape
from graphopt.graph.infer.site import Dtypes, Operator, Shapes, Site
from graphopt.graph.model import DataType

__all__ = ["OPERATORS"]


def _loss(site: Site) -> Shapes:
    loss = site.shape(1) if site.text("reduction", "mean") == "none" else ()
    return [loss, site.shape(0)]


def _loss_dtype(site: Site) -> Dtypes:
    return [site.dtype(0), site.dtype(0)]


def _dft(site: Site) -> Shapes:
    shape = list(site.known_shape(0))
    places = (site.integer("axis", 1),) if site.version < 20 else (site.ints(2) if site.has(2) else (-2,))
    if places is None:
        return site.unknown(len(shape))
    axis = site.axis(places[0], len(shape))
    length = site.contents(1) if site.has(1) else (shape[axis],)
    onesided = site.integer("onesided", 0) == 1
    if length is None or (onesided and site.integer("inverse", 0)):
        shape[axis], shape[-1] = site.fresh(), site.fresh()
        return tuple(shape)
    shape[axis] = floordiv(length[0], 2) + 1 if onesided else length[0]
    shape[-1] = 2
    return tuple(shape)


def _stft(site: Site) -> Shapes:
    return (site.known_shape(0)[0], site.fresh(), site.fresh(), 2)


def _bit_cast_dtype(site: Site) -> Dtypes:
    return DataType(site.integer("to", 0))


def _bit_cast(site: Site) -> Shapes:
    source = site.dtype(0)
    to = DataType(site.integer("to", 0))
    return site.shape(0) if source is not None and source.bitwidth == to.bitwidth else None


def _string_split(site: Site) -> Shapes:
    shape = site.shape(0)
    return [None if shape is None else (*shape, site.fresh()), shape]


def _normalized_text(site: Site) -> Shapes:
    return site.unknown(len(site.known_shape(0)))


def _tf_idf(site: Site) -> Shapes:
    indexes = site.integers("ngram_indexes")
    return None if not indexes else (*site.known_shape(0)[:-1], max(indexes) + 1)


OPERATORS: dict[tuple[str, str], Operator] = {
    ("", "NegativeLogLikelihoodLoss"): Operator(first, _loss),
    ("", "SoftmaxCrossEntropyLoss"): Operator(_loss_dtype, _loss),
    ("", "DFT"): Operator(first, _dft),
    ("", "STFT"): Operator(first, _stft),
    ("", "BitCast"): Operator(_bit_cast_dtype, _bit_cast),
    ("", "StringSplit"): Operator(always(DataType.STRING, DataType.INT64), _string_split),
    ("", "StringNormalizer"): Operator(always(DataType.STRING), _normalized_text),
    ("", "RegexFullMatch"): Operator(always(DataType.BOOL), same_shape),
    ("", "TfIdfVectorizer"): Operator(always(DataType.FLOAT), _tf_idf),
}
