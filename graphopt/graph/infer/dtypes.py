"""Rules for dtypes that many operators share."""

from __future__ import annotations

from collections.abc import Callable

from graphopt.graph.infer.site import Dtypes, Site
from graphopt.graph.model import DataType

__all__ = ["always", "attribute_dtype", "first", "none", "of_input"]

DtypeRule = Callable[[Site], Dtypes]


def first(site: Site) -> Dtypes:
    """Return the dtype of the first input."""
    return site.dtype(0)


def of_input(*indices: int) -> DtypeRule:
    """Take the dtype that these inputs share from the first of them that is known."""

    def rule(site: Site) -> Dtypes:
        return next((dtype for dtype in map(site.dtype, indices) if dtype is not None), None)

    return rule


def always(*dtypes: DataType | None) -> DtypeRule:
    """Give the outputs these dtypes."""
    return lambda _site: list(dtypes)


def none(_site: Site) -> Dtypes:
    """Know nothing."""
    return None


def attribute_dtype(site: Site, name: str, default: DataType | None) -> DataType | None:
    """Return the dtype that an attribute names; 0 and a missing attribute mean `default`."""
    number = site.integer(name, 0)
    return DataType(number) if number else default
