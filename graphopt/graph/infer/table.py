"""Join the rules of all families."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from graphopt.graph.infer import (
    attention,
    contrib,
    control,
    elementwise,
    generation,
    image,
    matrix,
    normalization,
    quantization,
    recurrent,
    reduction,
    shaping,
    signal,
    slicing,
    window,
)
from graphopt.graph.infer.site import Operator

__all__ = ["OPERATORS"]

_FAMILIES = (
    attention,
    contrib,
    control,
    elementwise,
    generation,
    image,
    matrix,
    normalization,
    quantization,
    recurrent,
    reduction,
    shaping,
    signal,
    slicing,
    window,
)

OPERATORS: Mapping[tuple[str, str], Operator] = MappingProxyType(
    {key: rule for family in _FAMILIES for key, rule in family.OPERATORS.items()}
)
"""The rules, keyed by domain and operator."""
